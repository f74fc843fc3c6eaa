#!/usr/bin/env bash
# Every gate before a change goes in: tools/check.sh [--quick] [--changed] [PART ...]
#
# Parts, in the order they run (all without arguments):
#   format    clang-format finds nothing to change
#   layering  which room includes which, heavy headers, file sizes, test names (tests/layering.py)
#   build     g++, release, without a warning; unit and system tests
#   clang     the same with clang++
#   asan      g++ with the address and undefined-behaviour sanitizers; unit and system tests
#   tsan      g++ with the thread sanitizer, and CAF with it too (tools/caf_for_tsan.sh); unit and system tests
#   tidy      clang-tidy with the checks of .clang-tidy
# --quick is format, layering, and build with the unit tests only. --changed limits tidy to what differs from
# the branch main. Needs the packages of tools/deps.sh --check. Build folders: build, build-clang, build-asan, build-tsan.
set -euo pipefail
cd "$(dirname "$0")/.."

all_parts=(format layering build clang asan tsan tidy)
parts=() suites=(unit system) changed=no
for argument in "$@"; do
  case "$argument" in
    --quick) parts+=(format layering build) suites=(unit) ;;
    --changed) changed=yes ;;
    format | layering | build | clang | asan | tsan | tidy) parts+=("$argument") ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
  esac
done
[ ${#parts[@]} -gt 0 ] || parts=("${all_parts[@]}")

wanted() { local part; for part in "${parts[@]}"; do [ "$part" = "$1" ] && return; done; return 1; }
sources() { git ls-files --cached --others --exclude-standard -- "$@" | sort -u; }

# Compiles directory $1 and fails on any warning of this run; options for the first setup follow.
build_clean() {
  local dir=$1 log
  log=$(mktemp)
  # Warnings of the system's headers are not ours, those that quote our files are.
  if ! tools/build.sh "$@" >"$log" 2>&1; then cat "$log"; rm -f "$log"; return 1; fi
  if grep -E ' warning: ' "$log"; then
    rm -f "$log"
    # Ninja considers these objects done; make the next run see the warnings again.
    ninja -C "$dir" -t clean >/dev/null
    echo "check: warnings in $dir"
    return 1
  fi
  rm -f "$log"
}

run_suites() {
  local dir=$1 suite arguments=()
  shift
  for suite in "$@"; do arguments+=(--suite "$suite"); done
  meson test -C "$dir" --no-rebuild "${arguments[@]}" --timeout-multiplier 10 --print-errorlogs </dev/null
  python3 tests/summary.py "$dir/meson-logs/testlog.json"
}

part_format() {
  local tool
  tool=$(command -v clang-format-14 || command -v clang-format)
  if ! "$tool" --version | grep -q 'version 14\.'; then
    echo "skipped: the format is clang-format 14's, and this is $("$tool" --version)"
    return
  fi
  sources '*.hpp' '*.cpp' | xargs -r "$tool" --dry-run -Werror
}

part_layering() {
  python3 tests/layering_test.py
  python3 tests/layering.py
}

part_build() {
  build_clean build
  run_suites build "${suites[@]}"
}

part_clang() {
  CXX=clang++ build_clean build-clang
  run_suites build-clang "${suites[@]}"
}

part_asan() {
  # Not held to be free of warnings: the sanitizers make g++ see phantoms in its own headers. Optimised a little,
  # so that it compiles and runs in time; asserts are on. CAF's headers cast the heads of queues to what queues hold and
  # dereference shared pointers to empty tuples that are null, so those two checks and the library's own are off.
  tools/build.sh build-asan -Doptimization=1 -Ddebug=false -Db_ndebug=false -Db_sanitize=address,undefined \
    -Dcpp_args='-g1 -fno-sanitize-recover=all -fno-sanitize=vptr,null -fno-omit-frame-pointer' >/dev/null
  ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1 \
    LSAN_OPTIONS=suppressions=$PWD/tests/lsan_suppressions.txt:print_suppressions=0 run_suites build-asan unit system
}

part_tsan() {
  tools/caf_for_tsan.sh build-tsan/caf
  tools/build.sh build-tsan -Doptimization=1 -Ddebug=false -Db_ndebug=false -Db_sanitize=thread \
    -Dcpp_args='-g1 -fno-omit-frame-pointer' >/dev/null
  LD_LIBRARY_PATH=$PWD/build-tsan/caf/lib TSAN_OPTIONS=halt_on_error=1:suppressions=$PWD/tests/tsan_suppressions.txt \
    run_suites build-tsan unit system
}

part_tidy() {
  local files
  [ -f build-clang/build.ninja ] || CXX=clang++ meson setup build-clang </dev/null
  ninja -C build-clang </dev/null >/dev/null # generated headers
  files=$(sources 'src/*.cpp' 'actors/*.cpp' 'kernels/*.cpp' 'tools/*.cpp' 'tests/*.cpp')
  if [ "$changed" = yes ]; then
    files=$(comm -12 <(echo "$files") <({ git diff --name-only main; sources_new; } | sort -u))
  fi
  [ -n "$files" ] || return 0
  echo "$files" | xargs -P "$(nproc)" -n 1 clang-tidy -p build-clang --quiet 2> >(grep -v 'warnings generated' >&2 || true)
}
sources_new() { git ls-files --others --exclude-standard; }

for part in "${all_parts[@]}"; do
  wanted "$part" || continue
  echo "=== $part"
  start=$SECONDS
  set +e # a part ends at its first failing command, which bash ignores in a condition
  (set -e; "part_$part")
  status=$?
  set -e
  if [ $status -ne 0 ]; then echo "check: $part failed"; exit 1; fi
  echo "    ($((SECONDS - start)) s)"
done
echo "check: all of ${parts[*]} passed"
