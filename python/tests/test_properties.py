"""Random Unicode texts and parameters against scikit-learn."""

import unicodedata
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.feature_extraction.text as text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_vectorizers import outcome

import bowline

# Characters whose case, class or decomposition is special, beside those that hypothesis thinks of.
SPECIAL = "aAbB zZ09_-.'\n\t\u00a0\u1680\u2003\u3000\x1c\x1f\u0301\u0345\u00adΣσςΑİıßﬁǅΐ½²٣०一日本語한글é̈ÅÅ𝒜𐐀\U0001f600\ufeff\u200b\u200d\x00"
CHARACTERS = st.one_of(
    st.sampled_from(SPECIAL),
    st.characters(exclude_categories=("Cs",)),
)
TEXTS = st.lists(st.one_of(st.text(CHARACTERS, max_size=40), st.sampled_from(["the fox", "the dog fox", ""])), max_size=8)
ANALYSES = st.fixed_dictionaries(
    {
        "analyzer": st.sampled_from(["word", "word", "char", "char_wb"]),
        "ngram_range": st.sampled_from([(1, 1), (1, 2), (2, 2), (1, 3), (3, 5)]),
        "lowercase": st.booleans(),
        "strip_accents": st.sampled_from([None, "unicode", "ascii"]),
        "stop_words": st.sampled_from([None, None, "english", ["the", "aa"]]),
        "token_pattern": st.sampled_from([r"(?u)\b\w\w+\b", r"(?u)\b\w\w+\b", r"(?u)\b\w+\b", r"\w+", r"[^\s]+", r"\S(\w*)"]),
        "binary": st.booleans(),
    }
)
COLUMNS = st.fixed_dictionaries(
    {
        "min_df": st.sampled_from([1, 1, 2, 0.3]),
        "max_df": st.sampled_from([1.0, 1.0, 3, 0.8]),
    }
)
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def sort(matrix):
    matrix = matrix.copy()
    matrix.has_sorted_indices = False
    matrix.sort_indices()
    return matrix


def assert_equal(ours, theirs):
    theirs = sort(theirs)
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours.indptr, theirs.indptr)
    np.testing.assert_array_equal(ours.indices, theirs.indices)
    np.testing.assert_array_equal(ours.data, theirs.data)


@pytest.mark.filterwarnings("ignore::UserWarning")
@SETTINGS
@given(TEXTS, TEXTS, ANALYSES, COLUMNS)
def test_counts(documents, others, analysis, columns):
    ours, theirs = bowline.CountVectorizer(**analysis, **columns), text.CountVectorizer(**analysis, **columns)
    (left, our_warnings), (right, their_warnings) = (outcome(lambda v=v: v.fit_transform(documents)) for v in (ours, theirs))
    assert our_warnings == their_warnings
    if not sp.issparse(right):
        assert left == right
        return
    assert_equal(left, right)
    assert ours.vocabulary_ == theirs.vocabulary_
    assert_equal(ours.transform(others), theirs.transform(others))
    assert_equal(ours.transform([other.encode() for other in others]), theirs.transform(others))


@pytest.mark.filterwarnings("ignore::UserWarning")
@SETTINGS
@given(
    TEXTS,
    ANALYSES,
    st.sampled_from([1, 3, 1000, 2**20]),
    st.sampled_from([None, "l1", "l2"]),
    st.booleans(),
    st.sampled_from([np.float64, np.float32]),
)
def test_hashing_to_the_bit(documents, analysis, n_features, norm, alternate_sign, dtype):
    parameters = dict(analysis, n_features=n_features, norm=norm, alternate_sign=alternate_sign, dtype=dtype)
    ours, theirs = bowline.HashingVectorizer(**parameters), text.HashingVectorizer(**parameters)
    (left, our_warnings), (right, their_warnings) = (outcome(lambda v=v: v.transform(documents)) for v in (ours, theirs))
    assert our_warnings == their_warnings
    if sp.issparse(right):
        assert_equal(left, right)
    else:
        assert left == right


@pytest.mark.filterwarnings("ignore::UserWarning")
@SETTINGS
@given(
    TEXTS,
    TEXTS,
    ANALYSES,
    COLUMNS,
    st.sampled_from([None, "l1", "l2"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_tfidf_within_4_ulp_of_the_sorted_sum(documents, others, analysis, columns, norm, use_idf, smooth_idf, sublinear_tf):
    weights = dict(norm=norm, use_idf=use_idf, smooth_idf=smooth_idf, sublinear_tf=sublinear_tf)
    ours = bowline.TfidfVectorizer(**analysis, **columns, **weights)
    counter = text.CountVectorizer(**analysis, **columns)
    transformer = text.TfidfTransformer(**weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts, _ = outcome(lambda: counter.fit_transform(documents))
        left, _ = outcome(lambda: ours.fit_transform(documents))
        if not sp.issparse(counts):
            assert left == counts
            return
        transformer.fit(counts)
        pairs = [(left, counts)]
        if others:
            pairs.append((ours.transform(others), counter.transform(others)))
        else:
            with pytest.raises(ValueError, match="0 sample"):
                ours.transform(others)
        for ours_is, counts_are in pairs:
            # scikit-learn's own code on rows whose terms are sorted.
            expected = transformer.transform(sort(counts_are))
            np.testing.assert_array_equal(ours_is.indptr, expected.indptr)
            np.testing.assert_array_equal(ours_is.indices, expected.indices)
            np.testing.assert_array_max_ulp(ours_is.data, expected.data, 4)
        if use_idf:
            np.testing.assert_array_equal(ours.idf_, transformer.idf_)


@SETTINGS
@given(st.lists(st.text(st.sampled_from("ab \ud800\udfff\u0301"), max_size=12), min_size=1, max_size=5), st.sampled_from(["word", "char", "char_wb"]))
def test_lone_surrogates(documents, analyzer):
    ours, theirs = (
        module.CountVectorizer(analyzer=analyzer, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b") for module in (bowline, text)
    )
    (left, _), (right, _) = (outcome(lambda v=v: v.fit_transform(documents)) for v in (ours, theirs))
    if sp.issparse(right):
        assert ours.vocabulary_ == theirs.vocabulary_
        np.testing.assert_array_equal(left.toarray(), right.toarray())
    else:
        assert left == right


def test_every_character():
    """Each code point as a text of its own, between letters, and behind capitals. Of the planes without a character, some."""
    planes = (0, 1, 2, 3, 14)
    points = [point for point in range(0x110000) if point >> 16 in planes or point % 61 == 0]
    characters = [chr(point) for point in points if not 0xD800 <= point <= 0xDFFF]
    rows = [f"ab{character}cd ΑΣ{character}Β x{character}" for character in characters]
    for parameters in ({}, {"strip_accents": "unicode"}, {"analyzer": "char_wb", "ngram_range": (2, 2)}):
        ours, theirs = bowline.CountVectorizer(**parameters), text.CountVectorizer(**parameters)
        left, right = ours.fit_transform(rows), theirs.fit_transform(rows)
        differing = set(ours.vocabulary_) ^ set(theirs.vocabulary_)
        assert not differing, (unicodedata.unidata_version, sorted(differing)[:10])
        assert_equal(left, right)
