#!/usr/bin/env python3
"""Writes character_kinds.cpp: character_kinds.py UnicodeData.txt VERSION > character_kinds.cpp

UnicodeData.txt is that of the Unicode Character Database. The kinds are those of characters.hpp.
"""

import sys

LAST = 0x10FFFF
CONTROLS_THAT_ARE_SPACE = [*range(0x09, 0x0E), 0x85]
HEAD = """// Written by character_kinds.py from Unicode {version}; not by hand.

#include "tokenizer/character_kinds.hpp"

namespace troupe {{
namespace {{

constexpr CharKinds L = kind::letter;
constexpr CharKinds M = kind::mark;
constexpr CharKinds N = kind::number;
constexpr CharKinds P = kind::punctuation;
constexpr CharKinds S = kind::symbol;
constexpr CharKinds Z = kind::space;
constexpr CharKinds C = kind::other;

constexpr KindsFrom ranges[] = {{
"""
FOOT = """};

}  // namespace

std::span<const KindsFrom> kinds_by_range() noexcept {
  return ranges;
}

}  // namespace troupe
"""


def main(path, version):
    kinds = ["C"] * (LAST + 1)
    first = None
    with open(path, encoding="ascii") as lines:
        for line in lines:
            code, name, category = line.split(";")[:3]
            code = int(code, 16)
            if name.endswith(", First>"):
                first = code
                continue
            begin = first if name.endswith(", Last>") else code
            for each in range(begin, code + 1):
                kinds[each] = category[0]
    for code in CONTROLS_THAT_ARE_SPACE:
        kinds[code] = "Z"

    entries = [f"{{0x{code:X}, {kind}}}," for code, kind in enumerate(kinds) if code == 0 or kinds[code - 1] != kind]
    text = HEAD.format(version=version)
    line = "   "
    for entry in entries:
        if len(line) + 1 + len(entry) > 110:
            text += line + "\n"
            line = "   "
        line += " " + entry
    print(text + line + "\n" + FOOT, end="")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
