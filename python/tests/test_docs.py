"""The examples of the classes print what they show."""

import doctest

import pytest

import bowline

FLAGS = doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", ["BM25Vectorizer", "CountVectorizer", "Counts", "HashingVectorizer", "TfidfVectorizer"])
def test_docstrings(name: str) -> None:
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(bowline, name), name, module=False, globs={})
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test)
    assert result.attempted and not result.failed
