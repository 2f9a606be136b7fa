"""Counts of parts, and estimators fitted from their sums: the same bits as the class on the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bowline import BM25Vectorizer, CountVectorizer, HashingVectorizer, TfidfVectorizer, _partials

TEXTS = [
    "the cat sat on the mat",
    "",
    "the dog sat down, down, down",
    "Ünïcode wörds: 猫 猫猫 and 🦀🦀 crabs",
    "a bird a bird can fly",
    "ties: zz yy xx ww",
    "dog cat mat bird the the",
]

ESTIMATORS = [
    CountVectorizer(),
    CountVectorizer(dtype=np.int16),
    CountVectorizer(binary=True, max_features=4),
    CountVectorizer(max_features=5),  # ties
    CountVectorizer(min_df=0.25, max_df=0.6),
    CountVectorizer(analyzer="char_wb", ngram_range=(2, 3), strip_accents="unicode"),
    CountVectorizer(stop_words="english", vocabulary=["mat", "absent", "cat"]),
    TfidfVectorizer(min_df=2, max_features=4),
    TfidfVectorizer(sublinear_tf=True, smooth_idf=False, norm="l1", dtype=np.float32),
    TfidfVectorizer(binary=True),
    TfidfVectorizer(use_idf=False),
    TfidfVectorizer(vocabulary={"mat": 2, "absent": 1, "cat": 0}),
    *(BM25Vectorizer(method=method, min_df=2) for method in ("lucene", "robertson", "atire", "bm25l", "bm25+")),
    BM25Vectorizer(max_features=3, ngram_range=(1, 2), dtype=np.float64),
    BM25Vectorizer(vocabulary=["mat", "cat", "absent", "the"]),
]


def same(left: Any, right: Any) -> None:
    assert left.shape == right.shape
    assert left.dtype == right.dtype
    assert left.data.tobytes() == right.data.tobytes()
    assert np.array_equal(left.indices, right.indices)
    assert np.array_equal(left.indptr, right.indptr)


def fitted_by(parts: list[list[str]], estimator: Any) -> Any:
    return _partials.fitted(estimator, _partials.total(_partials.partial(part, estimator) for part in parts))


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: str(estimator)[:70])
@pytest.mark.parametrize("bounds", [[0, 7], [0, 3, 7], [0, 0, 1, 1, 2, 5, 7, 7]])
def test_parts_give_the_bits_of_the_whole(estimator: Any, bounds: list[int]) -> None:
    parts = [TEXTS[low:high] for low, high in zip(bounds, bounds[1:], strict=False)]
    expected = estimator.fit_transform(TEXTS)
    fitted = fitted_by(parts, estimator)
    assert fitted.vocabulary_ == estimator.vocabulary_
    assert list(fitted.get_feature_names_out()) == list(estimator.get_feature_names_out())
    for name in ("idf_", "absence_", "mean_length_"):
        if hasattr(estimator, name):
            assert np.array_equal(getattr(fitted, name), getattr(estimator, name))
    same(_partials.documents(fitted, TEXTS), expected)
    row = 0
    for part in parts:
        same(_partials.documents(fitted, part), expected[row : row + len(part)])
        row += len(part)
    same(fitted.transform(TEXTS), estimator.transform(TEXTS))


@pytest.mark.parametrize("norm", [None, "l2"])
def test_hashed_terms_need_no_parts(norm: str | None) -> None:
    estimator = HashingVectorizer(n_features=64, norm=norm)
    fitted = _partials.fitted(estimator, _partials.total([]))
    same(_partials.documents(fitted, TEXTS), estimator.transform(TEXTS))
    assert _partials.documents(fitted, []).shape == (0, 64)
    with pytest.raises(ValueError, match="nothing to fit"):
        _partials.partial(TEXTS, estimator)


def test_a_part_has_one_row_of_documents_and_tokens() -> None:
    part = _partials.partial(["b a1 a1", "b1 a1"], CountVectorizer())
    assert part.schema == _partials.SCHEMA
    assert part.to_pylist() == [
        {"term": "a1", "df": 2, "tf": 3},
        {"term": "b1", "df": 1, "tf": 1},
        {"term": None, "df": 2, "tf": 4},
    ]
    empty = _partials.partial([], CountVectorizer())
    assert empty.to_pylist() == [{"term": None, "df": 0, "tf": 0}]
    assert _partials.partial(pa.array(["b a1 a1", "b1 a1"]), CountVectorizer()).equals(part)


def test_totals_are_sorted_by_code_points(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [_partials.partial([text], CountVectorizer()) for text in ["ｚz 🦀🦀 zz", "𐐨𐐨 zz", "éé"]]
    table = _partials.total(parts)
    assert table["term"].to_pylist() == [*sorted(["ｚz", "zz", "𐐨𐐨", "éé"]), None]
    assert table["df"].to_pylist()[-1] == 3
    monkeypatch.setattr(_partials, "_PENDING_ROWS", 0)
    assert _partials.total(parts).equals(table)
    assert _partials.total([]).num_rows == 0


def test_errors_of_fit_are_those_of_the_class() -> None:
    for estimator, texts in [
        (CountVectorizer(), ["", "a"]),
        (CountVectorizer(min_df=3), ["one", "two"]),
        (CountVectorizer(min_df=2, max_df=1), ["one", "two"]),
        (TfidfVectorizer(), []),
        (BM25Vectorizer(dtype=np.int64), ["one"]),
    ]:
        with pytest.raises(ValueError) as expected:
            estimator.fit(texts)
        with pytest.raises(ValueError) as actual:
            fitted_by([texts, []], estimator)
        assert str(actual.value) == str(expected.value)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (CountVectorizer(tokenizer=str.split, token_pattern=None), "function as tokenizer"),
        (CountVectorizer(preprocessor=str.lower), "function as preprocessor"),
        (HashingVectorizer(analyzer=str.split), "function as analyzer"),
        (TfidfVectorizer(input="filename"), "input='filename'"),
        (CountVectorizer(encoding="latin-1"), r"does not support a setting \(encoding\)"),
        (CountVectorizer(dtype=np.int16, max_features=3), "dtype="),
        (CountVectorizer(min_df=-1), "min_df"),
        ("no estimator", "not one of bowline's"),
    ],
)
def test_settings_that_need_scikit_learn_are_refused(estimator: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        _partials.partial(["text"], estimator)
    assert message.startswith("min_df") or "\n" not in str(refused.value)


def test_a_null_is_no_text() -> None:
    texts = pa.chunked_array([["text"], [None]], pa.string())
    with pytest.raises(ValueError, match="a text is null"):
        _partials.partial(texts, CountVectorizer())
    with pytest.raises(ValueError, match="a text is null"):
        _partials.documents(HashingVectorizer(), texts)
