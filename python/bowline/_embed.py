"""`embed` and `aembed`: run the program `bowline`, as a child with a process group of its own.

The child writes events as lines of JSON on standard error, the only pipe between the two; it never waits for an answer. The caller
waits for the end of that pipe or of the child, so a child that is killed, and workers that outlive it for a moment, block nothing.
A group of its own keeps the Ctrl-C of a terminal or a notebook from the child: the second SIGINT would end it at once. It gets
one from here, and then ends in order: with `resume=True` it keeps what it has counted.
"""

import asyncio
import json
import os
import selectors
import signal
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Unpack

from bowline._options import CommandLine, Corpus, EmbedOptions, StrPath
from bowline._output import Output, load
from bowline._program import find_bowline_bin
from bowline._progress import Progress

# Seconds between two looks at whether the child is alive, if its pipe is silent.
_INTERVAL = 0.1
_CHUNK = 1 << 16
_OK, _SOME_FAILED = 0, 3
# Failed documents that a warning names.
_NAMED = 3


class EmbedError(RuntimeError):
    """The run did not finish. There is no output, and an earlier one is unchanged."""

    message: str
    """What happened, in one line."""
    exit_code: int
    """The exit code of the program: 1 could not finish, 2 wrong usage; negative, the signal that killed it."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message, exit_code)
        self.message = message
        self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message


class EmbedWarning(UserWarning):
    """A notice of a run that finished, or documents that failed."""


def embed(
    corpus: Corpus, output: StrPath, *, progress: bool | None = None, **options: Unpack[EmbedOptions]
) -> Output:
    """Embed a corpus of files by the program `bowline`, in worker processes, and open the output.

    Args:
        corpus: A directory or a file, with rows sorted by path; or several paths. If none of several paths is a directory, rows
            have the order of the paths.
        output: The directory to write. It appears when the run has finished.
        progress: Draw a progress bar (tqdm). None: in a terminal or a notebook, if tqdm is installed.
        options: The options of `bowline embed`, by their names with underscores: True for one without a value, a list for one that
            may be repeated.

    Returns:
        The output. Documents that failed have empty rows, and an EmbedWarning counts them; `Output.failures` lists all.

    Raises:
        EmbedError: The run did not finish.
        TypeError: An option that does not exist, or a value of another type.
        KeyboardInterrupt: The child has ended. With `resume=True`, the same call goes on where it ended.
    """
    with _started(corpus, output, progress, options) as run:
        run.read_to_the_end()
    return run.result(output)


async def aembed(
    corpus: Corpus, output: StrPath, *, progress: bool | None = None, **options: Unpack[EmbedOptions]
) -> Output:
    """Embed a corpus as `embed` does, while other coroutines run. Cancellation ends the child before it is raised."""
    with _started(corpus, output, progress, options) as run:
        try:
            await run.aread_to_the_end()
        except asyncio.CancelledError:
            run.interrupt()
            await run.await_end()
            raise
    return run.result(output)


@contextmanager
def _started(
    corpus: Corpus, output: StrPath, progress: bool | None, options: EmbedOptions
) -> Iterator["_Run"]:
    """A run, which has ended when the context ends, however it ends."""
    bar = Progress(progress)
    command = CommandLine(corpus, output, options)
    try:
        # `-` is the caller's own standard input; nothing else reads it.
        own = "-" in command.arguments
        stdin = None if own else subprocess.DEVNULL if command.stdin is None else command.stdin
        child = subprocess.Popen(
            [find_bowline_bin(), *command.arguments],
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            bufsize=0,
            process_group=0,
        )
    finally:
        command.close()
    run = _Run(child, bar)
    try:
        yield run
    finally:
        run.end()


class _Run:
    """A child, and what it has written."""

    def __init__(self, child: "subprocess.Popen[bytes]", progress: Progress) -> None:
        assert child.stderr is not None
        self._child = child
        self._pipe = child.stderr
        os.set_blocking(self._pipe.fileno(), False)
        self._progress = progress
        self._rest = b""
        self._texts: list[str] = []
        self._notices: list[str] = []
        self._failures: list[str] = []
        self._summary: dict[str, Any] = {}

    def read_to_the_end(self) -> None:
        """Read what the child writes until it has ended."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe, selectors.EVENT_READ)
            while self._read():
                if not selector.select(_INTERVAL) and self._child.poll() is not None:
                    self._read()
                    break
        self._child.wait()

    async def aread_to_the_end(self) -> None:
        """The same without blocking the event loop."""
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._pipe.fileno(), readable.set)
        try:
            while self._read():
                readable.clear()
                try:
                    await asyncio.wait_for(readable.wait(), _INTERVAL)
                except TimeoutError:
                    if self._child.poll() is not None:
                        self._read()
                        break
        finally:
            loop.remove_reader(self._pipe.fileno())
        await self.await_end()

    async def await_end(self) -> None:
        """Wait for the end of the child. If this is cancelled, `end` kills it."""
        pause = 0.001
        while self._child.poll() is None:
            self._read()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _INTERVAL)

    def interrupt(self) -> None:
        """Ask the child to end: it removes its partial output, or keeps what a resumed run needs."""
        # A process that a shell starts behind `&` ignores SIGINT, and so does its child.
        is_ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        self._child.send_signal(signal.SIGTERM if is_ignored else signal.SIGINT)

    def end(self) -> None:
        """End the child if it has not ended, and close its pipe. A second interrupt kills it."""
        try:
            if self._child.poll() is None:
                self._end_in_order()
        finally:
            if self._child.poll() is None:
                self._child.kill()
                self._child.wait()
            self._pipe.close()
            self._progress.close()

    def _end_in_order(self) -> None:
        self.interrupt()
        self.read_to_the_end()

    def _read(self) -> bool:
        """Read what is in the pipe. Returns whether more may come."""
        while True:
            try:
                chunk = os.read(self._pipe.fileno(), _CHUNK)
            except BlockingIOError:
                return True
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                self._on_line(line.decode("utf-8", "replace"))
            if not chunk:
                if self._rest:
                    self._on_line(self._rest.decode("utf-8", "replace"))
                    self._rest = b""
                return False

    def _on_line(self, line: str) -> None:
        try:
            event = json.loads(line) if line.startswith('{"event":') else None
        except ValueError:
            event = None
        if event is None:
            self._texts.append(line)
            return
        match event["event"]:
            case "phase" | "progress":
                self._progress.on_event(event)
            case "notice":
                self._notices.append(_with_hint(event["text"], event))
            case "unreadable":
                self._notices.append(f"{event['path']}: {event['cause']}")
            case "failure":
                self._failures.append(_with_hint(f"{event['path']}: {event['cause']}", event))
            case "summary":
                self._summary = event

    def result(self, output: StrPath) -> Output:
        """The output of a run that has ended, with its notices as warnings, or its error."""
        code = self._child.returncode
        if code not in (_OK, _SOME_FAILED):
            raise EmbedError(self._message(code), code)
        opened = load(output)
        for notice in self._notices:
            warnings.warn(notice, EmbedWarning, stacklevel=3)
        if self._failures:
            warnings.warn(self._failed(), EmbedWarning, stacklevel=3)
        return opened

    def _failed(self) -> str:
        failed = self._summary.get("failed", len(self._failures))
        total = self._summary.get("documents", "all")
        named = "; ".join(self._failures[:_NAMED])
        more = "; ..." if failed > _NAMED else ""
        return f"{failed} of {total} documents failed: {named}{more}"

    def _message(self, code: int) -> str:
        """The error that the program has printed, or how it ended."""
        prefix = "bowline: "
        for line in reversed(self._texts):
            if line.startswith(prefix):
                return line.removeprefix(prefix)
        text = "\n".join(self._texts)
        if text.startswith("error: "):
            # A usage error of the argument parser, over several lines.
            text = text.removeprefix("error: ").split("\nUsage:")[0].split("\nFor more information")[0]
            return " ".join(text.split())
        if code < 0:
            return f"the program bowline was killed by {_signal_name(-code)}"
        if code > 128:
            return f"the program bowline was ended by {_signal_name(code - 128)}"
        return f"the program bowline ended with exit code {code}" + (f": {self._texts[-1]}" if self._texts else "")


def _with_hint(text: str, event: dict[str, Any]) -> str:
    return f"{text} ({event['hint']})" if event.get("hint") else text


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
