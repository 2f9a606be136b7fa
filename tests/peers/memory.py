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
    """The highest sums that were seen, in bytes, over how many processes at once, in how many samples."""

    pss: int
    held: int
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


def pss(process: int) -> tuple[int, int]:
    """The PSS of a process in bytes, and its part that can't be dropped or written to a file; 0 if it is gone."""
    try:
        with open(f"/proc/{process}/smaps_rollup", "rb") as file:
            fields = dict(re.findall(rb"^(\w+):\s+(\d+) kB$", file.read(), re.MULTILINE))
    except GONE:
        return 0, 0
    except PermissionError:
        sys.exit(f"memory: /proc/{process}/smaps_rollup may not be read")
    size = lambda name: int(fields.get(name, 0)) * KIB
    return size(b"Pss"), size(b"Pss_Anon") + size(b"Pss_Shmem")


def peak_of(command: Sequence[str]) -> Peak:
    """Runs a command and samples the memory of its process tree until it ends."""
    highest, most_held, most, samples = 0, 0, 0, 0
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as root:
        while root.poll() is None:
            members = family(root.pid, parents())
            sums = [sum(sizes) for sizes in zip(*map(pss, members))]
            highest, most_held = max(highest, sums[0]), max(most_held, sums[1])
            most, samples = max(most, len(members)), samples + 1
            time.sleep(PAUSE_SECONDS)
        return Peak(highest, most_held, most, samples, root.returncode)


if __name__ == "__main__":
    peak = peak_of(sys.argv[1:])
    print(f"pss {peak.pss >> 20} MiB, held {peak.held >> 20} MiB, {peak.processes} processes, {peak.samples} samples")
    sys.exit(peak.exit_code)
