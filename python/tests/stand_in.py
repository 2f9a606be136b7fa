"""A slow stand-in for `bowline._native`, by scikit-learn's own analyzers. For tests until the native module is built."""

from collections import Counter

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.utils import murmurhash3_32

CALLS = 0


class Unsupported(Exception):
    pass


class TextError(ValueError):
    def __init__(self, index, item):
        super().__init__(f"element {index} is no text")
        self.index, self.item = index, item


class Analysis:
    def __init__(self, *, analyzer, ngram_range, lowercase, strip_accents, token_pattern, stop_words,
                 encoding="utf-8", decode_error="strict", unicode_version=None):
        if encoding != "utf-8":
            raise Unsupported(encoding)
        if token_pattern is not None and "(?=" in token_pattern:
            raise Unsupported("look-ahead")
        self.analyzer = analyzer
        self.arguments = dict(analyzer=analyzer, ngram_range=ngram_range, lowercase=lowercase,
                              strip_accents=strip_accents, token_pattern=token_pattern,
                              stop_words=stop_words and sorted(stop_words), decode_error=decode_error)
        arguments = dict(self.arguments, stop_words=stop_words)
        if token_pattern is None:
            del arguments["token_pattern"]
        vectorizer = CountVectorizer(**arguments)
        vectorizer._stop_words_id = id(vectorizer.stop_words)
        self.analyze = vectorizer.build_analyzer()

    def tokens(self, texts):
        if hasattr(texts, "__arrow_c_stream__"):
            import pyarrow
            texts = pyarrow.chunked_array(texts).to_pylist()
        for index, text in enumerate(texts):
            if not isinstance(text, (str, bytes)):
                raise TextError(index, text)
            if isinstance(text, str) and self.analyzer != "word" and any("\ud800" <= c <= "\udfff" for c in text):
                raise Unsupported("lone surrogate")
            try:
                tokens = self.analyze(text)
            except UnicodeDecodeError:
                raise TextError(index, text) from None
            yield tokens

    def __reduce__(self):
        return _make, (self.arguments,)


def _make(arguments):
    return Analysis(**arguments)


class Counts:
    def __init__(self, analysis, *, vocabulary=None, n_features=None, alternate_sign=True):
        self.analysis = analysis
        self.vocabulary = None if vocabulary is None else list(vocabulary)
        self.n_features, self.alternate_sign = n_features, alternate_sign
        self.rows = []
        self._lengths = []

    def add(self, texts, n_threads):
        global CALLS
        CALLS += 1
        assert n_threads >= 1
        rows, lengths = [], []
        known = None if self.vocabulary is None else set(self.vocabulary)
        for tokens in self.analysis.tokens(texts):
            if self.n_features is not None:
                row = Counter()
                for token in tokens:
                    hashed = murmurhash3_32(token.encode("utf-8", "surrogatepass"), 0)
                    row[abs(int(hashed)) % self.n_features] += 1 if hashed >= 0 or not self.alternate_sign else -1
            else:
                row = Counter(token for token in tokens if known is None or token in known)
            rows.append(row)
            lengths.append(len(tokens) if known is None else sum(row.values()))
        self.rows += rows
        self._lengths += lengths
        return len(rows)

    def merge(self, other):
        self.rows += other.rows
        self._lengths += other._lengths

    @property
    def n_documents(self):
        return len(self.rows)

    @property
    def n_columns(self):
        return self.n_features if self.n_features is not None else len(self.terms())

    def terms(self):
        if self.n_features is not None:
            raise ValueError("hashed")
        return self.vocabulary if self.vocabulary is not None else sorted({t for row in self.rows for t in row})

    def _by_term(self, value):
        totals = Counter()
        for row in self.rows:
            for term, count in row.items():
                totals[term] += value(count)
        return np.array([totals[term] for term in self.terms()], dtype=np.int64)

    def document_frequencies(self):
        return self._by_term(lambda count: 1)

    def term_frequencies(self):
        return self._by_term(lambda count: count)

    def lengths(self):
        return np.array(self._lengths, dtype=np.int64)

    def matrix(self, *, columns=None, n_columns=None, dtype="int64", weight="count", sublinear=False, idf=None,
               norm=None, bm25=None, n_threads=1):
        if self.n_features is not None:
            new = range(self.n_features)
        else:
            new = {term: (i if columns is None else int(columns[i])) for i, term in enumerate(self.terms())}
        data, indices, indptr = [], [], [0]
        for row, length in zip(self.rows, self._lengths):
            cells = sorted((new[term], count) for term, count in row.items() if new[term] >= 0)
            values = []
            for column, count in cells:
                value = 1.0 if weight == "binary" else float(count)
                if weight == "tfidf":
                    value = 1 + np.log(value) if sublinear else value
                    value *= idf[column] if idf is not None else 1.0
                elif weight == "bm25":
                    from bowline._bm25 import saturation
                    k1, b, delta, method, mean_length = bm25
                    value = float(idf[column] * saturation(method, value, length / mean_length, k1, b, delta))
                values.append(value)
            if norm == "l2":
                total = np.sqrt(sum(v * v for v in values))
            elif norm == "l1":
                total = sum(abs(v) for v in values)
            if norm is not None and total:
                values = [v / total for v in values]
            data += values
            indices += [column for column, _ in cells]
            indptr.append(len(indices))
        return np.array(data, dtype=dtype), np.array(indices, dtype=np.int32), np.array(indptr, dtype=np.int32)


class Transformer:
    def __init__(self, analysis, *, vocabulary=None, n_features=None, alternate_sign=True):
        self.arguments = dict(vocabulary=vocabulary, n_features=n_features, alternate_sign=alternate_sign)
        self.analysis = analysis

    def transform(self, texts, *, dtype, weight="count", sublinear=False, idf=None, norm=None, n_threads=1):
        counts = Counts(self.analysis, **self.arguments)
        counts.add(texts, n_threads)
        return counts.matrix(dtype=dtype, weight=weight, sublinear=sublinear, idf=idf, norm=norm)


def available_threads():
    return 2
