"""Runs bowline, reads its output directory and compares it with a reference.

Knows the command line and the output files, nothing of scikit-learn. Equal means: same documents, same vocabulary in
the same order, same sparsity structure after sorting the column indices of each row, counts equal, floats within 4 ulp
for f64 and within 1e-6 relative for f32.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Iterator, Optional, Sequence

import numpy as np
import scipy.sparse as sp

from reference import Reference

ROOT = Path(__file__).resolve().parents[2]
F64_ULPS = 4
F32_RELATIVE = 1e-6
BINARY_PREFIX = 8192  # a NUL byte in these first bytes marks a file as binary
FINISHED = (0, 3)  # exit codes: all documents embedded; some documents failed


@dataclass(frozen=True)
class Document:
    """A line of documents.jsonl; `path` as bytes, relative to the corpus."""

    path: bytes
    size: int
    tokens: int
    ok: bool
    cause: str


@dataclass(frozen=True)
class Output:
    """An output directory of bowline; `vocabulary` and its document frequencies are None if there is none."""

    matrix: sp.csr_matrix
    vocabulary: Optional[list[str]]
    frequencies: Optional[list[int]]
    documents: list[Document]


@dataclass(frozen=True)
class Run:
    """One execution of bowline."""

    exit_code: int
    seconds: float
    message: str


@dataclass(frozen=True)
class Comparison:
    """The first difference, or None; `deviation` describes the largest difference of floats."""

    difference: Optional[str]
    deviation: str = ""


def run_bowline(binary: Path, corpus: Path, options: Sequence[str], output: Path) -> Run:
    """Runs `bowline embed` from the repository's root, since the paths of option files are relative to it."""
    command = [str(binary), "embed", *options, "--output", str(output), str(corpus)]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    seconds = time.perf_counter() - start
    return Run(done.returncode, seconds, done.stderr.decode("utf-8", "replace").strip())


def path_bytes(escaped: str) -> bytes:
    """Undoes the escapes of a path: two backslashes are one, `\\xHH` is a byte that is not UTF-8."""
    return re.sub(
        rb"\\(?:\\|x([0-9A-Fa-f]{2}))",
        lambda found: bytes.fromhex(found[1].decode()) if found[1] else b"\\",
        escaped.encode("utf-8"),
    )


def read_lines(path: Path) -> Iterator[dict]:
    with open(path, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield json.loads(line)


def read_output(directory: Path) -> Output:
    documents = [
        Document(path_bytes(line["path"]), line["bytes"], line["tokens"], line["status"] == "ok", line.get("cause", ""))
        for line in read_lines(directory / "documents.jsonl")
    ]
    terms = directory / "vocabulary.jsonl"
    columns = list(read_lines(terms)) if terms.exists() else None
    vocabulary = [column["term"] for column in columns] if columns is not None else None
    frequencies = [column["df"] for column in columns] if columns is not None else None
    matrix = sp.csr_matrix(sp.load_npz(directory / "matrix.npz"))
    return Output(matrix, vocabulary, frequencies, documents)


def visible_documents(corpus: Path) -> list[bytes]:
    """The regular files below a folder, hidden ones left out, links not followed, sorted by the bytes of their paths."""
    root = os.fsencode(corpus)
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(b".")]
        for name in files:
            path = os.path.join(folder, name)
            if not name.startswith(b".") and os.path.isfile(path) and not os.path.islink(path):
                found.append(os.path.relpath(path, root))
    return sorted(found)


def wrong_documents(documents: Sequence[Document], expected: Sequence[bytes]) -> Optional[str]:
    """Whether the rows stand for the expected files in the expected order."""
    paths = [document.path for document in documents]
    if paths == list(expected):
        return None
    missing, extra = set(expected) - set(paths), set(paths) - set(expected)
    if missing or extra:
        return f"documents: {len(missing)} missing {sorted(missing)[:3]}, {len(extra)} unexpected {sorted(extra)[:3]}"
    row = next(row for row, (got, want) in enumerate(zip(paths, expected)) if got != want)
    return f"documents: row {row} is {paths[row]!r}, expected {expected[row]!r}"


def read_texts(documents: Iterable[Document], corpus: Path, errors: str) -> tuple[list[str], Optional[str]]:
    """The texts of the embedded documents as Python decodes them, and the first document treated wrongly."""
    texts, wrong = [], None
    for document in documents:
        content = Path(os.fsdecode(os.path.join(os.fsencode(corpus), document.path))).read_bytes()
        try:
            text: Optional[str] = content.decode("utf-8", errors)
        except UnicodeDecodeError:
            text = None
        binary = b"\0" in content[:BINARY_PREFIX]
        if document.ok and text is None:
            wrong = wrong or f"{document.path!r} is no UTF-8 and did not fail"
        elif document.ok:
            texts.append(text)
            if document.size != len(content):
                wrong = wrong or f"{document.path!r}: bytes {document.size}, expected {len(content)}"
        elif text is not None and not binary:
            wrong = wrong or f"{document.path!r} failed: {document.cause}"
    return texts, wrong


