"""The keywords of `embed`, and the arguments that they become."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from bowline._options import CommandLine, EmbedOptions
from bowline._program import find_bowline_bin

# Not options of a run that writes an output for Python.
ELSEWHERE = {"output", "estimate", "progress", "help"}


def arguments(corpus: Any = "corpus", **options: Any) -> list[str]:
    command = CommandLine(corpus, "out", options)
    command.close()
    assert command.arguments[:3] == ["embed", "--progress=json", "--output=out"]
    return command.arguments[3:]


def test_keywords_are_the_options_of_the_program() -> None:
    text = subprocess.run([find_bowline_bin(), "embed", "--help"], check=True, capture_output=True, text=True).stdout
    options = set(re.findall(r"^ +(?:-., )?--([a-z0-9-]+)", text, re.MULTILINE))
    flags = set(re.findall(r"^ +(?:-., )?--([a-z0-9-]+)$", text, re.MULTILINE))
    hints = get_type_hints(EmbedOptions)
    assert {name.replace("-", "_") for name in options} - ELSEWHERE == set(hints)
    assert {name.replace("-", "_") for name in flags} - ELSEWHERE == {name for name, hint in hints.items() if hint is bool}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"force": True, "resume": False, "dense": None}, ["--force"]),
        ({"min_df": 2, "max_df": 0.5}, ["--min-df=2", "--max-df=0.5"]),
        ({"ngrams": (1, 2)}, ["--ngrams=1:2"]),
        ({"ngrams": "1:3"}, ["--ngrams=1:3"]),
        ({"analyzer": "char_wb"}, ["--analyzer=char-wb"]),
        ({"glob": ["*.md", "!x"], "text_field": "body"}, ["--glob=*.md", "--glob=!x", "--text-field=body"]),
        ({"scratch": Path("-odd")}, ["--scratch=-odd"]),
        ({"token_pattern": "--x"}, ["--token-pattern=--x"]),
    ],
)
def test_arguments(options: dict[str, Any], expected: list[str]) -> None:
    assert arguments(**options) == [*expected, "--", "corpus"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lowercase": False}, "no option lowercase; did you mean no_lowercase?"),
        ({"min-df": 1}, "did you mean min_df?"),
        ({"force": 1}, "force: True or False, not 1"),
        ({"min_df": True}, "min_df: a value, not True"),
        ({"workers": [1]}, "workers: not a value"),
        ({"glob": 1}, "glob: a str or several"),
        ({"estimate": True}, "no option estimate"),
    ],
)
def test_what_is_no_option(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        arguments(**options)


def test_corpora(tmp_path: Path) -> None:
    assert arguments(Path("-a")) == ["--", "-a"]
    assert arguments([tmp_path, "b"]) == ["--", str(tmp_path), "b"]
    paths: list[str | os.PathLike[str]] = ["b", Path("a\n"), os.fsdecode(b"\xff")]
    files = CommandLine(iter(paths), "out", {})
    assert files.arguments[3:] == ["--files-from=-", "--null"]
    assert files.stdin is not None and files.stdin.read() == b"b\0a\n\0\xff\0"
    files.close()
    for corpus in (b"a", {"a": 1}, [b"a"], [1]):
        with pytest.raises(TypeError):
            arguments(corpus)
    for unusable in ("a\0b", ["a\0b"], [""]):
        with pytest.raises(ValueError, match="NUL"):
            arguments(unusable)
