"""BM25 as a vectorizer: the weights of documents as the bm25s package computes them, and queries to multiply with.

Sources: Kamphuis et al., "Which BM25 Do You Mean?" (2020), and the bm25s package, whose methods these are.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from bowline import _engine, _native, _vectorizers
from bowline._vectorizers import CountVectorizer, Totals, _attributes, _Counted

_METHODS = ("lucene", "robertson", "atire", "bm25l", "bm25+")


def inverse_document_frequencies(method: str, frequencies: np.ndarray, n_documents: int) -> np.ndarray:
    """Returns the idf of each term, and 0 for a term that no document has, as bm25s does."""
    n = float(n_documents)
    df = np.maximum(frequencies.astype(np.float64), 1.0)
    if method == "lucene":
        idf = np.log(1.0 + (n - df + 0.5) / (df + 0.5))
    elif method == "robertson":
        idf = np.log(np.maximum((n - df + 0.5) / (df + 0.5), 1.0))
    elif method == "atire":
        idf = np.log(n / df)
    elif method == "bm25l":
        idf = np.log((n + 1.0) / (df + 0.5))
    else:
        idf = np.log((n + 1.0) / df)
    return np.where(frequencies > 0, idf, 0.0)


def saturation(method: str, counts: Any, length: Any, k1: float, b: float, delta: float) -> Any:
    """Returns what multiplies idf, for counts in a document of this length (1 is the mean length).

    For bm25l and bm25+, less the value of a term that does not occur: see `absence`.
    """
    norm = 1.0 - b + b * length
    if method == "bm25l":
        scaled = counts / norm
        return (k1 + 1.0) * (scaled + delta) / (k1 + scaled + delta) - absence(method, k1, delta)
    if method in ("lucene", "robertson"):
        return counts / (k1 * norm + counts)
    # The delta of bm25+ is both added and subtracted.
    return counts * (k1 + 1.0) / (k1 * norm + counts)


def absence(method: str, k1: float, delta: float) -> float:
    """Returns what multiplies the idf of a query's term that a document does not have."""
    if method == "bm25l":
        return (k1 + 1.0) * delta / (k1 + delta)
    return delta if method == "bm25+" else 0.0


