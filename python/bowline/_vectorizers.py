"""scikit-learn's text vectorizers, with the engine's counting in place of the loop over documents.

Each class is a subclass of scikit-learn's and keeps its control flow: validation, warnings, errors and the order of
steps are scikit-learn's code. The steps that read texts and choose columns are the engine's, if every hook of the
class is scikit-learn's own and the engine supports the parameters; scikit-learn's own code runs otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import numpy as np

try:
    import sklearn.feature_extraction.text as _text
except ImportError as error:
    raise ImportError(
        "the vectorizers are subclasses of scikit-learn's: install them by `pip install 'bowline[sklearn]'`"
    ) from error

from numbers import Integral

from scipy.sparse import csr_array, csr_matrix
from sklearn import get_config
from sklearn.base import BaseEstimator, _fit_context

from bowline import _engine, _native
from bowline._vocabulary import LazyVocabulary, Terms, Vocabulary, number

_HOOKS = (
    "_char_ngrams",
    "_char_wb_ngrams",
    "_check_stop_words_consistency",
    "_white_spaces",
    "_word_ngrams",
    "build_analyzer",
    "build_preprocessor",
    "build_tokenizer",
    "decode",
    "get_stop_words",
)
_COUNT_HOOKS = (*_HOOKS, "_check_vocabulary", "_count_vocab", "_limit_features", "_sort_features")
_HASHING_HOOKS = (*_HOOKS, "_get_hasher", "_warn_for_unused_params", "_validate_ngram_range")

# Functions of scikit-learn's module that a program can replace.
_module_functions = attrgetter(
    "_analyze",
    "_check_stop_list",
    "_preprocess",
    "ENGLISH_STOP_WORDS",
    "FeatureHasher",
    "TfidfTransformer",
    "normalize",
    "strip_accents_ascii",
    "strip_accents_unicode",
)
_MODULE_FUNCTIONS = _module_functions(_text)

# scikit-learn 1.9 and later choose the class of matrices by a setting.
_HAS_SPARSE_INTERFACE = "sparse_interface" in get_config()

# The real dictionary of an instance; `EngineMixin.__dict__` completes it first.
_attributes = next(
    vars(base)["__dict__"].__get__ for base in BaseEstimator.__mro__ if "__dict__" in vars(base)
)


def _container() -> Any:
    """Returns the class of matrices that scikit-learn returns now."""
    if _HAS_SPARSE_INTERFACE and get_config()["sparse_interface"] == "sparray":
        return csr_array
    return csr_matrix


class EngineMixin:
    """Decides whether the engine may serve a call, and calls it."""

    # For estimators of pickles that were made before a parameter was added.
    n_jobs: int | None = None

    _hooks: tuple[attrgetter[Any], Any, frozenset[str]]

    def _engine_analysis(self) -> _native.Analysis | None:
        """Returns the analysis of the parameters as they are now, or None if scikit-learn's own code must run.

        Emits no warning and raises no error that scikit-learn would not: a wrong parameter gives None.
        """
        settings = _attributes(self)
        get_hooks, hooks, names = self._hooks
        if (
            get_hooks(type(self)) != hooks
            or not names.isdisjoint(settings)
            or _module_functions(_text) != _MODULE_FUNCTIONS
        ):
            return None
        try:
            stop_words = settings["stop_words"]
            if type(stop_words) is str:
                if stop_words != "english":
                    return None
                stop_words = _text.ENGLISH_STOP_WORDS
            return _engine.analysis_of(settings, stop_words)
        except (_native.Unsupported, ValueError, TypeError, KeyError):
            return None

    def _engine_dtype(self) -> tuple[str, np.dtype[Any] | None] | None:
        """Returns the type that the engine writes, and the type to convert it to, if that is another."""
        try:
            dtype = np.dtype(self.dtype)  # type: ignore[attr-defined]
        except TypeError:
            return None
        native = _engine.NATIVE_DTYPES.get(dtype.str)
        if native is not None:
            return native, None
        return ("int64", dtype) if dtype.kind in "biu" and dtype.isnative else None

    def _check_analyzer(self) -> None:
        """Raises the errors and emits the warnings of scikit-learn's `build_analyzer`, once for one list of words."""
        settings = _attributes(self)
        if settings["analyzer"] != "word" or settings.get("_stop_words_id") == id(settings["stop_words"]):
            return
        self.build_analyzer()  # type: ignore[attr-defined]

    def _refuse(self, texts: Any, error: _native.TextError) -> None:
        """Raises scikit-learn's own error for an element that is no text; returns if it would accept the element."""
        item = _engine.element(texts, error)
        self.build_analyzer()(item)  # type: ignore[attr-defined]
        if _engine.is_iterator(texts):
            raise TypeError(
                f"document {error.index} is of type {type(item).__name__}: an iterator may yield str and bytes only"
            )

    def _readable_twice(self, texts: Iterator[Any]) -> Any:
        """Returns an iterator's texts, as a list if the engine may refuse one of them in the middle.

        It refuses lone surrogates, and texts on which a pattern takes too many steps. The words of the default pattern
        are found in every text, so that any number of texts streams through.
        """
        settings = _attributes(self)
        if settings["analyzer"] == "word" and settings["token_pattern"] == _engine.DEFAULT_TOKEN_PATTERN:
            return texts
        return list(texts)

    def _thread_count(self, texts: Any) -> int:
        return _engine.thread_count(_attributes(self).get("n_jobs"), texts)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        attributes: dict[str, Any] = _attributes(self)
        if "_terms" in attributes:
            self.vocabulary_  # type: ignore[attr-defined]  # noqa: B018
        return attributes

    def __sklearn_is_fitted__(self) -> bool:
        return any(name.endswith("_") and not name.startswith("__") for name in _attributes(self)) or (
            "_terms" in _attributes(self)
        )

    def __getstate__(self) -> dict[str, Any]:
        # As scikit-learn's own, so that a pickle holds nothing that another version of this package may not know.
        inherited: Any = super().__getstate__()
        state: dict[str, Any] = dict(inherited)
        terms = state.pop("_terms", None)
        if terms is not None and "vocabulary_" not in state:
            state["vocabulary_"] = {}
            number(terms.terms, state["vocabulary_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[misc]
        attributes = _attributes(self)
        if type(attributes.get("vocabulary_")) is dict:
            attributes["vocabulary_"] = Vocabulary(attributes["vocabulary_"])


def _refuse_iterator(texts: Any) -> None:
    """Raises an error for an iterator that was read in part, so that rows are never lost in silence."""
    if _engine.is_iterator(texts):
        raise RuntimeError("the engine refused a text of an iterator: give a list")


class Totals:
    """Sums over the documents of all parts, which `fit` takes in place of documents.

    Has what `_Counted` needs of `_native.Counts` to fit an estimator; there are no rows.
    """

    def __init__(
        self,
        terms: list[str],
        document_frequencies: np.ndarray,
        term_frequencies: np.ndarray,
        n_documents: int,
        n_tokens: int,
    ) -> None:
        self.n_documents = n_documents
        self.n_columns = len(terms)
        self.n_tokens = n_tokens
        self._terms = terms
        self._document_frequencies = document_frequencies
        self._term_frequencies = term_frequencies

    def terms(self) -> list[str]:
        """Returns the terms in the order of columns: sorted, or the vocabulary that was given."""
        return self._terms

    def document_frequencies(self) -> np.ndarray:
        """Returns the number of documents of each term."""
        return self._document_frequencies

    def term_frequencies(self) -> np.ndarray:
        """Returns the number of occurrences of each term."""
        return self._term_frequencies


class _Counted:
    """Counts of documents before their columns are chosen: what `_count_vocab` hands to `_limit_features`.

    Has the attributes of a matrix that scikit-learn's `fit_transform` reads between the two.
    """

    def __init__(self, counts: Any, estimator: CountVectorizer, dtype: tuple[str, Any]) -> None:
        # `_native.Counts`, or `Totals` to fit only.
        self.counts = counts
        self.native_dtype, self.dtype = dtype
        self.binary = bool(estimator.binary)
        self.shape = (counts.n_documents, counts.n_columns)
        # `binary` fills it with ones; the engine writes them itself.
        self.data = np.empty(0)
        self.columns: np.ndarray | None = None
        self.document_frequencies = counts.document_frequencies()

    def limit(self, high: float | None, low: float | None, limit: int | None) -> np.ndarray | None:
        """Chooses the columns as scikit-learn does; returns which terms are kept, or None for all of them.

        Among terms of equal frequency the lesser ones are kept, whatever the order of documents is.
        """
        frequencies = self.document_frequencies
        kept = np.ones(len(frequencies), dtype=bool)
        if high is not None:
            kept &= frequencies <= high
        if low is not None:
            kept &= frequencies >= low
        if limit is not None and kept.sum() > limit:
            totals = frequencies if self.binary else self.counts.term_frequencies()
            most_frequent = (-totals[kept]).argsort(kind="stable")[:limit]
            chosen = np.flatnonzero(kept)[most_frequent]
            kept = np.zeros(len(frequencies), dtype=bool)
            kept[chosen] = True
        if kept.all():
            return None
        self.columns = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int64, copy=False)
        self.document_frequencies = frequencies[kept]
        self.shape = (self.shape[0], int(kept.sum()))
        return kept

    def matrix(self, n_threads: int, *, dtype: str | None = None, weight: str | None = None, **values: Any) -> Any:
        """Returns the matrix of the chosen columns, by default of counts in the estimator's type."""
        data, indices, indptr = self.counts.matrix(
            columns=self.columns,
            n_columns=self.shape[1],
            dtype=dtype or self.native_dtype,
            weight=weight or ("binary" if self.binary else "count"),
            n_threads=n_threads,
            **values,
        )
        if dtype is None and self.dtype is not None:
            data = data.astype(self.dtype)
        return _engine.csr((data, indices, indptr), self.shape[1], _container())


class CountVectorizer(EngineMixin, _text.CountVectorizer):
    """Convert texts to a matrix of token counts: scikit-learn's `CountVectorizer`, several times as fast.

    All parameters, attributes and results are scikit-learn's.

    Parameters
    ----------
    n_jobs : int or None, default=None
        Number of threads. None uses all cores that the process may use (`BOWLINE_NUM_THREADS` and `OMP_NUM_THREADS`
        limit them), -1 all cores, -2 all but one.

    Notes
    -----
    The other parameters are documented at :class:`sklearn.feature_extraction.text.CountVectorizer`. A callable
    `preprocessor`, `tokenizer` or `analyzer`, `input` other than ``"content"``, another `encoding` than UTF-8 and a
    subclass that overrides a step are served by scikit-learn's own code.

    Among terms of equal frequency, `max_features` keeps the lesser ones; scikit-learn's choice depends on the machine.

    Examples
    --------
    >>> from bowline import CountVectorizer
    >>> corpus = ["This is the first document.", "Is this the second document?"]
    >>> vectorizer = CountVectorizer()
    >>> X = vectorizer.fit_transform(corpus)
    >>> vectorizer.get_feature_names_out()
    array(['document', 'first', 'is', 'second', 'the', 'this'], dtype=object)
    >>> X.toarray()
    array([[1, 1, 1, 0, 1, 1],
           [1, 0, 1, 1, 1, 1]])
    """

    vocabulary_ = LazyVocabulary(_attributes)

    _parameter_constraints: dict[str, Any] = {
        **_text.CountVectorizer._parameter_constraints,
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        *,
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
        binary: bool = False,
        dtype: Any = np.int64,
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
            binary=binary,
            dtype=dtype,
        )
        self.n_jobs = n_jobs

    def _count_vocab(self, raw_documents: Any, fixed_vocab: bool) -> tuple[Any, Any]:
        analysis = self._engine_analysis()
        dtype = self._engine_dtype()
        scikit_learns = super()._count_vocab
        if type(raw_documents) is Totals:
            assert dtype is not None
            self._check_analyzer()
            if raw_documents.n_columns == 0:
                return scikit_learns([], False)  # raises
            return Terms(raw_documents), _Counted(raw_documents, self, dtype)
        if analysis is None or dtype is None:
            return scikit_learns(_engine.python_texts(raw_documents), fixed_vocab)
        terms: Any = None
        if fixed_vocab:
            terms = self._engine_terms()
            if terms is None:
                return scikit_learns(_engine.python_texts(raw_documents), fixed_vocab)
        elif dtype[1] is not None and self.max_features is not None:
            # Sums of small integers wrap around.
            return scikit_learns(_engine.python_texts(raw_documents), fixed_vocab)
        self._check_analyzer()
        try:
            transformer = None if terms is None else terms.transformer(analysis)
        except _native.Unsupported:
            return scikit_learns(_engine.python_texts(raw_documents), fixed_vocab)
        if _engine.is_iterator(raw_documents):
            is_text, raw_documents = _engine.peek(raw_documents)
            if not is_text:
                return scikit_learns(raw_documents, fixed_vocab)
            raw_documents = self._readable_twice(raw_documents)
        try:
            texts = _engine.native_texts(raw_documents)
            n_threads = self._thread_count(texts)
            if transformer is not None:
                arrays = transformer.transform(texts, dtype=dtype[0], n_threads=n_threads)
                if dtype[1] is not None:
                    arrays = (arrays[0].astype(dtype[1]), *arrays[1:])
                return None, _engine.csr(arrays, len(terms), _container())
            counts = _native.Counts(analysis)
            counts.add(texts, n_threads)
        except _native.TextError as error:
            refused = error
        except _native.Unsupported:
            _refuse_iterator(raw_documents)
            return scikit_learns(_engine.python_texts(raw_documents), fixed_vocab)
        else:
            if counts.n_columns == 0:
                return scikit_learns([], False)  # raises
            return Terms(counts), _Counted(counts, self, dtype)
        self._refuse(raw_documents, refused)
        return scikit_learns(_engine.python_texts(raw_documents), fixed_vocab)

    def _limit_features(self, X: Any, vocabulary: Any, high: Any = None, low: Any = None, limit: Any = None) -> Any:
        if not isinstance(X, _Counted):
            return super()._limit_features(X, vocabulary, high, low, limit)
        kept = X.limit(high, low, limit)
        if kept is not None and not kept.any():
            raise ValueError("After pruning, no terms remain. Try a lower min_df or a higher max_df.")
        vocabulary.learn(kept)
        return X

    def _sort_features(self, X: Any, vocabulary: Any) -> Any:
        if isinstance(X, _Counted):
            return X  # terms are sorted
        return super()._sort_features(X, vocabulary)

    def _validate_vocabulary(self) -> None:
        super()._validate_vocabulary()
        attributes = _attributes(self)
        if attributes["fixed_vocabulary_"] and type(attributes.get("vocabulary_")) is dict:
            attributes["vocabulary_"] = Vocabulary(attributes["vocabulary_"])

    def _check_vocabulary(self) -> None:
        if "_terms" not in _attributes(self):
            super()._check_vocabulary()

    def _engine_terms(self) -> Terms | Vocabulary | None:
        """Returns the fitted terms, or None if only scikit-learn's own code can use them.

        A plain dictionary was assigned by the user, whose changes the estimator cannot see.
        """
        attributes = _attributes(self)
        terms = attributes.get("_terms") or attributes.get("vocabulary_")
        if type(terms) is Terms:
            return terms
        return terms if type(terms) is Vocabulary and terms.in_order() is not None else None

    def fit(self, raw_documents: Any, y: Any = None) -> Any:
        """Learn the terms of the documents: scikit-learn's `CountVectorizer.fit`.

        Parameters
        ----------
        raw_documents : iterable of str or bytes, or a column of strings
            A list, a generator, a numpy array, a pyarrow array or chunked array, a polars or pandas series.

        y : None
            This parameter is ignored.

        Returns
        -------
        self : object
            Fitted vectorizer.
        """
        if type(self).fit_transform is not CountVectorizer.fit_transform:
            self.fit_transform(raw_documents)
        else:
            super().fit_transform(raw_documents)
        return self

    def fit_transform(self, raw_documents: Any, y: Any = None) -> Any:
        """Learn the terms of the documents and return their matrix: scikit-learn's `CountVectorizer.fit_transform`.

        Parameters
        ----------
        raw_documents : iterable of str or bytes, or a column of strings
            A list, a generator, a numpy array, a pyarrow array or chunked array, a polars or pandas series.

        y : None
            This parameter is ignored.

        Returns
        -------
        X : sparse matrix of shape (n_samples, n_features)
            Document-term matrix.
        """
        X = super().fit_transform(raw_documents, y)
        return X.matrix(self._thread_count(None)) if isinstance(X, _Counted) else X

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the terms in the order of columns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Not used, present here for API consistency by convention.

        Returns
        -------
        feature_names_out : ndarray of str objects
            Terms.
        """
        terms = _attributes(self).get("_terms")
        if terms is None:
            names: np.ndarray = super().get_feature_names_out(input_features)
            return names
        return np.array(terms.terms, dtype=object)


class TfidfVectorizer(CountVectorizer, _text.TfidfVectorizer):
    """Convert texts to a matrix of tf-idf weights: scikit-learn's `TfidfVectorizer`, several times as fast.

    All parameters, attributes and results are scikit-learn's; a weight may differ in its last bits, since
    scikit-learn adds up a row in the order in which terms first occurred.

    Parameters
    ----------
    n_jobs : int or None, default=None
        Number of threads, as in :class:`CountVectorizer`.

    Notes
    -----
    The other parameters are documented at :class:`sklearn.feature_extraction.text.TfidfVectorizer`.

    Examples
    --------
    >>> from bowline import TfidfVectorizer
    >>> corpus = ["the cat sat", "the dog sat down", "a bird"]
    >>> vectorizer = TfidfVectorizer()
    >>> X = vectorizer.fit_transform(corpus)
    >>> X.shape
    (3, 6)
    >>> vectorizer.idf_.round(3)
    array([1.693, 1.693, 1.693, 1.693, 1.288, 1.288])
    >>> (vectorizer.transform(["the cat"]) @ X.T).toarray().round(3)
    array([[0.855, 0.259, 0.   ]])
    """

    _parameter_constraints: dict[str, Any] = {
        **_text.TfidfVectorizer._parameter_constraints,
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        *,
        input: str = "content",
        encoding: str = "utf-8",
        decode_error: str = "strict",
        strip_accents: Any = None,
        lowercase: bool = True,
        preprocessor: Any = None,
        tokenizer: Any = None,
        analyzer: Any = "word",
        stop_words: Any = None,
        token_pattern: str | None = r"(?u)\b\w\w+\b",
        ngram_range: tuple[int, int] = (1, 1),
        max_df: float = 1.0,
        min_df: float = 1,
        max_features: int | None = None,
        vocabulary: Any = None,
        binary: bool = False,
        dtype: Any = np.float64,
        norm: str | None = "l2",
        use_idf: bool = True,
        smooth_idf: bool = True,
        sublinear_tf: bool = False,
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
            analyzer=analyzer,
            stop_words=stop_words,
            token_pattern=token_pattern,
            ngram_range=ngram_range,
            max_df=max_df,
            min_df=min_df,
            max_features=max_features,
            vocabulary=vocabulary,
            binary=binary,
            dtype=dtype,
            n_jobs=n_jobs,
        )
        self.norm = norm
        self.use_idf = use_idf
        self.smooth_idf = smooth_idf
        self.sublinear_tf = sublinear_tf

    def _count(self, raw_documents: Any) -> Any:
        """Counts as scikit-learn's `CountVectorizer.fit_transform`, and fits idf; returns what that has returned."""
        self._tfidf = _text.TfidfTransformer(
            norm=self.norm, use_idf=self.use_idf, smooth_idf=self.smooth_idf, sublinear_tf=self.sublinear_tf
        )
        X = _text.CountVectorizer.fit_transform(self, raw_documents)
        if isinstance(X, _Counted):
            dtype = np.float32 if X.native_dtype == "float32" else np.float64
            _fit_idf(self._tfidf, X.document_frequencies, X.shape[0], dtype)
        else:
            self._tfidf.fit(X)
        return X

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, raw_documents: Any, y: Any = None) -> Any:
        """Learn terms and idf: scikit-learn's `TfidfVectorizer.fit`.

        Parameters
        ----------
        raw_documents : iterable of str or bytes, or a column of strings
            A list, a generator, a numpy array, a pyarrow array or chunked array, a polars or pandas series.

        y : None
            This parameter is not needed to compute tfidf.

        Returns
        -------
        self : object
            Fitted vectorizer.
        """
        self._check_params()
        self._warn_for_unused_params()
        self._count(raw_documents)
        return self

    def fit_transform(self, raw_documents: Any, y: Any = None) -> Any:
        """Learn terms and idf, return the weighted matrix: scikit-learn's `TfidfVectorizer.fit_transform`.

        Parameters
        ----------
        raw_documents : iterable of str or bytes, or a column of strings
            A list, a generator, a numpy array, a pyarrow array or chunked array, a polars or pandas series.

        y : None
            This parameter is ignored.

        Returns
        -------
        X : sparse matrix of (n_samples, n_features)
            Tf-idf-weighted document-term matrix.
        """
        self._check_params()
        X = self._count(raw_documents)
        if not isinstance(X, _Counted):
            return self._tfidf.transform(X, copy=False)
        n_threads = self._thread_count(None)
        values = None if X.binary else self._weights(X.shape[1], X.native_dtype)
        if values is None:
            return self._tfidf.transform(X.matrix(n_threads), copy=False)
        return X.matrix(n_threads, **values)

    def transform(self, raw_documents: Any) -> Any:
        """Weight documents by the learned terms and idf: scikit-learn's `TfidfVectorizer.transform`.

        Parameters
        ----------
        raw_documents : iterable of str or bytes, or a column of strings
            A list, a generator, a numpy array, a pyarrow array or chunked array, a polars or pandas series.

        Returns
        -------
        X : sparse matrix of (n_samples, n_features)
            Tf-idf-weighted document-term matrix.
        """
        terms = self._engine_terms()
        if (
            terms is None
            or _attributes(self)["binary"]
            or "_tfidf" not in _attributes(self)
            or isinstance(raw_documents, str)
            or _engine.is_iterator(raw_documents)
        ):
            return super().transform(raw_documents)
        analysis = self._engine_analysis()
        dtype = self._engine_dtype()
        if analysis is None or dtype is None:
            return super().transform(raw_documents)
        values = self._weights(len(terms), dtype[0])
        if values is None:
            return super().transform(raw_documents)
        self._check_analyzer()
        try:
            texts = _engine.native_texts(raw_documents)
            arrays = terms.transformer(analysis).transform(texts, n_threads=self._thread_count(texts), **values)
        except (_native.TextError, _native.Unsupported):
            return super().transform(raw_documents)
        if len(arrays[2]) == 1:
            return super().transform([])  # raises
        return _engine.csr(arrays, len(terms), _container())

    def _weights(self, n_columns: int, native_dtype: str) -> dict[str, Any] | None:
        """Returns the engine's parameters for the weights of `_tfidf`, or None if only scikit-learn can use it."""
        tfidf = self._tfidf
        if type(tfidf) is not _text.TfidfTransformer:
            return None
        attributes = tfidf.__dict__
        idf = attributes.get("idf_")
        norm = attributes["norm"]
        if (
            attributes.get("n_features_in_", n_columns) != n_columns
            or (idf is None and "n_features_in_" not in attributes)
            or not (norm is None or norm in ("l1", "l2"))
        ):
            return None
        if idf is not None:
            if not isinstance(idf, np.ndarray) or idf.shape != (n_columns,) or idf.dtype.kind not in "fiu":
                return None
            idf = np.ascontiguousarray(idf, dtype=np.float64)
        return {
            "dtype": "float32" if native_dtype == "float32" else "float64",
            "weight": "tfidf",
            "sublinear": bool(attributes["sublinear_tf"]),
            "idf": idf,
            "norm": norm,
        }


