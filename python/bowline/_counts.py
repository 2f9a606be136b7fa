"""`Counts`: the two phases of counting, for those who need them apart."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bowline import _engine, _native

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class Counts:
    """Counts of the terms of documents, before anything is decided about columns.

    Count texts with `add`, as often as needed; `merge` what other processes have counted; look at `terms`,
    `document_frequencies` and `term_frequencies`; then choose `columns` and call `matrix`.

    Parameters
    ----------
    analyzer : {'word', 'char', 'char_wb'}, default='word'
    ngram_range : tuple (min_n, max_n), default=(1, 1)
    lowercase : bool, default=True
    strip_accents : {'ascii', 'unicode'} or None, default=None
    token_pattern : str, default=r"(?u)\\b\\w\\w+\\b"
    stop_words : {'english'}, collection of str or None, default=None
    decode_error : {'strict', 'ignore', 'replace'}, default='strict'
        As in scikit-learn's `CountVectorizer`. Settings that the engine does not support raise `ValueError`.
    vocabulary : sequence of str or None, default=None
        Terms in the order of columns: only these are counted.
    n_features : int or None, default=None
        Number of columns for hashed terms, as in scikit-learn's `HashingVectorizer`.
    alternate_sign : bool, default=True
        For hashed terms, whether the hash decides the sign of a count.
    n_jobs : int or None, default=None
        Number of threads; None uses all cores that the process may use, -1 all cores.

    Examples
    --------
    >>> import numpy as np
    >>> from bowline import Counts
    >>> counts = Counts().add(["the cat sat", "the dog sat down"])
    >>> counts.merge(Counts().add(["the bird"]))
    Counts(n_documents=3, n_columns=6)
    >>> counts.terms()
    ['bird', 'cat', 'dog', 'down', 'sat', 'the']
    >>> counts.document_frequencies()
    array([1, 1, 1, 1, 2, 3])

    The matrix of the terms that occur in two documents or more:

    >>> kept = np.flatnonzero(counts.document_frequencies() >= 2)
    >>> counts.matrix(kept).toarray()
    array([[1, 1],
           [1, 1],
           [0, 1]])
    """

    def __init__(
        self,
        *,
        analyzer: str = "word",
        ngram_range: tuple[int, int] = (1, 1),
        lowercase: bool = True,
        strip_accents: str | None = None,
        token_pattern: str = _engine.DEFAULT_TOKEN_PATTERN,
        stop_words: str | Collection[str] | None = None,
        decode_error: str = "strict",
        vocabulary: Sequence[str] | None = None,
        n_features: int | None = None,
        alternate_sign: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        words: frozenset[str] | tuple[str, ...] | None
        if isinstance(stop_words, str):
            if stop_words != "english":
                raise ValueError(f"not a built-in stop list: {stop_words}")
            try:
                from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
            except ImportError as error:
                raise ImportError(
                    "stop_words='english' is scikit-learn's list: install it by `pip install 'bowline[sklearn]'`"
                ) from error
            words = ENGLISH_STOP_WORDS
        else:
            words = None if stop_words is None else tuple(stop_words)
        try:
            analysis = _engine.analysis(
                analyzer, tuple(ngram_range), lowercase, strip_accents, token_pattern, words, decode_error
            )
        except _native.Unsupported as error:
            raise ValueError(str(error)) from error
        if vocabulary is not None:
            vocabulary = list(vocabulary)
        self._native = _native.Counts(
            analysis, vocabulary=vocabulary, n_features=n_features, alternate_sign=alternate_sign
        )
        self.n_jobs = n_jobs

    def __repr__(self) -> str:
        return f"Counts(n_documents={self.n_documents}, n_columns={self.n_columns})"

    def add(self, texts: Any) -> Counts:
        """Count documents: an iterable of str or bytes, or a column of strings. Returns self."""
        native = _engine.native_texts(texts)
        try:
            self._native.add(native, _engine.thread_count(self.n_jobs, native))
        except _native.Unsupported as error:
            raise ValueError(str(error)) from error
        return self

    def merge(self, other: Counts) -> Counts:
        """Append the documents of `other`, which has the same settings and is left unchanged. Returns self."""
        self._native.merge(other._native)
        return self

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return self._native.n_documents

    @property
    def n_columns(self) -> int:
        """Number of terms, of the vocabulary or of hashed columns."""
        return self._native.n_columns

    def terms(self) -> list[str]:
        """Return the distinct terms, sorted; with a vocabulary, the vocabulary."""
        return self._native.terms()

    def document_frequencies(self) -> np.ndarray:
        """Return the number of documents of each term, in the order of `terms`."""
        return self._native.document_frequencies()

    def term_frequencies(self) -> np.ndarray:
        """Return the number of occurrences of each term, in the order of `terms`."""
        return self._native.term_frequencies()

    def lengths(self) -> np.ndarray:
        """Return the number of tokens of each document."""
        return self._native.lengths()

    def matrix(
        self,
        columns: Any = None,
        *,
        dtype: Any = np.int64,
        weight: str = "count",
        sublinear: bool = False,
        idf: Any = None,
        norm: str | None = None,
    ) -> csr_matrix:
        """Return the document-term matrix.

        Parameters
        ----------
        columns : array of int or None, default=None
            Which terms become columns, in this order, by their index in `terms`. None: all.
        dtype : {numpy.int32, numpy.int64, numpy.float32, numpy.float64}, default=numpy.int64
            Type of the values.
        weight : {'count', 'binary', 'tfidf'}, default='count'
            Value of a term in a document. For 'tfidf' the count, or with `sublinear` 1 + ln(count), times `idf`.
        sublinear : bool, default=False
        idf : array of float or None, default=None
            The factor of each column.
        norm : {'l1', 'l2'} or None, default=None
            What each row's norm is made 1 of.
        """
        native_dtype = _engine.NATIVE_DTYPES.get(np.dtype(dtype).str)
        if native_dtype is None:
            raise ValueError(f"dtype must be one of int32, int64, float32 and float64, got {np.dtype(dtype)}")
        new_columns = None
        n_columns = self.n_columns
        if columns is not None:
            chosen = np.asarray(columns)
            if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
                raise ValueError("columns must be a list of indices of terms")
            chosen = chosen.astype(np.int64)
            if chosen.size and not 0 <= chosen.min() <= chosen.max() < n_columns:
                raise IndexError(f"columns must be between 0 and {n_columns - 1}")
            new_columns = np.full(n_columns, -1, dtype=np.int64)
            new_columns[chosen] = np.arange(len(chosen))
            n_columns = len(chosen)
            if np.count_nonzero(new_columns >= 0) != n_columns:
                raise ValueError("columns has an index twice")
        if idf is not None:
            idf = np.ascontiguousarray(idf, dtype=np.float64)
            if idf.shape != (n_columns,):
                raise ValueError(f"idf must have {n_columns} values, one for each column, has {idf.size}")
        arrays = self._native.matrix(
            columns=new_columns,
            n_columns=n_columns,
            dtype=native_dtype,
            weight=weight,
            sublinear=sublinear,
            idf=idf,
            norm=norm,
            n_threads=_engine.thread_count(self.n_jobs),
        )
        return _engine.csr(arrays, n_columns)


Counts.__module__ = "bowline"
