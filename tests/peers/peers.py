"""Measures `bowline embed` beside scikit-learn, joblib, vtext, `wc -w` and `cat` on a corpus.

    python3 tests/peers/peers.py CORPUS [--jobs N] [--runs N] [--skip NAME] [--json FILE]
    python3 tests/peers/peers.py CORPUS --memory

bowline's time is all of it, from exec to exit: walking, reading, vectorizing, writing, waiting for the disk. Peers are
favoured: they get a list of the documents that bowline embeds, their time is that of reading and vectorizing in memory
alone, and they write nothing. `cat` and `wc -w` read the same documents, many in each process and nearly equal bytes in
each. All run in turn, A B C A B C, and ratios are medians of the ratios of each round, since times drift together. `--memory` samples bowline's memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Optional

from figures import MB, aligned, equal_shares, median_ratio, number, times_faster
from memory import peak_of

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
TARGET = ROOT / "target/peers"
KINDS = {"hashed": ["--features", "hashed"], "counts": [], "tfidf": ["--weight", "tfidf"]}
REFERENCES = {"cat": ["cat"], "wc": ["wc", "-w"]}
FINISHED = (0, 3)  # exit codes: all documents embedded; some documents failed
FACTOR, CONSTANT = 1.5, 64 * MB  # memory may be this many times the output, and this much more

NOTES = """\
bowline: from exec to exit, with walking, writing and sync. All others get the list of documents and write nothing.
cat, wc: LC_ALL=C xargs -0 -P {jobs} -n N, with N at most {files}. Each process reads nearly equal bytes.
sklearn, joblib: fit_transform alone; "process s" has imports and start-up, too. Hashed with norm=None, as bowline.
vtext 0.2: reading and vectorizing; RegexpTokenizer, which has scikit-learn's pattern; lowers ASCII only, hashes without
signs, needs all text in memory. Its fit_transform counts with one job always; "two-pass" is fit, then transform."""


@dataclass
class Entrant:
    """A measured command and the results of its runs. A slow command runs in the first rounds only."""

    name: str
    command: list[str]
    kind: str = ""
    slow: bool = False
    seconds: list[float] = field(default_factory=list)  # what is quoted, one a round
    process: list[float] = field(default_factory=list)  # from exec to exit
    nonzeros: Optional[int] = None

    @property
    def ours(self) -> bool:
        return self.name.startswith("bowline")

    def is_called(self, name: str) -> bool:
        """Whether a name of `--skip` matches it: the whole name or its first part."""
        return self.name == name or self.name.startswith(name + "-")


def arguments() -> argparse.Namespace:
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a folder")
    parser.add_argument("--bowline", type=Path, default=ROOT / "target/release/bowline", metavar="PATH")
    parser.add_argument("--python", type=Path, default=ROOT / "target/venv-python/bin/python", metavar="PATH",
                        help="a Python that has scikit-learn")
    parser.add_argument("--jobs", type=int, default=cores, metavar="N", help="workers of each (default: the cores)")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="rounds after the one to warm up (default: 5)")
    parser.add_argument("--slow-runs", type=int, default=3, metavar="N",
                        help="the first N of these have sklearn, joblib and vtext (default: 3)")
    parser.add_argument("--mode", choices=["processes", "threads", "inline"], default="processes",
                        help="bowline's; counts run with threads, too (default: processes)")
    parser.add_argument("--extra", default="", metavar="OPTIONS", help="more options for bowline, in one string")
    parser.add_argument("--files-a-process", type=int, default=500, metavar="N", help="at most, of cat and wc (default: 500)")
    parser.add_argument("--skip", action="append", default=[], metavar="NAME",
                        help="leave out what is named so in the table, or starts so (sklearn, vtext-counts); repeatable")
    parser.add_argument("--memory", action="store_true", help="bowline's peak memory instead of times")
    parser.add_argument("--scratch", type=Path, default=TARGET, metavar="DIR", help="where bowline writes meanwhile")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    args = parser.parse_args()
    if min(args.jobs, args.runs, args.slow_runs, args.files_a_process) < 1:
        parser.error("numbers are at least 1")
    return args


def embed_command(args: argparse.Namespace, mode: str, kind: str, output: Path) -> list[str]:
    """bowline for a kind of features."""
    quiet = ["embed", "-q", "--progress", "never"]
    running = ["--mode", mode, "-w", str(args.jobs), *shlex.split(args.extra)]
    return [str(args.bowline), *quiet, *running, *KINDS[kind], "--output", str(output), str(args.corpus)]


def embedded_documents(args: argparse.Namespace, output: Path) -> list[bytes]:
    """The paths of all documents that bowline embeds. Prints how many it leaves out."""
    command = embed_command(args, args.mode, "hashed", output)
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode not in FINISHED:
        sys.exit("bowline could not embed the corpus")
    root, paths = os.fsencode(args.corpus), []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(b".")]
        found = [os.path.join(folder, name) for name in files if not name.startswith(b".")]
        paths += [path for path in found if os.path.isfile(path) and not os.path.islink(path)]
    paths.sort(key=lambda path: os.path.relpath(path, root))
    lines = [json.loads(line) for line in (output / "documents.jsonl").read_bytes().splitlines()]
    shutil.rmtree(output)
    if len(lines) != len(paths):
        sys.exit(f"bowline's output has {len(lines)} documents, the folder {len(paths)}")
    embedded = [path for path, line in zip(paths, lines) if line["status"] == "ok"]
    if len(embedded) < len(paths):
        print(f"bowline fails {len(paths) - len(embedded)} documents (not UTF-8, binary); the others do not get them")
    if not embedded:
        sys.exit("nothing to compare: bowline embeds none of the documents")
    return embedded


def all_entrants(args: argparse.Namespace, paths: list[bytes], scratch: Path, output: Path) -> list[Entrant]:
    """All commands, in the order of a round. Writes the lists of documents for commands that need one to `scratch`."""
    documents, dealt = scratch / "documents", scratch / "dealt"
    shares = equal_shares([(os.path.getsize(path), path) for path in paths], args.jobs, args.files_a_process)
    for file, names in ((documents, paths), (dealt, chain.from_iterable(shares))):
        file.write_bytes(b"".join(name + b"\0" for name in names))
    xargs = ["xargs", "-0", "-P", str(args.jobs), "-n", str(len(shares[0])), "-a", str(dealt)]
    entrants = [Entrant(name, [*xargs, *program]) for name, program in REFERENCES.items()]
    for kind in KINDS:
        entrants.append(Entrant(f"bowline-{kind}", embed_command(args, args.mode, kind, output), kind))
    if args.mode != "threads":
        entrants.append(Entrant("bowline-counts-threads", embed_command(args, "threads", "counts", output), "counts"))
    sklearn = [str(args.python), str(HERE / "sklearn_peer.py")]
    for kind in KINDS:
        entrants.append(Entrant(f"sklearn-{kind}", [*sklearn, kind, "1", str(documents)], kind, slow=True))
    several = [args.jobs] if args.jobs > 1 else []
    for jobs in several:
        command = [*sklearn, "hashed", str(jobs), str(documents)]
        entrants.append(Entrant(f"joblib-hashed-{jobs}", command, "hashed", slow=True))
    vtext = str(TARGET / "release/vtext-peer")
    variants = [(kind, jobs) for kind in ("hashed", "counts") for jobs in (1, *several)]
    for variant, jobs in variants + [("counts-two-pass", jobs) for jobs in several]:
        command = [vtext, variant, str(jobs), str(documents)]
        entrants.append(Entrant(f"vtext-{variant}-{jobs}", command, variant.partition("-")[0], slow=True))
    return entrants


def chosen_entrants(args: argparse.Namespace, entrants: list[Entrant]) -> list[Entrant]:
    """The commands that are not skipped."""
    for name in args.skip:
        if not any(entrant.is_called(name) for entrant in entrants):
            sys.exit(f"--skip {name}: no such name; there are " + " ".join(entrant.name for entrant in entrants))
    return [entrant for entrant in entrants if not any(entrant.is_called(name) for name in args.skip)]


def prepare(args: argparse.Namespace, entrants: list[Entrant]) -> None:
    """Builds vtext's program and looks for scikit-learn, if they are needed; exits with one line if that fails."""
    if any(entrant.is_called("sklearn") or entrant.is_called("joblib") for entrant in entrants):
        imports = [args.python, "-c", "import sklearn, joblib"]
        if not shutil.which(args.python) or subprocess.run(imports, capture_output=True, check=False).returncode:
            sys.exit("scikit-learn is missing: `make bench-peers` installs it, or --skip sklearn --skip joblib")
    if any(entrant.is_called("vtext") for entrant in entrants):
        if not shutil.which("cargo"):
            sys.exit("cargo is missing, which builds vtext's program: install it, or --skip vtext")
        manifest = ["--manifest-path", str(HERE / "vtext/Cargo.toml"), "--target-dir", str(TARGET)]
        if subprocess.run(["cargo", "build", "--quiet", "--release", "--locked", *manifest], check=False).returncode:
            sys.exit("vtext's program could not be built: --skip vtext does without")


