#!/usr/bin/env bash
# From a fresh clone to generated text: tools/demo.sh [MODEL]
#
# Installs what is missing (see tools/deps.sh), builds into build/, and lets the bundled model, or MODEL (.gguf, .smnd
# or llama2.c .bin), continue a story.
set -euo pipefail

prompt='Once upon a time'
[ $# -le 1 ] || { echo "usage: tools/demo.sh [MODEL]" >&2; exit 2; }
model=()
if [ $# -eq 1 ]; then
  [ -r "$1" ] || { echo "demo: cannot read $1: pass a .gguf, .smnd or llama2.c .bin file" >&2; exit 1; }
  model=("$(realpath "$1")")
fi
cd "$(dirname "$0")/.."

tools/deps.sh
TARGETS=troupe tools/build.sh build

shown=${model[*]:+ $(printf %q "${model[*]}")}
printf '\n$ build/troupe generate%s -p %q\n\n' "$shown" "$prompt" >&2
printf '%s' "$prompt"
build/troupe generate "${model[@]}" -p "$prompt" </dev/null
cat >&2 <<NEXT

Try next:
  build/troupe chat$shown
  build/troupe generate$shown -p 'The little dog' --temperature 0 --stats
  build/troupe inspect$shown
  build/troupe --help
NEXT
