"""Run the Python examples of Markdown files: `run_examples.py FILE...`

All blocks of a file are one program. It runs in a new directory in which `corpus` is the sample of the repository. A block with
prompts (`>>>`) must print what it shows. A block that begins with `# needs: NAME...` runs only where those packages are installed.
Only Python's own library is needed.
"""

import contextlib
import doctest
import importlib.util
import os
import re
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(file: Path) -> list[tuple[int, str]]:
    """The blocks of a file, each with the number of the line before it."""
    text = file.read_text(encoding="utf-8")
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in _BLOCK.finditer(text)]


def run(file: Path) -> int:
    """Run the blocks of a file. Return how many ran. Raise if one fails or prints something else than it shows."""
    names: dict[str, object] = {"__name__": "__main__"}
    ran = 0
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
        os.symlink(REPOSITORY / "data" / "sample", "corpus")
        for line, block in blocks(file):
            needs = re.match(r"# needs: (.*)", block)
            if needs and not all(importlib.util.find_spec(name) for name in needs[1].split()):
                continue
            if block.startswith(">>> "):
                _check_output(block, names, file, line)
            else:
                exec(compile("\n" * line + block, file, "exec"), names)
            ran += 1
    return ran


def _check_output(block: str, names: dict[str, object], file: Path, line: int) -> None:
    test = doctest.DocTestParser().get_doctest(block, {}, file.name, str(file), line)
    test.globs = names
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, clear_globs=False)
    if result.failed:
        raise AssertionError(f"{file}:{line}: {result.failed} of {result.attempted} examples print something else")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(f"{argument}: {run(Path(argument).resolve())} examples ran")
