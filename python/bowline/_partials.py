"""Counts of parts of a corpus, which add up by plain sums, and estimators fitted from the sums.

Engines that spread a corpus over machines (`bowline.ray`, `bowline.spark`) count each part by `partial` where the part
is, add the tables up by term, and fit by `fitted`. An estimator that was fitted so is the one that `fit` gives on the
whole corpus: the same code of the class chooses the columns and computes the weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.base import clone

from bowline import _engine, _native
from bowline._bm25 import BM25Vectorizer
from bowline._vectorizers import CountVectorizer, HashingVectorizer, Totals

#: A row a term: in how many documents it occurs, and how often. The row with a null term has the number of documents
#: and the number of tokens.
SCHEMA = pa.schema([("term", pa.string()), ("df", pa.int64()), ("tf", pa.int64())])

# `total` adds parts up when they have more rows than this, and more than the sums so far.
_PENDING_ROWS = 1 << 20


def check(estimator: Any) -> None:
    """Raises `ValueError` for settings with which only a fit of scikit-learn's own code on all documents would do."""
    name = type(estimator).__name__
    if not isinstance(estimator, (CountVectorizer, HashingVectorizer)):
        raise ValueError(f"{name} is not one of bowline's vectorizers")
    estimator._validate_params()
    for parameter in ("preprocessor", "tokenizer", "analyzer"):
        if callable(getattr(estimator, parameter)):
            raise ValueError(f"{name} with a function as {parameter} cannot be used on parts of a corpus")
    if estimator.input != "content":
        raise ValueError(f"{name} with input={estimator.input!r} cannot be used on parts of a corpus: give texts")
    dtype = estimator._engine_dtype()
    if dtype is None or (
        dtype[1] is not None and (isinstance(estimator, HashingVectorizer) or estimator.max_features is not None)
    ):
        raise ValueError(f"{name} with dtype={estimator.dtype!r} cannot be used on parts of a corpus")
    if estimator._engine_analysis() is None:
        raise ValueError(f"{name} cannot be used on parts of a corpus: {_reason(estimator)}")


def _reason(estimator: Any) -> str:
    try:
        _engine.analysis_of(estimator.get_params(deep=False), None)
    except (_native.Unsupported, ValueError, TypeError, KeyError) as error:
        return f"the engine does not support a setting ({error})"
    return "the engine does not support its stop words, or a step of it is overridden"


def partial(texts: Any, estimator: Any) -> pa.RecordBatch:
    """Returns the terms of these texts with their frequencies, and the row of the number of documents and tokens."""
    check(estimator)
    if isinstance(estimator, HashingVectorizer):
        raise ValueError("HashingVectorizer has nothing to fit")
    _refuse_nulls(texts)
    given = _given_terms(estimator)
    counts = _native.Counts(estimator._engine_analysis(), vocabulary=given)
    native = _engine.native_texts(texts)
    try:
        counts.add(native, estimator._thread_count(native))
    except _native.Unsupported as error:
        raise ValueError(f"the engine does not support a text: {error}") from error
    df = counts.document_frequencies()
    tf = counts.term_frequencies()
    batch = pa.record_batch([counts.terms(), df, tf], schema=SCHEMA).filter(pa.array(df > 0))
    # With a vocabulary, only its terms count for the length of a document.
    n_tokens = int((counts.lengths() if given is None else tf).sum())
    sums = pa.record_batch([[None], [counts.n_documents], [n_tokens]], schema=SCHEMA)
    return pa.Table.from_batches([batch, sums]).combine_chunks().to_batches()[0]


def total(parts: Iterable[pa.RecordBatch | pa.Table]) -> pa.Table:
    """Returns the sums of parts by term, sorted by term in the order of code points, with the null term at the end.

    The parts are added up as they come: memory is that of the sums and of about as many rows of parts.
    """
    sums = SCHEMA.empty_table()
    pending: list[pa.Table] = []
    n_pending = 0
    for part in parts:
        pending.append(part if isinstance(part, pa.Table) else pa.Table.from_batches([part]))
        n_pending += part.num_rows
        if n_pending > max(_PENDING_ROWS, sums.num_rows):
            sums = _added([sums, *pending])
            pending, n_pending = [], 0
    # Arrow compares strings by their bytes in UTF-8, whose order is that of code points.
    return _added([sums, *pending]).sort_by("term")


def _added(tables: list[pa.Table]) -> pa.Table:
    table = pa.concat_tables([table.select(SCHEMA.names).cast(SCHEMA) for table in tables])
    sums = table.group_by("term").aggregate([("df", "sum"), ("tf", "sum")])
    return pa.table([sums["term"], sums["df_sum"], sums["tf_sum"]], schema=SCHEMA)


def fitted(estimator: Any, totals: pa.Table) -> Any:
    """Returns a clone of the estimator, fitted as its `fit` does on all the documents that `totals` are the sums of.

    `totals` is a table that `total` returned.
    """
    check(estimator)
    estimator = clone(estimator)
    if isinstance(estimator, HashingVectorizer):
        return estimator
    is_term = pc.is_valid(totals["term"])
    n_documents, n_tokens = (pc.sum(totals.filter(pc.invert(is_term))[name]).as_py() or 0 for name in ("df", "tf"))
    totals = totals.filter(is_term)
    given = _given_terms(estimator)
    if given is None:
        # What `fit` would drop anyway makes no Python strings. If nothing is left, `fit` raises the error.
        low = estimator.min_df if isinstance(estimator.min_df, Integral) else estimator.min_df * n_documents
        frequent = totals.filter(pc.greater_equal(totals["df"], low))
        totals = frequent if frequent.num_rows else totals
        terms = totals["term"].to_pylist()
        df, tf = (totals[name].to_numpy() for name in ("df", "tf"))
    else:
        terms = given
        rows = pc.index_in(pa.array(given, pa.string()), totals["term"])
        df, tf = (pc.fill_null(pc.take(totals[name], rows), 0).to_numpy() for name in ("df", "tf"))
    estimator.fit(Totals(terms, np.ascontiguousarray(df), np.ascontiguousarray(tf), n_documents, n_tokens))
    return estimator


def _given_terms(estimator: Any) -> list[str] | None:
    """Returns the terms of the parameter `vocabulary` in the order of columns, or None if there is none."""
    if estimator.vocabulary is None:
        return None
    checked = clone(estimator)
    checked._validate_vocabulary()
    terms: Any = checked._engine_terms()
    if terms is None:
        raise ValueError("vocabulary must be a list of str, or a dictionary that gives each column from 0 one term")
    return list(terms.in_order())


def documents(estimator: Any, texts: Any) -> Any:
    """Returns the matrix that `fit_transform` has for these documents, by a fitted estimator."""
    transform = estimator._transform_documents if isinstance(estimator, BM25Vectorizer) else estimator.transform
    _refuse_nulls(texts)
    native = texts if hasattr(texts, "__len__") else list(texts)
    return transform(native) if len(native) else transform([""])[:0]


def _refuse_nulls(texts: Any) -> None:
    if isinstance(texts, (pa.Array, pa.ChunkedArray)) and texts.null_count:
        raise ValueError("a text is null: drop such rows, or fill them with empty texts")


def lists(matrix: Any) -> tuple[pa.Array, pa.Array]:
    """Returns the rows of a matrix as two columns of lists: `indices`, of int32, and `values`."""
    offsets = pa.array(matrix.indptr).cast(pa.int32())
    indices = pa.array(matrix.indices.astype(np.int32, copy=False))
    return pa.ListArray.from_arrays(offsets, indices), pa.ListArray.from_arrays(offsets, pa.array(matrix.data))
