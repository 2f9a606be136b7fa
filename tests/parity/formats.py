"""Reads each format of the matrix with the tools that it is for, and compares it with the npz file, exactly.

    python tests/parity/formats.py CORPUS [--bowline PATH]

Prints one line a reader and a kind of values; exits with 1 if anything differs. R's Matrix package takes part if Rscript
finds it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, Optional

import duckdb
import numpy as np
import polars
import pyarrow
import pyarrow.compute
import pyarrow.parquet
import scipy.io
import scipy.sparse as sp
from sklearn.datasets import load_svmlight_file

from compare import FINISHED, ROOT, read_lines, run_bowline

VALUES = {
    "i32": [],
    "i64": ["--dtype", "i64"],
    "f32": ["--weight", "tfidf", "--norm", "l2", "--dtype", "f32"],
    "f64": ["--weight", "bm25", "--dtype", "f64"],
    "hashed": ["--features", "hashed", "--n-features", "1000"],
    "bigrams": ["--ngrams", "1:2", "--min-df", "2"],
}
TABLES = ("parquet", "arrow")
R_PROGRAM = """
m <- as(Matrix::readMM(commandArgs(TRUE)[1]), "TsparseMatrix")
cat(sprintf("%d %d %.17g\\n", m@i, m@j, m@x), sep = "", file = commandArgs(TRUE)[2])
"""


def lists_to_csr(table: pyarrow.Table, columns: int) -> sp.csr_matrix:
    indices, values = (table[name].combine_chunks() for name in ("indices", "values"))
    lengths = pyarrow.compute.list_value_length(indices).to_numpy(zero_copy_only=False)
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return sp.csr_matrix((values.flatten().to_numpy(), indices.flatten().to_numpy(), indptr), (len(table), columns))


def frame_to_csr(frame: polars.DataFrame, columns: int) -> sp.csr_matrix:
    return lists_to_csr(frame.to_arrow(), columns)


def checked(table: pyarrow.Table, columns: int, paths: list[str]) -> sp.csr_matrix:
    """The matrix of a table whose other columns are right."""
    table.validate(full=True)
    assert table.column_names == ["path", "record", "id", "indices", "values"], table.column_names
    assert table["path"].to_pylist() == paths, "other paths"
    assert int(table.schema.metadata[b"n_columns"]) == columns, table.schema.metadata
    return lists_to_csr(table, columns)


def from_r(path: Path, shape: tuple[int, int]) -> sp.csr_matrix:
    """What R reads; its whole numbers are doubles."""
    written = path.with_suffix(".cells")
    subprocess.run(["Rscript", "-e", R_PROGRAM, str(path), str(written)], check=True, capture_output=True)
    cells = np.loadtxt(written, ndmin=2).reshape(-1, 3)
    return sp.csr_matrix((cells[:, 2], (cells[:, 0].astype(int), cells[:, 1].astype(int))), shape)


def readers(directory: Path, shape: tuple[int, int], paths: list[str], has_r: bool) -> dict[str, Callable]:
    file, columns = {path.suffix[1:]: path for path in directory.iterdir()}, shape[1]
    name = {kind: str(path) for kind, path in file.items()}
    query = "select path, record, id, indices, \"values\" from '{}'"
    found = {
        "mtx scipy": lambda: scipy.io.mmread(name["mtx"]),
        "svmlight scikit-learn": lambda: load_svmlight_file(name["svm"], n_features=columns, zero_based=True)[0],
        "parquet pyarrow": lambda: checked(pyarrow.parquet.read_table(name["parquet"]), columns, paths),
        "parquet polars": lambda: frame_to_csr(polars.read_parquet(name["parquet"]), columns),
        "parquet duckdb": lambda: lists_to_csr(duckdb.sql(query.format(name["parquet"])).to_arrow_table(), columns),
        "arrow pyarrow": lambda: checked(
            pyarrow.ipc.open_file(pyarrow.memory_map(name["arrow"])).read_all(), columns, paths
        ),
        "arrow polars": lambda: frame_to_csr(polars.read_ipc(name["arrow"]), columns),
    }
    if has_r:
        found["mtx R"] = lambda: from_r(file["mtx"], shape)
    return found


def difference(got: sp.spmatrix, want: sp.csr_matrix) -> Optional[str]:
    got = sp.csr_matrix(got)
    if got.shape != want.shape:
        return f"shape {got.shape}, expected {want.shape}"
    if not (np.array_equal(got.indptr, want.indptr) and np.array_equal(got.indices, want.indices)):
        return "other cells"
    # Text has no element types: what is read is rounded to the type that was written.
    wrong = np.flatnonzero(got.data.astype(want.dtype) != want.data)
    return f"{len(wrong)} values differ, the first at cell {wrong[0]}" if len(wrong) else None


def has_r_matrix() -> bool:
    command = ["Rscript", "-e", "library(Matrix)"]
    return shutil.which("Rscript") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--bowline", type=Path, default=ROOT / "target/release/bowline", metavar="PATH")
    args = parser.parse_args()
    binary, corpus = args.bowline.resolve(), args.corpus.resolve()
    has_r = has_r_matrix()
    if not has_r:
        print("left out: R (no Rscript with the package Matrix)")
    wrong = 0
    for values, options in VALUES.items():
        with tempfile.TemporaryDirectory(prefix="formats-") as scratch:
            matrices = Path(scratch) / "matrices"
            matrices.mkdir()
            for form in ("npz", "mtx", "svmlight", *TABLES):
                output = Path(scratch) / form
                run = run_bowline(binary, corpus, [*options, "--format", form], output)
                if run.exit_code not in FINISHED:
                    sys.exit(f"{form} {values}: exit code {run.exit_code}: {run.message}")
                matrix = next(output.glob("matrix.*"))
                matrix.rename(matrices / matrix.name)
            paths = [line["path"] for line in read_lines(Path(scratch) / "npz" / "documents.jsonl")]
            want = sp.csr_matrix(sp.load_npz(matrices / "matrix.npz"))
            for reader, read in readers(matrices, want.shape, paths, has_r).items():
                try:
                    found = difference(read(), want)
                except AssertionError as error:
                    found = str(error)
                wrong += found is not None
                print(f"{'DIFFERS' if found else 'ok':7} {values:8} {reader:24} {found or ''}".rstrip(), flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
