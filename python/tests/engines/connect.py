"""Fits and transforms through Spark Connect, in a process of its own: a process has classic Spark or Spark Connect.

    python connect.py FOLDER

Starts a server in this machine's Java, and checks the answers against the classes.
"""

import sys

import test_spark
from pyspark.ml import Pipeline
from pyspark.sql import SparkSession

import bowline
from bowline import spark as engine

if __name__ == "__main__":
    folder = sys.argv[1]
    session = (
        SparkSession.builder.remote("local[2]")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    assert type(session).__module__.startswith("pyspark.sql.connect")
    frame = session.createDataFrame(list(enumerate(test_spark.TEXTS)), "row long, text string").repartition(2)
    tfidf = engine.TfidfVectorizer(inputCol="text", outputCol="vectors", minDF=0.1, maxFeatures=5)
    model = Pipeline(stages=[tfidf]).fit(frame).stages[0]
    expected = bowline.TfidfVectorizer(min_df=0.1, max_features=5).fit_transform(test_spark.TEXTS)
    test_spark.check(test_spark.matrix(model.transform(frame)), expected)
    model.save(f"file://{folder}/model")
    loaded = engine.TfidfVectorizerModel.load(f"file://{folder}/model")
    test_spark.check(test_spark.matrix(loaded.transform(frame)), expected)
    hashing = engine.HashingVectorizer(inputCol="text", outputCol="vectors", numFeatures=64)
    test_spark.check(
        test_spark.matrix(hashing.transform(frame)), bowline.HashingVectorizer(n_features=64).transform(test_spark.TEXTS)
    )
    session.stop()
    print("the same")
