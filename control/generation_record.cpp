#include "control/generation_record.hpp"

#include "control/document_hash.hpp"

namespace sekisho::control {

using nlohmann::json;

json to_json(const GenerationRecord& record) {
    return {{"generation", record.number},
            {"label", record.label.empty() ? json() : json(record.label)},
            {"committed", record.committed.empty() ? json() : json(record.committed)},
            {"what", record.what},
            {"of", record.of == 0 ? json() : json(record.of)},
            {"uid", record.uid},
            {"gid", record.gid},
            {"rules_version", record.rules_version},
            {"objects", record.objects},
            {"bytes", record.bytes},
            {"hash", record.hash},
            {"signature", record.signature.empty() ? json() : json(record.signature)},
            {"confirmed", record.confirmed}};
}

Expected<GenerationRecord> record_of(const json& object) {
    const Error other{ErrorCode::invalid, "it does not describe a generation"};
    if (!object.is_object()) return other;
    const auto is = [&object](const char* name, json::value_t type) {
        return object.contains(name) && object.at(name).type() == type;
    };
    for (const char* name : {"generation", "uid", "gid", "objects", "bytes"})
        if (!is(name, json::value_t::number_unsigned)) return other;
    for (const char* name : {"committed", "what", "rules_version", "hash"})
        if (!is(name, json::value_t::string)) return other;
    GenerationRecord record;
    record.number = object["generation"];
    record.committed = object["committed"];
    record.what = object["what"];
    if (is("of", json::value_t::number_unsigned)) record.of = object["of"];
    record.uid = object["uid"];
    record.gid = object["gid"];
    record.rules_version = object["rules_version"];
    record.objects = object["objects"];
    record.bytes = object["bytes"];
    record.hash = object["hash"];
    if (is("label", json::value_t::string)) record.label = object["label"];
    if (is("signature", json::value_t::string)) record.signature = object["signature"];
    if (!is_hash(record.hash)) return other;
    return record;
}

}  // namespace sekisho::control
