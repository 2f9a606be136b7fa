"""`BM25Vectorizer` against the bm25s package."""

import pickle

import bm25s
import numpy as np
import pytest
from sklearn.base import clone

import bowline
from bowline import _bm25

DOCUMENTS = [
    "a cat is a feline and likes to purr",
    "a dog is the human's best friend and loves to play play",
    "a bird is a beautiful animal that can fly",
    "a fish is a creature that lives in water and swims",
    "",
    "the cat and the dog and the bird",
]
QUERIES = ["does the fish purr like a cat?", "play play bird", "unknown", "", "is"]


def scores_of_bm25s(vectorizer, **parameters):
    analyze = vectorizer.build_analyzer()
    retriever = bm25s.BM25(**parameters)
    retriever.index([analyze(document) for document in DOCUMENTS], show_progress=False)
    columns = []
    for query in QUERIES:
        known = [token for token in analyze(query) if token in retriever.vocab_dict]
        columns.append(retriever.get_scores(known) if known else np.zeros(len(DOCUMENTS)))
    return np.array(columns).T


@pytest.mark.parametrize("method", _bm25._METHODS)
@pytest.mark.parametrize("values", [{}, {"k1": 0.9, "b": 0.4, "delta": 1.0}, {"k1": 2.0, "b": 0.0}, {"b": 1.0}])
@pytest.mark.parametrize("analysis", [{}, {"ngram_range": (1, 2)}, {"analyzer": "char_wb", "ngram_range": (2, 3)},
                                      {"tokenizer": str.split, "token_pattern": None}], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_are_those_of_bm25s(method, values, analysis, dtype):
    vectorizer = bowline.BM25Vectorizer(method=method, dtype=dtype, **values, **analysis)
    X = vectorizer.fit_transform(DOCUMENTS)
    q = vectorizer.transform(QUERIES)
    assert X.dtype == q.dtype == np.dtype(dtype)
    scores = (X @ q.T).toarray() + (q @ vectorizer.absence_)[None, :]
    np.testing.assert_allclose(scores, scores_of_bm25s(vectorizer, method=method, dtype=dtype, **values), rtol=1e-5, atol=1e-6)
    fitted = clone(vectorizer).fit(DOCUMENTS)
    np.testing.assert_array_equal(fitted.idf_, vectorizer.idf_)
    restored = pickle.loads(pickle.dumps(vectorizer))
    assert (restored.transform(QUERIES) != q).nnz == 0


@pytest.mark.parametrize("method", _bm25._METHODS)
def test_the_engine_and_numpy_agree(method):
    engine = bowline.BM25Vectorizer(method=method, dtype="float64", min_df=2)
    numpys = bowline.BM25Vectorizer(method=method, dtype="float64", min_df=2, tokenizer=engine.build_tokenizer(), token_pattern=None)
    left, right = engine.fit_transform(DOCUMENTS), numpys.fit_transform(DOCUMENTS)
    np.testing.assert_allclose(left.toarray(), right.toarray(), rtol=1e-14)
    assert engine.mean_length_ == numpys.mean_length_
    fixed = bowline.BM25Vectorizer(method=method, vocabulary=["cat", "dog"])
    assert fixed.fit_transform(DOCUMENTS).shape == (6, 2)
    assert fixed.transform(["the dog"]).toarray().tolist() == [[0, 1]]


def test_parameters():
    vectorizer = bowline.BM25Vectorizer(k1=2)
    assert "binary" not in vectorizer.get_params()
    assert repr(clone(vectorizer)) == "BM25Vectorizer(k1=2)"
    with pytest.raises(ValueError, match="'method' parameter"):
        bowline.BM25Vectorizer(method="bm42").fit(DOCUMENTS)
    with pytest.raises(ValueError, match="'b' parameter"):
        bowline.BM25Vectorizer(b=2).fit(DOCUMENTS)
    with pytest.raises(ValueError, match="dtype must be"):
        bowline.BM25Vectorizer(dtype=int).fit(DOCUMENTS)
