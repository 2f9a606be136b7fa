"""The classes and the program give the same matrix: random Unicode texts, as a list and as a file of JSON lines."""

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from test_properties import SPECIAL

import bowline

# The program has the newest Unicode: a character that this Python does not know may be a letter there. It takes a document with
# a NUL for binary.
CHARACTERS = st.one_of(
    st.sampled_from(SPECIAL.replace("\0", "")),
    st.characters(exclude_categories=("Cs", "Cn"), exclude_characters="\0"),
)
WORDS = st.sampled_from(["the", "fox", "dog", "Dog", "über", "uber", "ΣΑΣ", "日本語", "it's", "aa bb"])
TEXTS = st.lists(
    st.one_of(st.text(CHARACTERS, max_size=40), st.lists(WORDS, max_size=8).map(" ".join)), min_size=1, max_size=8
)
ANALYSES = st.one_of(
    st.fixed_dictionaries(
        {
            "analyzer": st.just("word"),
            "ngram_range": st.sampled_from([(1, 1), (1, 2), (2, 3)]),
            "stop_words": st.sampled_from([None, "english", ["the", "aa"]]),
            "token_pattern": st.sampled_from([r"(?u)\b\w\w+\b", r"(?u)\b\w+\b", r"[^\s]+"]),
        }
    ),
    st.fixed_dictionaries(
        {"analyzer": st.sampled_from(["char", "char_wb"]), "ngram_range": st.sampled_from([(1, 1), (1, 2), (3, 5)])}
    ),
)
CHARACTER_SETTINGS = st.fixed_dictionaries(
    {"lowercase": st.booleans(), "strip_accents": st.sampled_from([None, "unicode", "ascii"])}
)
COLUMNS = st.fixed_dictionaries(
    {
        "min_df": st.sampled_from([1, 1, 2, 0.3]),
        "max_df": st.sampled_from([1.0, 1.0, 3, 0.8]),
        "max_features": st.sampled_from([None, None, 1, 5]),
    }
)
NORMS = st.sampled_from([None, "l1", "l2"])
MODES = st.sampled_from([{"mode": "inline"}, {"mode": "processes", "workers": 2}])
DTYPES = {"i32": np.int32, "i64": np.int64, "f32": np.float32, "f64": np.float64}
FLOATS = st.sampled_from(["f32", "f64"])
# Each example starts the program, so there are few, and they are not shrunk.
SETTINGS = settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


# Where NumPy's logarithm is not the C library's (AVX-512), idf may differ in the last bits.
RATIOS = np.array([a / b for a in range(1, 60) for b in range(1, 60)])
LOG_ULPS = 0 if (np.log(RATIOS) == [math.log(ratio) for ratio in RATIOS]).all() else 4


def embedded(documents, analysis, **options):
    """The output of the program for the documents."""
    options.update(analyzer=analysis["analyzer"], ngrams=analysis["ngram_range"])
    options.update(strip_accents=analysis["strip_accents"], no_lowercase=not analysis["lowercase"])
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        stop_words = analysis.get("stop_words")
        if stop_words is not None:
            # The program's "english" is another list.
            words = sorted(ENGLISH_STOP_WORDS) if stop_words == "english" else stop_words
            stop_words = folder / "words.txt"
            stop_words.write_text("\n".join(words), encoding="utf-8")
        corpus = folder / "corpus.jsonl"
        lines = [json.dumps({"text": text}, ensure_ascii=number % 2 == 0) for number, text in enumerate(documents)]
        corpus.write_bytes("".join(f"{line}\n" for line in lines).encode())
        output = bowline.embed(
            corpus,
            folder / "out",
            stop_words=stop_words,
            token_pattern=analysis.get("token_pattern"),
            quiet=True,
            progress=False,
            no_sync=True,
            **options,
        )
        matrix = output.matrix.copy()
        terms = None if options.get("features") == "hashed" else output.terms
        assert output.failures.num_rows == 0
        return matrix, terms


def assert_same(matrix, expected, ulps=0):
    assert matrix.shape == expected.shape and matrix.dtype == expected.dtype
    np.testing.assert_array_equal(matrix.indptr, expected.indptr)
    np.testing.assert_array_equal(matrix.indices, expected.indices)
    if ulps:
        np.testing.assert_array_max_ulp(matrix.data, expected.data, ulps)
        return
    bits = f"u{matrix.dtype.itemsize}"
    np.testing.assert_array_equal(matrix.data.view(bits), expected.data.view(bits))


