"""`embed` and `aembed` on the program, and on scripts that stand for it where it must fail in some way."""

import asyncio
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import scipy.sparse

import bowline
from bowline._program import find_bowline_bin

# Bytes of the events that a script writes, and of its summary.
PHASE = '{"event":"phase","phase":"walk","total":null,"seconds":0.1}'
# Milliseconds a document: the run takes more than a minute.
SLOW: dict[str, Any] = {"read_latency": 1000, "workers": 1, "progress": False}


def children() -> list[int]:
    """The children of this process, also those of its other threads."""
    tasks = Path("/proc/self/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_embeds(sample: Path, tmp_path: Path) -> None:
    output = bowline.embed(sample, tmp_path / "out", weight="tfidf", ngrams=(1, 2), min_df=2)
    expected = scipy.sparse.load_npz(tmp_path / "out" / "matrix.npz")
    assert (output.matrix != expected).nnz == 0
    assert output.matrix.shape == expected.shape == (output.documents.num_rows, len(output.terms))
    assert output.manifest["settings"]["values"]["weight"] == "tfidf"


def test_files_have_rows_in_their_order(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("b", "c", "a")]
    for file in files:
        file.write_text(f"word {file.name}{file.name}")
    output = bowline.embed(files, tmp_path / "out", resume=True)
    assert output.documents["path"].to_pylist() == [str(file) for file in files]
    # More than a command line can have.
    many = bowline.embed([files[0]] * 20_000, tmp_path / "many")
    assert many.matrix.shape == (20_000, 2)


def test_failed_documents_are_a_warning(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "good").write_text("a good one")
    for number in range(12):
        (corpus / f"wrong{number:02}").write_bytes(b"\xff")
    with pytest.warns(bowline.EmbedWarning, match=r"12 of 13 documents failed: .*wrong00: invalid UTF-8") as caught:
        output = bowline.embed(corpus, tmp_path / "out")
    assert [Path(one.filename).name for one in caught] == ["test_embed.py"]
    assert output.failures.num_rows == 12
    assert output.failures["row"].to_pylist() == list(range(1, 13))


def test_notices_are_warnings(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("The\n")
    with pytest.warns(bowline.EmbedWarning, match="The"):
        bowline.embed(sample, tmp_path / "out", stop_words=tmp_path / "words")
    bowline.embed(sample, tmp_path / "quiet", stop_words=tmp_path / "words", quiet=True)


def test_errors(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    options: Any
    for options, code, message in [
        ({}, 1, "out: exists and contains mine"),
        ({"format": "xls"}, 2, "invalid value 'xls' for '--format <FORMAT>' [possible values: npz, npy"),
        ({"ngrams": (2, 1)}, 2, "ngrams"),
        ({"dense": True, "format": "npy"}, 2, "cannot be used with"),
    ]:
        with pytest.raises(bowline.EmbedError) as caught:
            bowline.embed(sample, tmp_path / "out", **options)
        error = caught.value
        assert message in str(error) and "\n" not in str(error) and error.exit_code == code
        copy = pickle.loads(pickle.dumps(error))
        assert (str(copy), copy.exit_code) == (str(error), code)
    with pytest.raises(bowline.EmbedError, match="nothing: No such file"):
        bowline.embed(tmp_path / "nothing", tmp_path / "new")


def test_a_program_that_is_killed_blocks_nothing(program: Callable[[str], None], tmp_path: Path) -> None:
    # A worker that holds the pipe outlives it.
    program(f"echo '{PHASE}' >&2; sleep 30 & echo $! >{tmp_path}/worker; kill -9 $$")
    try:
        for run in (bowline.embed, lambda *paths: asyncio.run(bowline.aembed(*paths))):
            with pytest.raises(bowline.EmbedError, match="killed by SIGKILL") as caught:
                run("corpus", tmp_path / "out")
            assert caught.value.exit_code == -signal.SIGKILL
            os.kill(int((tmp_path / "worker").read_text()), signal.SIGKILL)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((tmp_path / "worker").read_text()), signal.SIGKILL)


def test_odd_ends(program: Callable[[str], None], tmp_path: Path) -> None:
    for script, message in [
        ("exit 7", "ended with exit code 7"),
        ("echo words >&2; exit 7", "ended with exit code 7: words"),
        ("printf 'bowline: no\\nand more' >&2; exit 1", "^no$"),
        ("printf '{\"event\":' >&2; exit 1", "exit code 1"),
        ("exit 130", "ended by SIGINT"),
        ("kill -TERM $$", "killed by SIGTERM"),
    ]:
        program(script)
        with pytest.raises(bowline.EmbedError, match=message):
            bowline.embed("corpus", tmp_path / "out")


def test_the_real_one_killed(sample: Path, tmp_path: Path) -> None:
    others = set(children())

    def kill() -> None:
        wait_for(lambda: set(children()) - others and (tmp_path / "out.partial").exists())
        (child,) = set(children()) - others
        os.kill(child, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(bowline.EmbedError, match="SIGKILL"):
        bowline.embed(sample, tmp_path / "out", **SLOW)
    thread.join()
    # What it has left is replaced.
    with pytest.warns(bowline.EmbedWarning, match="replaced"):
        bowline.embed(sample, tmp_path / "out")


def test_an_interrupt_ends_the_program_and_loses_nothing(sample: Path, tmp_path: Path) -> None:
    script = (
        "import bowline, sys\n"
        "try:\n"
        "    bowline.embed(sys.argv[1], sys.argv[2], resume=True, workers=1, read_latency=100)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    out = tmp_path / "out"
    # As a terminal does it: the signal goes to the whole group.
    python = subprocess.Popen(
        [sys.executable, "-c", script, sample, out], stdout=subprocess.PIPE, text=True, process_group=0
    )
    partial = tmp_path / "out.partial"
    wait_for(lambda: any(path.stat().st_size for path in partial.rglob("*") if path.is_file()))
    os.killpg(python.pid, signal.SIGINT)
    printed, _ = python.communicate(timeout=60)
    assert (printed, python.returncode) == ("interrupted\n", 0)
    assert not out.exists() and partial.exists()
    again = bowline.embed(sample, out, resume=True)
    whole = bowline.embed(sample, tmp_path / "whole")
    assert (again.matrix != whole.matrix).nnz == 0 and again.terms == whole.terms


def test_progress(sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bowline.embed(sample, tmp_path / "quiet")
    assert capsys.readouterr() == ("", "")
    bowline.embed(sample, tmp_path / "drawn", progress=True)
    printed = capsys.readouterr()
    assert "counting" in printed.err and printed.out == ""


def test_progress_without_tqdm(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r"pip install 'bowline\[progress\]'"):
        bowline.embed(sample, tmp_path / "out", progress=True)
    assert not (tmp_path / "out").exists()


def test_other_coroutines_run(sample: Path, tmp_path: Path) -> None:
    async def main() -> tuple[bowline.Output, int]:
        run = asyncio.create_task(bowline.aembed(sample, tmp_path / "out", read_latency=20, workers=1))
        turns = 0
        while not run.done():
            await asyncio.sleep(0.001)
            turns += 1
        return run.result(), turns

    output, turns = asyncio.run(main())
    assert (output.matrix != bowline.embed(sample, tmp_path / "same").matrix).nnz == 0
    assert turns > 20


def test_several_at_the_same_time(sample: Path, tmp_path: Path) -> None:
    async def main() -> list[bowline.Output]:
        return await asyncio.gather(*(bowline.aembed(sample, tmp_path / str(number)) for number in range(3)))

    first, *others = asyncio.run(main())
    assert all((output.matrix != first.matrix).nnz == 0 for output in others)


@pytest.mark.parametrize("ignores", [False, True])
def test_cancellation_ends_the_program(sample: Path, tmp_path: Path, ignores: bool) -> None:
    others = set(children())

    async def main() -> None:
        run = asyncio.create_task(bowline.aembed(sample, tmp_path / "out", **SLOW))
        while not (tmp_path / "out.partial").exists():
            await asyncio.sleep(0.01)
        assert set(children()) - others
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert not set(children()) - others

    # A program that a shell starts behind `&` ignores SIGINT, and so do its children.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignores else None
    try:
        asyncio.run(main())
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


def test_the_program_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = subprocess.run([sys.executable, "-m", "bowline", "--version"], check=True, capture_output=True, text=True)
    assert found.stdout == f"bowline {bowline.__version__}\n"
    monkeypatch.delenv("BOWLINE_BIN", raising=False)
    assert Path(find_bowline_bin()).name == "bowline"
    monkeypatch.setenv("BOWLINE_BIN", str(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError, match="BOWLINE_BIN names no program"):
        find_bowline_bin()


def test_descriptors_are_given_back(sample: Path, tmp_path: Path) -> None:
    bowline.embed(sample, tmp_path / "out")
    before = len(os.listdir("/proc/self/fd"))
    for number in range(3):
        bowline.embed([sample / "a.txt"], tmp_path / str(number))
        with pytest.raises(bowline.EmbedError):
            bowline.embed(sample, tmp_path / "out")
    assert len(os.listdir("/proc/self/fd")) <= before
