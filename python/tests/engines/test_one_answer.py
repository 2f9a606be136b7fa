"""One answer everywhere: one run of the program, merged parts, the classes, Ray and Spark give the same columns and values."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import ray
import ray.data
from scipy.sparse import csr_matrix

import bowline
import bowline.ray
import bowline.spark
from bowline._program import find_bowline_bin

pytestmark = pytest.mark.filterwarnings("default")

N_PARTS = (1, 3, 8)
RUN = ["--quiet", "--no-sync", "--force"]


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


class Case(NamedTuple):
    """One of `CASES`, and the output of one run of the program, which every other answer is compared with."""

    kind: str
    parameters: dict[str, Any]
    of_spark: dict[str, Any]
    counting: list[str]
    values: list[str]
    folder: Path
    matrix: csr_matrix
    terms: list[str] | None


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The texts as a file of JSON lines and as a folder of files."""
    folder = tmp_path_factory.mktemp("answer")
    lines = (json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS)
    (folder / "corpus.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / "files").mkdir()
    for number, text in enumerate(TEXTS):
        (folder / "files" / f"{number:04}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, corpora: Path) -> Case:
    kind, parameters, of_spark, counting, values = CASES[request.param]
    folder = corpora / request.param
    folder.mkdir()
    program("embed", *RUN, *counting, *values, "-o", folder / "whole", corpora / "corpus.jsonl")
    whole = bowline.load(folder / "whole")
    assert whole.matrix.nnz > 1000
    terms = None if kind == "HashingVectorizer" else list(whole.terms)
    return Case(kind, parameters, of_spark, counting, values, folder, whole.matrix, terms)


@pytest.fixture(scope="module")
def dataset(cluster: Any) -> Any:
    """The texts as a dataset of Ray, in five blocks."""
    size = -(-len(TEXTS) // 5)
    starts = range(0, len(TEXTS), size)
    return ray.data.from_arrow([pa.table({"text": TEXTS[start : start + size]}) for start in starts])


@pytest.fixture(scope="module")
def frame(session: Any) -> Any:
    """The texts as a DataFrame of Spark, in five partitions."""
    return session.createDataFrame(list(enumerate(TEXTS)), "row long, text string").repartition(5).cache()


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


@pytest.mark.parametrize("corpus", ["corpus.jsonl", "files"])
@pytest.mark.parametrize("of", N_PARTS)
def test_merged_parts_give_the_matrix(case: Case, corpora: Path, of: int, corpus: str) -> None:
    parts = [case.folder / f"part-{part}" for part in range(1, of + 1)]
    for part, output in enumerate(parts, 1):
        program("embed", *RUN, *case.counting, "--shard", f"{part}/{of}", "-o", output, corpora / corpus)
    program("merge", *RUN, *case.values, "-o", case.folder / "merged", *parts)
    merged = bowline.load(case.folder / "merged")
    same(merged.matrix, case.matrix, f"{of} parts of {corpus}", is_exact=True)
    assert case.terms is None or list(merged.terms) == case.terms
    if corpus == "corpus.jsonl":
        for file in (case.folder / "whole").iterdir():
            assert (case.folder / "merged" / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_class_gives_the_matrix(case: Case) -> None:
    vectorizer = getattr(bowline, case.kind)(**case.parameters)
    same(vectorizer.fit_transform(TEXTS), case.matrix, "the class")
    assert case.terms is None or vectorizer.get_feature_names_out().tolist() == case.terms


def test_ray_gives_the_matrix(case: Case, dataset: Any) -> None:
    vectorizer = getattr(bowline.ray, case.kind)(**case.parameters)
    same(vectorizer.to_csr(vectorizer.fit_transform(dataset)), case.matrix, "Ray")
    assert case.terms is None or vectorizer.estimator_.get_feature_names_out().tolist() == case.terms


def test_spark_gives_the_matrix(case: Case, frame: Any) -> None:
    stage = getattr(bowline.spark, case.kind)(inputCol="text", outputCol="vectors", **case.of_spark)
    model = stage if case.terms is None else stage.fit(frame)
    vectors = [row.vectors for row in model.transform(frame).orderBy("row").select("vectors").collect()]
    indptr = np.cumsum([0, *(len(vector.indices) for vector in vectors)])
    data = np.concatenate([vector.values for vector in vectors])
    indices = np.concatenate([vector.indices for vector in vectors])
    same(csr_matrix((data, indices, indptr), shape=(len(vectors), vectors[0].size)), case.matrix, "Spark")
    assert case.terms is None or list(model.vocabulary) == case.terms
