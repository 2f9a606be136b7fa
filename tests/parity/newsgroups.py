"""Repeats the figures that scikit-learn's user guide states for four categories of 20 Newsgroups, with bowline.

    python tests/parity/newsgroups.py FOLDER [--bowline PATH]

FOLDER contains the "bydate" version: `20news-bydate-train` and `20news-bydate-test`, a folder a category and a file a
message. The messages are Latin-1. Exits with 1 if a figure differs. Needs scikit-learn.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import scipy.sparse
from sklearn.metrics import f1_score
from sklearn.naive_bayes import MultinomialNB

CATEGORIES = ["alt.atheism", "talk.religion.misc", "comp.graphics", "sci.space"]
# The guide cuts the last one to 0.88213.
SHAPE, NONZEROS, F1 = (2034, 34118), 159.01327, 0.882135924


def embedded(bowline, folder, output, options):
    """The matrix of the four categories, and the category of each row."""
    globs = [argument for category in CATEGORIES for argument in ("--glob", f"{category}/*")]
    command = [bowline, "embed", "--quiet", "--output", output, *globs, *options, folder]
    subprocess.run(command, check=True)
    paths = [line.split('"path":"', 1)[1] for line in open(output / "documents.jsonl", encoding="utf-8")]
    labels = numpy.array([CATEGORIES.index(path.split("/", 1)[0]) for path in paths])
    return scipy.sparse.load_npz(output / "matrix.npz"), labels


def half(folder, name):
    return next(path for path in [*folder.rglob(f"*{name}*")] if path.is_dir() and (path / CATEGORIES[0]).is_dir())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bowline", type=Path, default=Path("target/release/bowline"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        options = ["--encoding", "latin1", "--weight", "tfidf", "--dtype", "f64"]
        train, labels = embedded(given.bowline, half(given.folder, "train"), scratch / "train", options)
        options = ["--vocabulary", scratch / "train"]
        test, expected = embedded(given.bowline, half(given.folder, "test"), scratch / "test", options)
    nonzeros = train.nnz / train.shape[0]
    predicted = MultinomialNB(alpha=0.01).fit(train, labels).predict(test)
    f1 = f1_score(expected, predicted, average="macro")
    print(f"shape {train.shape}, {nonzeros:.5f} non-zeros a document, macro-F1 {f1:.9f}")
    is_right = train.shape == SHAPE and f"{nonzeros:.5f}" == f"{NONZEROS}" and f"{f1:.9f}" == f"{F1}"
    print("as published" if is_right else f"WRONG: published are {SHAPE}, {NONZEROS}, {F1}")
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
