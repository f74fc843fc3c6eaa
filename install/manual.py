#!/usr/bin/env python3
"""Writes the manual page from what the program says about itself: manual.py TROUPE TEMPLATE OUTPUT

In the template, @SUBCOMMANDS@ stands for the list of subcommands, and @OPTIONS@ for a subsection per subcommand with its
summary, its options and its notes, as `troupe help NAME` prints them.
"""

import re
import subprocess
import sys
from pathlib import Path

HELP_COLUMNS = 100  # of a line when the program does not write to a terminal


def roff(text: str) -> str:
    """`text` as roff shows it unchanged."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = "".join(c if ord(c) < 128 else f"\\[u{ord(c):04X}]" for c in text)
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in text.split("\n"))


def paragraphs(lines):
    """Joins wrapped lines: one ends a paragraph when the next line's first word would have fitted behind it."""
    out = []
    for line in lines:
        if out and line and len(out[-1][1]) + 1 + len(line.split()[0]) > HELP_COLUMNS:
            out[-1] = (out[-1][0] + " " + line, line)
        elif line:
            out.append((line, line))
    return [text for text, _ in out]


def definitions(lines):
    """(term, text) of each entry of a definition list."""
    entries = []
    for line in lines:
        match = re.match(r"  (\S.*?)(?:  +(\S.*))?$", line)
        if match and not line.startswith("   "):
            entries.append([match[1], [match[2]] if match[2] else []])
        else:
            entries[-1][1].append(line.strip())
    return [(term, " ".join(text)) for term, text in entries]


def blocks(text: str):
    """The help text as (title, lines): the usage line and paragraphs have no title."""
    for block in text.strip("\n").split("\n\n"):
        lines = block.split("\n")
        if len(lines) > 1 and lines[0].endswith(":") and lines[1].startswith("  "):
            yield lines[0][:-1], lines[1:]
        else:
            yield None, lines


def definition_list(lines) -> str:
    return "".join(f".TP\n.B {roff(term)}\n{roff(text)}\n" for term, text in definitions(lines))


class Program:
    def __init__(self, path: str):
        self.path = path

    def help(self, *names: str) -> str:
        return subprocess.run([self.path, "help", *names], stdout=subprocess.PIPE, check=True).stdout.decode()

    def version(self) -> str:
        return subprocess.run([self.path, "--version"], stdout=subprocess.PIPE, check=True).stdout.decode().split()[1]

    def subcommands(self):
        listed = next(lines for title, lines in blocks(self.help()) if title == "Subcommands")
        return definitions(listed)


def subsection(program: Program, name: str) -> str:
    usage, *rest = blocks(program.help(name))
    out = [f".SS troupe {roff(name)}\n", f".B {roff(' '.join(usage[1]).removeprefix('Usage: '))}\n"]
    for title, lines in rest:
        if title is None:
            out += [f".PP\n{roff(text)}\n" for text in paragraphs(lines)]
        else:
            out += [f".PP\n.I {roff(title)}\n", definition_list(lines)]
    return "".join(out)


def main():
    program, template, output = Program(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    subcommands = program.subcommands()
    text = template.read_text(encoding="utf-8")
    text = text.replace("@VERSION@", program.version())
    text = text.replace("@SUBCOMMANDS@\n", "".join(f".TP\n.B {roff(n)}\n{roff(s)}\n" for n, s in subcommands))
    text = text.replace("@OPTIONS@\n", "".join(subsection(program, name) for name, _ in subcommands))
    output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
