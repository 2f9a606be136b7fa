"""Measures engines with bowline against what users of the engine had: `compare_engines.py CORPUS [--engine ray]`.

Reads the files of a folder, then runs both sides one after the other, several times, after a first run that is not
counted. Prints the median seconds of each side and their ratio.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = tuple[str, float, float]


def blocks(texts: list[str]) -> list[list[str]]:
    """Returns the texts in eight blocks of a dataset, or partitions."""
    size = -(-len(texts) // 8)
    return [texts[start : start + size] for start in range(0, len(texts), size)]


def alternating(left: Callable[[], Any], right: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Returns the median seconds of both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for run, times in zip((left, right), seconds, strict=True):
            start = time.perf_counter()
            run()
            if turn > 0:
                times.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def ray_rows(texts: list[str], paths: list[Path], rounds: int) -> list[Row]:
    import pyarrow as pa
    import ray
    import ray.data
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer

    import bowline.ray

    os.environ["HOME"] = tempfile.mkdtemp()
    ray.init(include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    dataset = ray.data.from_arrow([pa.table({"text": part}) for part in blocks(texts)]).materialize()

    def by_scikit_learn(vectorizer: Any) -> Callable[[], Any]:
        def vectors(table: pa.Table) -> pa.Table:
            matrix = vectorizer.transform(table["text"].to_pylist())
            offsets = pa.array(matrix.indptr, pa.int32())
            indices = pa.ListArray.from_arrays(offsets, pa.array(matrix.indices, pa.int32()))
            values = pa.ListArray.from_arrays(offsets, pa.array(matrix.data))
            return table.append_column("indices", indices).append_column("values", values)

        return lambda: dataset.map_batches(vectors, batch_format="pyarrow", batch_size=None).materialize()

    hashing = bowline.ray.HashingVectorizer()
    tfidf = bowline.ray.TfidfVectorizer().fit(dataset)
    rows = [
        (
            "Ray, hashed, map_batches",
            *alternating(
                lambda: hashing.transform(dataset).materialize(), by_scikit_learn(HashingVectorizer()), rounds
            ),
        ),
        (
            "Ray, tf-idf: fit on the cluster / scikit-learn's fit on the driver",
            *alternating(lambda: tfidf.fit(dataset), lambda: TfidfVectorizer().fit(texts), rounds),
        ),
    ]
    learned = TfidfVectorizer().fit(texts)
    rows.append(
        (
            "Ray, tf-idf, transform",
            *alternating(lambda: tfidf.transform(dataset).materialize(), by_scikit_learn(learned), rounds),
        )
    )

    def read_binary_files() -> Any:
        read = ray.data.read_binary_files([str(path) for path in paths])
        return hashing.transform(read.select_columns(["bytes"]), column="bytes").materialize()

    rows.append(
        (
            "Ray, hashed, files: by paths / by read_binary_files",
            *alternating(lambda: hashing.transform(paths).materialize(), read_binary_files, rounds),
        )
    )
    ray.shutdown()
    return rows


def spark_rows(texts: list[str], paths: list[Path], rounds: int) -> list[Row]:
    import sys

    from pyspark.ml import Pipeline, feature
    from pyspark.sql import SparkSession

    from bowline.spark import TfidfVectorizer

    os.environ.update(HOME=tempfile.mkdtemp(), PYSPARK_PYTHON=sys.executable)
    spark = (
        SparkSession.builder.master("local[*]")
        .config("spark.driver.memory", "4g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    parts = blocks(texts)
    rows = spark.sparkContext.parallelize(parts, len(parts)).flatMap(lambda part: [(text,) for text in part])
    frame = spark.createDataFrame(rows, "text string").cache()
    assert frame.count() == len(texts)
    stages: list[Any] = [
        feature.RegexTokenizer(inputCol="text", outputCol="words", gaps=False, pattern=r"(?U)\b\w\w+\b"),
        # A vocabulary of all terms, as bowline's.
        feature.CountVectorizer(inputCol="words", outputCol="counts", vocabSize=1 << 24),
        feature.IDF(inputCol="counts", outputCol="weights"),
        feature.Normalizer(inputCol="weights", outputCol="vectors"),
    ]
    theirs = Pipeline(stages=stages)
    ours = TfidfVectorizer(inputCol="text", outputCol="vectors")
    our_model, their_model = ours.fit(frame), theirs.fit(frame)
    print(f"terms: {len(our_model.vocabulary)}, Spark ML {len(their_model.stages[1].vocabulary)}")

    def transform(model: Any) -> None:
        # Computes the vectors and drops them.
        model.transform(frame).select("vectors").write.format("noop").mode("overwrite").save()

    result = [
        (
            "Spark, tf-idf, fit / Spark ML's RegexTokenizer, CountVectorizer, IDF and Normalizer",
            *alternating(lambda: ours.fit(frame), lambda: theirs.fit(frame), rounds),
        ),
        (
            "Spark, tf-idf, transform / the same",
            *alternating(lambda: transform(our_model), lambda: transform(their_model), rounds),
        ),
    ]
    spark.stop()
    return result


ENGINES = {"ray": ray_rows, "spark": spark_rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--engine", choices=ENGINES, action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=1, help="take each file so many times")
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.corpus.rglob("*") if path.is_file()) * arguments.copies
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
    rows = [
        row for name in arguments.engine or ENGINES for row in ENGINES[name](texts, paths, arguments.rounds)
    ]
    print(f"{len(texts)} texts, {os.cpu_count()} CPUs, medians of {arguments.rounds} rounds after one not counted\n")
    print("| what | bowline, s | other, s | times |\n|---|---|---|---|")
    for what, ours, theirs in rows:
        print(f"| {what} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.1f} |")


if __name__ == "__main__":
    main()
