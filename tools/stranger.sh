#!/usr/bin/env bash
# The gate and the fast tests as on a stranger's machine: in a clone of its own with an environment of its own, without data sets,
# with an empty HOME and cache and, once that is set up, without a network. `make stranger` runs it; it takes about 10 minutes on
# 2 cores and 6 GB below TMPDIR, which it removes at the end, however it ends.
set -euo pipefail

root="$(cd "$(dirname "$0")/.." && pwd)"
place="$(mktemp -d "${TMPDIR:-/tmp}/membench-stranger.XXXXXX")"
trap 'rm -rf "$place"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { echo "[stranger] $* (after $SECONDS s)"; }

if ! git -C "$root" diff --quiet HEAD; then
    say "WARNING: a clone holds what is committed; the changes in $root are not tried"
fi
git clone --quiet "$root" "$place/membench"
cd "$place/membench"
say "setting up an environment in $PWD"
env -u MEMBENCH_DATA -u MEMBENCH_CACHE make setup

offline=()
if unshare --net true 2> /dev/null; then
    offline=(unshare --net)
elif unshare --user --map-root-user --net true 2> /dev/null; then
    offline=(unshare --user --map-root-user --net)
else
    say "WARNING: this system permits no unshare: what follows runs WITH the network, so downloads would go unnoticed"
fi

# Dask's tests need the way from a process to another one of the same machine; where it is missing, they are skipped.
alone='ip link set lo up 2> /dev/null || echo "[stranger] WARNING: no loopback interface: the tests of Dask are skipped"; exec "$@"'

as_a_stranger() {
    say "$*"
    mkdir -p "$place/home"
    env -i PATH="$PATH" HOME="$place/home" LANG=C.UTF-8 "${offline[@]}" bash -c "$alone" bash "$@"
    rm -rf "$place/home"
}

as_a_stranger make bench ARGS="--membench-images 40"
as_a_stranger make quick
say "the gate is open and the fast tests pass without data, cache and network"