def run_once(entrant: Entrant) -> tuple[float, float, Optional[int]]:
    """One execution: the seconds that are quoted, those of the whole process, the non-zeros that a peer reports."""
    environment = {**os.environ, "LC_ALL": "C"} if entrant.name in REFERENCES else None
    stdout = subprocess.PIPE if entrant.slow else subprocess.DEVNULL
    start = time.perf_counter()
    done = subprocess.run(entrant.command, stdin=subprocess.DEVNULL, stdout=stdout, env=environment, check=False)
    process = time.perf_counter() - start
    if done.returncode not in (FINISHED if entrant.ours else (0,)):
        sys.exit(f"{entrant.name} ended with exit code {done.returncode}: {shlex.join(entrant.command)}")
    if not entrant.slow:
        return process, process, None
    said = json.loads(done.stdout)
    return said["seconds"], process, said["nonzeros"]


def run_rounds(args: argparse.Namespace, entrants: list[Entrant], output: Path) -> None:
    """One round to warm up, of which only the number of non-zeros is kept, then the measured ones."""
    for position in range(args.runs + 1):
        if sys.stderr.isatty():
            print(f"round {position} of {args.runs}", file=sys.stderr)
        for entrant in entrants:
            if entrant.slow and position > args.slow_runs:
                continue
            seconds, process, nonzeros = run_once(entrant)
            if entrant.ours:
                nonzeros = json.loads((output / "manifest.json").read_bytes())["counts"]["nonzeros"]
                shutil.rmtree(output)
            entrant.nonzeros = nonzeros
            if position > 0:
                entrant.seconds.append(seconds)
                entrant.process.append(process)


