"""The support of all tests: the sample of the repository, and programs that stand for `bowline`."""

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import served as served_calls

from bowline import _native

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def sample() -> Path:
    """A corpus of about a hundred files."""
    return REPOSITORY / "data" / "sample"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Replaces the program `bowline` by a shell script."""

    def replace(script: str) -> None:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("BOWLINE_BIN", str(path))

    return replace


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[served_calls.Calls]:
    """The calls that the engine served during the test."""
    from bowline import _engine

    calls = served_calls.Calls()
    served_calls.install(_native, calls, monkeypatch.setattr)
    _engine.hashing_transformer.cache_clear()
    yield calls
    _engine.hashing_transformer.cache_clear()
