#!/usr/bin/env bash
# Builds Troupe: tools/build.sh [DIRECTORY [MESON OPTION ...]]
#
# DIRECTORY (default: build) is set up on first use, with the options given; later calls only compile. CXX names
# another compiler, JOBS limits how many run at once. ccache is used where it is installed (Meson finds it).
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${1:-build}
shift || true
if [ ! -f "$dir/build.ninja" ]; then
  meson setup "$dir" "$@" >&2 </dev/null
fi
ninja -C "$dir" ${JOBS:+-j "$JOBS"} >&2 </dev/null