def figures(entrant: Entrant, by_name: dict[str, Entrant], size: int) -> dict:
    """The values of an entrant in the table and the JSON. Ratios are its seconds / the other's seconds."""

    def ratio(ours: Optional[Entrant], theirs: Optional[Entrant]) -> Optional[float]:
        return median_ratio(ours.seconds, theirs.seconds) if ours and theirs else None

    middle = median(entrant.seconds)
    return {
        "name": entrant.name,
        "command": shlex.join(entrant.command),
        "kind": entrant.kind or None,
        "median_seconds": middle,
        "min_seconds": min(entrant.seconds),
        "max_seconds": max(entrant.seconds),
        "mb_per_second": size / MB / middle,
        "ratio_to_wc": ratio(entrant, by_name.get("wc")),
        "ratio_to_cat": ratio(entrant, by_name.get("cat")),
        "ratio_to_bowline": ratio(entrant, by_name.get(f"bowline-{entrant.kind}")) if entrant.slow else None,
        "timed_inside": entrant.slow,
        "process_median_seconds": median(entrant.process),
        "nonzeros": entrant.nonzeros,
        "seconds": entrant.seconds,
        "process_seconds": entrant.process,
    }


def times_table(rows: list[dict]) -> str:
    """One line for each entrant."""
    lines = [["", "median s", "min..max", "MB/s", "/ wc -w", "/ cat", "process s", "non-zeros", "bowline is"]]
    for row in rows:
        lines.append([
            row["name"],
            number(row["median_seconds"], 3),
            f"{row['min_seconds']:.3f}..{row['max_seconds']:.3f}",
            number(row["mb_per_second"], 1),
            number(row["ratio_to_wc"], 2),
            number(row["ratio_to_cat"], 2),
            number(row["process_median_seconds"], 3) if row["timed_inside"] else "",
            number(row["nonzeros"], 0),
            times_faster(row["ratio_to_bowline"]),
        ])
    return aligned(lines)


