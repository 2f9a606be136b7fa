"""Writes `data/golden/NAME.json.gz` for every case: the reference's answer on the sample corpus.

The files are what bowline's own tests compare with, so that they need no Python. Run again, they have the same bytes.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np

from cases import CASES, ROOT, Case
from compare import visible_documents

SAMPLE = ROOT / "data/sample"
GOLDEN = ROOT / "data/golden"
DTYPES = {"int32": "i32", "int64": "i64", "float32": "f32", "float64": "f64"}


def numbers(values: np.ndarray) -> list:
    """Python numbers whose shortest decimal form reads back as the same value in the array's own type."""
    if values.dtype == np.float32:
        return [float(str(value)) for value in values]
    return values.tolist()


def golden(case: Case, documents: list[bytes]) -> dict:
    contents = [Path(os.fsdecode(os.path.join(os.fsencode(SAMPLE), path))).read_bytes() for path in documents]
    reference = case.reference([content.decode("utf-8", case.errors) for content in contents])
    matrix = reference.matrix
    return {
        "name": case.name,
        "set": case.set,
        "options": case.options,
        "documents": [path.decode("utf-8") for path in documents],
        "tokens": reference.tokens,
        "vocabulary": reference.vocabulary,
        "shape": list(matrix.shape),
        "indptr": matrix.indptr.tolist(),
        "indices": matrix.indices.tolist(),
        "data": numbers(matrix.data),
        "dtype": DTYPES[matrix.dtype.name],
    }


def main() -> None:
    documents = visible_documents(SAMPLE)
    for stale in GOLDEN.glob("*.json.gz"):
        stale.unlink()
    total = 0
    for case in CASES:
        text = json.dumps(golden(case, documents), ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"
        packed = gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0)
        (GOLDEN / f"{case.name}.json.gz").write_bytes(packed)
        total += len(packed)
    print(f"{len(CASES)} goldens of {len(documents)} documents, {total} bytes")


if __name__ == "__main__":
    main()
