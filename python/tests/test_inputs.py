"""Every kind of input gives the matrix of the same list of str."""

import numpy as np
import pandas
import polars
import pyarrow
import pytest
import sklearn.feature_extraction.text as text
from test_vectorizers import DOCUMENTS, NAMES, assert_same, outcome

import bowline

INPUTS = {
    "list": list,
    "tuple": tuple,
    "generator": lambda texts: (text for text in texts),
    "iterator": iter,
    "map": lambda texts: map(str, texts),
    "dict": lambda texts: dict.fromkeys(texts),
    "bytes": lambda texts: [text.encode() for text in texts],
    "mixed": lambda texts: [text.encode() if number % 2 else text for number, text in enumerate(texts)],
    "numpy objects": lambda texts: np.array(texts, dtype=object),
    "numpy str": np.array,
    "numpy bytes": lambda texts: np.array([text.encode() for text in texts]),
    "numpy strided": lambda texts: np.array([text for text in texts for _ in range(2)], dtype=object)[::2],
    "numpy StringDType": lambda texts: np.array(texts, dtype=np.dtypes.StringDType()),
    "pyarrow": pyarrow.array,
    "pyarrow slice": lambda texts: pyarrow.array(["before", *texts, "behind"])[1:-1],
    "pyarrow large": lambda texts: pyarrow.array(texts, pyarrow.large_string()),
    "pyarrow view": lambda texts: pyarrow.array(texts, pyarrow.string_view()),
    "pyarrow binary": lambda texts: pyarrow.array([text.encode() for text in texts], pyarrow.binary()),
    "pyarrow dictionary": lambda texts: pyarrow.array(texts).dictionary_encode(),
    "pyarrow chunked": lambda texts: pyarrow.chunked_array([texts[:2], [], texts[2:]], pyarrow.string()),
    "pyarrow chunked dictionary": lambda texts: pyarrow.chunked_array([texts[:2], texts[2:]]).dictionary_encode(),
    "polars": polars.Series,
    "polars categorical": lambda texts: polars.Series(texts, dtype=polars.Categorical),
    "polars slice": lambda texts: polars.Series(["before", *texts])[1:],
    "polars chunks": lambda texts: polars.Series(texts[:2]).append(polars.Series(texts[2:])),
    "pandas": pandas.Series,
    "pandas objects": lambda texts: pandas.Series(texts, dtype=object),
    "pandas python": lambda texts: pandas.Series(texts, dtype=pandas.StringDtype("python")),
    "pandas pyarrow": lambda texts: pandas.Series(texts, dtype=pandas.StringDtype("pyarrow")),
    "pandas arrow type": lambda texts: pandas.Series(texts, dtype=pandas.ArrowDtype(pyarrow.string())),
    "pandas categorical": lambda texts: pandas.Series(texts, dtype="category"),
    "pandas index": lambda texts: pandas.Index(texts),
    "pandas labels": lambda texts: pandas.Series(texts, index=range(10, 10 + len(texts))),
    "series of a frame": lambda texts: pandas.DataFrame({"text": texts})["text"],
}


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("parameters", [{}, {"analyzer": "char_wb", "ngram_range": (1, 2)}], ids=["word", "char_wb"])
def test_inputs(kind, name, parameters, served):
    documents = list(dict.fromkeys(DOCUMENTS)) if kind == "dict" else DOCUMENTS
    if kind.startswith("numpy str") or kind == "numpy bytes":
        # Fixed width drops NUL characters at the end only.
        documents = [document.rstrip("\0") for document in documents]
    make = INPUTS[kind]
    ours, theirs = getattr(bowline, name)(**parameters), getattr(text, name)(**parameters)
    assert_same(ours.fit_transform(make(documents)), theirs.fit_transform(documents))
    assert_same(ours.transform(make(documents)), theirs.transform(documents))
    if name != "HashingVectorizer":
        assert ours.vocabulary_ == theirs.vocabulary_
    assert served.count >= 2