def assert_vectorizer_is_the_program(vectorizer, documents, analysis, options, ulps=0):
    try:
        expected = vectorizer.fit_transform(documents)
    except ValueError:
        # No term is left, or the thresholds exclude each other.
        with pytest.raises(bowline.EmbedError):
            embedded(documents, analysis, **options)
        return
    matrix, terms = embedded(documents, analysis, **options)
    assert terms == vectorizer.get_feature_names_out().tolist()
    assert_same(matrix, expected, ulps)


@pytest.mark.filterwarnings("ignore::UserWarning")
@SETTINGS
@given(TEXTS, ANALYSES, CHARACTER_SETTINGS, COLUMNS, st.booleans(), st.sampled_from(sorted(DTYPES)), MODES)
def test_counts(documents, analysis, characters, columns, binary, dtype, mode):
    analysis = {**analysis, **characters}
    vectorizer = bowline.CountVectorizer(**analysis, **columns, binary=binary, dtype=DTYPES[dtype])
    options = {**columns, **mode, "weight": "binary" if binary else "count", "dtype": dtype}
    assert_vectorizer_is_the_program(vectorizer, documents, analysis, options)
    counts = bowline.Counts(**analysis).add(documents)
    if counts.n_columns == 0:
        return
    matrix, terms = embedded(documents, analysis, weight=options["weight"], dtype=dtype, **mode)
    assert terms == counts.terms()
    assert_same(matrix, counts.matrix(dtype=DTYPES[dtype], weight=options["weight"]))


@pytest.mark.filterwarnings("ignore::UserWarning")
@SETTINGS
@given(TEXTS, ANALYSES, CHARACTER_SETTINGS, COLUMNS, NORMS, st.booleans(), st.booleans(), FLOATS, MODES)
def test_tfidf(documents, analysis, characters, columns, norm, sublinear, smooth, dtype, mode):
    analysis = {**analysis, **characters}
    vectorizer = bowline.TfidfVectorizer(
        **analysis, **columns, norm=norm, sublinear_tf=sublinear, smooth_idf=smooth, dtype=DTYPES[dtype]
    )
    options = {**columns, **mode, "weight": "tfidf", "norm": norm or "none", "dtype": dtype}
    options.update(sublinear_tf=sublinear, no_smooth_idf=not smooth)
    # The `idf_` of a vectorizer of float32 has been rounded to float32, as scikit-learn's; the program's has not.
    ulps = 4 if dtype == "f32" else LOG_ULPS
    assert_vectorizer_is_the_program(vectorizer, documents, analysis, options, ulps)


@pytest.mark.filterwarnings("ignore::UserWarning")
@SETTINGS
@given(
    TEXTS,
    ANALYSES,
    CHARACTER_SETTINGS,
    st.sampled_from([1, 7, 2**20]),
    NORMS,
    st.booleans(),
    st.booleans(),
    FLOATS,
    MODES,
)
def test_hashed(documents, analysis, characters, n_features, norm, alternate_sign, binary, dtype, mode):
    analysis = {**analysis, **characters}
    expected = bowline.HashingVectorizer(
        **analysis,
        n_features=n_features,
        norm=norm,
        alternate_sign=alternate_sign,
        binary=binary,
        dtype=DTYPES[dtype],
    ).transform(documents)
    options = {"features": "hashed", "n_features": n_features, "no_alternate_sign": not alternate_sign}
    options.update(weight="binary" if binary else "count", norm=norm or "none", dtype=dtype)
    matrix, _ = embedded(documents, analysis, **options, **mode)
    assert_same(matrix, expected)


@pytest.mark.filterwarnings("ignore::UserWarning")
@SETTINGS
@given(
    TEXTS,
    ANALYSES,
    CHARACTER_SETTINGS,
    COLUMNS,
    st.sampled_from(["lucene", "robertson", "atire", "bm25l", "bm25+"]),
    st.sampled_from([{}, {"k1": 0.9, "b": 0.4}, {"k1": 2.0, "b": 0.0, "delta": 1.0}]),
    FLOATS,
    MODES,
)
def test_bm25(documents, analysis, characters, columns, method, parameters, dtype, mode):
    analysis = {**analysis, **characters}
    if method not in ("bm25l", "bm25+"):
        parameters = {name: value for name, value in parameters.items() if name != "delta"}
    vectorizer = bowline.BM25Vectorizer(method=method, **parameters, **analysis, **columns, dtype=DTYPES[dtype])
    options = {**columns, **mode, **parameters, "weight": "bm25", "bm25": method, "dtype": dtype}
    assert_vectorizer_is_the_program(vectorizer, documents, analysis, options, LOG_ULPS)
