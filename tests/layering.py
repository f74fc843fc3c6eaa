#!/usr/bin/env python3
"""Holds the tree to its own layout: layering.py [ROOT]

Prints every violation as file:line: message, and exits with 1 if there is any. The rules, which ARCHITECTURE.md
explains:
  * a room includes only itself and rooms to its left; a public header only from rooms that may know it
  * public headers include only public headers and std, except those for Asio and actors.hpp
  * CAF, Asio and Highway only in the rooms that own them; none of their heavy headers in a header
  * kernels/reference/ only from tests
  * no file over 400 lines without a reason in tests/layering_allow.txt
  * `#pragma once` in each header, no work notes left in the tree, no path of anyone's machine, test names are sentences
"""

import os
import re
import sys
from pathlib import Path

LINES_MAX = 400
ALLOW_LIST = "tests/layering_allow.txt"

# Rooms from left to right; of two with the same number neither may include the other.
ROOMS = {
    "src/base": 0,
    "kernels": 1,
    "src/formats": 1,
    "src/tokenizer": 2,
    "src/template": 3,
    "src/model": 4,
    "src/train": 5,
    "actors": 6,
    "src/engine": 7,
    "src/edge": 8,
    "tools": 9,
}
# Each public header, and the leftmost room that may include it: the one that implements it, or that
# trades in its value types.
PUBLIC = {
    "error": "src/base",
    "version": "src/base",
    "options": "src/base",
    "tokenizer": "src/tokenizer",
    "generation": "src/tokenizer",
    "chat_template": "src/template",
    "model": "src/model",
    "metrics": "actors",
    "engine": "actors",
    "batch_refusal": "src/engine",
    "polled_stream": "src/engine",
    "actors": "actors",
    "asio": "src/edge",
    "asio_batch": "src/edge",
    "asio_operation": "src/edge",
    "error_code": "src/edge",
}
# Public headers that may include more than std, and what.
ASIO_HEADERS = tuple(f"include/troupe/{name}.hpp" for name in ("asio", "asio_batch", "asio_operation", "error_code"))
PUBLIC_EXTRA = {"actors.hpp": "caf", **{Path(path).name: "asio" for path in ASIO_HEADERS}}

# Where each library may be included at all.
LIBRARY_HOMES = {
    "caf": ("actors/", "src/engine/", "include/troupe/actors.hpp", "tests/actors/", "tests/engine/",
            "tests/simulation/", "tests/endurance/", "tests/public/", "tests/support/", "examples/"),
    "asio": ("src/edge/", *ASIO_HEADERS, "tests/edge/", "tests/public/", "examples/"),
    "hwy": ("kernels/", "tests/kernels/"),
}
# Headers of CAF that cost a translation unit a second or more: never in a header. (Headers of tests may own an
# actor system and so include what they need of them, but not everything.)
CAF_HEAVY = re.compile(
    r"caf/(all|actor_system|actor_system_config|scoped_actor|blocking_actor|event_based_actor|"
    r"typed_event_based_actor|scheduler)\.hpp$|caf/(io|openssl|scheduler|test)/")
# Where a header may include the light ones.
CAF_HEADER_HOMES = ("actors/", "include/troupe/actors.hpp", "tests/actors/", "tests/simulation/", "tests/support/",
                    "tests/public/")

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')
TEST_NAME = re.compile(r'\b(?:TEST_CASE|TEST_CASE_METHOD|TEMPLATE_TEST_CASE|SCENARIO)\s*\(\s*(?:[\w:]+\s*,\s*)?"([^"]*)"')
WORK_NOTE = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
MACHINE_PATH = re.compile(r"(?:^|(?<=[\s\"'`=(:<,]))/(?:ho" r"me|wo" r"rk|ro" r"ot|Us" r"ers)/\w")
STD_HEADER = re.compile(r"^[a-z_0-9]+$")

CODE_DIRS = ("src", "actors", "kernels", "include", "tools", "tests", "examples")
COUNTED_DIRS = ("src", "actors", "kernels", "include", "tools", "examples")
CODE_SUFFIXES = (".hpp", ".cpp")
TEXT_SUFFIXES = CODE_SUFFIXES + (".py", ".sh", ".md", ".txt", ".build", ".yml", ".yaml")


