"""`load` and `Output`: each format against other readers, and outputs that are damaged."""

import json
import os
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import scipy.io
import scipy.sparse
from sklearn.datasets import load_svmlight_file

import bowline

FORMATS: dict[str, dict[str, Any]] = {
    "counts": {},
    "doubles": {"weight": "tfidf", "dtype": "f64"},
    "longs": {"dtype": "i64"},
    "hashed": {"features": "hashed", "n_features": 64, "weight": "bm25", "no_alternate_sign": True},
}


@pytest.fixture
def out(sample: Path, tmp_path: Path) -> Path:
    """An output with tf-idf."""
    bowline.embed(sample, tmp_path / "out", weight="tfidf")
    return tmp_path / "out"


@pytest.mark.parametrize("options", FORMATS.values(), ids=FORMATS)
def test_matrix_is_that_of_scipy(options: dict[str, Any], sample: Path, tmp_path: Path) -> None:
    output = bowline.embed(sample, tmp_path / "out", **options)
    matrix, expected = output.matrix, scipy.sparse.load_npz(tmp_path / "out" / "matrix.npz")
    assert isinstance(matrix, scipy.sparse.csr_matrix) and matrix.shape == expected.shape
    for name in ("data", "indices", "indptr"):
        ours, theirs = getattr(matrix, name), getattr(expected, name)
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
        # A view of the map, not a copy.
        assert not ours.flags.owndata and not ours.flags.writeable
    assert matrix.has_canonical_format and expected.has_canonical_format
    assert output.matrix is matrix
    changed: Any = matrix.copy()
    changed.data *= 2
    assert abs(changed.sum() - 2 * matrix.sum()) < 1e-3 * abs(matrix).sum()
    assert (matrix @ np.ones(matrix.shape[1])).shape == (matrix.shape[0],)


def test_dense(sample: Path, tmp_path: Path) -> None:
    output = bowline.embed(sample, tmp_path / "out", dense=True)
    assert isinstance(output.matrix, np.ndarray)
    assert np.array_equal(output.matrix, np.load(tmp_path / "out" / "matrix.npy"))
    assert not output.matrix.flags.writeable


def test_formats_of_other_packages(sample: Path, tmp_path: Path) -> None:
    expected = bowline.embed(sample, tmp_path / "npz").matrix
    for format in ("mtx", "svmlight", "parquet", "arrow"):
        output = bowline.embed(sample, tmp_path / format, format=format)
        with pytest.raises(TypeError, match="reads this format") as caught:
            _ = output.matrix
        path, _, reader = str(caught.value).partition(": ")
        assert Path(path).exists()
        match format:
            case "mtx":
                assert "scipy.io.mmread" in reader and (scipy.io.mmread(path).tocsr() != expected).nnz == 0
            case "svmlight":
                matrix, _ = load_svmlight_file(path, n_features=expected.shape[1], zero_based=True)
                assert "load_svmlight_file" in reader and (matrix != expected).nnz == 0
            case "parquet":
                assert pyarrow.parquet.read_table(path).num_rows == expected.shape[0]
        assert output.terms == bowline.load(tmp_path / "npz").terms


def test_tables(out: Path) -> None:
    output = bowline.load(out)
    lines = [json.loads(line) for line in (out / "vocabulary.jsonl").read_text("utf-8").splitlines()]
    assert output.vocabulary.to_pylist() == lines and output.vocabulary.column_names == ["term", "df", "idf"]
    assert output.terms == [line["term"] for line in lines]
    documents = output.documents.to_pylist()
    lines = [json.loads(line) for line in (out / "documents.jsonl").read_text("utf-8").splitlines()]
    assert [{key: value for key, value in row.items() if value is not None} for row in documents] == lines
    assert output.failures.num_rows == 0 and output.failures.column_names[:2] == ["row", "path"]
    assert output.manifest == json.loads((out / "manifest.json").read_text("utf-8"))
    assert output.vocabulary is output.vocabulary