def measured_memory(args: argparse.Namespace, output: Path) -> list[dict]:
    """Peak memory and size of the output, one run for each kind of features."""
    rows = []
    for kind in KINDS:
        command = embed_command(args, args.mode, kind, output)
        peak = peak_of(command)
        if peak.exit_code not in FINISHED:
            sys.exit(f"bowline-{kind} ended with exit code {peak.exit_code}: {shlex.join(command)}")
        written = sum(path.stat().st_size for path in output.iterdir())
        shutil.rmtree(output)
        allowed = FACTOR * written + CONSTANT
        rows.append({"name": f"bowline-{kind}", "command": shlex.join(command), "peak_pss_bytes": peak.pss,
                     "output_bytes": written, "allowed_bytes": allowed, "within": peak.pss <= allowed,
                     "processes": peak.processes, "samples": peak.samples})
    return rows


def memory_table(rows: list[dict]) -> str:
    allowed = f"{FACTOR} x output + {CONSTANT / MB:.0f} MB"
    lines = [["", "peak PSS MB", "output MB", allowed, "within", "processes", "samples"]]
    for row in rows:
        sizes = [number(row[key] / MB, 1) for key in ("peak_pss_bytes", "output_bytes", "allowed_bytes")]
        lines.append([row["name"], *sizes, "yes" if row["within"] else "NO", str(row["processes"]), str(row["samples"])])
    return aligned(lines)


def measured_times(args: argparse.Namespace, paths: list[bytes], size: int, scratch: Path) -> list[dict]:
    """The figures of all commands that are not skipped."""
    output = scratch / "output"
    entrants = chosen_entrants(args, all_entrants(args, paths, scratch, output))
    prepare(args, entrants)
    run_rounds(args, entrants, output)
    by_name = {entrant.name: entrant for entrant in entrants}
    return [figures(entrant, by_name, size) for entrant in entrants]


def main() -> None:
    args = arguments()
    if not args.corpus.is_dir():
        sys.exit(f"{args.corpus} is no folder")
    if not shutil.which(args.bowline):
        sys.exit(f"{args.bowline} is missing: `make build` makes it")
    args.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=args.scratch) as name:
        scratch = Path(name)
        paths = embedded_documents(args, scratch / "output")
        size = sum(map(os.path.getsize, paths))
        print(f"{args.corpus}: {len(paths)} documents, {size / MB:.1f} MB; {args.jobs} jobs, bowline with {args.mode}")
        if args.memory:
            rows = measured_memory(args, scratch / "output")
            print(memory_table(rows))
        else:
            rows = measured_times(args, paths, size, scratch)
            slow = min(args.slow_runs, args.runs)
            print(f"medians of {args.runs} rounds after one to warm up; sklearn, joblib and vtext: {slow}\n")
            print(times_table(rows) + "\n\n" + NOTES.format(jobs=args.jobs, files=args.files_a_process))
    if args.json:
        facts = {"corpus": str(args.corpus), "documents": len(paths), "bytes": size, "jobs": args.jobs}
        facts |= {"mode": args.mode, "memory" if args.memory else "times": rows}
        args.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