def starts(path: str, folders) -> bool:
    return path.startswith(tuple(folders))


def room_of(path: str) -> "str | None":
    """The room that `path` lies in; None for include/, tests/ and the root."""
    for room in ROOMS:
        if path.startswith(room + "/"):
            return room
    return None


def library_of(target: str) -> "str | None":
    if target.startswith("caf/"):
        return "caf"
    if re.match(r"boost/(asio|beast|system)[/.]", target):
        return "asio"
    if target.startswith("hwy/"):
        return "hwy"
    return None


class Tree:
    def __init__(self, root: Path):
        self.root = root
        self.violations = []
        self.allowed = {}

    def report(self, path: str, line: int, message: str):
        self.violations.append((path, line, message))

    # --- the files

    def files(self):
        """Paths of all text files, relative to the root, in order; not of build folders or hidden ones."""
        for name in sorted(os.listdir(self.root)):
            top = self.root / name
            if top.is_file() and top.suffix in TEXT_SUFFIXES:
                yield name
            elif top.is_dir() and (name in CODE_DIRS or name == ".ci"):
                for folder, folders, names in os.walk(top):
                    folders[:] = sorted(f for f in folders if not f.startswith((".", "__", "build")))
                    for file in sorted(names):
                        path = Path(folder, file)
                        if path.suffix in TEXT_SUFFIXES or name == ".ci":
                            yield path.relative_to(self.root).as_posix()

    def resolve(self, source: str, target: str) -> "str | None":
        """The file of the tree that #include "target" in `source` means."""
        roots = (".", "src", "include") + (("tests",) if source.startswith("tests/") else ())
        for base in (Path(source).parent.as_posix(), *roots):
            path = os.path.normpath(os.path.join(base, target)).replace(os.sep, "/")
            if not path.startswith("..") and (self.root / path).is_file():
                return path
        return None

    def read_allow_list(self):
        path = self.root / ALLOW_LIST
        if not path.is_file():
            return
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, reason = line.partition(":")
            if len(reason.split()) < 3:
                self.report(ALLOW_LIST, number, f"{name.strip()} needs a reason: 'path: why it is one file'")
            self.allowed[name.strip()] = number

    # --- one line

    def check_include(self, path: str, number: int, quoted: bool, target: str):
        library = library_of(target)
        is_header = path.endswith(".hpp")
        is_public = path.startswith("include/troupe/")
        if library:
            self.check_library(path, number, library, target, is_header)
        found = None if library else self.resolve(path, target)
        if is_public:
            extra = PUBLIC_EXTRA.get(Path(path).name)
            std = not quoted and STD_HEADER.match(target)
            if not (std or target.startswith("troupe/") or (extra and library == extra)):
                self.report(path, number, f"public header includes {target}; an embedder has only troupe/ and std")
        if library:
            return
        if found is None:
            if quoted:
                self.report(path, number, f'"{target}" is no file of this tree; other libraries go in <>')
            elif target.startswith("troupe/"):
                self.report(path, number, f"{target} does not exist")
            return
        if not quoted and not found.startswith("include/"):
            self.report(path, number, f"<{target}> is a file of this tree; write it in quotes")
        self.check_direction(path, number, found)

    def check_library(self, path: str, number: int, library: str, target: str, is_header: bool):
        name = {"caf": "CAF", "asio": "Asio", "hwy": "Highway"}[library]
        if not starts(path, LIBRARY_HOMES[library]):
            self.report(path, number, f"{target}: {name} belongs only in {', '.join(LIBRARY_HOMES[library])}")
            return
        if not is_header:
            return
        if library == "caf":
            heavy = target == "caf/all.hpp" if path.startswith("tests/") else CAF_HEAVY.search(target)
            if heavy:
                self.report(path, number, f"{target} is too heavy for a header; include it in the .cpp")
            elif not starts(path, CAF_HEADER_HOMES):
                self.report(path, number, f"{target}: headers of this room stay free of CAF; include it in the .cpp")
        elif library == "hwy" and not path.endswith("-inl.hpp"):
            self.report(path, number, f"{target} is too heavy for a header; only -inl.hpp may include it")
        elif library == "asio" and path not in ASIO_HEADERS and not path.startswith("tests/public/"):
            self.report(path, number, f"{target} is too heavy for a header; include it in the .cpp")

    def check_direction(self, path: str, number: int, found: str):
        in_tests = path.startswith("tests/")
        if found.startswith("kernels/reference/") and not in_tests and not path.startswith("kernels/reference/"):
            self.report(path, number, f"{found}: the scalar reference is for tests only")
        if found.endswith("-inl.hpp") and not starts(path, ("kernels/", "tests/kernels/")):
            self.report(path, number, f"{found} is compiled once per target and belongs to kernels/ only")
        if in_tests:
            return
        if found.startswith("tests/"):
            self.report(path, number, f"{found}: only tests include tests")
            return
        room = room_of(path)
        if room is None:
            return  # a public header; check_include holds it to public headers
        if found.startswith("include/troupe/"):
            owner = PUBLIC.get(Path(found).stem)
            if owner is None:
                self.report(path, number, f"{found} has no place in PUBLIC of tests/layering.py; give it one")
            elif ROOMS[room] < ROOMS[owner]:
                self.report(path, number, f"{room} includes {found}, which belongs to {owner}, to its right")
            return
        other = room_of(found)
        if other is None:
            self.report(path, number, f"{found} lies in no room")
        elif other != room and ROOMS[other] == ROOMS[room]:
            self.report(path, number, f"{room} includes {other} ({found}), which stands beside it, not to its left")
        elif ROOMS[other] > ROOMS[room]:
            self.report(path, number, f"{room} includes {other} ({found}), which is to its right")

    # --- one file

    def check_file(self, path: str):
        text = (self.root / path).read_text(encoding="utf-8", errors="replace")
        lines = text.splitlines()
        for number, line in enumerate(lines, 1):
            if match := WORK_NOTE.search(line):
                self.report(path, number, f"{match[0]}: do it, or make it an issue")
            if match := MACHINE_PATH.search(line):
                self.report(path, number, f"a path of someone's machine: {line[match.start():].split()[0]}")
        if path.endswith(CODE_SUFFIXES):
            if room_of(path) is None and not starts(path, ("include/troupe/", "tests/", "examples/")):
                self.report(path, 1, "lies in no room")
            for number, line in enumerate(lines, 1):
                if match := INCLUDE.match(line):
                    self.check_include(path, number, match[1] == '"', match[2])
        if path.endswith(".hpp"):
            per_target = path.endswith("-inl.hpp") and "HWY_TARGET_TOGGLE" in text
            if not per_target and not re.search(r"^#pragma once$", text, re.M):
                self.report(path, 1, "header without #pragma once")
        if path.startswith("tests/") and path.endswith(".cpp"):
            for match in TEST_NAME.finditer(text):
                if " " not in match[1].strip():
                    number = text.count("\n", 0, match.start()) + 1
                    self.report(path, number, f'test name "{match[1]}" is not a sentence')
        if starts(path, [d + "/" for d in COUNTED_DIRS]):
            self.check_length(path, len(lines))

    def check_length(self, path: str, lines: int):
        allowed_at = self.allowed.pop(path, None)
        if lines > LINES_MAX and allowed_at is None:
            self.report(path, lines, f"{lines} lines, more than {LINES_MAX}: find the seam, or give a reason in {ALLOW_LIST}")
        elif lines <= LINES_MAX and allowed_at is not None:
            self.report(ALLOW_LIST, allowed_at, f"{path} has {lines} lines and needs no exception")

    def check(self):
        self.read_allow_list()
        for path in self.files():
            self.check_file(path)
        for path, number in self.allowed.items():
            self.report(ALLOW_LIST, number, f"{path} does not exist or is not counted")
        return sorted(self.violations)


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    violations = Tree(root).check()
    for path, line, message in violations:
        print(f"{path}:{line}: {message}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