def _fit_idf(tfidf: Any, document_frequencies: np.ndarray, n_samples: int, dtype: Any) -> None:
    """Fits a `TfidfTransformer` as its `fit` does on a matrix of these frequencies, to the same bits."""
    tfidf.n_features_in_ = len(document_frequencies)
    if not tfidf.use_idf:
        return
    frequencies = document_frequencies.astype(dtype)
    frequencies += float(tfidf.smooth_idf)
    n_samples += int(tfidf.smooth_idf)
    idf = np.full_like(frequencies, fill_value=n_samples, dtype=dtype)
    idf /= frequencies
    np.log(idf, out=idf)
    idf += 1.0
    tfidf.idf_ = idf


class HashingVectorizer(EngineMixin, _text.HashingVectorizer, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Convert texts to a matrix of hashed token counts: scikit-learn's `HashingVectorizer`, many times as fast.

    All parameters and results are scikit-learn's, to the same bits.

    Parameters
    ----------
    n_jobs : int or None, default=None
        Number of threads, as in :class:`CountVectorizer`.

    Notes
    -----
    The other parameters are documented at :class:`sklearn.feature_extraction.text.HashingVectorizer`.

    Examples
    --------
    >>> from bowline import HashingVectorizer
    >>> X = HashingVectorizer(n_features=16).transform(["the cat sat", "a bird"])
    >>> X.shape
    (2, 16)
    """

    _parameter_constraints: dict[str, Any] = {
        **_text.HashingVectorizer._parameter_constraints,
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        *,
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
        n_features: int = 2**20,
        binary: bool = False,
        norm: str | None = "l2",
        alternate_sign: bool = True,
        dtype: Any = np.float64,
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
            n_features=n_features,
            binary=binary,
            norm=norm,
            alternate_sign=alternate_sign,
            dtype=dtype,
        )
        self.n_jobs = n_jobs

    def transform(self, X: Any) -> Any:
        """Hash the tokens of documents: scikit-learn's `HashingVectorizer.transform`.

        Parameters
        ----------
        X : iterable of str or bytes, or a column of strings
            A list, a generator, a numpy array, a pyarrow array or chunked array, a polars or pandas series.

        Returns
        -------
        X : sparse matrix of shape (n_samples, n_features)
            Document-term matrix.
        """
        settings = _attributes(self)
        n_features = settings["n_features"]
        norm = settings["norm"]
        analysis = self._engine_analysis()
        dtype = self._engine_dtype()
        if (
            isinstance(X, str)
            or analysis is None
            or dtype is None
            or dtype[1] is not None  # small and unsigned integers wrap around
            or type(n_features) is not int
            or not 1 <= n_features <= _MAX_FEATURES
            or not (norm is None or norm in ("l1", "l2"))
        ):
            return super().transform(_engine.python_texts(X))
        self._check_analyzer()
        try:
            transformer = _engine.hashing_transformer(analysis, n_features, bool(settings["alternate_sign"]))
        except (_native.Unsupported, ValueError):  # more columns than the engine has
            return super().transform(_engine.python_texts(X))
        if _engine.is_iterator(X):
            is_text, X = _engine.peek(X)
            if not is_text:
                return super().transform(X)
            X = self._readable_twice(X)
        try:
            texts = _engine.native_texts(X)
            arrays = transformer.transform(
                texts,
                # scikit-learn's `normalize` converts integers.
                dtype="float64" if norm is not None and dtype[0] != "float32" else dtype[0],
                weight="binary" if settings["binary"] else "count",
                norm=norm,
                n_threads=self._thread_count(texts),
            )
        except _native.TextError as error:
            refused = error
        except _native.Unsupported:
            _refuse_iterator(X)
            return super().transform(_engine.python_texts(X))
        else:
            if len(arrays[2]) == 1:
                return super().transform([])  # raises
            return _engine.csr(arrays, n_features, _container())
        self._refuse(X, refused)
        return super().transform(_engine.python_texts(X))


_MAX_FEATURES = 2**31 - 1


def _set_hooks(kind: Any, names: tuple[str, ...]) -> None:
    get_hooks = attrgetter(*names)
    kind._hooks = (get_hooks, get_hooks(kind), frozenset(names))


_set_hooks(CountVectorizer, _COUNT_HOOKS)
_set_hooks(TfidfVectorizer, _COUNT_HOOKS)
_set_hooks(HashingVectorizer, _HASHING_HOOKS)

# Pickles name the public module, wherever a version keeps the classes.
for _class in (CountVectorizer, TfidfVectorizer, HashingVectorizer):
    _class.__module__ = "bowline"
