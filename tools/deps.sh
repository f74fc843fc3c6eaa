#!/usr/bin/env bash
# Installs what Troupe needs to build: tools/deps.sh [--check]
#
# Debian 12 and 13: with apt, as root or with sudo, only the packages that are missing; when none is, this
# touches neither apt nor the network. Other systems: tells which libraries are missing, and fails if any is.
# --check adds the clang tools that tools/check.sh runs.
set -euo pipefail

with_check=no
case "${1:-}" in
  '') ;;
  --check) with_check=yes ;;
  *) echo "usage: tools/deps.sh [--check]" >&2; exit 2 ;;
esac

say() { echo "deps: $*" >&2; }

debian_release() {  # 12, 13, ... for Debian itself, 13 for testing and unstable, which state no number; else nothing
  [ -r /etc/os-release ] || return 0
  (
    ID='' VERSION_ID=''
    # shellcheck disable=SC1091
    . /etc/os-release
    if [ "$ID" = debian ]; then echo "${VERSION_ID:-13}"; fi
  )
}

debian_packages() {  # of release $1
  echo meson ninja-build g++ ccache pkg-config cmake python3
  echo libcaf-dev libhwy-dev catch2 libcli11-dev libspdlog-dev libedit-dev libutf8proc-dev libssl-dev
  echo libxxhash-dev libpcre2-dev
  if [ "$1" -eq 12 ]; then  # whose unversioned Boost is 1.74
    echo libboost1.81-dev libboost-json1.81-dev libboost-url1.81-dev
  else
    echo libboost-dev libboost-json-dev libboost-url-dev
  fi
  if [ "$with_check" = yes ]; then echo clang clang-format clang-tidy; fi
}

package_installed() {
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

install_debian() {
  local package missing=() root=()
  for package in $(debian_packages "$1"); do
    package_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      say "these packages are missing, and there is neither root nor sudo to install them: ${missing[*]}"
      exit 1
    fi
    root=(sudo)
    [ -t 0 ] || root+=(-n)  # nobody is there to type a password
  fi
  say "installing ${missing[*]}"
  local apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update >&2 </dev/null || say "apt-get update failed; trying with the package lists that are here"
  # --no-remove: on a machine that has another Boost, stop rather than take it away.
  if ! "${apt[@]}" install -y --no-remove --no-install-recommends "${missing[@]}" >&2 </dev/null; then
    say "apt-get could not install: ${missing[*]}"
    say "if it refused to remove packages that conflict, remove those yourself and run this again"
    exit 1
  fi
}

probe_others() {
  local cxx=${CXX:-c++} missing=() tool row what header
  for tool in "$cxx" meson ninja pkg-config cmake python3; do
    command -v "$tool" >/dev/null || missing+=("the program $tool")
  done
  while IFS='|' read -r what header; do
    row="#include <$header>"
    case "$what" in
      *CAF*) row+=$'\n#if CAF_VERSION / 100 != 17\n#error\n#endif' ;;
      *Boost\ *) row+=$'\n#include <boost/version.hpp>\n#if BOOST_VERSION < 108100\n#error\n#endif' ;;
    esac
    echo "$row" | "$cxx" -std=c++20 -E -x c++ - >/dev/null 2>&1 || missing+=("$what (<$header>)")
  done <<'LIBRARIES'
CAF 0.17 (0.17.6 is known to work)|caf/config.hpp
Boost 1.81 or newer|boost/asio/version.hpp
Boost JSON 1.81 or newer|boost/json/fwd.hpp
Boost URL 1.81 or newer|boost/url/url.hpp
Highway 1.0.3 or newer|hwy/base.h
CLI11|CLI/CLI.hpp
spdlog|spdlog/version.h
libedit|histedit.h
utf8proc|utf8proc.h
OpenSSL|openssl/opensslv.h
xxHash|xxhash.h
LIBRARIES
  if ! { echo '#include <catch2/catch_all.hpp>' | "$cxx" -std=c++20 -E -x c++ - ||
         echo '#include <catch2/catch.hpp>' | "$cxx" -std=c++20 -E -x c++ -; } >/dev/null 2>&1; then
    missing+=("Catch2 2.13 or 3 (<catch2/catch_all.hpp>)")
  fi
  [ ${#missing[@]} -gt 0 ] || return 0
  say "this is neither Debian 12 nor 13, so nothing is installed by itself; please install, with their headers:"
  printf '  %s\n' "${missing[@]}" >&2
  if command -v apt-get >/dev/null; then
    say "Debian 13's names for the whole list: $(debian_packages 13 | tr '\n' ' ')"
  fi
  exit 1
}

release=$(debian_release)
case "$release" in
  12 | 13 | 14) install_debian "$release" ;;
  *) probe_others ;;
esac
