#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test: tools/test.sh
#
# The last line is "N passed, N failed" (and ", N skipped": tests whose data does not lie beside the checkout).
# The exit status is 0 when none failed.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/deps.sh
tools/build.sh build

# A slow machine is not a failed test: time limits only end what hangs.
status=0
meson test -C build --no-rebuild --suite unit --suite system --timeout-multiplier 5 --print-errorlogs </dev/null ||
  status=$?
python3 tests/summary.py build/meson-logs/testlog.json || status=1
exit "$status"
