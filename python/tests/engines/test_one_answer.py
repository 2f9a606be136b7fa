"""One answer everywhere: one run of the program, merged parts, the classes, Ray and Spark give the same columns and values."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray
import ray.data
from pyspark.sql import SparkSession
from scipy.sparse import csr_matrix

import bowline
import bowline.ray
import bowline.spark
from bowline._program import find_bowline_bin

pytestmark = pytest.mark.filterwarnings("default")

N_PARTS = (1, 3, 8)


def texts() -> list[str]:
    """Texts whose words have about the frequencies of a language: many occur once, some in most texts."""
    chance = random.Random(27)
    letters = "abcdefghijklmnoprstuvwyzäéñßθ猫"
    words = ["".join(chance.choices(letters, k=chance.randint(1, 9))) for _ in range(2000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    made = [" ".join(chance.choices(words, weights, k=chance.randint(0, 60))) for _ in range(400)]
    return [*made, "", "It's THE same, ﬁne: İstanbul straße", "a b c"]


TEXTS = texts()

# The class, its parameters, those of Spark, the options of the program that count, and those that a merge takes, too.
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], list[str], list[str]]] = {
    "counts": (
        "CountVectorizer",
        {"ngram_range": (1, 2), "dtype": np.float64},
        {"ngramRange": [1, 2]},
        ["--ngrams=1:2"],
        ["--dtype=f64"],
    ),
    "tf-idf": (
        "TfidfVectorizer",
        {"min_df": 3, "max_df": 0.6, "max_features": 500},
        {"minDF": 3, "maxDF": 0.6, "maxFeatures": 500},
        [],
        ["--weight=tfidf", "--min-df=3", "--max-df=0.6", "--max-features=500", "--dtype=f64"],
    ),
    "hashed": (
        "HashingVectorizer",
        {"n_features": 1024},
        {"numFeatures": 1024},
        ["--features=hashed", "--n-features=1024"],
        ["--norm=l2", "--dtype=f64"],
    ),
    "bm25": (
        "BM25Vectorizer",
        {"k1": 1.2, "min_df": 2, "dtype": np.float64},
        {"k1": 1.2, "minDF": 2},
        [],
        ["--weight=bm25", "--k1=1.2", "--min-df=2", "--dtype=f64"],
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The corpus as a file of JSON lines, HOME of the engines, and what else they write."""
    made = tmp_path_factory.mktemp("answer")
    lines = (json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS)
    (made / "corpus.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for number, text in enumerate(TEXTS):
        (made / "files").mkdir(exist_ok=True)
        (made / "files" / f"{number:04}.txt").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(made))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("PYTHONPATH", str(Path(bowline.__file__).parents[1]))
        patch.chdir(made)
        yield made


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Iterator[Any]:
    """The texts as a dataset of Ray, in five blocks."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    size = -(-len(TEXTS) // 5)
    starts = range(0, len(TEXTS), size)
    yield ray.data.from_arrow([pa.table({"text": TEXTS[start : start + size]}) for start in starts])
    ray.shutdown()


@pytest.fixture(scope="module")
def frame(folder: Path) -> Iterator[Any]:
    """The texts as a DataFrame of Spark, in five partitions."""
    spark: SparkSession = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "3")
        .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
        .getOrCreate()
    )
    yield spark.createDataFrame(list(enumerate(TEXTS)), "row long, text string").repartition(5).cache()
    spark.stop()


def program(*arguments: str | Path) -> None:
    """Runs the program."""
    subprocess.run([find_bowline_bin(), *map(str, arguments)], check=True, env=os.environ)


# Where NumPy's logarithm is not the C library's (AVX-512), the idf of the classes may differ from the program's in the last bits.
RATIOS = [a / b for a in range(1, 60) for b in range(1, 60)]
HAS_SAME_LOG = np.log(RATIOS).tolist() == [math.log(ratio) for ratio in RATIOS]


def same(found: Any, expected: Any, where: str, *, is_exact: bool = HAS_SAME_LOG) -> None:
    assert found.shape == expected.shape, where
    assert np.array_equal(found.indptr, expected.indptr) and np.array_equal(found.indices, expected.indices), where
    if is_exact:
        assert found.data.astype(expected.dtype).tobytes() == expected.data.tobytes(), where
    else:
        np.testing.assert_array_max_ulp(found.data.astype(expected.dtype), expected.data, 4)


@pytest.mark.parametrize("name", CASES)
def test_every_door_gives_the_same_matrix(name: str, folder: Path, dataset: Any, frame: Any) -> None:
    kind, parameters, of_spark, counting, values = CASES[name]
    outputs = folder / name
    outputs.mkdir()
    run = ["--quiet", "--no-sync", "--force"]
    program("embed", *run, *counting, *values, "-o", outputs / "whole", "corpus.jsonl")
    whole = bowline.load(outputs / "whole")
    expected = whole.matrix
    terms = None if name == "hashed" else list(whole.terms)
    assert expected.nnz > 1000

    for corpus in ("corpus.jsonl", "files"):
        for of in N_PARTS:
            parts = [outputs / f"part-{part}" for part in range(1, of + 1)]
            for part, output in enumerate(parts, 1):
                program("embed", *run, *counting, "--shard", f"{part}/{of}", "-o", output, corpus)
            program("merge", *run, *values, "-o", outputs / "merged", *parts)
            merged = bowline.load(outputs / "merged")
            same(merged.matrix, expected, f"{of} parts of {corpus}", is_exact=True)
            assert terms is None or list(merged.terms) == terms
            if corpus == "corpus.jsonl":
                for file in (outputs / "whole").iterdir():
                    assert (outputs / "merged" / file.name).read_bytes() == file.read_bytes(), file.name

    vectorizer = getattr(bowline, kind)(**parameters)
    same(vectorizer.fit_transform(TEXTS), expected, "the class")
    assert terms is None or vectorizer.get_feature_names_out().tolist() == terms

    on_ray = getattr(bowline.ray, kind)(**parameters)
    same(on_ray.to_csr(on_ray.fit_transform(dataset)), expected, "Ray")
    assert terms is None or on_ray.estimator_.get_feature_names_out().tolist() == terms

    stage = getattr(bowline.spark, kind)(inputCol="text", outputCol="vectors", **of_spark)
    model = stage if name == "hashed" else stage.fit(frame)
    vectors = [row.vectors for row in model.transform(frame).orderBy("row").select("vectors").collect()]
    indptr = np.cumsum([0, *(len(vector.indices) for vector in vectors)])
    data = np.concatenate([vector.values for vector in vectors])
    indices = np.concatenate([vector.indices for vector in vectors])
    same(csr_matrix((data, indices, indptr), shape=(len(vectors), vectors[0].size)), expected, "Spark")
    assert terms is None or list(model.vocabulary) == terms
