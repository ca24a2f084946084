# shellcheck shell=bash
# What the scripts share; sourced, never run. Every script starts in the root of the project.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit

say() { printf '%s\n' "$*" >&2; }
fail() { say "${0##*/}: $*"; exit 1; }

have() { command -v "$1" >/dev/null 2>&1; }

# As root, or by sudo where there is one.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif have sudo; then sudo "$@"
    else fail "this needs root: $*"
    fi
}

# The project's own files whose names match one of the patterns: no builds, no caches. Needs no git.
project_files() {
    local names=()
    for pattern in "$@"; do names+=(-o -name "$pattern"); done
    find . \( -name .git -o -name .cache -o -name 'build' -o -name 'build-*' \) -prune -o \
        -type f \( "${names[@]:1}" \) -print | sed 's|^\./||' | sort
}

# configure DIR OPTION…: sets DIR up, or brings one that is there up to date. Meson takes ccache where there is one.
configure() {
    local dir=$1
    shift
    if [ -f "$dir/build.ninja" ]; then meson configure "$dir" "$@" >&2
    else meson setup "$dir" "$@" >&2
    fi
}

# huge_pages COUNT: as root, reserves so many huge pages of 2 MiB, but a quarter of the memory that is free at most, until
# the script ends. Without them what would lie there lies in small ones, and is slower.
huge_pages() {
    local pages=/proc/sys/vm/nr_hugepages free
    [ -w $pages ] || return 0
    huge_pages_before=$(<$pages)
    trap 'echo "$huge_pages_before" >/proc/sys/vm/nr_hugepages' EXIT
    free=$(awk '/^MemAvailable/ { print int($2 / 2048 / 4) }' /proc/meminfo)
    local wanted=$((free < $1 ? free : $1))
    [ "$huge_pages_before" -ge "$wanted" ] || echo "$wanted" >$pages || say "no huge pages to be had"
    say "$(<$pages) huge pages of 2 MiB; $huge_pages_before before"
}
