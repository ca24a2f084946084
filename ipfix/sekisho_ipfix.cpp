// sekisho-ipfix: follows the translation log and exports it. One thread; SIGTERM and SIGINT stop it, SIGUSR1 has it say
// its counts, which it says each ten minutes and at the end too. Killed at any moment, it goes on where its cursor
// says.
#include <csignal>
#include <ctime>

#include <fmt/format.h>

#include "control/log.hpp"
#include "ipfix/options.hpp"

namespace sekisho::ipfix {

namespace {

constexpr std::chrono::milliseconds kRound{200};
constexpr std::chrono::milliseconds kLastRound{50};  // before it stops, for what is on its way
constexpr int kLastRounds = 10;
constexpr std::chrono::minutes kSayEvery{10};

void say(const ExportCounts& counts) {
    control::log(control::LogLevel::info,
                 fmt::format("{} events sent, {} waiting, {} sent again, {} lost; {} messages, {} connections, {} "
                             "failures, {} lines unreadable",
                             counts.events, counts.waiting, counts.again, counts.lost, counts.messages,
                             counts.connections, counts.failures, counts.unreadable));
}

int run(ExporterOptions options) {
    sigset_t signals;
    ::sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) ::sigaddset(&signals, signal);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    Exporter exporter(std::move(options));
    ExportCounts said;
    auto next_say = Exporter::Clock::now() + kSayEvery;
    for (int last_rounds = 0;;) {
        const auto now = Exporter::Clock::now();
        exporter.round(now);
        if (auto saved = exporter.save(); !saved) {
            control::log(control::LogLevel::error, saved.error().words);
            return 1;
        }
        if (last_rounds != 0 && (exporter.counts().waiting == 0 || ++last_rounds == kLastRounds)) break;
        const timespec pause{0, std::chrono::nanoseconds(last_rounds == 0 ? kRound : kLastRound).count()};
        const int signal = ::sigtimedwait(&signals, nullptr, &pause);
        if (signal == SIGUSR1 || (now >= next_say && said != exporter.counts())) say(said = exporter.counts());
        if (now >= next_say) next_say = now + kSayEvery;
        if (signal == SIGTERM || signal == SIGINT) last_rounds = 1;
    }
    say(exporter.counts());
    return 0;
}

}  // namespace

}  // namespace sekisho::ipfix

int main(int argc, char** argv) {
    const auto parsed = sekisho::ipfix::parse_options(argc, argv);
    return parsed.exit ? *parsed.exit : sekisho::ipfix::run(parsed.options);
}
