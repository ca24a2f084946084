#!/usr/bin/env bash
# What meson installs beside the programs: man pages that say what --help says, a unit that systemd accepts and rates.
#
#   tests/packaging/installation_test.sh BUILD-DIR
#
# Without mandoc and systemd-analyze it is skipped (77). Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$(realpath "$1")
for tool in mandoc systemd-analyze; do command -v $tool >/dev/null || { echo "SKIPPED: there is no $tool"; exit 77; }; done
work=$(mktemp -d "${TMPDIR:-/tmp}/sekisho-installation.XXXXXX")
trap 'rm -rf "$work"' EXIT
failures=0
failed() { failures=$((failures + 1)); echo "FAILED: $*"; }

# --- man pages: roff without a warning, and every option and command of --help, as a reader sees the page.
page() { mandoc -T ascii "$build/packaging/$1" | col -b; }
options_of() { grep -oE -- '^ +(-[a-zA-Z],)?--[a-z-]+' | grep -oE -- '--[a-z-]+' | grep -vx -- --help || true; }
for name in sekishod.8 sekisho-agent.8 sekisho-ipfix.8 sekishoctl.1 sekisho-policy.5; do
    mandoc -T lint -W warning "$build/packaging/$name" || failed "$name is no clean man page"
done
page sekishod.8 >"$work/sekishod"
page sekishoctl.1 >"$work/sekishoctl"
page sekisho-policy.5 >"$work/policy"
seen=0
while read -r option; do
    seen=$((seen + 1))
    grep -q -- "^ *$option" "$work/sekishod" || failed "sekishod(8) has no $option"
done < <("$build/control/sekishod" --help | options_of)
page sekisho-agent.8 >"$work/sekisho-agent"
for command in run fleet import; do
    grep -qE "^ +$command\$" "$work/sekisho-agent" || failed "sekisho-agent(8) has no command $command"
done
while read -r option; do
    grep -q -- "^ *$option" "$work/sekisho-agent" || failed "sekisho-agent(8) has no $option"
done < <("$build/agent/sekisho-agent" --help | options_of)
page sekisho-ipfix.8 >"$work/sekisho-ipfix"
while read -r option; do
    grep -q -- "^ *$option" "$work/sekisho-ipfix" || failed "sekisho-ipfix(8) has no $option"
done < <("$build/ipfix/sekisho-ipfix" --help | options_of)
[ $seen -gt 20 ] || failed "sekishod --help was not understood: $seen options"
# The commands that bash completes are all there are.
while read -r command; do
    seen=$((seen + 1))
    grep -qE "^ +$command\$" "$work/sekishoctl" || failed "sekishoctl(1) has no command $command"
    # shellcheck disable=SC2086  # one word, or two
    while read -r option; do
        grep -q -- "^ *$option" "$work/sekishoctl" || failed "sekishoctl(1) has no $option of $command"
    done < <("$build/control/sekishoctl" $command --help | options_of)
done < <("$build/control/sekishoctl" completion bash | sed -n "s/^    '\(.\+\)')$/\1/p")
[ $seen -ge 50 ] || failed "sekishoctl's commands were not understood: $seen in all"
while read -r kind; do
    grep -q "^ *$kind" "$work/policy" || failed "sekisho-policy(5) has no $kind"
done < <(jq -r '.properties | keys[]' docs/policy.schema.json)

# --- the unit
for unit in sekishod:control:32 sekisho-agent:agent:11 sekisho-ipfix:ipfix:18; do  # the last: ten times the figure in docs/operation.md
    IFS=: read -r name room most <<<"$unit"
    sed "s|^ExecStart=[^ ]*|ExecStart=$build/$room/$name|" "$build/packaging/$name.service" >"$work/$name.service"
    systemd-analyze verify --man=no "$work/$name.service" >"$work/verify" 2>&1 || failed "systemd-analyze verify of $name"
    [ ! -s "$work/verify" ] || { failed "systemd-analyze verify has something to say:"; cat "$work/verify"; }
    systemd-analyze security --offline=true --threshold="$most" "$work/$name.service" >"$work/security" 2>&1 ||
        failed "systemd-analyze security: $name has more than $most tenths"
    echo "$name: $(grep "Overall exposure" "$work/security")"
    figure=$(sed -n 's/^→ Overall exposure level for [^:]*: \([0-9.]*\) .*/\1/p' "$work/security")
    grep -q "$name.service\` *| $figure |" docs/operation.md || failed "docs/operation.md has another figure for $name than $figure"
done
[ $failures -eq 0 ] || { echo "$failures failures"; exit 1; }
