// Fuzzed: addresses, prefixes, MAC addresses and times from text. What is read must be printed as something that is
// read as the same again.
#include <cstdlib>
#include <string_view>

#include "control/calendar.hpp"
#include "net/address.hpp"
#include "net/prefix.hpp"
#include "tests/fuzz/target.hpp"

using namespace sekisho;

namespace {

template <class T>
void read_back(std::string_view text) {
    const auto read = T::parse(text);
    if (!read) return;
    const auto again = T::parse(read->text());
    if (!again || !(*again == *read)) std::abort();
}

}  // namespace

int fuzz_one(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    read_back<Ipv4Address>(text);
    read_back<Ipv6Address>(text);
    read_back<IpAddress>(text);
    read_back<MacAddress>(text);
    read_back<Prefix4>(text);
    read_back<Prefix6>(text);
    read_back<IpPrefix>(text);
    if (const auto time = control::parse_time(text)) {
        const auto again = control::parse_time(control::time_text(*time));
        if (!again || *again != *time) std::abort();
    }
    if (const auto date = control::parse_date(text); date && control::date_text(*date) != text) std::abort();
    return 0;
}
