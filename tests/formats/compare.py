#!/usr/bin/env python3
"""Compares how long bowline takes for the same documents in different formats.

make_corpus.py writes the formats. All commands run in turn, once each per round, after a round that does not count. The
table has the median of each and the median of its ratios to the first. Files that are compressed by gzip are also
compared with `zcat FILE | wc -l`, run by two jobs at a time.

    python3 tests/formats/compare.py --bowline target/release/bowline CORPUS/files CORPUS/corpus.jsonl CORPUS/shards
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def embed(bowline, corpus, output, options):
    """The command that embeds a corpus. The files of a directory with one ending are shards."""
    endings = {path.name.split(".", 1)[-1] for path in corpus.iterdir()} if corpus.is_dir() else set()
    ending = next(iter(endings)).split(".")[0] if len(endings) == 1 else ""
    shards = ["--input-format", ending] if ending in ("jsonl", "csv", "tsv", "parquet") else []
    return [bowline, "embed", "--quiet", "--no-sync", *shards, *options, "--output", output, str(corpus)]


def zcat(corpus):
    """The command that decompresses a file, or the files of a directory, by two jobs."""
    files = sorted(corpus.glob("*.gz")) if corpus.is_dir() else [corpus]
    pipes = "\n".join(f"zcat '{path}' | wc -l" for path in files)
    return ["sh", "-c", f"printf '%s' \"$0\" | xargs -P2 -d '\\n' -n1 sh -c", pipes]


def seconds(command, output):
    """The time that a command takes."""
    shutil.rmtree(output, ignore_errors=True)
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def compare(commands, output, rounds):
    """The times of each command, in rounds."""
    times = {name: [] for name in commands}
    for number in range(rounds + 1):
        names = list(commands) if number % 2 else list(reversed(commands))
        for name in names:
            took = seconds(commands[name], output)
            if number > 0:
                times[name].append(took)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bowline", default="target/release/bowline", help="the program")
    parser.add_argument("--rounds", type=int, default=9, help="rounds that count (default: 9)")
    parser.add_argument("--options", default="", help="further options of bowline embed, separated by spaces")
    parser.add_argument("corpora", nargs="+", type=Path, help="the first is what the others are compared with")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        output = f"{folder}/out"
        commands = {}
        for corpus in args.corpora:
            commands[corpus.name] = embed(args.bowline, corpus, output, args.options.split())
            has_gzip = any(corpus.glob("*.gz")) if corpus.is_dir() else corpus.suffix == ".gz"
            if has_gzip:
                commands[f"zcat {corpus.name}"] = zcat(corpus)
        times = compare(commands, output, args.rounds)
    first = next(iter(times.values()))
    for name, of_name in times.items():
        ratio = statistics.median(time / base for time, base in zip(of_name, first))
        print(f"{statistics.median(of_name):8.3f} s {ratio:6.2f}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
