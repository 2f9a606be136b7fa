"""The options of `bowline embed` as keywords, and the command line that they stand for. Starts nothing.

A test compares the keywords with `bowline embed --help`.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import IO, Literal, TypeAlias, TypedDict, cast, get_type_hints

StrPath: TypeAlias = str | os.PathLike[str]
"""A path."""

Corpus: TypeAlias = StrPath | Iterable[StrPath]
"""A directory or a file, or several."""


class EmbedOptions(TypedDict, total=False):
    """The options of `bowline embed`, by their names with underscores. `bowline embed --help` describes each.

    `progress` is no option here but a parameter, and `estimate` writes no output.
    """

    force: bool
    format: Literal["npz", "npy", "mtx", "svmlight", "parquet", "arrow"]
    dense: bool
    no_sync: bool
    input_format: str
    text_field: str | Sequence[str]
    id_field: str
    delimiter: str
    no_header: bool
    files_from: StrPath
    null: bool
    glob: str | Sequence[str]
    hidden: bool
    follow: bool
    max_document_bytes: int | str
    binary: str
    encoding: str
    decode_error: Literal["strict", "replace", "ignore"]
    shard: str
    analyzer: Literal["word", "char", "char-wb", "char_wb"]
    ngrams: int | str | tuple[int, int]
    tokenizer: str
    token_pattern: str
    no_lowercase: bool
    strip_accents: Literal["unicode", "ascii"]
    stop_words: StrPath
    stem: str
    features: Literal["vocabulary", "hashed"]
    min_df: int | float | str
    max_df: int | float | str
    max_features: int
    vocabulary: StrPath
    n_features: int
    no_alternate_sign: bool
    hash_terms: bool
    weight: Literal["count", "binary", "tfidf", "bm25"]
    sublinear_tf: bool
    no_smooth_idf: bool
    bm25: Literal["lucene", "robertson", "atire", "bm25+", "bm25l"]
    k1: float
    b: float
    delta: float
    norm: Literal["none", "l1", "l2"]
    dtype: Literal["i32", "i64", "f32", "f64"]
    mode: Literal["processes", "threads", "inline"]
    workers: int
    max_reads: int
    read_latency: float
    memory: int | str
    worker_memory: int | str
    scratch: StrPath
    resume: bool
    sandbox: Literal["auto", "strict", "off"]
    document_timeout: float
    max_crashes: int
    quiet: bool
    report: StrPath


_TYPES = get_type_hints(EmbedOptions)
_FLAGS = frozenset(name for name, hint in _TYPES.items() if hint is bool)
_REPEATABLE = frozenset({"text_field", "glob"})


class CommandLine:
    """The arguments of `bowline embed`, and its standard input."""

    def __init__(self, corpus: Corpus, output: StrPath, options: Mapping[str, object]) -> None:
        """Turn keywords into arguments.

        Raises TypeError for a name or a type that is no option's, ValueError for what can't be an argument.
        """
        self.arguments: list[str] = ["embed", "--progress=json", f"--output={_path(output)}"]
        self.stdin: IO[bytes] | None = None
        for name, value in options.items():
            self.arguments.extend(_option(name, value))
        self._add_corpus(corpus)
        if any("\0" in argument for argument in self.arguments):
            raise ValueError("an argument contains a NUL character")

    def _add_corpus(self, corpus: Corpus) -> None:
        if isinstance(corpus, (str, os.PathLike)):
            self.arguments.extend(["--", _path(corpus)])
            return
        if isinstance(corpus, (bytes, Mapping)):
            raise TypeError(f"corpus: a path or several paths, not {type(corpus).__name__}")
        paths = [_path(path) for path in corpus]
        if any(os.path.isdir(path) for path in paths):
            self.arguments.extend(["--", *paths])
            return
        if any("\0" in path or not path for path in paths):
            raise ValueError("corpus: a path is empty or contains a NUL character")
        # A list of any length: a command line is limited.
        self.arguments.extend(["--files-from=-", "--null"])
        self.stdin = tempfile.TemporaryFile()
        self.stdin.writelines(os.fsencode(path) + b"\0" for path in paths)
        self.stdin.seek(0)

    def close(self) -> None:
        """Close the list of files, once the program has it."""
        if self.stdin is not None:
            self.stdin.close()


def _path(path: object) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"a path is a str or an os.PathLike, not {type(path).__name__}")
    return os.fsdecode(path)


def _option(name: str, value: object) -> list[str]:
    """The arguments of one keyword: none for None, and for a flag that is False."""
    if name not in _TYPES:
        close = get_close_matches(name, _TYPES, 1, 0.7)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise TypeError(f"bowline embed has no option {name}{hint}")
    option = f"--{name.replace('_', '-')}"
    if value is None:
        return []
    if name in _FLAGS:
        if not isinstance(value, bool):
            raise TypeError(f"{name}: True or False, not {value!r}")
        return [option] if value else []
    if name in _REPEATABLE and not isinstance(value, str):
        if not isinstance(value, Iterable):
            raise TypeError(f"{name}: a str or several, not {value!r}")
        return [f"{option}={_value(name, one)}" for one in cast(Iterable[object], value)]
    if name == "ngrams" and isinstance(value, tuple):
        value = ":".join(str(size) for size in value)
    if name == "analyzer" and value == "char_wb":
        value = "char-wb"
    return [f"{option}={_value(name, value)}"]


def _value(name: str, value: object) -> str:
    if isinstance(value, bool):
        raise TypeError(f"{name}: a value, not {value!r}")
    if isinstance(value, (str, os.PathLike)):
        return _path(value)
    # Numbers, also those of NumPy.
    if hasattr(value, "__index__") or hasattr(value, "__float__"):
        return str(value)
    raise TypeError(f"{name}: not a value of an option: {value!r}")
