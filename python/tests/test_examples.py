"""The examples of the documentation."""

from pathlib import Path

import pytest
import run_examples


@pytest.mark.parametrize("name", ["README.md", "python/README.md", "docs/PYTHON.md"])
def test_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(run_examples.REPOSITORY / name)
    assert run_examples.run(file) == len(run_examples.blocks(file)) > 0
