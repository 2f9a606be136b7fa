"""`bowline.spark` on a cluster of two executors: the same bits as the classes, saved models, and killed executors."""

from __future__ import annotations

import doctest
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark import TaskContext
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import Normalizer, VectorAssembler
from pyspark.sql import SparkSession
from scipy.sparse import csr_matrix

import bowline
from bowline import _spark_task
from bowline import spark as engine

pytestmark = pytest.mark.filterwarnings("default")

WORDS = ["the", "cat", "sat", "dog", "down", "bird", "flew", "Ünïcode", "猫猫", "🦀🦀", "can't", "x1"]
TEXTS = [" ".join(WORDS[(i * i + j * 7) % (3 + i % 10)] for j in range(i % 9)) for i in range(300)]


@pytest.fixture(scope="module")
def texts(session: SparkSession) -> Any:
    """The texts in five partitions, in no order."""
    rows = [(row, text) for row, text in enumerate(TEXTS)]
    return session.createDataFrame(rows, "row long, text string").repartition(5).cache()


def matrix(frame: Any, column: str = "vectors") -> csr_matrix:
    """The vectors of a DataFrame in the order of its column `row`."""
    vectors = [row[column] for row in frame.orderBy("row").select(column).collect()]
    indptr = np.cumsum([0, *(len(vector.indices) for vector in vectors)])
    data = np.concatenate([vector.values for vector in vectors])
    indices = np.concatenate([vector.indices for vector in vectors])
    return csr_matrix((data, indices, indptr), shape=(len(vectors), vectors[0].size))


def check(ours: Any, expected: Any) -> None:
    """Checks that two matrices have the same columns and the same bits."""
    assert ours.shape == expected.shape
    assert np.array_equal(ours.indptr, expected.indptr)
    assert np.array_equal(ours.indices, expected.indices)
    assert ours.data.tobytes() == expected.data.astype(np.float64).tobytes()


