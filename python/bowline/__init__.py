"""Terms of documents: scikit-learn's text vectorizers by a fast engine, and the command line from Python."""

from __future__ import annotations

import importlib
from typing import Any

_LAZY = {
    "CountVectorizer": "bowline._vectorizers",
    "TfidfVectorizer": "bowline._vectorizers",
    "HashingVectorizer": "bowline._vectorizers",
    "BM25Vectorizer": "bowline._bm25",
    "Counts": "bowline._counts",
}

__all__ = sorted(_LAZY)


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