def test_records_have_names(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text('{"id":"x","text":"one two"}\n{"id":"y"}\n')
    with pytest.warns(bowline.EmbedWarning, match="1 of 2"):
        output = bowline.embed(tmp_path / "records.jsonl", tmp_path / "out")
    assert output.documents["id"].to_pylist()[0] == "x" and output.documents["record"].to_pylist() == [0, 1]
    assert output.vocabulary.column_names == ["term", "df"]
    (failed,) = output.failures.to_pylist()
    assert (failed["row"], failed["record"]) == (1, 1) and failed["cause"]


def test_hashed_features_have_no_terms(sample: Path, tmp_path: Path) -> None:
    output = bowline.embed(sample, tmp_path / "out", features="hashed")
    for name in ("terms", "vocabulary"):
        with pytest.raises(ValueError, match="hashed features have no terms"):
            getattr(output, name)


def test_a_matrix_without_cells(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    output = bowline.embed(tmp_path / "empty", tmp_path / "out", features="hashed")
    assert output.matrix.shape == (1, 2**20) and output.matrix.nnz == 0
    assert output.documents["tokens"].to_pylist() == [0]


def test_an_output_that_is_replaced_meanwhile(out: Path) -> None:
    output, expected = bowline.load(out), bowline.load(out)
    _ = expected.matrix, expected.terms
    shutil.rmtree(out)
    assert (output.matrix != expected.matrix).nnz == 0 and output.terms == expected.terms
    with pytest.raises(FileNotFoundError):
        bowline.load(out)


def test_pickles_as_its_path(out: Path) -> None:
    output = bowline.load(out)
    assert pickle.loads(pickle.dumps(output)).terms == output.terms
    assert repr(output) == f"bowline.load({str(out)!r})"


def test_without_pyarrow(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    output = bowline.load(out)
    for name in ("vocabulary", "documents", "failures"):
        with pytest.raises(ImportError, match=r"pip install 'bowline\[arrow\]'"):
            getattr(output, name)
    assert output.matrix.shape == (output.manifest["counts"]["documents"], len(output.terms))


def test_what_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        bowline.load(tmp_path / "nothing")
    assert "nothing" in str(caught.value)
    with pytest.raises(ValueError, match="no output of bowline: it has no manifest.json"):
        bowline.load(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match="manifest.json"):
        bowline.load(tmp_path)
    with pytest.raises(TypeError):
        bowline.load(1)  # type: ignore[arg-type]


def test_damaged_outputs(out: Path) -> None:
    for name, attribute in [
        ("matrix.npz", "matrix"),
        ("vocabulary.jsonl", "terms"),
        ("vocabulary.jsonl", "vocabulary"),
        ("documents.jsonl", "documents"),
        ("documents.jsonl", "failures"),
    ]:
        path = out / name
        whole = path.read_bytes()
        middle = len(whole) // 2
        for damaged in (b"", whole[:middle], whole[:middle] + b"\xff" + whole[middle + 1 :], whole + whole):
            path.write_bytes(damaged)
            output = bowline.load(out)
            with pytest.raises(ValueError, match=name):
                getattr(output, attribute)
        path.unlink()
        path.mkdir()
        with pytest.raises((ValueError, OSError), match=name):
            getattr(bowline.load(out), attribute)
        path.rmdir()
        path.write_bytes(whole)
    # A number of the matrix that the manifest does not have.
    manifest = json.loads((out / "manifest.json").read_text())
    for key in ("documents", "columns", "nonzeros"):
        for wrong in (0, 1, 2**62):
            counts = manifest["counts"] | {key: wrong}
            (out / "manifest.json").write_text(json.dumps(manifest | {"counts": counts}))
            with pytest.raises(ValueError, match="matrix"):
                _ = bowline.load(out).matrix


def test_a_matrix_that_would_read_elsewhere(out: Path) -> None:
    """Its checksums are right, but a column lies outside, or two are in the wrong order."""
    npz = scipy.sparse.load_npz(out / "matrix.npz")
    path, whole = out / "matrix.npz", (out / "matrix.npz").read_bytes()
    place = whole.index(npz.indices.tobytes())
    for wrong in (npz.shape[1], -1, int(npz.indices[1])):
        indices = npz.indices.copy()
        indices[0] = wrong
        path.write_bytes(_with_checksum(whole, place, indices.tobytes()))
        with pytest.raises(ValueError, match="its rows make no sense"):
            _ = bowline.load(out).matrix


def _with_checksum(archive: bytes, place: int, elements: bytes) -> bytes:
    """The archive with other elements of the member there, and its checksum twice: in its header and in the directory."""
    import zipfile
    import zlib

    with zipfile.ZipFile(_file(archive)) as opened:
        (member,) = [info for info in opened.infolist() if info.filename == "indices.npy"]
        old = member.CRC
        size = member.file_size
    changed = archive[:place] + elements + archive[place + len(elements) :]
    end = place + len(elements)
    new = zlib.crc32(changed[end - size : end])
    return changed.replace(old.to_bytes(4, "little"), new.to_bytes(4, "little"))


def _file(data: bytes) -> Any:
    import io

    return io.BytesIO(data)


def test_descriptors_are_given_back(out: Path) -> None:
    before = 0
    for turn in range(20):
        output = bowline.load(out)
        _ = output.matrix, output.vocabulary
        del output
        # The first turn imports packages, which keep some.
        before = before if turn else len(os.listdir("/proc/self/fd"))
    assert len(os.listdir("/proc/self/fd")) <= before
