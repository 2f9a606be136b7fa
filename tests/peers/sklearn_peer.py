"""Reads a list of files and vectorizes them with scikit-learn; prints seconds and shape as one line of JSON.

    python tests/peers/sklearn_peer.py hashed|counts|tfidf JOBS LIST

LIST holds paths that each end in NUL. The time is that of `fit_transform` alone, which reads the files; imports and the
start of joblib's workers are not in it, and the matrix is not written. With more than one job, `hashed` is spread over
processes by joblib, as the only one without a common vocabulary.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import scipy.sparse as sp
from joblib import Parallel, delayed
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer

CHUNKS_A_JOB = 4  # so that a job that is done early takes another chunk
START_SECONDS = 0.5  # long enough that no worker does the first tasks of two
READING = {"input": "filename", "decode_error": "ignore"}
VECTORIZERS = {
    "hashed": HashingVectorizer(norm=None, **READING),
    "counts": CountVectorizer(**READING),
    "tfidf": TfidfVectorizer(**READING),
}


def chunks(paths: list[str], count: int) -> list[list[str]]:
    """The paths in order, in at most `count` pieces of about equal numbers of files."""
    bounds = [len(paths) * position // count for position in range(count + 1)]
    return [paths[first:last] for first, last in zip(bounds, bounds[1:]) if first < last]


def vectorized_by_joblib(vectorizer: HashingVectorizer, paths: list[str], jobs: int) -> tuple[float, sp.csr_matrix]:
    """Seconds and matrix. The workers start and import scikit-learn before the measured time."""
    with Parallel(n_jobs=jobs) as parallel:
        parallel(delayed(started)(vectorizer) for _ in range(jobs))
        start = time.perf_counter()
        parts = parallel(delayed(vectorizer.transform)(chunk) for chunk in chunks(paths, CHUNKS_A_JOB * jobs))
        matrix = sp.vstack(parts, format="csr")
        return time.perf_counter() - start, matrix


def started(vectorizer: HashingVectorizer) -> None:
    """A worker's step before the measured time: receiving the vectorizer imports scikit-learn."""
    time.sleep(START_SECONDS)


def main() -> None:
    kind, jobs, names = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    paths = [os.fsdecode(path) for path in Path(names).read_bytes().split(b"\0") if path]
    vectorizer = VECTORIZERS[kind]
    if jobs > 1:
        seconds, matrix = vectorized_by_joblib(vectorizer, paths, jobs)
    else:
        start = time.perf_counter()
        matrix = vectorizer.fit_transform(paths)
        seconds = time.perf_counter() - start
    documents, columns = matrix.shape
    print(json.dumps({"seconds": seconds, "documents": documents, "columns": columns, "nonzeros": int(matrix.nnz)}))


if __name__ == "__main__":
    main()