class BM25Vectorizer(CountVectorizer):
    """Convert texts to BM25 weights, as the bm25s package computes them.

    ``fit_transform(documents)`` gives the documents' side, ``transform(queries)`` the queries' side, so that
    ``X @ q.T`` are the scores of all documents for all queries.

    Parameters
    ----------
    method : {'lucene', 'robertson', 'atire', 'bm25l', 'bm25+'}, default='lucene'
        The variant. bm25l and bm25+ give a score to documents that lack a term; since it is the same for all
        documents of a query, it is left out of the matrix, so that it stays sparse. Add
        ``q @ vectorizer.absence_`` for bm25s's own scores; the order of documents is the same without it.
    k1 : float, default=1.5
        How late the count of a term saturates.
    b : float, default=0.75
        How much the length of a document counts, from 0 to 1.
    delta : float, default=0.5
        What bm25l and bm25+ add for a term that occurs.
    n_jobs : int or None, default=None
        Number of threads, as in :class:`CountVectorizer`.

    Attributes
    ----------
    idf_ : array of shape (n_features,)
        Inverse document frequencies of the terms.
    absence_ : array of shape (n_features,)
        The score of a query's term for a document that lacks it: zero but for bm25l and bm25+.
    mean_length_ : float
        Mean number of tokens of a document, counted before terms are dropped.

    Notes
    -----
    The other parameters are those of :class:`CountVectorizer`, but there is no `binary`. bm25s drops English stop words
    by default; here it is ``stop_words="english"``, with scikit-learn's list. With a `vocabulary`, only its terms count
    for the length of a document.

    Examples
    --------
    >>> from bowline import BM25Vectorizer
    >>> documents = ["a cat is a feline", "a dog is a human's best friend", "a bird can fly"]
    >>> vectorizer = BM25Vectorizer()
    >>> X = vectorizer.fit_transform(documents)
    >>> q = vectorizer.transform(["does the cat fly", "best friend"])
    >>> (X @ q.T).toarray().round(3)
    array([[0.427, 0.   ],
           [0.   , 0.674],
           [0.427, 0.   ]], dtype=float32)
    """

    binary = False

    _parameter_constraints: dict[str, Any] = {
        **{name: value for name, value in CountVectorizer._parameter_constraints.items() if name != "binary"},
        "method": [StrOptions(set(_METHODS))],
        "k1": [Interval(Real, 0, None, closed="left")],
        "b": [Interval(Real, 0, 1, closed="both")],
        "delta": [Interval(Real, 0, None, closed="left")],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        *,
        method: str = "lucene",
        k1: float = 1.5,
        b: float = 0.75,
        delta: float = 0.5,
        input: str = "content",
        encoding: str = "utf-8",
        decode_error: str = "strict",
        strip_accents: Any = None,
        lowercase: bool = True,
        preprocessor: Any = None,
        tokenizer: Any = None,
        stop_words: Any = None,
        token_pattern: str | None = r"(?u)\b\w\w+\b",
        ngram_range: tuple[int, int] = (1, 1),
        analyzer: Any = "word",
        max_df: float = 1.0,
        min_df: float = 1,
        max_features: int | None = None,
        vocabulary: Any = None,
        dtype: Any = np.float32,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(
            input=input,
            encoding=encoding,
            decode_error=decode_error,
            strip_accents=strip_accents,
            lowercase=lowercase,
            preprocessor=preprocessor,
            tokenizer=tokenizer,
            stop_words=stop_words,
            token_pattern=token_pattern,
            ngram_range=ngram_range,
            analyzer=analyzer,
            max_df=max_df,
            min_df=min_df,
            max_features=max_features,
            vocabulary=vocabulary,
            dtype=dtype,
            n_jobs=n_jobs,
        )
        del _attributes(self)["binary"]
        self.method = method
        self.k1 = k1
        self.b = b
        self.delta = delta

    def _limit_features(self, X: Any, vocabulary: Any, high: Any = None, low: Any = None, limit: Any = None) -> Any:
        limited = super()._limit_features(X, vocabulary, high, low, limit)
        if not isinstance(X, _Counted):
            limited.lengths = _row_sums(X)
        return limited

    def _learn(self, raw_documents: Any) -> tuple[Any, Any]:
        """Counts the documents and fits the statistics; returns the counts and the lengths of documents."""
        if np.dtype(self.dtype) not in (np.float32, np.float64):
            raise ValueError(f"dtype must be numpy.float32 or numpy.float64, got {self.dtype!r}")
        X = super(CountVectorizer, self).fit_transform(raw_documents)
        lengths: Any
        if isinstance(X, _Counted):
            frequencies = X.document_frequencies
            lengths = None if type(X.counts) is Totals else X.counts.lengths()
        else:
            lengths = getattr(X, "lengths", None)
            if lengths is None:
                lengths = _row_sums(X)
            frequencies = np.bincount(X.indices, minlength=X.shape[1])
        self.idf_ = inverse_document_frequencies(self.method, frequencies, X.shape[0])
        self.absence_ = self.idf_ * absence(self.method, self.k1, self.delta)
        self.mean_length_ = X.counts.n_tokens / X.shape[0] if lengths is None else float(lengths.mean())
        return X, lengths

    def fit(self, raw_documents: Any, y: Any = None) -> BM25Vectorizer:
        """Learn terms, idf and the mean length of documents.

        Parameters
        ----------
        raw_documents : iterable of str or bytes, or a column of strings
            Documents.

        y : None
            This parameter is ignored.

        Returns
        -------
        self : object
            Fitted vectorizer.
        """
        self._learn(raw_documents)
        return self

    def fit_transform(self, raw_documents: Any, y: Any = None) -> Any:
        """Learn terms, idf and the mean length of documents, and return the documents' weights.

        Parameters
        ----------
        raw_documents : iterable of str or bytes, or a column of strings
            Documents.

        y : None
            This parameter is ignored.

        Returns
        -------
        X : sparse matrix of shape (n_samples, n_features)
            Weights of the documents' terms.
        """
        return self._weighted(*self._learn(raw_documents))

    def _transform_documents(self, raw_documents: Any) -> Any:
        """Returns the weights of documents by what was learned: for the fitted documents, those of `fit_transform`."""
        if self.fixed_vocabulary_:
            X = super().transform(raw_documents)
            return self._weighted(X, _row_sums(X))
        analysis = self._engine_analysis()
        dtype = self._engine_dtype()
        assert analysis is not None and dtype is not None
        counts = _native.Counts(analysis)
        texts = _engine.native_texts(raw_documents)
        counts.add(texts, self._thread_count(texts))
        column_of = self.vocabulary_.get
        terms = counts.terms()
        counted = _Counted(counts, self, dtype)
        counted.columns = np.fromiter((column_of(term, -1) for term in terms), np.int64, len(terms))
        counted.shape = (counts.n_documents, len(self.vocabulary_))
        return self._weighted(counted, None)

    def _weighted(self, X: Any, lengths: Any) -> Any:
        """Returns the weights of counts; `lengths` are needed for a matrix of counts only."""
        mean_length = self.mean_length_ or 1.0
        if isinstance(X, _Counted):
            bm25 = (float(self.k1), float(self.b), float(self.delta), self.method, mean_length)
            return X.matrix(self._thread_count(None), weight="bm25", idf=self.idf_, bm25=bm25)
        relative = np.repeat(lengths / mean_length, np.diff(X.indptr))
        weights = saturation(self.method, X.data.astype(np.float64), relative, self.k1, self.b, self.delta)
        X.data = (weights * self.idf_[X.indices]).astype(self.dtype)
        return X

    def transform(self, raw_documents: Any) -> Any:
        """Count the learned terms in queries.

        Parameters
        ----------
        raw_documents : iterable of str or bytes, or a column of strings
            Queries.

        Returns
        -------
        q : sparse matrix of shape (n_queries, n_features)
            How often each query has each term; `X @ q.T` are the scores.
        """
        return super().transform(raw_documents)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags._skip_test = True
        return tags


def _row_sums(X: Any) -> np.ndarray:
    return np.asarray(X.sum(axis=1), dtype=np.int64).ravel()


_vectorizers._set_hooks(BM25Vectorizer, _vectorizers._COUNT_HOOKS)
BM25Vectorizer.__module__ = "bowline"
