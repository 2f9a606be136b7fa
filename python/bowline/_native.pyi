"""The native module. Only the package itself uses it."""

import os
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

__version__: str

class Unsupported(Exception):  # noqa: N818
    """The engine cannot give scikit-learn's exact answer for these settings or texts."""

class TextError(ValueError):
    """An element of the texts is no text."""

    index: int
    item: Any

_Arrays = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]

class Analysis:
    """How texts become terms. Immutable."""

    def __init__(
        self,
        *,
        analyzer: str,
        ngram_range: tuple[int, int],
        lowercase: bool,
        strip_accents: str | None,
        token_pattern: str | None,
        stop_words: Collection[str] | None,
        encoding: str = "utf-8",
        decode_error: str = "strict",
        unicode_version: str = ...,
    ) -> None: ...

class Counts:
    """Counts of the terms of documents."""

    n_documents: int
    n_columns: int
    def __init__(
        self,
        analysis: Analysis,
        *,
        vocabulary: Sequence[str] | None = None,
        n_features: int | None = None,
        alternate_sign: bool = True,
    ) -> None: ...
    def add(self, texts: Any, n_threads: int) -> int: ...
    def merge(self, other: Counts) -> None: ...
    def terms(self) -> list[str]: ...
    def document_frequencies(self) -> np.ndarray[Any, Any]: ...
    def term_frequencies(self) -> np.ndarray[Any, Any]: ...
    def lengths(self) -> np.ndarray[Any, Any]: ...
    def matrix(
        self,
        *,
        columns: np.ndarray[Any, Any] | None = None,
        n_columns: int | None = None,
        dtype: str = "int64",
        weight: str = "count",
        sublinear: bool = False,
        idf: np.ndarray[Any, Any] | None = None,
        norm: str | None = None,
        bm25: tuple[float, float, float, str, float] | None = None,
        n_threads: int = 1,
    ) -> _Arrays: ...

class Transformer:
    """Texts to rows of known columns. Immutable, and safe to share between threads."""

    def __init__(
        self,
        analysis: Analysis,
        *,
        vocabulary: Sequence[str] | None = None,
        n_features: int | None = None,
        alternate_sign: bool = True,
    ) -> None: ...
    def transform(
        self,
        texts: Any,
        *,
        dtype: str,
        weight: str = "count",
        sublinear: bool = False,
        idf: np.ndarray[Any, Any] | None = None,
        norm: str | None = None,
        n_threads: int = 1,
    ) -> _Arrays: ...

def available_threads() -> int: ...

class OutputFiles:
    """The files of an output, open. Each is checked when it is read."""

    def __init__(self, path: str | os.PathLike[str]) -> None: ...
    def manifest(self) -> bytes: ...
    def terms(self) -> list[str] | None: ...
    def vocabulary(self) -> Table | None: ...
    def documents(self) -> Table: ...
    def failures(self) -> Table: ...
    def matrix(self) -> tuple[int, list[tuple[int, int, str]]] | None: ...
    def shown(self, name: str) -> str: ...

class Table:
    """A table for Arrow's C stream interface."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
