"""What the Python classes share to call the engine: analyses, texts, threads and matrices.

Imports numpy and the native module only; scipy is imported where a matrix is made. Never imports scikit-learn.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from bowline import _native

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

DEFAULT_TOKEN_PATTERN = r"(?u)\b\w\w+\b"

#: The numpy types of values that the engine writes, by `numpy.dtype.str`.
NATIVE_DTYPES = {np.dtype(name).str: name for name in ("int32", "int64", "float32", "float64")}


@lru_cache(maxsize=64)
def analysis(
    analyzer: str,
    ngram_range: tuple[int, int],
    lowercase: bool,
    strip_accents: str | None,
    token_pattern: str | None,
    stop_words: Iterable[str] | None,
    decode_error: str,
) -> _native.Analysis:
    """Returns the analysis of these parameters; equal parameters give the same object.

    Raises `Unsupported` if the engine cannot do exactly what scikit-learn does.
    """
    if stop_words is not None:
        # A token is a `str`, so that no other element can equal one.
        stop_words = frozenset(word for word in stop_words if isinstance(word, str))
    return _native.Analysis(
        analyzer=analyzer,
        ngram_range=ngram_range,
        lowercase=lowercase,
        strip_accents=strip_accents,
        token_pattern=None if token_pattern == DEFAULT_TOKEN_PATTERN else token_pattern,
        stop_words=stop_words,
        encoding="utf-8",
        decode_error=decode_error,
    )


def analysis_of(settings: dict[str, Any], stop_words: Any) -> _native.Analysis:
    """Returns the analysis of an estimator's attributes.

    Raises `Unsupported` for values that only scikit-learn's own code can judge: callables, other encodings, values of
    other types than the documented ones.
    """
    analyzer = settings["analyzer"]
    strip_accents = settings["strip_accents"]
    ngram_range = settings["ngram_range"]
    token_pattern = settings["token_pattern"]
    if (
        settings["input"] != "content"
        or settings["preprocessor"] is not None
        or type(analyzer) is not str
        or analyzer not in ("word", "char", "char_wb")
        or not (strip_accents is None or strip_accents in ("ascii", "unicode"))
        or type(ngram_range) is not tuple
        or len(ngram_range) != 2
    ):
        raise _native.Unsupported("a parameter is not one of the engine's")
    low, high = ngram_range
    if type(low) is not int or type(high) is not int or not 1 <= low <= high <= MAX_NGRAM:
        raise _native.Unsupported("ngram_range")
    encoding = settings["encoding"]
    if encoding != "utf-8" and (type(encoding) is not str or encoding.lower() not in ("utf8", "utf_8", "utf-8")):
        raise _native.Unsupported("encoding")
    decode_error = settings["decode_error"]
    if decode_error not in ("strict", "ignore", "replace"):
        raise _native.Unsupported("decode_error")
    if analyzer == "word":
        if settings["tokenizer"] is not None or type(token_pattern) is not str:
            raise _native.Unsupported("tokenizer")
        if stop_words is not None and type(stop_words) is not frozenset:
            stop_words = tuple(stop_words)
    else:
        token_pattern = stop_words = None
    try:
        return analysis(
            analyzer, ngram_range, bool(settings["lowercase"]), strip_accents, token_pattern, stop_words, decode_error
        )
    except TypeError as error:  # stop words that cannot be hashed
        raise _native.Unsupported("stop_words") from error


#: Larger n-grams are left to scikit-learn's own code.
MAX_NGRAM = 1000


@lru_cache(maxsize=8)
def hashing_transformer(analysis: _native.Analysis, n_features: int, alternate_sign: bool) -> _native.Transformer:
    """Returns the transformer of these parameters; a transformer has no state that calls share."""
    return _native.Transformer(analysis, n_features=n_features, alternate_sign=alternate_sign)


# Texts


def is_iterator(texts: Any) -> bool:
    """Whether `texts` can be read only once."""
    return hasattr(texts, "__next__")


def native_texts(texts: Any) -> Any:
    """Returns `texts` as the engine takes them: an iterable of str and bytes, or an object with `__arrow_c_stream__`.

    Does not copy a text. Raises `TypeError` as `iter` does if `texts` is no iterable, `Unsupported` for arrays of more
    dimensions than one, which have no texts.
    """
    kind = type(texts)
    if kind is list or kind is tuple:
        return texts
    if isinstance(texts, np.ndarray):
        if texts.ndim != 1:
            raise _native.Unsupported("an array of other than one dimension")
        return texts
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(texts, pandas.Series):
        dtype = texts.dtype
        if isinstance(dtype, pandas.StringDtype) and dtype.storage == "pyarrow" and hasattr(texts, "__arrow_c_stream__"):
            return texts
        return np.asarray(texts, dtype=object)
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(texts, polars.Series):
        is_text = texts.dtype in (polars.String, polars.Categorical, polars.Enum)
        return texts if is_text else texts.to_list()
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is not None and isinstance(texts, (pyarrow.Array, pyarrow.ChunkedArray)):
        if not _is_arrow_text(pyarrow, texts.type):
            return texts.to_pylist()
        return pyarrow.chunked_array([texts]) if isinstance(texts, pyarrow.Array) else texts
    if hasattr(texts, "__arrow_c_stream__") and not hasattr(texts, "columns"):
        return texts
    if is_iterator(texts):
        return texts
    return iter(texts)


def _is_arrow_text(pyarrow: Any, kind: Any) -> bool:
    types = pyarrow.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    is_view = getattr(types, "is_string_view", None)
    return bool(types.is_string(kind) or types.is_large_string(kind) or (is_view is not None and is_view(kind)))


def python_texts(texts: Any) -> Any:
    """Returns `texts` as scikit-learn's own code takes them: elements of Arrow arrays become Python objects."""
    loaded = sys.modules.get("pyarrow")
    if loaded is not None and isinstance(texts, (loaded.Array, loaded.ChunkedArray)):
        return texts.to_pylist()
    if hasattr(texts, "__arrow_c_stream__") and not hasattr(texts, "__iter__"):
        import pyarrow

        return pyarrow.chunked_array(texts).to_pylist()
    return texts


