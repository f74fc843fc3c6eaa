#!/usr/bin/env bash
# Builds Troupe: tools/build.sh [DIRECTORY [MESON OPTION ...]]
#
# DIRECTORY (default: build) is set up on first use, with the options given; later calls only compile. CXX names
# another compiler, JOBS limits how many run at once, TARGETS what is built (all, unless given). ccache is used where it
# is installed (Meson finds it).
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${1:-build}
shift || true
if [ ! -f "$dir/build.ninja" ]; then
  meson setup "$dir" "$@" >&2 </dev/null
fi
# shellcheck disable=SC2086  # TARGETS is a list
ninja -C "$dir" ${JOBS:+-j "$JOBS"} ${TARGETS:-} >&2 </dev/null
