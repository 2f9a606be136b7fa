"""The program `bowline` of this package: where it is. Starts nothing."""

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

NAME = "bowline"


def find_bowline_bin() -> str:
    """Return the path of the program `bowline`.

    The environment variable BOWLINE_BIN names it, or else it is the one that was installed with this package, or else the first
    one of PATH.
    """
    named = os.environ.get("BOWLINE_BIN")
    if named:
        if not _is_program(named):
            raise FileNotFoundError(f"BOWLINE_BIN names no program: {named}")
        return named
    for directory in _directories():
        program = os.path.join(directory, NAME)
        if _is_program(program):
            return program
    found = shutil.which(NAME)
    if found:
        return found
    raise FileNotFoundError("the program bowline is not installed beside this package; BOWLINE_BIN can name it")


def _directories() -> Iterator[str]:
    """The directories where installers put a wheel's programs, most likely first."""
    yield sysconfig.get_path("scripts")
    # A virtual environment that sees the packages of its base.
    yield sysconfig.get_path("scripts", vars={"base": sys.base_prefix})
    package = Path(__file__).resolve().parent
    # pip install --prefix: PREFIX/lib/pythonX.Y/site-packages/bowline
    if package.parent.name in ("site-packages", "dist-packages") and len(package.parents) > 3:
        yield str(package.parents[3] / "bin")
    # pip install --target: TARGET/bowline and TARGET/bin/bowline
    yield str(package.parent / "bin")
    yield sysconfig.get_path("scripts", scheme=sysconfig.get_preferred_scheme("user"))


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)
