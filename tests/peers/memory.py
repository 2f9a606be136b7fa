"""Peak memory of a program and all processes it starts: `python3 memory.py COMMAND`.

All figures are summed over the processes and sampled from `/proc/PID/smaps_rollup`, since no high-water mark of the kernel
has such sums. A peak shorter than the pause between two samples can be missed.

    pss       mapped pages; pages that several processes share are divided among them
    held      the part of it that can't be dropped or written to a file
    resident  mapped pages; shared pages count once for each process

Pages of files that no process has mapped are in the page cache only, and in no figure. If the command is `bowline embed`
with `--report FILE`, the peaks of each phase follow.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, Sequence

PAUSE_SECONDS = 0.002
KIB = 1024
GONE = (FileNotFoundError, ProcessLookupError)  # a process may end between two looks


class Sizes(NamedTuple):
    """Bytes of memory of one process or of several."""

    pss: int = 0
    held: int = 0
    resident: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{name} {size >> 20} MiB" for name, size in self._asdict().items())


@dataclass(frozen=True)
class Peak:
    """The highest sums that were seen, in bytes, over how many processes at once, and all sums by seconds from the start."""

    pss: int
    held: int
    resident: int
    processes: int
    samples: list[tuple[float, Sizes]]
    exit_code: int


def highest(samples: Sequence[Sizes]) -> Sizes:
    """The highest value of each figure."""
    return Sizes(*map(max, zip(*samples))) if samples else Sizes()


def by_phase(samples: Sequence[tuple[float, Sizes]], phases: Sequence[dict]) -> list[tuple[str, Sizes]]:
    """The peaks in each phase of a report. The first phase begins with the program."""
    ends = list(accumulate(phase["seconds"] for phase in phases))
    starts = [0.0, *ends[:-1]]
    inside = lambda start, end: [sizes for time, sizes in samples if start <= time < end]
    return [(phase["phase"], highest(inside(*times))) for phase, *times in zip(phases, starts, ends)]


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


def sizes(process: int) -> Sizes:
    """The memory of a process; 0 if it is gone."""
    try:
        with open(f"/proc/{process}/smaps_rollup", "rb") as file:
            fields = dict(re.findall(rb"^(\w+):\s+(\d+) kB$", file.read(), re.MULTILINE))
    except GONE:
        return Sizes()
    except PermissionError:
        sys.exit(f"memory: /proc/{process}/smaps_rollup may not be read")
    size = lambda name: int(fields.get(name, 0)) * KIB
    return Sizes(size(b"Pss"), size(b"Pss_Anon") + size(b"Pss_Shmem"), size(b"Rss"))


def peak_of(command: Sequence[str]) -> Peak:
    """Runs a command and samples the memory of its process tree until it ends."""
    most, samples = 0, []
    start = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as root:
        while root.poll() is None:
            members = family(root.pid, parents())
            sums = Sizes(*map(sum, zip(*map(sizes, members))))
            samples.append((time.monotonic() - start, sums))
            most = max(most, len(members))
            time.sleep(PAUSE_SECONDS)
        return Peak(*highest([sums for _, sums in samples]), most, samples, root.returncode)


def report_of(command: Sequence[str]) -> dict | None:
    """The report that a command has written."""
    names = [after for option, after in zip(command, command[1:]) if option == "--report"]
    names += [word.removeprefix("--report=") for word in command if word.startswith("--report=")]
    if not names:
        return None
    with open(names[-1], encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    command = sys.argv[1:]
    peak = peak_of(command)
    sums = Sizes(peak.pss, peak.held, peak.resident)
    print(f"{sums}, {peak.processes} processes, {len(peak.samples)} samples")
    report = report_of(command) if peak.exit_code in (0, 3) else None
    for phase, sums in by_phase(peak.samples, report["phases"] if report else []):
        print(f"  {phase:<8} {sums}")
    sys.exit(peak.exit_code)
