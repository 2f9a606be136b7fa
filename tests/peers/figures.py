"""The figures of a comparison and their table: medians, ratios and columns that line up.

Only computes and formats: it runs no program, reads no file and prints nothing.
"""

from __future__ import annotations

from heapq import heappop, heappush
from statistics import median
from typing import Optional, Sequence

MB = 1e6


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Optional[float]:
    """The median over the rounds of ours / theirs, over the rounds that both ran; None if one never ran."""
    ratios = [our / their for our, their in zip(ours, theirs)]
    return median(ratios) if ratios else None


def times_faster(ratio: Optional[float]) -> str:
    """In words, how bowline compares with a peer that took `ratio` times as long."""
    if ratio is None:
        return ""
    return f"{ratio:.1f} times faster" if ratio >= 1 else f"{1 / ratio:.1f} times slower"


def number(value: Optional[float], digits: int) -> str:
    """A number with thousands separated, or an empty string."""
    return "" if value is None else f"{value:,.{digits}f}"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """A table: the first line is the head, the first column is left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    texts = []
    for line in lines:
        cells = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
        texts.append("  ".join(cells).rstrip())
    texts.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join(texts)


def equal_shares(files: list[tuple[int, bytes]], jobs: int, most: int) -> list[list[bytes]]:
    """The paths of `files`, each a size and a path, in a multiple of `jobs` shares of nearly equal bytes and at most `most`
    paths. All shares have the same number of paths, except the last, which may have fewer. Paths keep their order."""
    number = jobs * -(-len(files) // (jobs * most))
    length = -(-len(files) // number)
    sizes = [length] * (len(files) // length) + [len(files) % length] * (len(files) % length > 0)
    shares: list[list[int]] = [[] for _ in sizes]
    lightest = [(0, share) for share in range(len(sizes))]
    # The largest file first, each to the share that has the fewest bytes so far and room.
    for index in sorted(range(len(files)), key=lambda index: -files[index][0]):
        load, share = heappop(lightest)
        shares[share].append(index)
        if len(shares[share]) < sizes[share]:
            heappush(lightest, (load + files[index][0], share))
    return [[files[index][1] for index in sorted(share)] for share in shares]
