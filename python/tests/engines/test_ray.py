"""`bowline.ray` on a cluster of two nodes: the same bits as the classes, also when workers are killed."""

from __future__ import annotations

import doctest
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray
import ray.data

import bowline
import bowline.ray

# Ray warns of its own settings and leaves sockets open.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("cluster")]

WORDS = ["cat", "dog", "bird", "mat", "sat", "flies", "über", "猫猫", "the", "of"]
TEXTS = [
    " ".join(WORDS[(row * step + step * step) % len(WORDS)] for step in range(1, row % 13)) + f" word{row % 29}"
    for row in range(300)
]
N_BLOCKS = 6

CASES = [
    ("CountVectorizer", {}),
    ("CountVectorizer", {"ngram_range": (1, 2), "binary": True, "max_features": 20}),
    ("TfidfVectorizer", {"min_df": 0.04, "max_features": 12}),
    ("HashingVectorizer", {"n_features": 256}),
    ("BM25Vectorizer", {"min_df": 2}),
]


def dataset() -> Any:
    size = -(-len(TEXTS) // N_BLOCKS)
    return ray.data.from_arrow(
        [
            pa.table({"row": range(start, start + size), "text": TEXTS[start : start + size]})
            for start in range(0, len(TEXTS), size)
        ]
    )


def same(left: Any, right: Any) -> None:
    assert left.shape == right.shape
    for name in ("data", "indices", "indptr"):
        assert getattr(left, name).dtype == getattr(right, name).dtype
        assert getattr(left, name).tobytes() == getattr(right, name).tobytes()


def killer(marker: Path) -> Any:
    """Returns a function that kills the worker of the first task that calls it, and then does nothing."""

    def kill_once(table: pa.Table) -> pa.Table:
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            return table
        os.kill(os.getpid(), signal.SIGKILL)
        return table

    return kill_once


def test_the_cluster_has_two_nodes() -> None:
    assert len([node for node in ray.nodes() if node["Alive"]]) == 2


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_datasets_give_the_bits_of_the_class(name: str, parameters: dict[str, Any]) -> None:
    expected = getattr(bowline, name)(**parameters).fit_transform(TEXTS)
    vectorizer = getattr(bowline.ray, name)(**parameters)
    result = vectorizer.fit_transform(dataset(), concurrency=2, num_cpus=1)
    assert result.schema().names == ["row", "text", "indices", "values"]
    same(vectorizer.to_csr(result), expected)
    row = next(row for row in result.take_all() if row["row"] == 17)
    assert row["text"] == TEXTS[17]
    assert np.array_equal(row["indices"], expected[17].indices)
    assert np.array_equal(row["values"], expected[17].data)


def test_groupby_gives_the_sums_of_the_driver() -> None:
    vectorizer = bowline.ray.TfidfVectorizer(min_df=2).fit(dataset(), partitions=3)
    expected = bowline.TfidfVectorizer(min_df=2).fit(TEXTS)
    assert vectorizer.estimator_.vocabulary_ == expected.vocabulary_
    assert vectorizer.estimator_.idf_.tobytes() == expected.idf_.tobytes()


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_a_killed_worker_changes_nothing(name: str, parameters: dict[str, Any], tmp_path: Path) -> None:
    expected = getattr(bowline, name)(**parameters).fit_transform(TEXTS)
    vectorizer = getattr(bowline.ray, name)(**parameters)
    # Ray runs `kill_once` and the step of the vectorizer in one task.
    during_fit, during_transform = tmp_path / "fit", tmp_path / "transform"
    vectorizer.fit(dataset().map_batches(killer(during_fit), batch_format="pyarrow", batch_size=None))
    assert during_fit.exists() == (name != "HashingVectorizer")
    result = vectorizer.transform(
        dataset().map_batches(killer(during_transform), batch_format="pyarrow", batch_size=None)
    )
    same(vectorizer.to_csr(result), expected)
    assert during_transform.exists()


def test_rows_are_in_order_when_the_first_block_is_last(tmp_path: Path) -> None:
    done = tmp_path / "done"

    def wait_first(table: pa.Table) -> pa.Table:
        if table["row"][0].as_py() > 0:
            done.touch()
        for _ in range(100):
            if done.exists():
                break
            time.sleep(0.1)
        return table

    hashing = bowline.ray.HashingVectorizer(n_features=256)
    slow = hashing.transform(dataset()).map_batches(wait_first, batch_format="pyarrow", batch_size=None)
    same(hashing.to_csr(slow), bowline.HashingVectorizer(n_features=256).transform(TEXTS))
    assert not slow.context.execution_options.preserve_order


def test_the_examples_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "RAY_AND_SPARK.md").read_text(encoding="utf-8")
    section = page.split("\n## Ray\n")[1].split("\n## ")[0].replace("\n```", "\n\n```")
    monkeypatch.chdir(tmp_path)
    for name, text in (("a.txt", "the cat sat"), ("b.txt", "a bird")):
        Path(name).write_text(text)
    examples = doctest.DocTestParser().get_doctest(section, {}, "RAY_AND_SPARK.md", None, 0)
    assert len(examples.examples) > 5
    assert doctest.DocTestRunner(verbose=False).run(examples).failed == 0


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{(row * 7) % len(TEXTS)}.txt" for row in range(len(TEXTS))]
    for path, text in zip(paths, TEXTS, strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_files_keep_the_order_of_the_list(name: str, parameters: dict[str, Any], files: list[Path]) -> None:
    expected = getattr(bowline, name)(**parameters).fit_transform(TEXTS)
    vectorizer = getattr(bowline.ray, name)(**parameters)
    result = vectorizer.fit_transform(files)
    assert [row["path"] for row in result.take_all()] == [str(path) for path in files]
    same(vectorizer.to_csr(result), expected)


def test_files_that_cannot_be_read_are_named(files: list[Path]) -> None:
    missing = files[100].with_name("missing.txt")
    files[100] = missing
    with pytest.raises(ValueError, match=r"missing\.txt: No such file") as refused:
        bowline.ray.CountVectorizer().fit(files)
    assert str(refused.value) == f"{missing}: No such file or directory"
    hashing = bowline.ray.HashingVectorizer()
    with pytest.raises(ValueError, match=r"missing\.txt: No such file"):
        hashing.to_csr(hashing.transform(files))
    missing.write_bytes(b"caf\xe9 noir")
    with pytest.raises(ValueError, match=r"missing\.txt: byte 3: .*not UTF-8"):
        bowline.ray.CountVectorizer().fit(files)
    ignoring = bowline.ray.CountVectorizer(decode_error="ignore").fit(files)
    assert "caf" in ignoring.estimator_.vocabulary_


def test_wrong_use_is_one_line() -> None:
    with pytest.raises(ValueError, match="function as tokenizer"):
        bowline.ray.CountVectorizer(tokenizer=str.split)
    with pytest.raises(ValueError, match="call fit first"):
        bowline.ray.CountVectorizer().transform(dataset())
    with pytest.raises(ValueError, match="a list of paths, not a str"):
        bowline.ray.CountVectorizer().fit("file.txt")
    hashing = bowline.ray.HashingVectorizer()
    with pytest.raises(ValueError, match="no column 'body': it has row, text"):
        hashing.to_csr(hashing.transform(dataset(), column="body"))
    with pytest.raises(ValueError, match="a column 'indices' already"):
        hashing.to_csr(hashing.transform(hashing.transform(dataset())))


def test_a_null_and_a_missing_column_are_one_line() -> None:
    with_null = ray.data.from_arrow(pa.table({"text": ["a text", None]}))
    with pytest.raises(ValueError) as refused:
        bowline.ray.CountVectorizer().fit(with_null)
    assert str(refused.value) == "a text is null: drop such rows, or fill them with empty texts"
    with pytest.raises(ValueError) as refused:
        bowline.ray.CountVectorizer().fit(dataset(), column="body")
    assert str(refused.value) == "the dataset has no column 'body': it has row, text"


def test_no_documents() -> None:
    hashing = bowline.ray.HashingVectorizer(n_features=8)
    assert hashing.to_csr(hashing.transform([])).shape == (0, 8)
    with pytest.raises(ValueError, match="empty vocabulary"):
        bowline.ray.CountVectorizer().fit([])
