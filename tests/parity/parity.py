"""Compares bowline with scikit-learn and bm25s on a corpus, case by case.

    python tests/parity/parity.py CORPUS [--set basic|full|look-around] [--case NAME] [--limit-documents N]

Prints one line a case with the times of both, then a summary; exits with 1 if anything differs. Documents that bowline
reports as failed (no UTF-8, binary) are left out of the reference. CORPUS is a folder without compressed files.
Characters newer than Python's Unicode tables cause differences that are not faults; legacy encodings read as UTF-8 contain
many of them. `--known-characters` leaves such documents out.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
import time
import unicodedata
from pathlib import Path
from typing import Optional

from cases import CASES, ROOT, SETS, Case
from compare import FINISHED, Comparison, compare, read_output, read_texts, run_bowline, visible_documents, wrong_documents


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--set", choices=sorted(SETS), default="full", help="cases to run (default: full, with basic)")
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], metavar="NAME",
                        help="only this case; repeatable")
    parser.add_argument("--bowline", type=Path, default=ROOT / "target/release/bowline", metavar="PATH")
    parser.add_argument("--limit-documents", type=int, metavar="N", help="take N files, evenly spread over the corpus")
    parser.add_argument("--known-characters", action="store_true",
                        help="leave out documents with characters that this Python's Unicode tables do not have")
    parser.add_argument("--mode", choices=["processes", "threads", "inline"])
    parser.add_argument("--workers", type=int)
    parser.add_argument("--extra", default="", metavar="OPTIONS", help="more options for bowline, in one string")
    return parser.parse_args()


def only_known_characters(content: bytes) -> bool:
    """Whether Python's tables have all characters, however invalid bytes are treated."""
    characters = set(content.decode("utf-8", "replace")) | set(content.decode("utf-8", "ignore"))
    return all(unicodedata.category(character) != "Cn" for character in characters)


def selected_copy(corpus: Path, limit: Optional[int], known_characters: bool, destination: Path) -> Path:
    """Copies `limit` documents, every k-th in the order of their paths, only those with known characters if asked."""
    source, target = os.fsencode(corpus), os.fsencode(destination)
    documents = visible_documents(corpus)
    count = min(limit or len(documents), len(documents))
    for document in (documents[position * len(documents) // count] for position in range(count)):
        path = os.path.join(source, document)
        if known_characters and not only_known_characters(Path(os.fsdecode(path)).read_bytes()):
            continue
        copy = os.path.join(target, document)
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        shutil.copyfile(path, copy)
    return destination


def compare_case(
    case: Case, args: argparse.Namespace, expected: list[bytes], output: Path
) -> tuple[Comparison, float, float]:
    """The comparison, and the seconds bowline and the reference took."""
    options = ["--format", "npz", *case.options, *shlex.split(args.extra)]
    for name, value in (("--mode", args.mode), ("--workers", args.workers)):
        options += [name, str(value)] if value is not None else []
    run = run_bowline(args.bowline, args.corpus, options, output)
    finished = run.exit_code in FINISHED
    start = time.perf_counter()
    try:
        if finished:
            result = read_output(output)
            wrong = wrong_documents(result.documents, expected)
            texts, unread = read_texts(result.documents, args.corpus, case.errors)
            if wrong or unread:
                return Comparison(wrong or unread), run.seconds, time.perf_counter() - start
        else:
            texts = decodable_texts(args.corpus, expected, case.errors)
        reference = case.reference(texts)
    except ValueError as error:  # how scikit-learn says: an empty vocabulary, nothing left after pruning
        seconds = time.perf_counter() - start
        if not finished:
            return Comparison(None, f"both refuse: {error}"), run.seconds, seconds
        return Comparison(f"the reference refuses: {error}"), run.seconds, seconds
    seconds = time.perf_counter() - start
    if not finished:
        return Comparison(f"exit code {run.exit_code}: {run.message[-500:]}"), run.seconds, seconds
    return compare(result, reference), run.seconds, seconds


def decodable_texts(corpus: Path, documents: list[bytes], errors: str) -> list[str]:
    """The texts of a run that refused, to check whether the reference refuses them, too."""
    texts = []
    for document in documents:
        content = Path(os.fsdecode(os.path.join(os.fsencode(corpus), document))).read_bytes()
        try:
            texts.append(content.decode("utf-8", errors))
        except UnicodeDecodeError:
            pass
    return texts


def main() -> int:
    args = arguments()
    args.bowline, args.corpus = args.bowline.resolve(), args.corpus.resolve()
    chosen = [case for case in CASES if case.name in args.case] if args.case else SETS[args.set]
    different, ours, theirs = [], 0.0, 0.0
    with tempfile.TemporaryDirectory(prefix="parity-") as name:
        scratch = Path(name)
        if args.limit_documents or args.known_characters:
            args.corpus = selected_copy(args.corpus, args.limit_documents, args.known_characters, scratch / "corpus")
        expected = visible_documents(args.corpus)
        print(f"{len(expected)} documents, {len(chosen)} cases", flush=True)
        for case in chosen:
            output = scratch / "output"
            comparison, bowline_seconds, reference_seconds = compare_case(case, args, expected, output)
            shutil.rmtree(output, ignore_errors=True)
            ours, theirs = ours + bowline_seconds, theirs + reference_seconds
            verdict = "DIFFERS" if comparison.difference else "ok"
            note = comparison.difference or comparison.deviation
            print(f"{verdict:7} {case.name:32} {bowline_seconds:7.2f} s {reference_seconds:7.2f} s  {note}", flush=True)
            if comparison.difference:
                different.append(case.name)
    equal = len(chosen) - len(different)
    print(f"{equal} of {len(chosen)} cases equal; bowline {ours:.1f} s, reference {theirs:.1f} s")
    if different:
        print("different: " + " ".join(different))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
