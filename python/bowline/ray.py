"""The vectorizers over `ray.data.Dataset` and over lists of files, on a Ray cluster.

`fit` counts each block where it is, and adds the counts up on the driver. `transform` puts the fitted estimator into the
object store once; each worker process loads it once. Results are those of the classes of `bowline`, bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

try:
    import pyarrow as pa
    import ray
    import ray.data
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "bowline.ray needs ray, pyarrow and scikit-learn: install them by `pip install 'bowline[ray]'`"
    ) from error

import bowline
from bowline import _partials

__all__ = ["BM25Vectorizer", "CountVectorizer", "HashingVectorizer", "TfidfVectorizer"]

# A task reads at most so many files.
_FILES_PER_TASK = 4096
# Blocks of paths for each CPU of the cluster, so that no CPU waits long for the last block.
_BLOCKS_PER_CPU = 4


class _Vectorizer:
    """What the classes share. `parameters` are those of the estimator of `bowline` with the same name.

    Attributes
    ----------
    estimator_ : object
        The fitted estimator of `bowline`, with `vocabulary_`, `idf_` and all that it has after `fit`.
    """

    _estimator: ClassVar[Any]

    def __init__(self, **parameters: Any) -> None:
        self.estimator = self._estimator(**parameters)
        _partials.check(self.estimator)

    def __repr__(self) -> str:
        return f"bowline.ray.{self.estimator!r}"

    def fit(
        self,
        source: Any,
        *,
        column: str = "text",
        concurrency: int | None = None,
        num_cpus: float | None = None,
        partitions: int | None = None,
    ) -> _Vectorizer:
        """Learn the terms, and idf, of all documents.

        Parameters
        ----------
        source : ray.data.Dataset, or sequence of str or os.PathLike
            Texts in a column of a dataset, or files that each worker can read, one document each.

        column : str, default="text"
            The column of a dataset that has the texts.

        concurrency : int or None, default=None
            Number of tasks at the same time. None: as many as there are CPUs for.

        num_cpus : float or None, default=None
            CPUs of a task, which runs so many threads. None: 1.

        partitions : int or None, default=None
            None adds counts up on the driver. A number adds them up by Ray's groupby, in so many partitions: for
            vocabularies whose counts the driver cannot add up in time.

        Returns
        -------
        self : object
            Fitted vectorizer.
        """
        dataset, column = _dataset(source, column)
        estimator = self._with_threads(self.estimator, num_cpus)
        # A dataset that other tasks make has no schema yet: its own error names the column then.
        schema = dataset.schema(fetch_if_missing=False)
        if schema is not None:
            _check_column(schema.names, column)
        with _read_of(dataset):
            parts = dataset.select_columns([column]).map_batches(
                _count,
                fn_args=(estimator, column, _folder(source)),
                **_task(concurrency, num_cpus),
            )
            tables = _tables(parts if partitions is None else _added(parts, partitions))
            self.estimator_ = _partials.fitted(self.estimator, _partials.total(tables))
        return self

    def transform(
        self,
        source: Any,
        *,
        column: str = "text",
        concurrency: int | None = None,
        num_cpus: float | None = None,
    ) -> Any:
        """Return a dataset with the columns of `source` and each row's vector: `indices` and `values`, lists.

        Rows of files have their `path`. The dataset is computed when it is read. The parameters are those of `fit`.
        """
        if not hasattr(self, "estimator_"):
            raise ValueError(f"this {type(self).__name__} is not fitted: call fit first")
        dataset, column = _dataset(source, column)
        model = ray.put(self._with_threads(self.estimator_, num_cpus))
        return dataset.map_batches(
            _transform,
            fn_args=(model, column, _folder(source)),
            **_task(concurrency, num_cpus),
        )

    def fit_transform(self, source: Any, **options: Any) -> Any:
        """Fit, and return the dataset of vectors. The documents are read twice. The parameters are those of `fit`."""
        self.fit(source, **options)
        options.pop("partitions", None)
        return self.transform(source, **options)

    def to_csr(self, dataset: Any) -> Any:
        """Return the matrix of a dataset that `transform` returned, its rows in the order of the dataset's rows."""
        lengths: list[np.ndarray] = []
        indices: list[np.ndarray] = []
        values: list[np.ndarray] = []
        with _read_of(dataset):
            for table in _tables(dataset.select_columns(["indices", "values"])):
                for rows in table["indices"].chunks:
                    lengths.append(np.diff(rows.offsets.to_numpy()))
                    indices.append(rows.flatten().to_numpy())
                values.extend(rows.flatten().to_numpy() for rows in table["values"].chunks)
        empty = _partials.documents(self.estimator_, [])
        indptr = np.concatenate([[0], *lengths]).cumsum(dtype=np.int64)
        kind = np.int32 if indptr[-1] <= np.iinfo(np.int32).max else np.int64
        return type(empty)(
            (
                np.concatenate([empty.data, *values]),
                np.concatenate([np.empty(0, kind), *indices]).astype(kind, copy=False),
                indptr.astype(kind),
            ),
            shape=(len(indptr) - 1, empty.shape[1]),
        )

    @staticmethod
    def _with_threads(estimator: Any, num_cpus: float | None) -> Any:
        estimator = copy(estimator)
        estimator.n_jobs = max(int(num_cpus or 1), 1)
        return estimator