SAME = {
    "counts": (engine.CountVectorizer, {}, bowline.CountVectorizer()),
    "binary bigrams": (
        engine.CountVectorizer,
        {"binary": True, "ngramRange": (1, 2), "minDF": 2, "lowercase": False},
        bowline.CountVectorizer(binary=True, ngram_range=(1, 2), min_df=2, lowercase=False),
    ),
    "characters": (
        engine.CountVectorizer,
        {"analyzer": "char_wb", "ngramRange": [2, 3], "stripAccents": "unicode", "maxDF": 0.5},
        bowline.CountVectorizer(analyzer="char_wb", ngram_range=(2, 3), strip_accents="unicode", max_df=0.5),
    ),
    "tf-idf": (
        engine.TfidfVectorizer,
        {"minDF": 0.1, "maxFeatures": 5, "sublinearTF": True, "stopWords": ["the"]},
        bowline.TfidfVectorizer(min_df=0.1, max_features=5, sublinear_tf=True, stop_words=["the"]),
    ),
    "tf-idf without norm and idf": (
        engine.TfidfVectorizer,
        {"norm": None, "useIDF": False},
        bowline.TfidfVectorizer(norm=None, use_idf=False),
    ),
    "BM25": (
        engine.BM25Vectorizer,
        {"method": "bm25+", "k1": 1.2, "maxDF": 150, "maxFeatures": 6},
        bowline.BM25Vectorizer(method="bm25+", k1=1.2, max_df=150, max_features=6, dtype=np.float64),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_same_bits_as_the_class(name: str, texts: Any, tmp_path: Path) -> None:
    kind, params, vectorizer = SAME[name]
    model = kind(inputCol="text", outputCol="vectors", **params).fit(texts)
    expected = vectorizer.fit_transform(TEXTS)
    assert model.vocabulary == list(vectorizer.get_feature_names_out())
    transformed = model.transform(texts)
    check(matrix(transformed), expected)
    # The other columns and the order of rows are kept.
    assert transformed.columns == ["row", "text", "vectors"]
    assert transformed.drop("vectors").collect() == texts.collect()
    # A saved model is the same model.
    path = f"file://{tmp_path}/model"
    model.save(path)
    loaded = type(model).load(path)
    assert loaded.uid == model.uid
    assert loaded.explainParams() == model.explainParams()
    check(matrix(loaded.transform(texts)), expected)
    model.write().overwrite().save(path)
    other = engine.BM25VectorizerModel if kind is engine.CountVectorizer else engine.CountVectorizerModel
    with pytest.raises(ValueError, match=f"holds a bowline.spark.{kind.__name__}Model, not a"):
        other.load(path)


def test_hashed(texts: Any, tmp_path: Path) -> None:
    hashing = engine.HashingVectorizer(inputCol="text", outputCol="vectors", numFeatures=64, norm=None)
    expected = bowline.HashingVectorizer(n_features=64, norm=None).transform(TEXTS)
    check(matrix(hashing.transform(texts)), expected)
    hashing.save(f"file://{tmp_path}/hashing")
    loaded = engine.HashingVectorizer.load(f"file://{tmp_path}/hashing")
    assert loaded.getNorm() is None
    check(matrix(loaded.transform(texts)), expected)


def test_queries_of_bm25(texts: Any) -> None:
    model = engine.BM25Vectorizer(inputCol="text", outputCol="vectors").fit(texts)
    vectorizer = bowline.BM25Vectorizer().fit(TEXTS)
    assert model.meanLength == vectorizer.mean_length_
    assert model.idf.toArray().tobytes() == vectorizer.idf_.tobytes()
    check(matrix(model.queryModel().transform(texts)), vectorizer.transform(TEXTS))


def test_pipeline(texts: Any, tmp_path: Path) -> None:
    """Stages of Spark read the vectors and their size, and a pipeline is saved and loaded with its stages."""
    stages = [
        engine.TfidfVectorizer(inputCol="text", outputCol="raw", norm=None),
        Normalizer(inputCol="raw", outputCol="vectors"),
        VectorAssembler(inputCols=["raw", "row"], outputCol="both"),
    ]
    Pipeline(stages=stages).save(f"file://{tmp_path}/pipeline")
    model = Pipeline.load(f"file://{tmp_path}/pipeline").fit(texts)
    model.save(f"file://{tmp_path}/fitted")
    transformed = PipelineModel.load(f"file://{tmp_path}/fitted").transform(texts)
    expected = bowline.TfidfVectorizer().fit_transform(TEXTS)
    ours = matrix(transformed)
    assert np.array_equal(ours.indices, expected.indices)
    assert np.allclose(ours.data, expected.data, rtol=1e-14)
    assert transformed.first()["both"].size == expected.shape[1] + 1


def test_params(texts: Any) -> None:
    vectorizer = engine.CountVectorizer(inputCol="text").setOutputCol("vectors").setMinDF(2).setNgramRange((1, 2))
    assert (vectorizer.getMinDF(), vectorizer.getNgramRange(), vectorizer.getTokenPattern()) == (2, [1, 2], r"(?u)\b\w\w+\b")
    other = vectorizer.copy({vectorizer.minDF: 0.5})
    assert (other.getMinDF(), vectorizer.getMinDF()) == (0.5, 2)
    assert vectorizer.setMinDF(3.0).getMinDF() == 3
    assert type(vectorizer.getMinDF()) is int
    assert len(vectorizer.fit(texts, {vectorizer.maxFeatures: 3}).vocabulary) == 3
    with pytest.raises(TypeError, match="1.0 is a share, all documents"):
        vectorizer.setMinDF(1.0)
    with pytest.raises(TypeError, match="CountVectorizer has no Param 'min_df'"):
        engine.CountVectorizer(min_df=2)


def test_refusals(session: SparkSession, texts: Any) -> None:
    vectorizer = engine.CountVectorizer(inputCol="text", outputCol="vectors")
    with pytest.raises(ValueError, match="inputCol: column 'row' must be of strings, is of type bigint"):
        vectorizer.copy({vectorizer.inputCol: "row"}).fit(texts)
    with pytest.raises(ValueError, match="inputCol: no column 'body'; the columns are row, text"):
        vectorizer.copy({vectorizer.inputCol: "body"}).fit(texts)
    with pytest.raises(ValueError, match="no terms remain"):
        vectorizer.copy({vectorizer.minDF: 300}).fit(texts)
    with pytest.raises(ValueError, match="handleInvalid must be"):
        vectorizer.copy({vectorizer.handleInvalid: "drop"}).fit(texts)
    with pytest.raises(ValueError, match="cannot be used on parts of a corpus"):
        vectorizer.copy({vectorizer.ngramRange: (1, 2000)}).fit(texts)
    with pytest.raises(ValueError, match="outputCol: column 'row' exists already"):
        engine.HashingVectorizer(inputCol="text", outputCol="row").transform(texts)
    with pytest.raises(ValueError, match="analyzer"):
        engine.HashingVectorizer(inputCol="text", outputCol="vectors", analyzer="words").transform(texts)


def test_nulls(session: SparkSession) -> None:
    rows = [(0, "the cat"), (1, None), (2, "the dog")]
    frame = session.createDataFrame(rows, "row long, text string")
    vectorizer = engine.TfidfVectorizer(inputCol="text", outputCol="vectors")
    message = "column 'text' has a null: set handleInvalid to 'skip'"
    with pytest.raises(Exception, match=message):
        vectorizer.fit(frame)
    skipped = vectorizer.setHandleInvalid("skip").fit(frame)
    check(matrix(skipped.transform(frame)), bowline.TfidfVectorizer().fit_transform(["the cat", "the dog"]))
    kept = vectorizer.setHandleInvalid("keep").fit(frame)
    check(matrix(kept.transform(frame)), bowline.TfidfVectorizer().fit_transform(["the cat", "", "the dog"]))
    with pytest.raises(Exception, match=message):
        kept.copy({kept.handleInvalid: "error"}).transform(frame).collect()


def test_a_chunk_ends_in_the_middle_of_a_partition(texts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = _spark_task.Fit(bowline.CountVectorizer(n_jobs=1), _spark_task.Texts("text", "error"))
    batches = texts.coalesce(1).toArrow().to_batches(max_chunksize=20)
    monkeypatch.setattr(_spark_task, "CHUNK_BYTES", 1)
    assert len(list(task(iter(batches)))) == len(batches)


def test_page(session: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "RAY_AND_SPARK.md").read_text(encoding="utf-8")
    section = page.split("\n## Spark\n")[1].split("\n## ")[0].replace("\n```", "\n\n```")
    # A path without a scheme is relative to the folder in which Java was started.
    section = section.replace('"model"', f'"file://{tmp_path}/model"')
    examples = doctest.DocTestParser().get_doctest(section, {}, "RAY_AND_SPARK.md", None, 0)
    assert len(examples.examples) > 5
    assert doctest.DocTestRunner(verbose=False).run(examples).failed == 0


class Killed:
    """A task that kills the process that runs it, or the executor above, in the middle of its first attempt."""

    def __init__(self, task: Any, marker: Path, executor: bool) -> None:
        self.task = task
        self.marker = marker
        self.executor = executor

    def __call__(self, batches: Any) -> Any:
        context = TaskContext.get()
        assert context is not None
        for result in self.task(batches):
            yield result
            if context.partitionId() == 1 and context.attemptNumber() == 0 and not self.marker.exists():
                self.marker.write_text(str(os.getpid()))
                os.kill(executor_of(os.getpid()) if self.executor else os.getpid(), signal.SIGKILL)
                time.sleep(600)  # until the daemon of the executor ends its workers


def executor_of(pid: int) -> int:
    """The Java process above a Python worker."""
    while Path(f"/proc/{pid}/comm").read_text().strip() != "java":
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid


@pytest.mark.parametrize("executor", [True, False], ids=["executor", "worker"])
@pytest.mark.parametrize("phase", ["Fit", "Transform"])
def test_killed(phase: str, executor: bool, texts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "killed"
    made: Callable[..., Any] = getattr(_spark_task, phase)
    monkeypatch.setattr(_spark_task, phase, lambda *fields: Killed(made(*fields), marker, executor))
    model = engine.TfidfVectorizer(inputCol="text", outputCol="vectors", minDF=0.1, maxFeatures=5).fit(texts)
    ours = matrix(model.transform(texts))
    assert marker.exists()
    check(ours, bowline.TfidfVectorizer(min_df=0.1, max_features=5).fit_transform(TEXTS))


def test_spark_connect(home: Path, java: str, tmp_path: Path) -> None:
    """The same through a server of Spark Connect, which has no broadcast. See `connect.py`."""
    pytest.importorskip("grpc_status", reason="Spark Connect needs `pip install 'pyspark[connect]'`")
    program = Path(__file__).with_name("connect.py")
    # With SPARK_TESTING the server takes a free port.
    environment = {**os.environ, "SPARK_TESTING": "1"}
    done = subprocess.run(
        [sys.executable, program, tmp_path],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("the same\n")
