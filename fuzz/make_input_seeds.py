#!/usr/bin/env python3
"""Makes the seeds of the fuzz targets that read input files: records, parquet, archive and encoding.

    make_input_seeds.py SEEDS      SEEDS: the directory of all seeds

Needs pyarrow and the program zstd. `make-seeds` runs it. The other seeds in these directories are inputs that something was
wrong with once; they stay.
"""

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SEEDS = Path(sys.argv[1])


def seed(target: str, name: str, head: list[int], content: bytes) -> None:
    (SEEDS / target).mkdir(parents=True, exist_ok=True)
    (SEEDS / target / name).write_bytes(bytes(head) + content)


LINES, JSONL, CSV, TSV = range(4)
CUTS = [40, 90, 130, 200]
JSON = (
    b'{"id":"a","title":"The cat","text":"sat on\\nthe \\u00e9\\ud83d\\ude00 mat"}\n'
    b'{"id":2,"text":"two"}\r\n\n{"text":null}\n{"text":7}\nno json\n{"text":"\xff"}\n{"text":"last","id":{"x":[1,"}"]}}'
)
TABLE = (
    b'id,title,text\r\n1,The cat,"sat on\nthe ""mat"""\n2,,two\n\n3,short\n4,x,"a"b\n5,"open\n6,x,y'
)
seed("records", "lines", [LINES, 0] + CUTS, b"one\ntwo\r\n\nthree \xc3\xa9\n\xff\nlast")
seed("records", "lines_long", [LINES, 16] + CUTS, b"x" * 50 + b"\n" + b"y" * 20 + b"\n" + b"\xef\xbb\xbfz")
seed("records", "jsonl", [JSONL, 0] + CUTS, JSON)
seed("records", "jsonl_fields", [JSONL, 6] + CUTS, JSON)
seed("records", "jsonl_replaced", [JSONL, 34] + CUTS, b"\xef\xbb\xbf" + JSON)
seed("records", "csv", [CSV, 0] + CUTS, TABLE)
seed("records", "csv_fields", [CSV, 6] + CUTS, TABLE)
seed("records", "csv_no_header", [CSV, 1 + 2] + CUTS, TABLE)
seed("records", "csv_semicolon", [CSV, 8] + CUTS, TABLE.replace(b",", b";"))
seed("records", "csv_short", [CSV, 16] + CUTS, TABLE)
seed("records", "tsv", [TSV, 64] + CUTS, TABLE.replace(b",", b"\t"))

TEXTS = ["the cat", "", None, "sät on\nthe mat", "the cat"]
TITLES = ["one", "two", "three", None, "five"]
for name, options in {
    "plain": {"compression": "none"},
    "no_dictionary": {"compression": "none", "use_dictionary": False},
    "snappy": {"compression": "snappy"},
    "zstd_v2": {"compression": "zstd", "data_page_version": "2.0"},
    "gzip_groups": {"compression": "gzip", "row_group_size": 2},
    "brotli": {"compression": "brotli", "write_page_index": True},
    "lz4": {"compression": "lz4"},
    "delta": {"compression": "none", "use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}},
    "delta_lengths": {"compression": "none", "use_dictionary": False, "column_encoding": {"text": "DELTA_LENGTH_BYTE_ARRAY"}},
}.items():
    columns = {"id": pa.array([1, 2, 3, 4, 5]), "title": pa.array(TITLES), "text": pa.array(TEXTS)}
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, store_schema=False, **options)
    seed("parquet", name, [128], out.getvalue())
out = io.BytesIO()
nested = {"text": pa.array([["a", "b"], [], None]), "title": pa.array([b"x", b"\xff", None])}
pq.write_table(pa.table(nested), out, store_schema=False)
seed("parquet", "list", [100], out.getvalue())

FILES = {"a.txt": b"the cat", "b/c.txt": b"sat\non", "b/.hidden": b"x", "empty": b"", "n" * 120: b"long name", "d.txt.gz": gzip.compress(b"mat", mtime=0)}


def tar(form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "a.txt"
        archive.addfile(link)
    # Two blocks of zeroes end an archive; the padding behind them says nothing.
    return out.getvalue().rstrip(b"\0") + bytes(1536)


def zipped(compression: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in FILES.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return out.getvalue()


def zstd(content: bytes) -> bytes:
    return subprocess.run(["zstd", "-c", "--check"], input=content, capture_output=True, check=True).stdout


TEXT = b"the cat\nsat on the mat\n" * 3
for name, form in {"tar_gnu": tarfile.GNU_FORMAT, "tar_pax": tarfile.PAX_FORMAT, "tar_ustar": tarfile.USTAR_FORMAT}.items():
    if form == tarfile.USTAR_FORMAT:
        FILES.pop("n" * 120)
    seed("archive", name, [0, 128], tar(form))
for name, compression in {"stored": 0, "deflated": 8, "bzip2": 12, "lzma": 14}.items():
    seed("archive", "zip_" + name, [1, 90], zipped(compression))
seed("archive", "gzip", [2, 0], gzip.compress(TEXT, mtime=0) + gzip.compress(b"again", mtime=0))
seed("archive", "zstd", [3, 0], zstd(TEXT) + zstd(b"again"))
seed("archive", "bzip2", [4, 0], bz2.compress(TEXT) + bz2.compress(b"again"))
seed("archive", "xz", [5, 0], lzma.compress(TEXT) + lzma.compress(b"again"))
seed("archive", "xz_cut", [5, 0], lzma.compress(TEXT)[:-20])
seed("archive", "tar_gzip", [6, 0], gzip.compress(tar(tarfile.PAX_FORMAT), mtime=0))
seed("archive", "tar_zstd", [7, 0], zstd(tar(tarfile.GNU_FORMAT)))

# Bytes that are invalid in some encodings, and half a character at the end.
SAMPLE = "Über 猫 naïve 😀 \ufeff\n"
INVALID = b"\xe9\xff\xed\xa0\x80 \x81\x1b$\x85"
LABELS = {
    "utf-8": "utf-8", "utf-8-sig": "utf-8-sig", "utf-16": "utf-16", "utf-16be": "utf-16be", "utf-32": "utf-32", "utf-32le": "utf-32le",
    "latin1": "utf-8", "ascii": "utf-8", "cp1252": "utf-8", "koi8-r": "utf-8", "shift_jis": "utf-8", "euc-jp": "utf-8", "gb18030": "gb18030",
    "gbk": "gb18030", "big5": "utf-8", "euc-kr": "utf-8", "iso-2022-jp": "utf-8", "auto": "utf-16",
}
for number, (label, codec) in enumerate(LABELS.items()):
    seed("encoding", label, [*label.encode(), 10, number, 0x21 + number], SAMPLE.encode(codec) + INVALID)
for label, text in {"shift_jis": "猫の本、カナ", "euc-jp": "猫の本", "iso-2022-jp": "猫の本", "big5": "貓的書", "euc-kr": "고양이"}.items():
    seed("encoding", label + "_text", [*label.encode(), 10, 0, 0], text.encode(label))
