#!/usr/bin/env python3
"""Writes the text files of a directory as one corpus in many formats, to compare their results and speeds.

The documents are the same in all formats, in the order of the bytes of their paths; the identifier of a document is its
path. Only `lines` differs: a text there has a space for each line break, and the directory `lines-files` contains the same
texts. Files that are not UTF-8, or contain a NUL, are left out and reported.

    make_corpus.py CORPUS OUTPUT                      all formats
    make_corpus.py CORPUS OUTPUT --formats jsonl tar  these only
    make_corpus.py CORPUS OUTPUT --large 20G          one JSONL file of that size, which repeats the documents
"""

from __future__ import annotations

import argparse
import bz2
import csv
import gzip
import io
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

LINE_BREAKS = re.compile(r"\r\n|[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")
COMPRESSIONS = ["gz", "zst", "bz2", "xz"]
FORMATS = ["files", "lines", "jsonl", "csv", "tsv", "tar", "zip", "parquet", "shards"]
Document = tuple[str, str]


def documents(corpus: Path, limit: int | None, report=sys.stderr) -> Iterator[Document]:
    """The path and the text of each document, in order. Reads one file at a time."""
    paths = [os.path.relpath(os.path.join(root, name), corpus) for root, _, names in os.walk(corpus) for name in names]
    given = 0
    for path in sorted(paths, key=os.fsencode):
        if limit is not None and given >= limit:
            return
        source = corpus / path
        if not source.is_file():
            continue
        data = source.read_bytes()
        try:
            path.encode()
            text = data.decode()
        except UnicodeError:
            print(f"left out, not UTF-8: {os.fsencode(path)!r}", file=report)
            continue
        if "\0" in text:
            print(f"left out, contains a NUL: {path}", file=report)
            continue
        given += 1
        yield path, text


def flat(text: str) -> str:
    """The text with a space for each line break."""
    return LINE_BREAKS.sub(" ", text)


def json_line(path: str, text: str) -> bytes:
    return json.dumps({"id": path, "text": text}, ensure_ascii=False).encode() + b"\n"


def write_files(rows: Iterable[Document], output: Path) -> None:
    for path, text in rows:
        target = output / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode())


def write_lines(rows: Iterable[Document], output: Path) -> None:
    with output.open("wb") as file:
        file.writelines(flat(text).encode() + b"\n" for _, text in rows)


def write_jsonl(rows: Iterable[Document], output: Path) -> None:
    with output.open("wb") as file:
        file.writelines(json_line(*row) for row in rows)


def write_csv(rows: Iterable[Document], output: Path, delimiter: str = ",") -> None:
    """A header, then a record a document. Fields with a delimiter, a quote or a line break are quoted."""
    with output.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        table.writerow(["id", "text"])
        table.writerows(rows)


def write_tar(rows: Iterable[Document], output: Path) -> None:
    with tarfile.open(output, "w", format=tarfile.PAX_FORMAT) as archive:
        for path, text in rows:
            data = text.encode()
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_zip(rows: Iterable[Document], output: Path) -> None:
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in rows:
            archive.writestr(zipfile.ZipInfo(path), text.encode(), zipfile.ZIP_DEFLATED)


def write_parquet(rows: Iterable[Document], output: Path, codec: str, group_rows: int) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([("id", pyarrow.string()), ("text", pyarrow.string())])
    with pyarrow.parquet.ParquetWriter(output, schema, compression=codec) as writer:
        for group in batches(rows, group_rows):
            columns = [pyarrow.array(column, pyarrow.string()) for column in zip(*group)]
            writer.write_table(pyarrow.table(columns, schema=schema), row_group_size=group_rows)


