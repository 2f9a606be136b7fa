"""Check which glibc a wheel needs: `check_glibc.py VERSION WHEEL`. Looks at each ELF file in the wheel, by readelf."""

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path


def versions(program: Path) -> set[tuple[int, ...]]:
    """The versions of glibc whose symbols an ELF file uses."""
    text = subprocess.run(
        ["readelf", "--version-info", "--wide", program], check=True, capture_output=True, text=True
    ).stdout
    return {tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_(\d[\d.]*)", text)}


def main(oldest: str, wheel: str) -> int:
    """Print what each ELF file needs. Return 1 if that is newer than `oldest`, or there are not the two files of a wheel."""
    newest = tuple(map(int, oldest.split(".")))
    checked = failed = 0
    with tempfile.TemporaryDirectory() as directory:
        zipfile.ZipFile(wheel).extractall(directory)
        for file in sorted(path for path in Path(directory).rglob("*") if path.is_file()):
            with file.open("rb") as opened:
                if opened.read(4) != b"\x7fELF":
                    continue
            needed = max(versions(file), default=(0,))
            checked += 1
            failed += needed > newest
            print(f"{file.relative_to(directory)}: glibc {'.'.join(map(str, needed))}, {file.stat().st_size} bytes")
    return int(failed > 0 or checked != 2)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
