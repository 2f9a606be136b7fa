"""The references: matrices as scikit-learn and bm25s compute them.

Each builder takes options under the reference's own names and returns a function from texts to a `Reference`. Counts
always come from scikit-learn's vectorizers, floats from its `TfidfTransformer` and `normalize` or from bm25s; indices
are sorted first, so that sums run in column order. Ours are only two selections: the columns of `max_features`, whose
ties scikit-learn leaves to the CPU, and the columns of a pruned BM25 index, which bm25s does not have.
"""

from __future__ import annotations

import warnings
from typing import Any, Callable, NamedTuple, Optional

import bm25s
import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer
from sklearn.preprocessing import normalize
from sklearn.utils import murmurhash3_32


class Reference(NamedTuple):
    """The output that bowline must compute: CSR with sorted indices, terms in column order, terms counted per document."""

    matrix: sp.csr_matrix
    vocabulary: Optional[list[str]]
    tokens: list[int]


Builder = Callable[[list[str]], Reference]


class _Tokens:
    """Keeps the terms of every document that a vectorizer analyses, or only their number."""

    def build_analyzer(self):
        analyze = super().build_analyzer()
        self.terms: list[list[str]] = []
        self.tokens: list[int] = []

        def counted(text: str) -> list[str]:
            terms = analyze(text)
            self.tokens.append(len(terms))
            if getattr(self, "keep_terms", False):
                self.terms.append(terms)
            return terms

        return counted


class _Counts(_Tokens, CountVectorizer):
    pass


class _Hashes(_Tokens, HashingVectorizer):
    pass


def _fit(vectorizer: Any, texts: list[str]) -> sp.csr_matrix:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stop words and vocabularies that cannot match: wanted here
        counts = sp.csr_matrix(vectorizer.fit_transform(texts))
    counts.sort_indices()
    return counts


def _most_frequent(counts: sp.csr_matrix, limit: int) -> np.ndarray:
    """The columns of the `limit` highest sums, ties by column, in column order."""
    totals = np.asarray(counts.sum(axis=0, dtype=np.int64)).ravel()
    return np.sort(np.argsort(-totals, kind="stable")[:limit])


def _columns(texts: list[str], max_features: Optional[int], keep_terms: bool = False, **options: Any):
    """Counts, vocabulary and the vectorizer (for its tokens and terms)."""
    vectorizer = _Counts(**options)
    vectorizer.keep_terms = keep_terms
    counts = _fit(vectorizer, texts)
    vocabulary = list(vectorizer.get_feature_names_out())
    if max_features is not None:
        kept = _most_frequent(counts, max_features)
        counts, vocabulary = counts[:, kept], [vocabulary[column] for column in kept]
    return counts, vocabulary, vectorizer


def _finished(matrix: sp.csr_matrix, norm: Optional[str], dtype: Any) -> sp.csr_matrix:
    matrix = sp.csr_matrix(matrix, dtype=dtype)
    matrix.sort_indices()
    return sp.csr_matrix(normalize(matrix, norm=norm)) if norm else matrix


def count(norm: Optional[str] = None, dtype: Any = np.int32, max_features: Optional[int] = None, **options: Any) -> Builder:
    """CountVectorizer, then normalize."""

    def reference(texts: list[str]) -> Reference:
        counts, vocabulary, vectorizer = _columns(texts, max_features, **options)
        return Reference(_finished(counts, norm, dtype), vocabulary, vectorizer.tokens)

    return reference


def hashed(norm: Optional[str] = None, dtype: Any = np.int32, **options: Any) -> Builder:
    """HashingVectorizer."""

    def reference(texts: list[str]) -> Reference:
        # its sums are whole numbers, exact in f64 whatever the final type
        vectorizer = _Hashes(norm=None, dtype=np.float64, **options)
        counts = _fit(vectorizer, texts)
        return Reference(_finished(counts, norm, dtype), None, vectorizer.tokens)

    return reference


def _tfidf(counts: sp.csr_matrix, dtype: Any, **options: Any) -> sp.csr_matrix:
    with np.errstate(divide="ignore"):  # a term of a fixed vocabulary that no document has
        weighted = TfidfTransformer(**options).fit_transform(counts.astype(dtype))
    return sp.csr_matrix(weighted)


def tfidf(
    norm: Optional[str] = "l2",
    smooth_idf: bool = True,
    sublinear_tf: bool = False,
    dtype: Any = np.float64,
    max_features: Optional[int] = None,
    **options: Any,
) -> Builder:
    """CountVectorizer, then TfidfTransformer, which together equal TfidfVectorizer."""

    def reference(texts: list[str]) -> Reference:
        counts, vocabulary, vectorizer = _columns(texts, max_features, **options)
        weighted = _tfidf(counts, dtype, norm=norm, smooth_idf=smooth_idf, sublinear_tf=sublinear_tf)
        return Reference(weighted, vocabulary, vectorizer.tokens)

    return reference


def hashed_tfidf(
    norm: Optional[str] = "l2",
    smooth_idf: bool = True,
    sublinear_tf: bool = False,
    dtype: Any = np.float64,
    **options: Any,
) -> Builder:
    """HashingVectorizer without a norm, then TfidfTransformer."""

    def reference(texts: list[str]) -> Reference:
        vectorizer = _Hashes(norm=None, dtype=np.float64, **options)
        counts = _fit(vectorizer, texts)
        weighted = _tfidf(counts, dtype, norm=norm, smooth_idf=smooth_idf, sublinear_tf=sublinear_tf)
        return Reference(weighted, None, vectorizer.tokens)

    return reference


def bm25(
    method: str = "lucene",
    k1: float = 1.5,
    b: float = 0.75,
    delta: float = 0.5,
    norm: Optional[str] = None,
    dtype: Any = np.float64,
    n_features: Optional[int] = None,
    max_features: Optional[int] = None,
    **options: Any,
) -> Builder:
    """bm25s over the terms that CountVectorizer finds, or over their buckets if `n_features` is given."""

    def reference(texts: list[str]) -> Reference:
        counts, vocabulary, vectorizer = _columns(texts, max_features, keep_terms=True, **options)
        if n_features is None:
            column = {term: i for i, term in enumerate(vocabulary)}
            documents = vectorizer.terms
        else:
            buckets = {t: abs(murmurhash3_32(t, seed=0)) % n_features for t in set().union(*vectorizer.terms)}
            column = {bucket: bucket for bucket in buckets.values()}
            documents = [[buckets[term] for term in terms] for terms in vectorizer.terms]

        identifiers: dict[Any, int] = {}
        numbered = [[identifiers.setdefault(key, len(identifiers)) for key in keys] for keys in documents]
        index = bm25s.BM25(k1=k1, b=b, delta=delta, method=method, dtype=np.dtype(dtype).name)
        index.index((numbered, identifiers), create_empty_token=False, show_progress=False)

        scores = index.scores
        shape = (len(texts), len(identifiers))
        entries = sp.csc_matrix((scores["data"], scores["indices"], scores["indptr"]), shape=shape).tocoo()
        target = np.array([column.get(key, -1) for key in identifiers], dtype=np.int64)[entries.col]
        kept = target >= 0
        width = len(vocabulary) if n_features is None else n_features
        matrix = sp.coo_matrix((entries.data[kept], (entries.row[kept], target[kept])), shape=(len(texts), width))
        names = vocabulary if n_features is None else None
        return Reference(_finished(matrix.tocsr(), norm, dtype), names, vectorizer.tokens)

    return reference
