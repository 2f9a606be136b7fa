"""`python -m bowline`: the program, with the same arguments."""

import os
import sys

from bowline._program import find_bowline_bin


def main() -> None:
    program = find_bowline_bin()
    os.execv(program, [program, *sys.argv[1:]])


if __name__ == "__main__":
    main()
