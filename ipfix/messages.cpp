#include "ipfix/messages.hpp"

#include <array>
#include <fixbuf/public.h>
#include <string>

namespace sekisho::ipfix {

namespace {

// natEvent (RFC 8158 §4.2, IANA's list).
constexpr std::uint8_t kMapCreated = 8, kMapDeleted = 9, kBlockAllocated = 16, kBlockDeallocated = 17;

constexpr std::uint16_t kHostBlock = 256, kInstitutionBlock = 257, kStaticMap = 258;  // template numbers

// One record for all three: a template names some of its fields, and all of them lie where it says.
struct Record {
    std::uint64_t time = 0;
    fbVarfield_t operator_id{}, institution{}, translation{};
    std::uint32_t address = 0, host = 0;
    std::uint16_t first_port = 0, last_port = 0, host_port = 0, map_port = 0;
    std::uint8_t event = 0, protocol = 0, unused[6]{};
};

// A field that a template has not is there all the same in memory, so the internal template has all.
constexpr std::uint32_t kOfHost = 1, kOfBlock = 2, kOfMap = 4, kOnlyInMemory = 8;
constexpr std::uint32_t kAll = kOfHost | kOfBlock | kOfMap | kOnlyInMemory;

std::array<fbInfoElementSpec_t, 14> elements() {
    static char names[][32] = {"observationTimeMilliseconds",
                               "VRFname",
                               "userName",
                               "natPoolName",
                               "postNATSourceIPv4Address",
                               "sourceIPv4Address",
                               "portRangeStart",
                               "portRangeEnd",
                               "sourceTransportPort",
                               "postNAPTSourceTransportPort",
                               "natEvent",
                               "protocolIdentifier",
                               "paddingOctets"};
    return {{{names[0], 8, 0},
             {names[1], FB_IE_VARLEN, 0},
             {names[2], FB_IE_VARLEN, 0},
             {names[3], FB_IE_VARLEN, 0},
             {names[4], 4, 0},
             {names[5], 4, kOfHost},
             {names[6], 2, kOfBlock},
             {names[7], 2, kOfBlock},
             {names[8], 2, kOfMap},
             {names[9], 2, kOfMap},
             {names[10], 1, 0},
             {names[11], 1, kOfMap},
             {names[12], 6, kOnlyInMemory},
             FB_IESPEC_NULL}};
}

Error failed(const char* tried, GError* error) {
    Error made{ErrorCode::unavailable, std::string("IPFIX: ") + tried + ": " +
                                           (error != nullptr ? error->message : "libfixbuf does not say why")};
    g_clear_error(&error);
    return made;
}

fbVarfield_t text_field(const std::string& text) {
    return {text.size(), reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()))};
}

Record record_of(const Event& event) {
    Record record;
    record.time = static_cast<std::uint64_t>(event.time);
    record.operator_id = text_field(event.operator_id);
    record.institution = text_field(event.institution);
    record.translation = text_field(event.translation);
    record.address = event.address.value();
    record.host = event.host.value_or(Ipv4Address()).value();
    record.first_port = event.first_port;
    record.last_port = event.last_port;
    record.host_port = event.host_port;
    record.map_port = event.first_port;
    record.protocol = event.protocol;
    if (event.is_static)
        record.event = event.opened ? kMapCreated : kMapDeleted;
    else
        record.event = event.opened ? kBlockAllocated : kBlockDeallocated;
    return record;
}

}  // namespace

struct Messages::Fixbuf {
    std::array<std::uint8_t, kMost> bytes{};
    fbInfoModel_t* model = nullptr;
    fbSession_t* session = nullptr;
    fbExporter_t* exporter = nullptr;  // the buffer's
    fBuf_t* buffer = nullptr;
    std::uint16_t in_memory = 0;

    Fixbuf() = default;
    ~Fixbuf() {
        if (buffer != nullptr)
            fBufFree(buffer);  // with session and exporter
        else if (session != nullptr)
            fbSessionFree(session);
        if (model != nullptr) fbInfoModelFree(model);
    }
    Fixbuf(const Fixbuf&) = delete;
    Fixbuf& operator=(const Fixbuf&) = delete;

