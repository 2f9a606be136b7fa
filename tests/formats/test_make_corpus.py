"""Tests of `make_corpus.py`: `python3 -m unittest discover tests/formats`."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
import tempfile
import unittest
import zipfile
from pathlib import Path

import make_corpus

TEXTS = {"a/1.txt": "first\nline\u2028 \"quoted\", text\tend", "a-1.txt": "", "b.txt": "last\r\n"}


class Formats(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        make_corpus.write_files(TEXTS.items(), self.folder / "corpus")
        (self.folder / "corpus" / "latin").write_bytes(b"\xe9")
        (self.folder / "corpus" / "nul").write_bytes(b"a\0")
        self.report = io.StringIO()
        self.rows = list(make_corpus.documents(self.folder / "corpus", None, self.report))

    def test_documents_are_in_the_order_of_paths(self):
        self.assertEqual(self.rows, sorted(TEXTS.items(), key=lambda row: row[0].encode()))
        self.assertEqual(len(self.report.getvalue().splitlines()), 2)
        self.assertEqual(list(make_corpus.documents(self.folder / "corpus", 1)), self.rows[:1])

    def test_each_format_has_the_same_documents(self):
        path = self.folder / "file"
        make_corpus.write_jsonl(self.rows, path)
        objects = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        self.assertEqual([(each["id"], each["text"]) for each in objects], self.rows)
        for delimiter in ",\t":
            make_corpus.write_csv(self.rows, path, delimiter)
            with path.open(encoding="utf-8", newline="") as file:
                self.assertEqual(list(csv.reader(file, delimiter=delimiter))[1:], [list(row) for row in self.rows])
        make_corpus.write_tar(self.rows, path)
        with tarfile.open(path) as archive:
            self.assertEqual([(each.name, archive.extractfile(each).read().decode()) for each in archive], self.rows)
        make_corpus.write_zip(self.rows, path)
        with zipfile.ZipFile(path) as archive:
            self.assertEqual([(name, archive.read(name).decode()) for name in archive.namelist()], self.rows)

    def test_a_line_is_a_document(self):
        path = self.folder / "file"
        make_corpus.write_lines(self.rows, path)
        lines = path.read_bytes().decode().split("\n")
        self.assertEqual(lines, [make_corpus.flat(text) for _, text in self.rows] + [""])

    def test_compressed_files_have_the_same_bytes(self):
        path = self.folder / "file"
        make_corpus.write_jsonl(self.rows, path)
        self.assertEqual(gzip.open(make_corpus.compress(path, "gz")).read(), path.read_bytes())

    def test_a_large_file_repeats_the_documents(self):
        path = self.folder / "large"
        count = make_corpus.write_large(self.rows, path, 1000)
        objects = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        self.assertEqual(len({each["id"] for each in objects}), count)
        self.assertTrue(1000 <= path.stat().st_size < 1200)

    def test_sizes(self):
        self.assertEqual([make_corpus.bytes_of(size) for size in ["7", "2k", "20G"]], [7, 2048, 20 << 30])


if __name__ == "__main__":
    unittest.main()