@pytest.mark.parametrize("kind", [kind for kind in INPUTS if "bytes" not in kind and kind not in ("mixed", "pyarrow binary")])
@pytest.mark.parametrize("name", NAMES)
def test_inputs_of_scikit_learns_own_code(kind, name, served):
    documents = list(dict.fromkeys(DOCUMENTS)) if kind == "dict" else DOCUMENTS
    make = INPUTS[kind]
    ours, theirs = (getattr(module, name)(tokenizer=str.split, token_pattern=None) for module in (bowline, text))
    assert_same(ours.fit_transform(make(documents)), theirs.fit_transform(documents))
    assert_same(ours.transform(make(documents)), theirs.transform(documents))
    assert served.count == 0


def test_a_missing_text_is_an_error_as_for_scikit_learn():
    for name in NAMES:
        theirs = getattr(text, name)()
        for column, element in (
            (pyarrow.array(["fine", None]), None),
            (pyarrow.chunked_array([["fine"], [None]]), None),
            (polars.Series(["fine", None]), None),
            (pandas.Series(["fine", None], dtype=object), None),
            (pandas.Series(["fine", np.nan], dtype=object), np.nan),
            (pandas.Series(["fine", None]), np.nan),
            (pandas.Series(["fine", None], dtype=pandas.StringDtype("pyarrow")), pandas.NA),
            (polars.Series([1, 2]), 1),
            (pandas.Series([1, 2]), 1),
            (pyarrow.array([1, 2]), 1),
        ):
            expected = outcome(lambda t=theirs, e=element: t.fit_transform(["fine", e]))
            got = outcome(lambda n=name, c=column: getattr(bowline, n)().fit_transform(c))
            assert got[0][0] is expected[0][0]
            if not isinstance(element, (int, float)) or element is np.nan:
                assert got == expected


def test_a_frame_gives_the_names_of_its_columns_as_for_scikit_learn():
    frame = pandas.DataFrame({"text": ["the fox"], "other": ["the dog"]})
    for name in NAMES:
        assert_same(getattr(bowline, name)().fit_transform(frame), getattr(text, name)().fit_transform(frame))


def test_a_list_in_place_of_a_text():
    frame = polars.DataFrame({"text": ["the fox"]})
    with pytest.raises(AttributeError, match="lower"):
        bowline.CountVectorizer().fit_transform(frame)


def test_column_transformer_and_pipeline():
    from sklearn.compose import ColumnTransformer, make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import FeatureUnion, make_pipeline

    frame = pandas.DataFrame({"title": DOCUMENTS * 4, "body": DOCUMENTS[::-1] * 4, "n": range(24)})
    labels = [0, 1] * 12
    results = []
    for module in (bowline, text):
        columns = ColumnTransformer(
            [("title", module.CountVectorizer(), "title"), ("body", module.TfidfVectorizer(), "body"),
             ("hash", module.HashingVectorizer(n_features=8), "body")],
            remainder="passthrough",
        )
        X = columns.fit_transform(frame)
        names = columns[0].get_feature_names_out() if module is None else None
        union = FeatureUnion([("words", module.CountVectorizer()), ("chars", module.CountVectorizer(analyzer="char"))])
        search = GridSearchCV(
            make_pipeline(module.TfidfVectorizer(), LogisticRegression()),
            {"tfidfvectorizer__ngram_range": [(1, 1), (1, 2)], "tfidfvectorizer__norm": ["l1", "l2"]},
            cv=2,
        ).fit(frame["title"], labels)
        results.append(
            (X.toarray(), union.fit_transform(frame["body"]).toarray(), list(union.get_feature_names_out()),
             search.best_params_, search.cv_results_["mean_test_score"], search.predict(frame["title"]), names)
        )
        make_column_transformer((module.CountVectorizer(), "title")).fit(frame).get_feature_names_out()
    ours, theirs = results
    for left, right in zip(ours, theirs, strict=True):
        if isinstance(right, np.ndarray):
            np.testing.assert_allclose(left, right, rtol=1e-12)
        else:
            assert left == right
