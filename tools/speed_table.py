#!/usr/bin/env python3
"""Prints the README's table of speeds, as markdown: a column for each model file, a row for each kind of work.

  tools/speed_table.py Q8_0=a.gguf Q4_0=b.gguf …      without NAME= the column is named by the end of the file's name

Beside llama.cpp where ../shared/peer/compare.py and the peer it runs are there: both in turn on the same file, medians,
ours / theirs. Otherwise ours alone, with a note. Takes about half a minute for each round and file of 135 M parameters;
nothing else should run meanwhile.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PREFILL, DECODE, BATCH = 512, 64, 8


def cpu_name():
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or platform.machine()


def output_of(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        sys.exit(f"speed_table: {command[0]}: {error.strerror}")
    if done.returncode != 0:
        sys.exit(f"speed_table: {' '.join(command)}: exit status {done.returncode}\n{done.stderr.strip()}")
    return json.loads(done.stdout)


def find_peer(compare):
    """The reason why there is no peer; None when there is one."""
    if not compare.is_file():
        return f"{compare} is not there"
    installed = pathlib.Path(os.environ.get("PEER_DIR", "~/.cache/troupe-peer")).expanduser()
    return None if installed.is_dir() else f"there is no {installed}"


def beside_peer(args, model):
    """[(ours, theirs)] in tokens per second, one for each row of the table."""
    rows = output_of([sys.executable, str(args.compare), "--troupe", args.troupe, "--model", model, "--json",
                      "--threads", str(args.threads), "--rounds", str(args.rounds), "--prefill", str(PREFILL),
                      "--decode", str(DECODE), "--batch", str(BATCH)])
    names = (f"prefill {PREFILL}", "decode x1", f"decode x{BATCH}")
    return [(rows[name]["troupe"], rows[name]["llama_cpp"]) for name in names]


def ours_alone(args, model):
    rows = output_of([args.troupe, "bench-model", model, "--json", "--threads", str(args.threads), "--repeat",
                      str(args.rounds), "--prefill", str(PREFILL), "--decode", str(DECODE), "--batch", f"1,{BATCH}"])
    return [(statistics.median(row["tokens_per_s"]),) for row in rows]


def column(text):
    name, equals, path = text.partition("=")
    if equals:
        return name, path
    return pathlib.Path(text).stem.rpartition("-")[2], text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=column, metavar="[NAME=]MODEL.gguf")
    parser.add_argument("--troupe", default=str(ROOT / "build" / "troupe"))
    parser.add_argument("--compare", type=pathlib.Path, default=ROOT / ".." / "shared" / "peer" / "compare.py")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    missing = find_peer(args.compare)
    measure = ours_alone if missing else beside_peer
    columns = [measure(args, model) for _, model in args.models]
    if missing:
        print(f"speed_table: Troupe alone, without llama.cpp beside it: {missing}", file=sys.stderr)
    print(f"{cpu_name()}, {args.threads} threads; tokens per second, medians of {args.rounds} runs"
          + (":" if missing else " in turn, ours / theirs:"))
    print()
    print("| | " + " | ".join(name for name, _ in args.models) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for row, title in enumerate((f"prompt of {PREFILL} tokens", "decoding one sequence", "decoding eight at once")):
        cells = (" / ".join(f"{rate:.0f}" for rate in one[row]) for one in columns)
        print(f"| {title} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
