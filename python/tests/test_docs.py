"""The examples of the classes and of docs/PYTHON_VECTORIZERS.md give what they print."""

import doctest
from pathlib import Path

import pytest

import bowline

PAGE = Path(__file__).resolve().parents[2] / "docs" / "PYTHON_VECTORIZERS.md"
FLAGS = doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", ["BM25Vectorizer", "CountVectorizer", "Counts", "HashingVectorizer", "TfidfVectorizer"])
def test_docstrings(name: str) -> None:
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(bowline, name), name, module=False, globs={})
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test)
    assert result.attempted and not result.failed


def test_page() -> None:
    result = doctest.testfile(str(PAGE), module_relative=False, optionflags=FLAGS, encoding="utf-8")
    assert result.attempted and not result.failed
