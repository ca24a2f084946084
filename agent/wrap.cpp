#include "agent/wrap.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/json.hpp"
#include "control/key_text.hpp"
#include "control/place.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::agent {

using nlohmann::json;

namespace {

constexpr std::size_t kLongestFile = std::size_t{256} << 20;
constexpr std::size_t kPutsTogether = 120;  // of a transaction; etcd takes 128

Expected<control::WipedText> content_of(const std::string& file) {
    FileDescriptor opened(file == "-" ? ::dup(STDIN_FILENO) : ::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    const auto failed = [&] { return Error{ErrorCode::not_found, file + ": " + std::strerror(errno)}; };
    if (opened.number() < 0) return failed();
    control::WipedText text;
    std::array<char, 65536> piece;
    for (;;) {
        const ssize_t got = ::read(opened.number(), piece.data(), piece.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return failed();
        text.append(piece.data(), static_cast<std::size_t>(got));
        control::wipe_text(piece.data(), static_cast<std::size_t>(got));
        if (got == 0) return text;
        if (text.size() > kLongestFile) return Error{ErrorCode::limit, file + ": is too long"};
    }
}

}  // namespace

Expected<std::vector<StoreObject>> wrap_file(const std::string& file, const std::string& node, const HpkeKey& own,
                                             const HpkeKey& to) {
    auto text = content_of(file);
    if (!text) return text.error();
    const std::vector<Secret> keys = control::take_keys({text->data(), text->size()});
    const auto document = control::parse_json(*text);
    if (!document) return document.error().at(file);
    const json sas = document->is_object() ? document->value("sas", json()) : json();
    if (!sas.is_array() || sas.empty())
        return Error{ErrorCode::invalid, file + R"(: {"sas": [...]} is expected, with one or more)"};
    std::vector<StoreObject> objects;
    for (std::size_t i = 0; i < sas.size(); ++i) {
        auto wrapped = wrap(node, sas[i].dump(), keys, own, to);
        if (!wrapped) return wrapped.error().at(fmt::format("{}: {}", file, control::indexed("sas", i)));
        objects.push_back(std::move(*wrapped));
    }
    return objects;
}

Expected<std::int64_t> put_objects(const std::vector<StoreObject>& objects, const EtcdOptions& options,
                                   const std::string& prefix) {
    EtcdClient etcd(options);
    std::int64_t revision = 0;
    for (std::size_t at = 0; at < objects.size(); at += kPutsTogether) {
        std::vector<Operation> operations;
        for (std::size_t i = at; i < std::min(objects.size(), at + kPutsTogether); ++i)
            operations.push_back({prefix + objects[i].name, objects[i].value, 0});
        const auto done = etcd.transact(operations);
        if (const auto* error = std::get_if<EtcdError>(&done))
            return Error{error->fault == EtcdFault::refused ? ErrorCode::permission : ErrorCode::unavailable,
                         error->words};
        revision = std::get<std::int64_t>(done);
    }
    return revision;
}

}  // namespace sekisho::agent
