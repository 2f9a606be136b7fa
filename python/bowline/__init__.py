"""Bag-of-words document embeddings: scikit-learn's answers, many times faster.

`CountVectorizer`, `TfidfVectorizer` and `HashingVectorizer` are scikit-learn's classes by a fast engine; `BM25Vectorizer` and
`Counts` are their relatives. `embed` turns a corpus of files into an output directory by the program `bowline`, in worker processes. `load` reads such a
directory.

Each name is imported when it is first used, so that `import bowline` costs nothing, and a package that only some names need
(scikit-learn, pyarrow, tqdm) is imported only by them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from bowline._native import __version__ as __version__

if TYPE_CHECKING:
    from bowline._bm25 import BM25Vectorizer as BM25Vectorizer
    from bowline._counts import Counts as Counts
    from bowline._embed import EmbedError as EmbedError
    from bowline._embed import EmbedWarning as EmbedWarning
    from bowline._embed import aembed as aembed
    from bowline._embed import embed as embed
    from bowline._output import Output as Output
    from bowline._output import load as load
    from bowline._vectorizers import CountVectorizer as CountVectorizer
    from bowline._vectorizers import HashingVectorizer as HashingVectorizer
    from bowline._vectorizers import TfidfVectorizer as TfidfVectorizer

# The module of each public name.
_MODULES = {
    "BM25Vectorizer": "bowline._bm25",
    "CountVectorizer": "bowline._vectorizers",
    "Counts": "bowline._counts",
    "EmbedError": "bowline._embed",
    "EmbedWarning": "bowline._embed",
    "HashingVectorizer": "bowline._vectorizers",
    "Output": "bowline._output",
    "TfidfVectorizer": "bowline._vectorizers",
    "aembed": "bowline._embed",
    "embed": "bowline._embed",
    "load": "bowline._output",
}

__all__ = ["__version__", *_MODULES]  # noqa: PLE0604


def __getattr__(name: str) -> object:
    """Import the module of a public name."""
    if name not in _MODULES:
        raise AttributeError(f"module 'bowline' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
