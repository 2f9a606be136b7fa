"""What `bowline.spark` runs on executors: Arrow batches of texts to partial counts, and to rows of vectors.

Imports no part of pyspark before it is needed, since each Python worker of Spark imports this module. `bowline.spark` builds
the tasks on the driver; the engine counts, in one thread a task.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import bowline
from bowline._partials import documents, partial
from bowline._vocabulary import vocabulary_of

#: The layout of Spark's `VectorUDT`. Spark reads it only with exactly these fields.
VECTOR = pa.struct(
    [
        pa.field("type", pa.int8(), nullable=False),
        pa.field("size", pa.int32()),
        pa.field("indices", pa.list_(pa.field("element", pa.int32(), nullable=False))),
        pa.field("values", pa.list_(pa.field("element", pa.float64(), nullable=False))),
    ]
)

#: Texts that a task counts at a time, in bytes.
CHUNK_BYTES = 64 << 20


@dataclass(frozen=True)
class Fitted:
    """The state of a fitted vectorizer, of which each worker builds its own estimator."""

    #: The name of the class in `bowline`.
    kind: str
    #: The parameters of the class.
    settings: dict[str, Any]
    #: The terms in the order of columns; None for hashed terms.
    terms: pa.Array | None = None
    #: The factor of each column, where the class has one.
    idf: np.ndarray | None = None
    #: Mean number of tokens of a document, for BM25.
    mean_length: float | None = None

    def estimator(self) -> Any:
        """Returns the fitted estimator of `bowline`, which uses one thread."""
        estimator = getattr(bowline, self.kind)(**self.settings, n_jobs=1)
        if self.terms is None:
            return estimator
        estimator.vocabulary_ = vocabulary_of(self.terms.to_pylist())
        estimator.fixed_vocabulary_ = False
        if self.kind == "TfidfVectorizer":
            from sklearn.feature_extraction.text import TfidfTransformer

            tfidf = TfidfTransformer(**{name: self.settings[name] for name in ("norm", "use_idf", "smooth_idf", "sublinear_tf")})
            tfidf.n_features_in_ = len(self.terms)
            if self.idf is not None:
                tfidf.idf_ = self.idf
            estimator._tfidf = tfidf
        elif self.kind == "BM25Vectorizer":
            estimator.idf_ = self.idf
            estimator.mean_length_ = self.mean_length
        return estimator


@dataclass(frozen=True)
class Inline:
    """The bytes of a `Fitted` inside the task."""

    state: bytes

    def read(self) -> bytes:
        """Returns the bytes."""
        return self.state


@dataclass(frozen=True)
class Broadcasted:
    """The bytes of a `Fitted` as a broadcast variable."""

    variable: Any

    def read(self) -> bytes:
        """Returns the bytes."""
        state: bytes = self.variable.value
        return state


@dataclass(frozen=True)
class Artifact:
    """The bytes of a `Fitted` as a file that Spark Connect gives to each executor."""

    name: str

    def read(self) -> bytes:
        """Returns the bytes."""
        from pyspark import SparkFiles

        return Path(SparkFiles.get(self.name)).read_bytes()


_estimators: dict[str, Any] = {}


def _estimator(key: str, source: Inline | Broadcasted | Artifact) -> Any:
    """Returns the estimator of a state; a worker keeps the latest four."""
    estimator = _estimators.pop(key, None)
    if estimator is None:
        while len(_estimators) >= 4:
            del _estimators[next(iter(_estimators))]
        estimator = pickle.loads(source.read()).estimator()
    _estimators[key] = estimator
    return estimator


@dataclass(frozen=True)
class Texts:
    """The column of texts, and what to do with its nulls."""

    column: str
    handle_invalid: str

    def of(self, batch: pa.RecordBatch) -> pa.Array:
        """Returns the texts of a batch. With "skip", Spark has left out the nulls before."""
        texts = batch.column(self.column)
        if texts.null_count:
            if self.handle_invalid != "keep":
                raise ValueError(
                    f"column {self.column!r} has a null: set handleInvalid to 'skip' to leave out such rows, "
                    "or to 'keep' to read them as empty texts"
                )
            texts = texts.fill_null("")
        return texts


@dataclass(frozen=True)
class Fit:
    """The task of fitting: texts to the partial counts of `bowline._partials`."""

    estimator: Any
    texts: Texts

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yields the counts of each `CHUNK_BYTES` of texts."""
        chunk: list[pa.Array] = []
        n_bytes = 0
        for batch in batches:
            texts = self.texts.of(batch)
            chunk.append(texts)
            n_bytes += texts.nbytes
            if n_bytes >= CHUNK_BYTES:
                yield partial(pa.chunked_array(chunk), self.estimator)
                chunk, n_bytes = [], 0
        if chunk:
            yield partial(pa.chunked_array(chunk), self.estimator)


@dataclass(frozen=True)
class Transform:
    """The task of transforming: batches to the same batches with a further column of vectors."""

    key: str
    source: Inline | Broadcasted | Artifact
    texts: Texts
    output: str

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yields each batch with its vectors."""
        estimator = _estimator(self.key, self.source)
        for batch in batches:
            if batch.num_rows:
                matrix = documents(estimator, self.texts.of(batch))
                fields = [*batch.schema, pa.field(self.output, VECTOR)]
                yield pa.RecordBatch.from_arrays([*batch.columns, vectors(matrix)], schema=pa.schema(fields))


def vectors(matrix: Any) -> pa.StructArray:
    """Returns the rows of a CSR matrix as sparse vectors of Spark ML."""
    n_rows, n_columns = matrix.shape
    offsets = pa.array(matrix.indptr.astype(np.int32, copy=False))
    children = [
        pa.array(np.zeros(n_rows, np.int8)),
        pa.array(np.full(n_rows, n_columns, np.int32)),
        *(
            pa.ListArray.from_arrays(offsets, pa.array(values.astype(dtype, copy=False)), type=VECTOR.field(name).type)
            for name, values, dtype in (("indices", matrix.indices, np.int32), ("values", matrix.data, np.float64))
        ),
    ]
    return pa.StructArray.from_arrays(children, fields=list(VECTOR))
