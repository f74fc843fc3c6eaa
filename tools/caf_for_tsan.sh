#!/usr/bin/env bash
# Builds CAF with the thread sanitizer: tools/caf_for_tsan.sh DIRECTORY
#
# The sanitizer knows only what it has instrumented. With the packaged libcaf_core it sees neither the mailboxes hand
# messages over nor the reference counts end them, and reports hundreds of races that are none. So this takes the source of
# that package, with apt, and compiles its core into DIRECTORY/lib. Does nothing when that is there already.
set -euo pipefail

dir=${1:?usage: tools/caf_for_tsan.sh DIRECTORY}
[ ! -e "$dir/lib/libcaf_core.so" ] || exit 0
mkdir -p "$dir/lists/partial"
cd "$dir"
: >log
trap 'cat log >&2' ERR

version=$(dpkg-query -W -f '${source:Version}' libcaf-dev)
read -r archive suite < <(apt-cache policy libcaf-dev | grep -om 1 'https\?://[^ ]* [^ ]*')
echo "deb-src $archive ${suite%%/*} ${suite#*/}" >deb-src.list
options=(-q -o "Dir::Etc::SourceList=$PWD/deb-src.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$PWD/lists")
apt-get "${options[@]}" update >>log 2>&1
apt-get "${options[@]}" source --download-only --tar-only "libcaf-dev=$version" >>log 2>&1
mkdir -p source
tar -xzf actor-framework_*.orig.tar.gz -C source --strip-components 1

launcher=$(command -v ccache || true)
cmake -S source -B . -G Ninja ${launcher:+-DCMAKE_CXX_COMPILER_LAUNCHER=$launcher} -DCMAKE_BUILD_TYPE=None \
  -DCMAKE_CXX_FLAGS='-O1 -g1 -fno-omit-frame-pointer -fsanitize=thread' -DCAF_NO_IO=yes -DCAF_NO_EXAMPLES=yes \
  -DCAF_NO_UNIT_TESTS=yes -DCAF_NO_TOOLS=yes -DCAF_NO_OPENCL=yes -DCAF_NO_OPENSSL=yes -DCAF_NO_PYTHON=yes >>log 2>&1
ninja >>log 2>&1
