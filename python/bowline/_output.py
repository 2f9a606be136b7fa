"""`load` and `Output`: an output directory, read by the native module.

All files are opened by `load`, so a run that replaces the output meanwhile makes no difference. Each is checked and read when it is
asked for, once. Nothing in an output is trusted: a damaged one is a ValueError.
"""

import json
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

from bowline._native import OutputFiles, Table

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from scipy.sparse import csr_matrix

_T = TypeVar("_T")

# What reads the formats that are not read here, by the ending of the file.
_READERS = {
    ".mtx": "scipy.io.mmread",
    ".svm": "sklearn.datasets.load_svmlight_file(..., zero_based=True)",
    ".parquet": "pyarrow.parquet.read_table",
    ".arrow": "pyarrow.ipc.open_file",
}


def load(output: str | os.PathLike[str]) -> "Output":
    """Open an output directory of `bowline embed`.

    Raises:
        OSError: It does not exist or can't be read.
        ValueError: It is no output, or its manifest is damaged.
    """
    return Output(output)


class Output:
    """An output directory of `bowline embed`, open."""

    path: str
    """Its path."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._files = OutputFiles(self.path)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """manifest.json: the version, the settings that change the result, and the counts."""
        return cast(dict[str, Any], json.loads(self._files.manifest()))

    @cached_property
    def matrix(self) -> "csr_matrix | np.ndarray[Any, Any]":
        """The matrix, a row a document: a `scipy.sparse.csr_matrix` (npz), or an array (npy).

        It is a map of the file, which is read where it is used, and read-only: `output.matrix.copy()` is a copy in memory. All of
        it is read once to check it.

        Raises:
            OSError, ValueError: It can't be read, or is damaged.
            TypeError: It has a format that other packages read.
        """
        import numpy as np

        name, counts = self.manifest["matrix"], self.manifest["counts"]
        shape = counts["documents"], counts["columns"]
        found = self._files.matrix()
        if found is None:
            reader = _READERS[os.path.splitext(name)[1]]
            raise TypeError(f"{self._files.shown(name)}: {reader} reads this format")
        descriptor, places = found
        with os.fdopen(descriptor, "rb") as file:
            # A map of no bytes is impossible, and a single one serves all arrays.
            bytes_ = np.memmap(file, dtype=np.uint8, mode="r")
        arrays = [
            np.frombuffer(bytes_, dtype=dtype, count=length, offset=offset)
            if length
            else np.zeros(0, dtype=dtype)
            for offset, length, dtype in places
        ]
        if len(arrays) == 1:
            return arrays[0].reshape(shape)
        from scipy.sparse import csr_matrix

        data, indices, indptr = arrays
        matrix = csr_matrix((data, indices, indptr), shape=shape, copy=False)
        # Checked by the native module.
        matrix.has_sorted_indices = True
        matrix.has_canonical_format = True
        return matrix

    @cached_property
    def terms(self) -> list[str]:
        """The terms, in the order of the columns.

        Raises ValueError for hashed features, which have none.
        """
        return self._of_terms(self._files.terms())

    @cached_property
    def vocabulary(self) -> "pyarrow.Table":
        """The columns: `term`, `df` (documents that have it), and `idf` where the weight has one.

        Raises ValueError for hashed features, which have none; ImportError without pyarrow.
        """
        return _pyarrow(self._of_terms(self._files.vocabulary()))

    @cached_property
    def documents(self) -> "pyarrow.Table":
        """The rows: `path`, `record`, `member`, `id`, `encoding`, `bytes`, `tokens`, `status` and `cause`.

        Raises ImportError without pyarrow.
        """
        return _pyarrow(self._files.documents())

    @cached_property
    def failures(self) -> "pyarrow.Table":
        """The documents that failed: `row`, `path`, `record`, `member`, `id` and `cause`.

        Raises ImportError without pyarrow.
        """
        return _pyarrow(self._files.failures())

    def _of_terms(self, found: _T | None) -> _T:
        if found is None:
            raise ValueError(f"{self.path}: hashed features have no terms")
        return found

    def __reduce__(self) -> tuple[object, ...]:
        return Output, (self.path,)

    def __repr__(self) -> str:
        return f"bowline.load({self.path!r})"


def _pyarrow(table: Table) -> "pyarrow.Table":
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError("tables of an output need pyarrow: pip install 'bowline[arrow]'") from error
    return pyarrow.table(table)