class CountVectorizer(_Vectorizer):
    """`bowline.CountVectorizer` on a Ray cluster."""

    _estimator = bowline.CountVectorizer


class TfidfVectorizer(_Vectorizer):
    """`bowline.TfidfVectorizer` on a Ray cluster."""

    _estimator = bowline.TfidfVectorizer


class BM25Vectorizer(_Vectorizer):
    """`bowline.BM25Vectorizer` on a Ray cluster.

    `transform` gives documents' weights, those of `fit_transform` of the class; for queries' weights call
    `estimator_.transform`.
    """

    _estimator = bowline.BM25Vectorizer


class HashingVectorizer(_Vectorizer):
    """`bowline.HashingVectorizer` on a Ray cluster. It needs no `fit`."""

    _estimator = bowline.HashingVectorizer

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.estimator_ = self.estimator

    def fit(self, source: Any, **options: Any) -> HashingVectorizer:
        """Do nothing: hashed columns are not learned."""
        return self


# On the driver


def _task(concurrency: int | None, num_cpus: float | None) -> dict[str, Any]:
    """Returns the options of `map_batches`: a task has one block as its one batch."""
    return {
        "batch_format": "pyarrow",
        "batch_size": None,
        "zero_copy_batch": True,
        "concurrency": concurrency,
        "num_cpus": num_cpus,
    }


