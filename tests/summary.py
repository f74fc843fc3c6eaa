#!/usr/bin/env python3
"""Sums up a Meson test log in one line: summary.py build/meson-logs/testlog.json

Counts test cases where a program names them (Catch2, Python's unittest), else the program as one. A case that says
"SKIPPED:" on a line of its own, because its data is not there, counts as skipped. Prints "N passed, N failed", and
", N skipped" when there are any; exit status 1 when something failed or nothing ran.
"""

import json
import re
import sys

CATCH_ALL = re.compile(r"^All tests passed \(.* in (\d+) test cases?\)", re.M)
CATCH_SOME = re.compile(r"^test cases: *(\d+)((?: *\| *\d+ [a-z ]+)*)$", re.M)
CATCH_PART = re.compile(r"(\d+) (passed|failed as expected|failed|skipped)")
UNITTEST = re.compile(r"^Ran (\d+) tests? in [^\n]*\n+(?:OK|FAILED)(?: \(([^)]*)\))?$", re.M)
UNITTEST_PART = re.compile(r"(failures|errors|skipped|unexpected successes)=(\d+)")
SKIPPED = re.compile(r"^SKIPPED: ", re.M)


def count(result: str, output: str) -> "tuple[int, int, int]":
    """(passed, failed, skipped) of one test program."""
    passed = failed = skipped = 0
    if match := CATCH_ALL.search(output):
        passed = int(match[1])
    elif match := CATCH_SOME.search(output):
        for number, kind in CATCH_PART.findall(match[2]):
            if kind == "failed":
                failed += int(number)
            elif kind == "skipped":
                skipped += int(number)
            else:
                passed += int(number)
    elif match := UNITTEST.search(output):
        for kind, number in UNITTEST_PART.findall(match[2] or ""):
            if kind == "skipped":
                skipped += int(number)
            else:
                failed += int(number)
        passed = int(match[1]) - failed - skipped
    elif result == "SKIP":
        skipped = 1
    elif result in ("OK", "EXPECTEDFAIL"):
        passed = 1

    silent = min(passed, len(SKIPPED.findall(output)))
    passed, skipped = passed - silent, skipped + silent
    if result not in ("OK", "EXPECTEDFAIL", "SKIP"):
        failed = max(failed, 1)  # died or was ended before it could count
    return passed, failed, skipped


def main() -> int:
    sums = [0, 0, 0]
    with open(sys.argv[1], encoding="utf-8") as log:
        for line in log:
            test = json.loads(line)
            counts = count(test["result"], test.get("stdout", "") + "\n" + test.get("stderr", ""))
            sums = [total + one for total, one in zip(sums, counts)]
    passed, failed, skipped = sums
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
