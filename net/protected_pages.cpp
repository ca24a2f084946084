#include "net/protected_pages.hpp"

#include <cerrno>
#include <cstring>
#include <string>
#include <sys/mman.h>

namespace sekisho {

Expected<void> protect_pages(std::span<std::uint8_t> pages) {
    const auto refused = [&](const char* tried) {
        const int why = errno;
        return Error{ErrorCode::permission, std::string(tried) + " " + std::to_string(pages.size()) +
                                                " bytes for keys: " + std::strerror(why)};
    };
    if (madvise(pages.data(), pages.size(), MADV_DONTDUMP) != 0) return refused("cannot keep out of core dumps");
    if (mlock(pages.data(), pages.size()) != 0) return refused("cannot lock (see ulimit -l, LimitMEMLOCK)");
    if (madvise(pages.data(), pages.size(), MADV_WIPEONFORK) != 0) return refused("cannot keep from children");
    return {};
}

}  // namespace sekisho