def _dataset(source: Any, column: str) -> tuple[Any, str]:
    """Returns the dataset of texts or of paths, and the name of its column."""
    if isinstance(source, ray.data.Dataset):
        return source, column
    if isinstance(source, (str, bytes)) or not isinstance(source, Sequence):
        raise ValueError(f"give a ray.data.Dataset or a list of paths, not a {type(source).__name__}")
    paths = [_path(path) for path in source]
    if not ray.is_initialized():
        ray.init()
    n_blocks = max(_BLOCKS_PER_CPU * int(ray.cluster_resources().get("CPU", 1)), -(-len(paths) // _FILES_PER_TASK))
    size = max(-(-len(paths) // n_blocks), 1)
    blocks = [paths[start : start + size] for start in range(0, max(len(paths), 1), size)]
    dataset = ray.data.from_arrow([pa.table({"path": pa.array(block, pa.string())}) for block in blocks])
    # The dataset's own settings, a copy of the program's.
    dataset.context.execution_options.preserve_order = True
    return dataset, "path"


def _folder(source: Any) -> str | None:
    """Returns the folder that paths begin at, which is another one on workers, or None for a dataset of texts."""
    return None if isinstance(source, ray.data.Dataset) else os.getcwd()


def _path(path: Any) -> str:
    name = os.fsdecode(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{os.fsencode(path)!r}: the name of the file is not UTF-8") from None
    return name


def _tables(dataset: Any) -> Iterator[pa.Table]:
    return iter(dataset.iter_batches(batch_format="pyarrow", batch_size=None))


def _added(parts: Any, partitions: int) -> Any:
    """Returns the sums of parts by term, by Ray's groupby, which has no null keys."""
    from ray.data.aggregate import Sum

    keyed = parts.map_batches(_with_key, batch_format="pyarrow", batch_size=None)
    sums = keyed.groupby("key", num_partitions=partitions).aggregate(
        Sum("df", alias_name="df"), Sum("tf", alias_name="tf")
    )
    return sums.map_batches(_without_key, batch_format="pyarrow", batch_size=None)


@contextmanager
def _read_of(dataset: Any) -> Iterator[None]:
    """Makes Ray return blocks in the order of the dataset, and raise the error that a task raised as it was.

    By default it returns blocks as they are done, and an error as a report of many lines.
    """
    context = dataset.context
    before = context.execution_options.preserve_order, context.raise_original_map_exception
    context.execution_options.preserve_order = context.raise_original_map_exception = True
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if type(error.cause) is not ValueError:
            raise
        # Ray appends lines about its retries to the message.
        raise ValueError(str(error.cause).split("\nFailed to ", 1)[0]) from None
    finally:
        context.execution_options.preserve_order, context.raise_original_map_exception = before


# On workers


def _count(table: pa.Table, estimator: Any, column: str, folder: str | None) -> pa.Table:
    with _names_the_path(table, column, folder):
        texts = table[column] if folder is None else _read(table[column], folder)
        return pa.Table.from_batches([_partials.partial(texts, estimator)])


def _transform(table: pa.Table, model: Any, column: str, folder: str | None) -> pa.Table:
    for name in ("indices", "values"):
        if name in table.column_names:
            raise ValueError(f"the dataset has a column {name!r} already: rename it")
    _check_column(table.column_names, column)
    with _names_the_path(table, column, folder):
        texts = table[column] if folder is None else list(_read(table[column], folder))
        matrix = _partials.documents(_loaded(model), texts)
    indices, values = _partials.lists(matrix)
    return table.append_column("indices", indices).append_column("values", values)


def _check_column(names: list[str], column: str) -> None:
    if column not in names:
        raise ValueError(f"the dataset has no column {column!r}: it has {', '.join(names)}")


@lru_cache(maxsize=2)
def _loaded(model: Any) -> Any:
    """Returns the estimator of this reference, which a worker process loads once."""
    return ray.get(model)


def _read(paths: Any, folder: str) -> Iterator[bytes]:
    for path in paths.to_pylist():
        with open(os.path.join(folder, path), "rb") as file:
            yield file.read()


@contextmanager
def _names_the_path(table: pa.Table, column: str, folder: str | None) -> Iterator[None]:
    """Raises one line with the path of the file that cannot be read or decoded."""
    if folder is None:
        yield
        return
    try:
        yield
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{_undecodable(table[column], folder)}: {error.reason}: not UTF-8") from None


def _undecodable(paths: Any, folder: str) -> str:
    for path, data in zip(paths.to_pylist(), _read(paths, folder), strict=False):
        try:
            data.decode()
        except UnicodeDecodeError as error:
            return f"{path}: byte {error.start}"
    return "a file that was changed"


def _with_key(table: pa.Table) -> pa.Table:
    key = ["" if term is None else f"t{term}" for term in table["term"].to_pylist()]
    return pa.table({"key": pa.array(key, pa.string()), "df": table["df"], "tf": table["tf"]})


def _without_key(table: pa.Table) -> pa.Table:
    term = [key[1:] if key else None for key in table["key"].to_pylist()]
    return pa.table([pa.array(term, pa.string()), table["df"], table["tf"]], schema=_partials.SCHEMA)
