"""Fitted terms: as a list until the dictionary `vocabulary_` is asked for, then as a dictionary that notes changes.

Both keep the native transformer of their terms, which is made once for one analysis. A transformer is no part of a
pickle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from bowline import _native

# Terms of a dictionary that are numbered at a time: Python looks at signals in between.
_SLICE = 1 << 14


def number(terms: list[str], vocabulary: dict[str, int]) -> None:
    """Adds terms to an empty dictionary, numbered in their order."""
    for start in range(0, len(terms), _SLICE):
        some = terms[start : start + _SLICE]
        dict.update(vocabulary, zip(some, range(start, start + len(some)), strict=True))


class Terms:
    """Sorted terms of an estimator, in the order of its columns."""

    __slots__ = ("_cached", "_counts", "terms")

    def __init__(self, counts: Any) -> None:
        self._counts: Any = counts
        self.terms: list[str] = []
        self._cached: tuple[_native.Analysis, _native.Transformer] | None = None

    def learn(self, kept: np.ndarray | None) -> None:
        """Takes the terms of the counts, all or those that are kept, and gives the counts back."""
        assert self._counts is not None
        terms = self._counts.terms()
        if kept is not None:
            terms = [terms[index] for index in np.flatnonzero(kept)]
        self.terms = terms
        self._counts = None

    def __len__(self) -> int:
        return len(self.terms)

    def transformer(self, analysis: _native.Analysis) -> _native.Transformer:
        """Returns the transformer of these terms."""
        cached = self._cached
        if cached is None or cached[0] is not analysis:
            cached = (analysis, _native.Transformer(analysis, vocabulary=self.terms))
            self._cached = cached
        return cached[1]


class Vocabulary(dict[str, int]):
    """A dictionary of columns by term that forgets its transformer when it is changed.

    Pickles, copies and prints as a plain dictionary.
    """

    __slots__ = ("_cached", "_changes", "_order")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._changes = 0
        # (changes at that time, analysis, transformer), (changes at that time, terms or None)
        self._cached: tuple[int, _native.Analysis, _native.Transformer] | None = None
        self._order: tuple[int, list[str] | None] | None = None

    @classmethod
    def of_terms(cls, terms: Terms) -> Vocabulary:
        """Returns the dictionary of terms, with their transformer."""
        vocabulary = cls()
        number(terms.terms, vocabulary)
        cached = terms._cached
        vocabulary._cached = None if cached is None else (0, *cached)
        vocabulary._order = (0, terms.terms)
        return vocabulary

    def in_order(self) -> list[str] | None:
        """Returns the terms in the order of columns, or None unless each column has exactly one term."""
        changes = self._changes
        order = self._order
        if order is None or order[0] != changes:
            order = (changes, _in_order(self))
            self._order = order
        return order[1]

    def transformer(self, analysis: _native.Analysis) -> _native.Transformer:
        """Returns the transformer of the terms as they are now; `in_order` must not be None."""
        changes = self._changes
        cached = self._cached
        if cached is None or cached[1] is not analysis or cached[0] != changes:
            terms = self.in_order()
            if terms is None:
                raise _native.Unsupported("a vocabulary with a column that has no term")
            cached = (changes, analysis, _native.Transformer(analysis, vocabulary=terms))
            self._cached = cached
        return cached[2]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (dict(self),)

    # Each method that changes a dictionary. The change is counted behind it, and before it for a method that may fail
    # half way.

    def __setitem__(self, term: str, column: int) -> None:
        super().__setitem__(term, column)
        self._changes += 1

    def __delitem__(self, term: str) -> None:
        super().__delitem__(term)
        self._changes += 1

    def __ior__(self, other: Any) -> Vocabulary:  # type: ignore[override, misc]
        self.update(other)
        return self

    def clear(self) -> None:
        super().clear()
        self._changes += 1

    def pop(self, *args: Any) -> Any:
        try:
            return super().pop(*args)
        finally:
            self._changes += 1

    def popitem(self) -> tuple[str, int]:
        try:
            return super().popitem()
        finally:
            self._changes += 1

    def setdefault(self, *args: Any) -> Any:
        try:
            return super().setdefault(*args)
        finally:
            self._changes += 1

    def update(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().update(*args, **kwargs)
        finally:
            self._changes += 1


def _in_order(vocabulary: Mapping[str, int]) -> list[str] | None:
    terms: list[Any] = [None] * len(vocabulary)
    for term, column in vocabulary.items():
        if type(term) is not str or isinstance(column, bool) or not isinstance(column, (int, np.integer)):
            return None
        if not 0 <= column < len(terms) or terms[column] is not None:
            return None
        terms[column] = term
    return terms


class LazyVocabulary:
    """The attribute `vocabulary_`: a dictionary that is built from the learned terms when it is first read."""

    def __init__(self, attributes: Callable[[Any], dict[str, Any]]) -> None:
        self._attributes = attributes

    def __get__(self, estimator: Any, owner: Any = None) -> Any:
        if estimator is None:
            return self
        attributes = self._attributes(estimator)
        vocabulary = attributes.get("vocabulary_")
        if vocabulary is None:
            terms = attributes.get("_terms")
            if terms is None:
                # Another thread may have built it between the two lines.
                if "vocabulary_" in attributes:
                    return attributes["vocabulary_"]
                raise AttributeError(f"{type(estimator).__name__!r} object has no attribute 'vocabulary_'")
            # The first thread's dictionary is the one that all get.
            vocabulary = attributes.setdefault("vocabulary_", Vocabulary.of_terms(terms))
            attributes.pop("_terms", None)
        return vocabulary

    def __set__(self, estimator: Any, value: Any) -> None:
        attributes = self._attributes(estimator)
        if type(value) is Terms:
            attributes["_terms"] = value
            attributes.pop("vocabulary_", None)
        else:
            attributes["vocabulary_"] = value
            attributes.pop("_terms", None)

    def __delete__(self, estimator: Any) -> None:
        attributes = self._attributes(estimator)
        self.__get__(estimator)
        del attributes["vocabulary_"]


def vocabulary_of(terms: Iterable[str]) -> Vocabulary:
    """Returns the dictionary that numbers terms in their order."""
    return Vocabulary((term, column) for column, term in enumerate(terms))
