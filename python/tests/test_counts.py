"""`Counts`: counting in parts, merging, pickling, and choosing columns."""

import pickle

import numpy as np
import pytest
import sklearn.feature_extraction.text as text
from test_vectorizers import DOCUMENTS

import bowline


def test_parts_give_the_whole():
    whole = bowline.Counts().add(DOCUMENTS)
    parts = bowline.Counts()
    for document in DOCUMENTS[:2]:
        parts.add([document])
    other = bowline.Counts(n_jobs=2).add(iter(DOCUMENTS[2:]))
    parts.merge(pickle.loads(pickle.dumps(other)))
    assert other.n_documents == 4 and parts.n_documents == whole.n_documents == 6
    assert parts.terms() == whole.terms()
    theirs = text.CountVectorizer()
    X = theirs.fit_transform(DOCUMENTS)
    assert whole.terms() == theirs.get_feature_names_out().tolist()
    for counts in (whole, parts, pickle.loads(pickle.dumps(parts))):
        np.testing.assert_array_equal(counts.matrix().toarray(), X.toarray())
        np.testing.assert_array_equal(counts.document_frequencies(), (X > 0).sum(axis=0).A1)
        np.testing.assert_array_equal(counts.term_frequencies(), X.sum(axis=0).A1)
        np.testing.assert_array_equal(counts.lengths(), X.sum(axis=1).A1)


def test_columns():
    counts = bowline.Counts().add(["a1 b1", "b1 c1"])
    assert counts.matrix([2, 0]).toarray().tolist() == [[0, 1], [1, 0]]
    assert counts.matrix([]).shape == (2, 0)
    for columns, error in (([0, 0], ValueError), ([3], IndexError), ([-1], IndexError), ([0.5], ValueError), ([[0]], ValueError)):
        with pytest.raises(error, match="columns"):
            counts.matrix(columns)
    with pytest.raises(ValueError, match="idf"):
        counts.matrix(weight="tfidf", idf=[1.0])
    with pytest.raises(ValueError, match="dtype"):
        counts.matrix(dtype=np.float16)
    weighted = counts.matrix([1], dtype=np.float32, weight="tfidf", idf=[2.0])
    assert weighted.dtype == np.float32 and weighted.toarray().tolist() == [[2.0], [2.0]]


def test_vocabulary_and_hashes():
    counts = bowline.Counts(vocabulary=["fox", "the"]).add(DOCUMENTS)
    np.testing.assert_array_equal(counts.matrix().toarray(), text.CountVectorizer(vocabulary=["fox", "the"]).transform(DOCUMENTS).toarray())
    counts = bowline.Counts(n_features=8).add(DOCUMENTS)
    np.testing.assert_array_equal(
        counts.matrix(dtype=float, norm="l2").toarray(), text.HashingVectorizer(n_features=8).transform(DOCUMENTS).toarray()
    )
    assert counts.n_columns == 8


def test_settings():
    assert "the" not in bowline.Counts(stop_words="english").add(DOCUMENTS).terms()
    with pytest.raises(ValueError, match="not a built-in stop list"):
        bowline.Counts(stop_words="klingon")
    with pytest.raises(ValueError):
        bowline.Counts().add(["fine", None])
    with pytest.raises(TypeError):
        bowline.Counts().add(None)
