"""A progress bar of tqdm: a bar a phase, in terminals and notebooks. Reads nothing but the events that it is given."""

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

# What users call the phases.
_NAMES = {"walk": "finding", "tally": "counting", "merge": "merging", "emit": "writing", "publish": "syncing"}


class Progress:
    """Draws the events `phase` and `progress`, or nothing."""

    def __init__(self, wanted: bool | None) -> None:
        """Draw if `wanted`; for None, draw in a terminal or a notebook if tqdm is installed.

        Raises ImportError if it is wanted and tqdm is not installed.
        """
        self._bar: Any = None
        self._tqdm: Any = None
        if wanted is None:
            wanted = (_is_terminal() or _is_notebook()) and find_spec("tqdm") is not None
        if wanted:
            try:
                from tqdm.auto import tqdm
            except ImportError as error:
                raise ImportError("progress=True needs tqdm: pip install 'bowline[progress]'") from error
            self._tqdm = tqdm

    def on_event(self, event: Mapping[str, Any]) -> None:
        """Draw an event of the run."""
        if self._tqdm is None:
            return
        if event["event"] == "phase":
            self.close()
            name = _NAMES.get(event["phase"], event["phase"])
            self._bar = self._tqdm(desc=name, total=event["total"], leave=False)
        elif event["event"] == "progress" and self._bar is not None:
            done, total, bytes_, total_bytes = (event[key] for key in ("done", "total", "bytes", "total_bytes"))
            if total is None and total_bytes:
                # How many documents there are shows only when they have been read.
                self._bar.total, self._bar.unit, self._bar.unit_scale = total_bytes, "B", True
                done, total = bytes_, total_bytes
            self._bar.update((min(done, total) if total else done) - self._bar.n)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _is_terminal() -> bool:
    # There is no standard error under pythonw and some servers.
    return sys.stderr is not None and sys.stderr.isatty()


def _is_notebook() -> bool:
    """Whether this is a kernel of Jupyter, which shows no terminal's bar."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