    // With the elements whose flags are all in `flags`.
    Expected<std::uint16_t> add_template(bool internal, std::uint16_t number, std::uint32_t flags) {
        GError* error = nullptr;
        auto specification = elements();
        fbTemplate_t* const made = fbTemplateAlloc(model);
        if (fbTemplateAppendSpecArray(made, specification.data(), flags, &error) == FALSE)
            return failed("a template", error);
        const std::uint16_t got = fbSessionAddTemplate(session, internal ? TRUE : FALSE, number, made, &error);
        if (got == 0) return failed("a template", error);
        return got;
    }
    // False: the message is full.
    Expected<bool> add(Record record) {
        GError* error = nullptr;
        if (fBufAppend(buffer, reinterpret_cast<std::uint8_t*>(&record), sizeof record, &error) != FALSE) return true;
        if (!g_error_matches(error, FB_ERROR_DOMAIN, FB_ERROR_EOM)) return failed("a record", error);
        g_clear_error(&error);
        return false;
    }
    Expected<Message> emit() {
        GError* error = nullptr;
        if (fBufEmit(buffer, &error) == FALSE) return failed("a message", error);
        return Message(bytes.data(), bytes.data() + fbExporterGetMsgLen(exporter));
    }
};

Messages::Messages(std::unique_ptr<Fixbuf> fixbuf) : fixbuf_(std::move(fixbuf)) {}
Messages::~Messages() = default;

Expected<std::unique_ptr<Messages>> Messages::make(std::uint32_t domain) {
    auto made = std::make_unique<Fixbuf>();
    made->model = fbInfoModelAlloc();
    made->session = fbSessionAlloc(made->model);
    fbSessionSetDomain(made->session, domain);
    // Before there is a buffer, for into one they would be written at once.
    const auto internal = made->add_template(true, FB_TID_AUTO, kAll);
    if (!internal) return internal.error();
    made->in_memory = *internal;
    for (const auto& [number, flags] :
         {std::pair{kHostBlock, kOfHost | kOfBlock}, std::pair{kInstitutionBlock, kOfBlock},
          std::pair{kStaticMap, kOfHost | kOfMap}})
        if (const auto added = made->add_template(false, number, flags); !added) return added.error();
    made->exporter = fbExporterAllocBuffer(made->bytes.data(), static_cast<std::uint16_t>(kMost));
    made->buffer = fBufAllocForExport(made->session, made->exporter);
    fBufSetAutomaticMode(made->buffer, FALSE);
    return std::unique_ptr<Messages>(new Messages(std::move(made)));
}

Expected<Message> Messages::templates() {
    GError* error = nullptr;
    fBufSetAutomaticMode(fixbuf_->buffer, TRUE);  // or it does not begin a message for them
    const bool written = fbSessionExportTemplates(fixbuf_->session, &error) != FALSE;
    fBufSetAutomaticMode(fixbuf_->buffer, FALSE);
    if (!written) return failed("the templates", error);
    return fixbuf_->emit();
}

Expected<Messages::Made> Messages::of(std::span<const Event> events) {
    GError* error = nullptr;
    if (fBufSetInternalTemplate(fixbuf_->buffer, fixbuf_->in_memory, &error) == FALSE)
        return failed("the record", error);
    std::size_t count = 0;
    for (const Event& event : events) {
        const std::uint16_t number = event.is_static ? kStaticMap : event.host ? kHostBlock : kInstitutionBlock;
        if (fBufSetExportTemplate(fixbuf_->buffer, number, &error) == FALSE) return failed("a template", error);
        auto added = fixbuf_->add(record_of(event));
        if (added && !*added && count == 0)
            added = fixbuf_->add(record_of(event));  // it only left the templates' message
        if (!added) return added.error();
        if (!*added && count == 0) return Error{ErrorCode::limit, "IPFIX: an event is too long for a message"};
        if (!*added) break;
        ++count;
    }
    auto message = fixbuf_->emit();
    if (!message) return message.error();
    return Made{std::move(*message), count};
}

}  // namespace sekisho::ipfix