def ulps(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """The number of f64 steps between two arrays, entry by entry; huge if the signs differ."""
    steps = np.abs(got.view(np.int64) - want.view(np.int64))
    apart = np.where(got == want, 0, np.iinfo(np.int64).max)
    return np.where(np.signbit(got) == np.signbit(want), steps, apart)


def differing_values(got: np.ndarray, want: np.ndarray) -> tuple[np.ndarray, str]:
    """The places where values differ by more than allowed, and the largest difference."""
    if want.dtype == np.float64:
        steps = ulps(got, want)
        return np.flatnonzero(steps > F64_ULPS), f"{steps.max(initial=0)} ulp"
    if want.dtype == np.float32:
        got, want = got.astype(np.float64), want.astype(np.float64)
        relative = np.abs(got - want) / np.where(want == 0, 1, np.abs(want))
        return np.flatnonzero(~(relative <= F32_RELATIVE)), f"{relative.max(initial=0):.1e} relative"
    return np.flatnonzero(got != want), ""


def differing_vocabulary(got: Optional[list[str]], want: Optional[list[str]]) -> Optional[str]:
    if got == want:
        return None
    if got is None or want is None:
        return "vocabulary: " + ("unexpected" if want is None else "missing")
    have, need = set(got), set(want)
    if have != need or len(got) != len(want):
        missing, extra = sorted(need - have)[:5], sorted(have - need)[:5]
        return f"vocabulary: {len(got)} terms, expected {len(want)}; missing {missing}, unexpected {extra}"
    column = next(column for column, (a, b) in enumerate(zip(got, want)) if a != b)
    return f"vocabulary: column {column} is {got[column]!r}, expected {want[column]!r}"


def compare(output: Output, reference: Reference) -> Comparison:
    """Compares all rows; the reference has one row for each document that did not fail."""
    kept = np.array([row for row, document in enumerate(output.documents) if document.ok], dtype=np.int64)
    lengths = np.diff(output.matrix.indptr)
    if output.matrix.shape[0] != len(output.documents):
        return Comparison(f"{output.matrix.shape[0]} rows for {len(output.documents)} documents")
    for row, document in enumerate(output.documents):
        if not document.ok and lengths[row]:
            return Comparison(f"{document.path!r} failed, but its row has {lengths[row]} entries")
    difference = differing_vocabulary(output.vocabulary, reference.vocabulary)
    if difference:
        return Comparison(difference)
    if output.frequencies is not None:
        expected = np.bincount(reference.matrix.indices, minlength=reference.matrix.shape[1])
        for term, got, want in zip(reference.vocabulary, output.frequencies, expected):
            if got != want:
                return Comparison(f"vocabulary: df of {term!r} is {got}, expected {want}")
    documents = [output.documents[row] for row in kept]
    for document, tokens in zip(documents, reference.tokens):
        if document.tokens != tokens:
            return Comparison(f"{document.path!r}: tokens {document.tokens}, expected {tokens}")
    return compare_matrices(output.matrix[kept], reference, documents)


def compare_matrices(got: sp.csr_matrix, reference: Reference, documents: Sequence[Document]) -> Comparison:
    want = reference.matrix
    got.sort_indices()
    if got.shape != want.shape:
        return Comparison(f"shape {got.shape}, expected {want.shape}")
    if got.dtype != want.dtype:
        return Comparison(f"dtype {got.dtype}, expected {want.dtype}")

    def term(column: int) -> str:
        return f"column {column}" + (f" {reference.vocabulary[column]!r}" if reference.vocabulary is not None else "")

    if not np.array_equal(got.indptr, want.indptr) or not np.array_equal(got.indices, want.indices):
        for row, document in enumerate(documents):
            have = set(got.indices[got.indptr[row] : got.indptr[row + 1]].tolist())
            need = set(want.indices[want.indptr[row] : want.indptr[row + 1]].tolist())
            if have != need:
                missing, extra = sorted(need - have)[:3], sorted(have - need)[:3]
                named = f"missing {[term(c) for c in missing]}, unexpected {[term(c) for c in extra]}"
                return Comparison(f"{document.path!r}: {len(have)} entries, expected {len(need)}; {named}")
        return Comparison("a row has a column twice")
    wrong, deviation = differing_values(got.data, want.data)
    if len(wrong):
        at = int(wrong[0])
        row = int(np.searchsorted(want.indptr, at, side="right")) - 1
        place = f"{documents[row].path!r}, {term(int(want.indices[at]))}"
        values = f"{got.data[at].item()!r}, expected {want.data[at].item()!r}"
        return Comparison(f"{place}: {values}; {len(wrong)} of {len(want.data)} values differ, {deviation or 'integers'}")
    return Comparison(None, deviation)