def element(texts: Any, error: _native.TextError) -> Any:
    """Returns the element of `texts` that the engine refused, as Python sees it."""
    if hasattr(texts, "__arrow_c_stream__") or hasattr(texts, "__arrow_c_array__"):
        # A null of Arrow is None to polars and pyarrow, and NaN to pandas.
        try:
            rows = texts.iloc if hasattr(texts, "iloc") else texts
            return next(iter(python_texts(rows[error.index : error.index + 1])))
        except (TypeError, StopIteration):
            return None
    return error.item


def peek(texts: Iterator[Any]) -> tuple[bool, Iterator[Any]]:
    """Returns whether the first element of an iterator is a text (or there is none), and an iterator over all."""
    for first in texts:
        return isinstance(first, (str, bytes)), chain((first,), texts)
    return True, iter(())


# Threads


def thread_count(n_jobs: int | None, texts: Any = None) -> int:
    """Returns the number of threads for `n_jobs`, as joblib counts: None is all that the process may use.

    `texts` is what will be read: one document needs one thread.
    """
    if n_jobs is None:
        if (type(texts) is list or type(texts) is tuple) and len(texts) < 2:
            return 1
        return _native.available_threads()
    if n_jobs > 0:
        return int(n_jobs)
    if n_jobs == 0:
        raise ValueError("n_jobs == 0 has no meaning: give a number of threads, -1 for all cores, or None")
    return max(_core_count() + 1 + int(n_jobs), 1)


def _core_count() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# Matrices


def csr(arrays: tuple[np.ndarray, np.ndarray, np.ndarray], n_columns: int, container: Any = None) -> csr_matrix:
    """Returns the matrix over these arrays (data, indices, indptr), which it shares.

    The arrays come from the engine: indices are sorted and have no duplicates, so that scipy's checks, which take
    longer than one short document, can be left out.
    """
    data, indices, indptr = arrays
    if container is None:
        from scipy import sparse

        container = sparse.csr_matrix
    template = _template(container)
    shape = (len(indptr) - 1, n_columns)
    if template is None:
        matrix = container((data, indices, indptr), shape=shape)
        matrix.has_sorted_indices = matrix.has_canonical_format = True
        return matrix
    matrix = container.__new__(container)
    attributes = matrix.__dict__
    attributes.update(template)
    attributes["data"] = data
    attributes["indices"] = indices
    attributes["indptr"] = indptr
    attributes["_shape"] = shape
    return matrix


@lru_cache(maxsize=8)
def _template(container: Any) -> dict[str, Any] | None:
    """Returns the attributes that scipy gives a matrix in canonical format, or None if this scipy has others."""
    arrays = (np.ones(1), np.zeros(1, np.int32), np.array([0, 1], np.int32))
    matrix = container(arrays, shape=(1, 2))
    # Read once, so that what scipy computes when it is asked for is there.
    matrix.has_sorted_indices = matrix.has_canonical_format = True
    attributes = dict(vars(matrix))
    known = {"data", "indices", "indptr", "_shape", "maxprint", "_has_sorted_indices", "_has_canonical_format"}
    if set(attributes) != known or attributes["_shape"] != (1, 2):
        return None
    return attributes
