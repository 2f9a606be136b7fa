#!/usr/bin/env python3
"""Compares `bowline embed --estimate=json` with the runs that it estimates.

    tests/estimate_check.py PROGRAM CASES

CASES is a file with one case a line: a name, and the options and CORPUS arguments of `embed`, as a shell would read them;
lines with `#` are comments. Prints a Markdown table of estimate, truth and whether the truth lies inside the interval, and
the share of intervals that hold it. Exit code 1 if that is less than 90 %.
"""

import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

QUANTITIES = ["documents", "failed", "tokens", "columns", "nonzeros", "output_bytes", "map_bytes", "seconds"]


def run(command):
    """Runs a command that may end with failed documents, and returns its standard output."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode not in (0, 3):
        sys.exit(f"{shlex.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def estimate(program, arguments):
    """The estimate of a run, and the seconds that it took."""
    began = time.monotonic()
    text = run([program, "embed", "--quiet", "--estimate=json", *arguments])
    return json.loads(text), time.monotonic() - began


def truth(program, arguments):
    """What the run comes to."""
    with tempfile.TemporaryDirectory() as directory:
        output, report = Path(directory, "out"), Path(directory, "report.json")
        run([program, "embed", "--quiet", "--output", output, "--report", report, *arguments])
        found = json.loads(report.read_text())
        found["output_bytes"] = sum(file.stat().st_size for file in output.iterdir())
        return found


def shown(number):
    return f"{number:.1f}" if isinstance(number, float) else f"{number:,}"


def main():
    program, cases = sys.argv[1:]
    program = str(Path(program).resolve())
    held = all_of_them = 0
    misses = []
    print("| case | read | | documents | columns | non-zeros | output bytes | rows and tables |")
    print("|---|---|---|---|---|---|---|---|")
    for line in Path(cases).read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, *arguments = shlex.split(line)
        guess, seconds = estimate(program, arguments)
        real = truth(program, arguments)
        cells = {}
        for quantity in QUANTITIES:
            low, value, high = (guess[quantity][part] for part in ("low", "value", "high"))
            is_inside = low <= real[quantity] <= high
            held += is_inside
            all_of_them += 1
            mark = "" if is_inside else " **outside**"
            cells[quantity] = (f"{shown(value)} ({shown(low)} to {shown(high)})", f"{shown(real[quantity])}{mark}")
            if not is_inside:
                misses.append(f"{name}: {quantity} {shown(low)} {shown(value)} {shown(high)}, real {shown(real[quantity])}")
        share = 100 * guess["sampled_bytes"] / max(1, real["bytes"])
        columns = ["documents", "columns", "nonzeros", "output_bytes", "map_bytes"]
        row = [f"{share:.0f} % in {seconds:.1f} s", "estimate", *(cells[column][0] for column in columns)]
        print("|", name, "|", " | ".join(row), "|")
        print("| | run:", f"{real['seconds']:.1f} s | run |", " | ".join(cells[column][1] for column in columns), "|", flush=True)
    print(f"\n{held} of {all_of_them} intervals hold the truth.")
    print("\n".join(misses), file=sys.stderr)
    sys.exit(held < 0.9 * all_of_them)


if __name__ == "__main__":
    main()
