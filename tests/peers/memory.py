"""Peak memory of a program and all processes it starts.

Memory is PSS, which splits shared pages among those that share them, summed over the family and sampled from
`/proc/PID/smaps_rollup`: no high-water mark of the kernel says it. A peak shorter than the pause between two samples can
be missed, and pages that no process has mapped (those of a file in the page cache) are no one's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Sequence

PAUSE_SECONDS = 0.002
KIB = 1024
GONE = (FileNotFoundError, ProcessLookupError)  # a process may end between two looks


@dataclass(frozen=True)
class Peak:
    """The highest sum that was sampled, in bytes, the number of processes in it, and the number of samples."""

    pss: int
    processes: int
    samples: int
    exit_code: int


def parents() -> dict[int, int]:
    """Every process's parent."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                found[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
        except GONE:
            pass
    return found


def family(root: int, parent_of: dict[int, int]) -> list[int]:
    """The root and its descendants."""
    members = [root]
    for member in members:  # grows while it is walked
        members += [process for process, parent in parent_of.items() if parent == member]
    return members


def pss(process: int) -> int:
    """The PSS of a process in bytes, 0 if it is gone."""
    try:
        with open(f"/proc/{process}/smaps_rollup", "rb") as file:
            found = re.search(rb"^Pss:\s+(\d+) kB$", file.read(), re.MULTILINE)
    except GONE:
        return 0
    except PermissionError:
        sys.exit(f"memory: /proc/{process}/smaps_rollup may not be read")
    return int(found[1]) * KIB if found else 0


def peak_of(command: Sequence[str]) -> Peak:
    """Runs a command and samples the memory of its process tree until it ends."""
    highest, most, samples = 0, 0, 0
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as root:
        while root.poll() is None:
            members = family(root.pid, parents())
            highest = max(highest, sum(map(pss, members)))
            most, samples = max(most, len(members)), samples + 1
            time.sleep(PAUSE_SECONDS)
        return Peak(highest, most, samples, root.returncode)
