"""Prints how much faster the classes are than scikit-learn's and bm25s, on the texts of a directory.

    python python/tests/compare_speed.py DIRECTORY

Best of five runs each, alternating, in one process; the dictionary of the vocabulary is included. Garbage collection stays on
as it is for users.
"""

import argparse
import gc
import pathlib
import time

import bm25s
import polars
import pyarrow
import sklearn
import sklearn.feature_extraction.text as text

import bowline

SHORT = ["the quick brown fox jumps over a lazy dog"]
GOALS = {"words": (12, 15), "tfidf": (13, 16), "hashing": (18, 25), "bigrams": (6, None), "char_wb": (15, None),
         "short": (5, None), "bm25": (12, None)}


def best(call, runs):
    least = float("inf")
    for _ in range(runs):
        gc.collect()
        start = time.perf_counter()
        result = call()
        least = min(least, time.perf_counter() - start)
        del result
    return least


def fitted(kind, texts, **parameters):
    def call():
        vectorizer = kind(**parameters)
        X = vectorizer.fit_transform(texts)
        return X, getattr(vectorizer, "vocabulary_", None)

    return call


def bm25s_index(texts):
    def call():
        tokens = bm25s.tokenize(texts, stopwords=None, show_progress=False)
        retriever = bm25s.BM25()
        retriever.index(tokens, show_progress=False)
        return retriever

    return call


def repeated(transform, times):
    def call():
        for _ in range(times):
            transform(SHORT)

    return call


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", help="names of rows, separated by commas")
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.directory.rglob("*") if path.is_file())
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
    columns = {"list": texts, "pyarrow": pyarrow.array(texts, pyarrow.large_string()), "polars": polars.Series(texts)}
    wanted = arguments.only.split(",") if arguments.only else list(GOALS)
    print(f"{len(texts)} texts, {sum(map(len, texts)) / 1e6:.1f} million characters; scikit-learn {sklearn.__version__}, "
          f"{bowline._native.available_threads()} threads, best of {arguments.runs}\n")
    print("| | scikit-learn or bm25s | list of str | pyarrow | polars | goal |")
    print("|---|---|---|---|---|---|")

    def row(name, label, theirs, ours):
        if name not in wanted:
            return
        slow = best(theirs, min(arguments.runs, 5))
        times = [best(call, arguments.runs) for call in ours]
        cells = [f"{slow / fast:.1f}x ({_time(fast)})" for fast in times] + ["-"] * (3 - len(times))
        goal = " / ".join(f"{factor}x" for factor in GOALS[name] if factor)
        print(f"| {label} | {_time(slow)} | {' | '.join(cells)} | {goal} |", flush=True)

    def each(kind, **parameters):
        return (
            fitted(getattr(text, kind), texts, **parameters),
            [fitted(getattr(bowline, kind), column, **parameters) for column in columns.values()],
        )

    row("words", "`CountVectorizer().fit_transform`", *each("CountVectorizer"))
    row("tfidf", "`TfidfVectorizer`", *each("TfidfVectorizer"))
    row("hashing", "`HashingVectorizer`", *each("HashingVectorizer"))
    row("bigrams", "`CountVectorizer(ngram_range=(1, 2), min_df=2)`", *each("CountVectorizer", ngram_range=(1, 2), min_df=2))
    row("char_wb", "`analyzer=\"char_wb\", ngram_range=(3, 5)`", *each("CountVectorizer", analyzer="char_wb", ngram_range=(3, 5)))
    few = texts[:500]
    row("short", "`transform` of one short document, 1,000 times",
        repeated(text.CountVectorizer().fit(few).transform, 1000), [repeated(bowline.CountVectorizer().fit(few).transform, 1000)])
    row("bm25", "bm25s: tokenize and index, against `BM25Vectorizer`", bm25s_index(texts),
        [fitted(bowline.BM25Vectorizer, column) for column in columns.values()])


def _time(seconds):
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


if __name__ == "__main__":
    main()
