// Cutting ports into classes by refinement: each list of ranges splits the classes that it covers in part.
#include "control/port_classes.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace sekisho::control {
namespace {

using dataplane::PortClass;

// The ports of one protocol. Class 0 is what no list covers; the others count from 1 without gaps.
class Atoms {
  public:
    explicit Atoms(const std::vector<const Terms*>& lists) {
        for (const Terms* terms : lists)
            for (const PortRange& range : terms->ports) {
                begins_.push_back(range.first);
                begins_.push_back(range.last + 1U);
            }
        begins_.push_back(0);
        begins_.push_back(kEnd);
        std::sort(begins_.begin(), begins_.end());
        begins_.erase(std::unique(begins_.begin(), begins_.end()), begins_.end());
        class_of_.assign(begins_.size() - 1, 0);
        // One more in class 0 than there is: however much is covered, some of it stays class 0.
        members_.assign(1, class_of_.size() + 1);
        for (const Terms* terms : lists) refine(intervals(*terms));
    }

    std::size_t classes() const noexcept { return members_.size(); }

    std::vector<std::uint32_t> classes_of(const Terms& terms) const {
        std::vector<std::uint32_t> classes;
        for (const std::size_t interval : intervals(terms)) classes.push_back(class_of_[interval]);
        return classes;
    }

    // All ports; the first class after 0 has the number `base`.
    std::vector<PortClass> map(std::size_t base) const {
        std::vector<PortClass> classes(kEnd, dataplane::kOtherClass);
        for (std::size_t i = 0; i < class_of_.size(); ++i)
            if (class_of_[i] != 0)
                std::fill(classes.begin() + begins_[i], classes.begin() + begins_[i + 1],
                          static_cast<PortClass>(base + class_of_[i] - 1));
        return classes;
    }

  private:
    static constexpr std::uint32_t kEnd = 65536;

    std::vector<std::size_t> intervals(const Terms& terms) const {
        std::vector<std::size_t> result;
        for (const PortRange& range : terms.ports) {
            const auto begin = std::lower_bound(begins_.begin(), begins_.end(), range.first);
            for (auto at = begin; *at <= range.last; ++at)
                result.push_back(static_cast<std::size_t>(at - begins_.begin()));
        }
        return result;
    }

    void refine(const std::vector<std::size_t>& covered) {
        hits_.resize(members_.size());
        becomes_.resize(members_.size());
        for (const std::size_t interval : covered) ++hits_[class_of_[interval]];
        for (const std::size_t interval : covered) {
            const std::uint32_t before = class_of_[interval];
            if (hits_[before] != 0) {  // the first of its class: does the class split?
                becomes_[before] = before;
                if (hits_[before] != members_[before]) {
                    members_[before] -= hits_[before];
                    becomes_[before] = static_cast<std::uint32_t>(members_.size());
                    members_.push_back(hits_[before]);
                }
                hits_[before] = 0;
            }
            class_of_[interval] = becomes_[before];
        }
    }

    std::vector<std::uint32_t> begins_;    // of the intervals; the last is the end
    std::vector<std::uint32_t> class_of_;  // by interval
    std::vector<std::size_t> members_;     // by class: how many intervals
    std::vector<std::size_t> hits_;        // by class, zero outside refine()
    std::vector<std::uint32_t> becomes_;   // by class
};

std::vector<const Terms*> of_protocol(std::span<const Terms> terms, Protocol protocol) {
    std::vector<const Terms*> result;
    for (const Terms& one : terms)
        if (one.protocol == protocol) result.push_back(&one);
    return result;
}

}  // namespace

Expected<Terms> terms_of(const Agreement& agreement) {
    Terms terms{agreement.protocol, {}, agreement.state == AgreementState::tracked};
    if (agreement.protocol == Protocol::icmp_echo || agreement.protocol == Protocol::any) return terms;
    if (agreement.ports.empty()) return Error{ErrorCode::invalid, "its protocol has ports, and it names none"};
    std::vector<PortRange> ports = agreement.ports;
    std::sort(ports.begin(), ports.end());
    for (const PortRange& range : ports) {
        if (range.first > range.last)
            return Error{ErrorCode::invalid,
                         fmt::format("ports {} to {}: ends before it begins", range.first, range.last)};
        if (terms.ports.empty() || range.first > terms.ports.back().last + 1)
            terms.ports.push_back(range);
        else
            terms.ports.back().last = std::max(terms.ports.back().last, range.last);
    }
    return terms;
}

Expected<PortClasses> classify(std::span<const Terms> terms) {
    const Atoms tcp(of_protocol(terms, Protocol::tcp));
    const Atoms udp(of_protocol(terms, Protocol::udp));
    const std::size_t first_tcp = dataplane::kEchoClass + 1U;
    const std::size_t first_udp = first_tcp + tcp.classes() - 1;
    PortClasses result;
    result.count = first_udp + udp.classes() - 1;
    if (result.count > std::numeric_limits<PortClass>::max())
        return Error{ErrorCode::limit, fmt::format("the agreements tell {} classes of ports apart; the limit is {}",
                                                   result.count, std::numeric_limits<PortClass>::max())};
    result.tcp.assign(tcp.map(first_tcp));
    result.udp.assign(udp.map(first_udp));

    const std::size_t words = (result.count + 63) / 64;
    for (const Terms& one : terms) {
        std::vector<std::uint64_t>& set = result.sets.emplace_back(words);
        const auto let_through = [&](std::size_t port_class) {
            set[port_class / 64] |= std::uint64_t{1} << port_class % 64;
        };
        switch (one.protocol) {
            case Protocol::any:
                for (std::size_t port_class = 0; port_class < result.count; ++port_class) let_through(port_class);
                break;
            case Protocol::icmp_echo: let_through(dataplane::kEchoClass); break;
            case Protocol::tcp:
                for (const std::uint32_t atom : tcp.classes_of(one)) let_through(first_tcp + atom - 1);
                break;
            case Protocol::udp:
                for (const std::uint32_t atom : udp.classes_of(one)) let_through(first_udp + atom - 1);
                break;
        }
    }
    return result;
}

}  // namespace sekisho::control
