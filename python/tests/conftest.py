"""The support of all tests: the sample of the repository, and programs that stand for `bowline`."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

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
