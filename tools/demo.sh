#!/usr/bin/env bash
# From a fresh clone to generated text: tools/demo.sh [MODEL]
#
# Installs what is missing (see tools/deps.sh), builds into build/, and lets MODEL (.gguf or llama2.c .bin) continue
# a story. Without MODEL it takes stories260K from ../shared, where that lies beside the checkout.
set -euo pipefail

prompt='Once upon a time'
model=${1:-}
if [ -n "$model" ]; then
  [ $# -eq 1 ] || { echo "usage: tools/demo.sh [MODEL]" >&2; exit 2; }
  [ -r "$model" ] || { echo "demo: cannot read $model: pass a .gguf or llama2.c .bin file" >&2; exit 1; }
  model=$(realpath "$model")
fi
cd "$(dirname "$0")/.."
if [ -z "$model" ]; then
  model=../shared/data/models/stories260K/stories260Ktok512.gguf
  if [ ! -r "$model" ]; then
    echo "demo: no model is bundled yet: pass one, a .gguf of the llama architecture or a llama2.c .bin file:" >&2
    echo "  tools/demo.sh MODEL" >&2
    exit 1
  fi
fi

tools/deps.sh
TARGETS=troupe tools/build.sh build

printf '\n$ build/troupe generate %q -p %q\n\n' "$model" "$prompt" >&2
printf '%s' "$prompt"
build/troupe generate "$model" -p "$prompt" </dev/null
shown=$(printf %q "$model")
cat >&2 <<NEXT

Try next:
  build/troupe chat $shown
  build/troupe generate $shown -p 'The little dog' --temperature 0 --stats
  build/troupe inspect $shown
  build/troupe --help
NEXT
