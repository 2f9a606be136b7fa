"""`Counts`: counting in parts, merging, pickling, and choosing columns."""

import pickle
import zlib

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


# Terms of words and of n-grams, a vocabulary, and hashed features.
PICKLED = [{}, {"ngram_range": (1, 3)}, {"analyzer": "char", "ngram_range": (2, 3)}, {"vocabulary": ["the", "fox"]}, {"n_features": 8}]


def same(left, right):
    assert (left.matrix() != right.matrix()).nnz == 0 and left.n_columns == right.n_columns
    for name in ("document_frequencies", "term_frequencies", "lengths"):
        np.testing.assert_array_equal(getattr(left, name)(), getattr(right, name)())
    return True


@pytest.mark.parametrize("settings", PICKLED)
def test_pickles(settings):
    counts = bowline.Counts(**settings).add([*DOCUMENTS, ""])
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert same(pickle.loads(pickle.dumps(counts, protocol)), counts)
    buffers = []
    outside = pickle.dumps(counts, protocol=5, buffer_callback=buffers.append)
    assert len(buffers) == (1 if "n_features" in settings else 2)
    # A buffer may come back as any object with the buffer protocol.
    for kind in (bytes, bytearray, memoryview, lambda raw: np.frombuffer(raw, dtype=np.uint8)):
        restored = pickle.loads(outside, buffers=[kind(buffer.raw()) for buffer in buffers])
        assert same(restored, counts)
    # The restored counts go on.
    assert same(restored.add(["the new fox"]).merge(counts), counts.add(["the new fox"]).merge(bowline.Counts(**settings).add([*DOCUMENTS, ""])))


@pytest.mark.parametrize("settings", PICKLED)
def test_pickles_are_arrow_tables(settings):
    ipc = pytest.importorskip("pyarrow.ipc")
    counts = bowline.Counts(**settings).add(DOCUMENTS)
    buffers = []
    pickle.dumps(counts, protocol=5, buffer_callback=buffers.append)
    *terms, documents = (ipc.open_stream(buffer.raw()).read_all() for buffer in buffers)
    assert [table["term"].to_pylist() for table in terms] == ([] if "n_features" in settings else [counts.terms()])
    X = counts.matrix()
    assert documents["length"].to_pylist() == counts.lengths().tolist()
    assert documents["columns"].combine_chunks().values.to_pylist() == X.indices.tolist()
    assert documents["counts"].combine_chunks().values.to_pylist() == X.data.tolist()
    assert [0, *np.cumsum([len(row) for row in documents["counts"].to_pylist()])] == X.indptr.tolist()


@pytest.mark.parametrize("settings", PICKLED)
def test_damaged_pickles(settings):
    counts = bowline.Counts(**settings).add(DOCUMENTS)
    buffers = []
    rest = pickle.dumps(counts, protocol=5, buffer_callback=buffers.append)
    whole = [bytes(buffer.raw()) for buffer in buffers]
    for number, stream in enumerate(whole):
        # Each byte is changed once, and the stream ends at many places.
        changed = [stream[:at] + bytes([stream[at] ^ 1 << at % 8]) + stream[at + 1 :] for at in range(len(stream))]
        for damaged in [*changed, *(stream[:end] for end in range(0, len(stream), 7)), stream + b"\0"]:
            with pytest.raises(ValueError, match="a damaged pickle of Counts: its checksum differs"):
                pickle.loads(rest, buffers=[*whole[:number], damaged, *whole[number + 1 :]])


def test_tables_that_contradict_each_other():
    pa = pytest.importorskip("pyarrow")
    restore, (analysis, is_given, n_features, alternate_sign, _) = bowline.Counts().add(["aa bb"])._native.__reduce_ex__(4)

    def stream(table):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue().to_pybytes()

    def restored(terms, lengths, columns, counts):
        terms = stream(pa.table({"term": pa.array(terms, pa.large_string())}))
        documents = {
            "length": pa.array(lengths, pa.uint64()),
            "columns": pa.array(columns, pa.large_list(pa.uint32())),
            "counts": pa.array(counts, pa.large_list(pa.int32())),
        }
        documents = stream(pa.table(documents))
        tables = (terms, documents, zlib.crc32(documents, zlib.crc32(terms)))
        return restore(analysis, is_given, n_features, alternate_sign, tables)

    assert restored(["aa", "bb"], [2, 0], [[0, 1], []], [[1, 1], []]).n_columns == 2
    for wrong in (
        (["aa", "aa"], [2], [[0, 1]], [[1, 1]]),
        (["aa", None], [2], [[0, 1]], [[1, 1]]),
        (["aa", "bb"], [2], [[0, 2]], [[1, 1]]),
        (["aa", "bb"], [2], [[1, 0]], [[1, 1]]),
        (["aa", "bb"], [2], [[0, 0]], [[1, 1]]),
        (["aa", "bb"], [2, 0], [[0, 1], []], [[1], [1]]),
        (["aa", "bb"], [2, 0], [[0, 1], None], [[1, 1], None]),
        (["aa", "bb"], [None], [[0, 1]], [[1, 1]]),
        (["aa", "bb"], [2], [[0, None]], [[1, 1]]),
    ):
        with pytest.raises(ValueError, match="a damaged pickle of Counts: its tables"):
            restored(*wrong)
    with pytest.raises(ValueError, match="a damaged pickle of Counts: "):
        restore(analysis, is_given, n_features, alternate_sign, (b"", b"text", zlib.crc32(b"text")))