def batches(rows: Iterable[Document], size: int) -> Iterator[list[Document]]:
    batch: list[Document] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def compress(source: Path, kind: str) -> Path:
    """Writes the file again as `source`.`kind`."""
    target = source.with_name(f"{source.name}.{kind}")
    if kind == "zst":
        subprocess.run(["zstd", "-q", "-f", "-3", source, "-o", target], check=True)
        return target
    with source.open("rb") as plain:
        with {"gz": gzip.open, "bz2": bz2.open, "xz": lambda p, mode: lzma.open(p, mode, preset=1)}[kind](target, "wb") as file:
            shutil.copyfileobj(plain, file, 1 << 20)
    return target


def write_shards(rows: list[Document], output: Path, shards: int) -> None:
    """Shards of about as many documents each, in order: `shard-000.jsonl.zst` and so on."""
    output.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        part = rows[len(rows) * shard // shards : len(rows) * (shard + 1) // shards]
        plain = output / f"shard-{shard:03}.jsonl"
        write_jsonl(part, plain)
        compress(plain, "zst")
        plain.unlink()


def write_large(rows: list[Document], output: Path, size: int) -> int:
    """Repeats the documents until the file has `size` bytes; each identifier occurs once. Returns the documents."""
    written = count = 0
    with output.open("wb") as file:
        while written < size and rows:
            path, text = rows[count % len(rows)]
            written += file.write(json_line(f"{count // len(rows)}/{path}", text))
            count += 1
    return count


def bytes_of(size: str) -> int:
    """A number of bytes such as 100, 64M or 20G (powers of 1024)."""
    found = re.fullmatch(r"(\d+)([KMGT]?)", size.upper())
    if found is None:
        raise argparse.ArgumentTypeError(f"not a size: {size}")
    return int(found[1]) << 10 * " KMGT".index(found[2] or " ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="directory of text files")
    parser.add_argument("output", type=Path, help="directory to write to; made if it does not exist")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS, help="formats to write (default: all)")
    parser.add_argument("--compressions", nargs="*", choices=COMPRESSIONS, default=COMPRESSIONS,
                        help="compressions of lines, jsonl, csv, tsv and tar, besides none (default: all)")
    parser.add_argument("--limit", type=int, help="write the first N documents only", metavar="N")
    parser.add_argument("--shards", type=int, default=8, help="number of shards of jsonl.zst (default: 8)", metavar="N")
    parser.add_argument("--codecs", nargs="+", default=["none", "snappy", "zstd"], metavar="CODEC",
                        help="codecs of Parquet files, one file each (default: none snappy zstd)")
    parser.add_argument("--group-rows", type=int, default=10_000, help="rows of a row group (default: 10000)", metavar="N")
    parser.add_argument("--large", type=bytes_of, metavar="SIZE",
                        help="write only `large.jsonl` of this size, by repeating the documents (64M, 20G)")
    options = parser.parse_args()

    rows = list(documents(options.corpus, options.limit))
    output = options.output
    output.mkdir(parents=True, exist_ok=True)
    print(f"{len(rows)} documents, {sum(len(text.encode()) for _, text in rows)} bytes")
    if options.large is not None:
        print(f"large.jsonl: {write_large(rows, output / 'large.jsonl', options.large)} documents")
        return
    wanted = set(options.formats)
    if "files" in wanted:
        write_files(rows, output / "files")
    if "lines" in wanted:
        write_files([(path, flat(text)) for path, text in rows], output / "lines-files")
    streams = {"lines": ("corpus.txt", write_lines), "jsonl": ("corpus.jsonl", write_jsonl), "csv": ("corpus.csv", write_csv),
               "tsv": ("corpus.tsv", lambda rows, path: write_csv(rows, path, "\t")), "tar": ("corpus.tar", write_tar)}
    for name, (file, write) in streams.items():
        if name in wanted:
            write(rows, output / file)
            for kind in options.compressions:
                compress(output / file, kind)
    if "zip" in wanted:
        write_zip(rows, output / "corpus.zip")
    if "parquet" in wanted:
        for codec in options.codecs:
            write_parquet(rows, output / f"corpus-{codec}.parquet", codec, options.group_rows)
    if "shards" in wanted:
        write_shards(rows, output / "shards", options.shards)


if __name__ == "__main__":
    main()
