"""The table of parity cases: bowline's options and the reference with equal options.

Every row contains the options of bowline (a command line) and those of scikit-learn or bm25s (keyword arguments under
their own names). Nothing derives one from the other, so a row also documents how the two correspond. This module runs
nothing and reads nothing but the option files in `data/golden/`.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np

from reference import Reference, bm25, count, hashed, hashed_tfidf, tfidf

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Case:
    """One comparison. `options` are relative to the repository's root; `errors` is how the reference decodes."""

    name: str
    set: str
    options: list[str]
    reference: Callable[[list[str]], Reference]
    errors: str = "strict"


def lines(path: str) -> list[str]:
    """The terms of an option file, one a line, blanks kept."""
    return (ROOT / path).read_bytes().decode("utf-8").removesuffix("\n").split("\n")


def table(set_name: str, *rows: tuple) -> list[Case]:
    """Rows of (name, options, reference[, decode errors]) as cases of one set."""
    return [Case(name, set_name, shlex.split(options), *rest) for name, options, *rest in rows]


F32, F64, I64 = np.float32, np.float64, np.int64
STOP_WORDS = lines("data/golden/stop-words.txt")
VOCABULARY_WORDS = lines("data/golden/vocabulary-words.txt")
VOCABULARY_BIGRAMS = lines("data/golden/vocabulary-bigrams.txt")
VOCABULARY_CHARS = lines("data/golden/vocabulary-chars.txt")
STOP = "--stop-words data/golden/stop-words.txt"
WORDS = "--vocabulary data/golden/vocabulary-words.txt"
BIGRAMS = "--vocabulary data/golden/vocabulary-bigrams.txt"
CHARS = "--vocabulary data/golden/vocabulary-chars.txt"

BASIC = table(
    "basic",
    ("defaults", "", count()),
    ("count-i32", "--features vocabulary --weight count --norm none --dtype i32", count()),
    ("count-i64", "--dtype i64", count(dtype=I64)),
    ("count-f32", "--dtype f32", count(dtype=F32)),
    ("count-f64", "--weight count --dtype f64", count(dtype=F64)),
    ("count-l1", "--norm l1 --dtype f64", count(norm="l1", dtype=F64)),
    ("count-l2", "--norm l2 --dtype f64", count(norm="l2", dtype=F64)),
    ("count-l2-default-dtype", "--norm l2", count(norm="l2", dtype=F32)),
    ("count-case-kept", "--no-lowercase", count(lowercase=False)),
    ("count-replace", "--decode-error replace", count(), "replace"),
    ("count-ignore", "--decode-error ignore --dtype i64", count(dtype=I64), "ignore"),
    ("count-strict", "--decode-error strict --no-lowercase --norm l1 --dtype f32",
     count(lowercase=False, norm="l1", dtype=F32)),
    ("binary", "--weight binary", count(binary=True)),
    ("binary-l1", "--weight binary --norm l1 --dtype f32", count(binary=True, norm="l1", dtype=F32)),
    ("binary-l2", "--weight binary --norm l2 --dtype f64", count(binary=True, norm="l2", dtype=F64)),
    ("binary-case-kept", "--weight binary --no-lowercase --dtype i64", count(binary=True, lowercase=False, dtype=I64)),
    ("hashed", "--features hashed", hashed()),
    ("hashed-one-column", "--features hashed --n-features 1", hashed(n_features=1)),
    ("hashed-16", "--features hashed --n-features 16 --dtype i64", hashed(n_features=16, dtype=I64)),
    ("hashed-1000", "--features hashed --n-features 1000 --dtype f64", hashed(n_features=1000, dtype=F64)),
    ("hashed-widest", "--features hashed --n-features 2147483646", hashed(n_features=2**31 - 2)),
    ("hashed-unsigned", "--features hashed --n-features 4096 --no-alternate-sign",
     hashed(n_features=4096, alternate_sign=False)),
    ("hashed-case-kept", "--features hashed --no-lowercase --n-features 65536",
     hashed(lowercase=False, n_features=65536)),
    ("hashed-l1", "--features hashed --n-features 100 --norm l1 --dtype f32",
     hashed(n_features=100, norm="l1", dtype=F32)),
    ("hashed-l2", "--features hashed --n-features 50 --norm l2 --dtype f64",
     hashed(n_features=50, norm="l2", dtype=F64)),
    ("hashed-unsigned-l2", "--features hashed --no-alternate-sign --norm l2 --dtype f64",
     hashed(alternate_sign=False, norm="l2", dtype=F64)),
    ("hashed-binary", "--features hashed --n-features 64 --weight binary", hashed(n_features=64, binary=True)),
    ("hashed-binary-l2", "--features hashed --n-features 37 --weight binary --norm l2 --dtype f64",
     hashed(n_features=37, binary=True, norm="l2", dtype=F64)),
    ("hashed-replace", "--features hashed --decode-error replace --n-features 8192", hashed(n_features=8192), "replace"),
    ("hashed-ignore", "--features hashed --decode-error ignore --norm l2 --dtype f64 --n-features 333",
     hashed(n_features=333, norm="l2", dtype=F64), "ignore"),
)

NGRAMS = table(
    "full",
    ("word-1-2", "--analyzer word --ngrams 1:2", count(ngram_range=(1, 2))),
    ("word-2-2", "--ngrams 2:2 --weight binary", count(ngram_range=(2, 2), binary=True)),
    ("word-1-3-l2", "--ngrams 1:3 --min-df 2 --norm l2 --dtype f64",
     count(ngram_range=(1, 3), min_df=2, norm="l2", dtype=F64)),
    ("word-3-5", "--ngrams 3:5 --min-df 2 --no-lowercase", count(ngram_range=(3, 5), min_df=2, lowercase=False)),
    ("word-2-3-hashed", "--ngrams 2:3 --features hashed --n-features 2048",
     hashed(ngram_range=(2, 3), n_features=2048)),
    ("char-1-1", "--analyzer char --ngrams 1:1", count(analyzer="char")),
    ("char-1-2-case-kept", "--analyzer char --ngrams 1:2 --no-lowercase --min-df 3",
     count(analyzer="char", ngram_range=(1, 2), lowercase=False, min_df=3)),
    ("char-2-3", "--analyzer char --ngrams 2:3 --min-df 4 --dtype i64",
     count(analyzer="char", ngram_range=(2, 3), min_df=4, dtype=I64)),
    ("char-3-3-tfidf", "--analyzer char --ngrams 3:3 --max-features 150 --weight tfidf --dtype f64",
     tfidf(analyzer="char", ngram_range=(3, 3), max_features=150)),
    ("char-1-5-top", "--analyzer char --ngrams 1:5 --max-features 300",
     count(analyzer="char", ngram_range=(1, 5), max_features=300)),
    ("char-2-6-hashed", "--analyzer char --ngrams 2:6 --features hashed --n-features 128",
     hashed(analyzer="char", ngram_range=(2, 6), n_features=128)),
    ("char-4-4-hashed-binary-l1",
     "--analyzer char --ngrams 4:4 --features hashed --n-features 200 --weight binary --norm l1 --dtype f64",
     hashed(analyzer="char", ngram_range=(4, 4), n_features=200, binary=True, norm="l1", dtype=F64)),
    ("char-accents-unicode", "--analyzer char --ngrams 1:2 --strip-accents unicode --min-df 3",
     count(analyzer="char", ngram_range=(1, 2), strip_accents="unicode", min_df=3)),
    ("char-wb-1-1", "--analyzer char-wb --ngrams 1:1 --weight binary", count(analyzer="char_wb", binary=True)),
    ("char-wb-2-4", "--analyzer char-wb --ngrams 2:4 --min-df 5",
     count(analyzer="char_wb", ngram_range=(2, 4), min_df=5)),
    ("char-wb-3-5-tfidf", "--analyzer char-wb --ngrams 3:5 --max-features 250 --weight tfidf --sublinear-tf --dtype f64",
     tfidf(analyzer="char_wb", ngram_range=(3, 5), max_features=250, sublinear_tf=True)),
    ("char-wb-7-9", "--analyzer char-wb --ngrams 7:9 --min-df 2 --no-lowercase",
     count(analyzer="char_wb", ngram_range=(7, 9), min_df=2, lowercase=False)),
    ("char-wb-1-6-hashed", "--analyzer char-wb --ngrams 1:6 --features hashed --n-features 99 --norm l2 --dtype f64",
     hashed(analyzer="char_wb", ngram_range=(1, 6), n_features=99, norm="l2", dtype=F64)),
    ("char-wb-accents-ascii", "--analyzer char-wb --ngrams 2:3 --strip-accents ascii --min-df 6",
     count(analyzer="char_wb", ngram_range=(2, 3), strip_accents="ascii", min_df=6)),
    ("char-wb-bm25", "--analyzer char-wb --ngrams 2:3 --max-features 100 --weight bm25 --dtype f64",
     bm25(analyzer="char_wb", ngram_range=(2, 3), max_features=100)),
)

PATTERNS = table(
    "full",
    ("pattern-empty-matches", r"--token-pattern '\w*'", count(token_pattern=r"\w*")),
    ("pattern-empty-hashed", r"--token-pattern '\w*' --features hashed --n-features 512",
     hashed(token_pattern=r"\w*", n_features=512)),
    ("pattern-one-letter", r"--token-pattern '(?u)\b\w+\b'", count(token_pattern=r"(?u)\b\w+\b")),
    ("pattern-not-space", r"--token-pattern '[^\s]+' --min-df 2", count(token_pattern=r"[^\s]+", min_df=2)),
    ("pattern-not-space-case-kept", r"--token-pattern '\S+' --no-lowercase --weight binary --min-df 2",
     count(token_pattern=r"\S+", lowercase=False, binary=True, min_df=2)),
    ("pattern-digits", r"--token-pattern '\d+'", count(token_pattern=r"\d+")),
    ("pattern-digits-bounded", r"--token-pattern '\b\d{2,4}\b' --dtype i64",
     count(token_pattern=r"\b\d{2,4}\b", dtype=I64)),
    ("pattern-no-digits", r"--token-pattern '\D{3}' --min-df 9", count(token_pattern=r"\D{3}", min_df=9)),
    ("pattern-last-word", r"--token-pattern '\w+$'", count(token_pattern=r"\w+$")),
    ("pattern-last-character", r"--token-pattern '[.\w]$'", count(token_pattern=r"[.\w]$")),
    ("pattern-very-end", r"--token-pattern '\S\s*\Z'", count(token_pattern=r"\S\s*\Z")),
    ("pattern-first-word", r"--token-pattern '^\w+'", count(token_pattern=r"^\w+")),
    ("pattern-lines", r"--token-pattern '(?m)^.*$' --weight binary", count(token_pattern=r"(?m)^.*$", binary=True)),
    ("pattern-capture", r"--token-pattern '(\w+)-\w+'", count(token_pattern=r"(\w+)-\w+")),
    ("pattern-capture-alternative", r"--token-pattern '(r\w)|b\w+'", count(token_pattern=r"(r\w)|b\w+")),
    ("pattern-capture-tfidf", r"--token-pattern '\b(\w{1,3})\w*' --weight tfidf --min-df 4 --dtype f64",
     tfidf(token_pattern=r"\b(\w{1,3})\w*", min_df=4)),
    ("pattern-apostrophe", r'''--token-pattern "\w+(?:['’]\w+)*" --min-df 2''',
     count(token_pattern=r"\w+(?:['’]\w+)*", min_df=2)),
    ("pattern-address", r"--token-pattern '[\w.-]+@[\w.-]+|\w+://\S+'", count(token_pattern=r"[\w.-]+@[\w.-]+|\w+://\S+")),
    ("pattern-letters", r"--token-pattern '[^\W\d_]+' --no-lowercase --min-df 2",
     count(token_pattern=r"[^\W\d_]+", lowercase=False, min_df=2)),
    ("pattern-ascii-letters", r"--token-pattern '[a-z]{3,8}' --min-df 3 --norm l2 --dtype f64",
     count(token_pattern=r"[a-z]{3,8}", min_df=3, norm="l2", dtype=F64)),
    ("pattern-ignore-case", r"--token-pattern '(?i)rope|boat|harbour' --no-lowercase",
     count(token_pattern="(?i)rope|boat|harbour", lowercase=False)),
    ("pattern-first-alternative", r"--token-pattern 'rope|ropes?|the|then' --ngrams 1:2",
     count(token_pattern="rope|ropes?|the|then", ngram_range=(1, 2))),
    ("pattern-lazy", r"--token-pattern '\w+?\b' --min-df 3", count(token_pattern=r"\w+?\b", min_df=3)),
    ("pattern-dot-2-2", r"--token-pattern '.' --ngrams 2:2 --min-df 5",
     count(token_pattern=".", ngram_range=(2, 2), min_df=5)),
    ("pattern-dot-all", r"--token-pattern '(?s)\A.{0,40}'", count(token_pattern=r"(?s)\A.{0,40}")),
    ("pattern-boundary", r"--token-pattern '\b\W+\b' --min-df 2", count(token_pattern=r"\b\W+\b", min_df=2)),
    ("pattern-inside", r"--token-pattern '\B\w\B' --no-lowercase", count(token_pattern=r"\B\w\B", lowercase=False)),
    ("pattern-white-space", r"--token-pattern '[\s,]+'", count(token_pattern=r"[\s,]+")),
    ("pattern-escapes", r"--token-pattern '[\u00e0-\u00ff]|\x1c|\t'", count(token_pattern=r"[\u00e0-\u00ff]|\x1c|\t")),
    ("pattern-accents-stop-words", r"--token-pattern '\w+' --strip-accents unicode --ngrams 1:2 --min-df 3 " + STOP,
     count(token_pattern=r"\w+", strip_accents="unicode", ngram_range=(1, 2), min_df=3, stop_words=STOP_WORDS)),
)

TERMS = table(
    "full",
    ("accents-unicode", "--strip-accents unicode", count(strip_accents="unicode")),
    ("accents-unicode-case-kept", "--strip-accents unicode --no-lowercase",
     count(strip_accents="unicode", lowercase=False)),
    ("accents-ascii", "--strip-accents ascii", count(strip_accents="ascii")),
    ("accents-ascii-hashed", "--strip-accents ascii --features hashed --n-features 777 --norm l2 --dtype f64",
     hashed(strip_accents="ascii", n_features=777, norm="l2", dtype=F64)),
    ("accents-ascii-tfidf", "--strip-accents ascii --weight tfidf --no-lowercase --dtype f64",
     tfidf(strip_accents="ascii", lowercase=False)),
    ("stop-words", STOP, count(stop_words=STOP_WORDS)),
    ("stop-words-bigrams", "--ngrams 2:2 --min-df 2 " + STOP,
     count(ngram_range=(2, 2), min_df=2, stop_words=STOP_WORDS)),
    ("stop-words-case-kept", "--no-lowercase --weight binary " + STOP,
     count(stop_words=STOP_WORDS, lowercase=False, binary=True)),
    ("stop-words-tfidf", "--weight tfidf --norm l1 --dtype f64 " + STOP, tfidf(norm="l1", stop_words=STOP_WORDS)),
    ("stop-words-hashed", "--features hashed --ngrams 1:2 --n-features 1024 " + STOP,
     hashed(stop_words=STOP_WORDS, ngram_range=(1, 2), n_features=1024)),
    ("stop-words-bm25", "--weight bm25 --ngrams 1:2 --min-df 2 --dtype f64 " + STOP,
     bm25(stop_words=STOP_WORDS, ngram_range=(1, 2), min_df=2)),
)

COLUMNS = table(
    "full",
    ("min-df-2", "--min-df 2", count(min_df=2)),
    ("min-df-share", "--min-df 0.07", count(min_df=0.07)),
    ("min-df-zero-share", "--min-df 0.0 --max-df 0.02 --no-lowercase", count(min_df=0.0, max_df=0.02, lowercase=False)),
    ("min-df-one-document", "--min-df 1 --max-df 1.0", count(min_df=1, max_df=1.0)),
    ("max-df-one-document", "--max-df 1 --weight binary", count(max_df=1, binary=True)),
    ("max-df-share", "--max-df 0.29 --min-df 2", count(max_df=0.29, min_df=2)),
    ("max-df-count", "--max-df 28 --min-df 3 --weight tfidf --dtype f64", tfidf(max_df=28, min_df=3)),
    ("df-both-shares", "--min-df 0.03 --max-df 0.14 --norm l1 --dtype f64",
     count(min_df=0.03, max_df=0.14, norm="l1", dtype=F64)),
    ("df-mixed", "--min-df 4 --max-df 0.5 --ngrams 1:2 --weight bm25 --dtype f32",
     bm25(min_df=4, max_df=0.5, ngram_range=(1, 2), dtype=F32)),
    ("max-features-1", "--max-features 1", count(max_features=1)),
    ("max-features-50", "--max-features 50", count(max_features=50)),
    ("max-features-more", "--max-features 1000000 --min-df 3", count(max_features=1000000, min_df=3)),
    ("max-features-binary", "--max-features 75 --weight binary", count(max_features=75, binary=True)),
    ("max-features-pruned", "--max-features 40 --min-df 2 --max-df 0.1 --norm l2 --dtype f64",
     count(max_features=40, min_df=2, max_df=0.1, norm="l2", dtype=F64)),
    ("max-features-tfidf", "--max-features 120 --ngrams 1:2 --weight tfidf --no-smooth-idf --dtype f64",
     tfidf(max_features=120, ngram_range=(1, 2), smooth_idf=False)),
    ("max-features-bm25", "--max-features 60 --weight bm25 --bm25 atire --dtype f64",
     bm25(max_features=60, method="atire")),
    ("vocabulary", WORDS, count(vocabulary=VOCABULARY_WORDS)),
    ("vocabulary-case-kept", "--no-lowercase --weight binary " + WORDS,
     count(vocabulary=VOCABULARY_WORDS, lowercase=False, binary=True)),
    ("vocabulary-bigrams", "--ngrams 1:2 --norm l2 --dtype f64 " + BIGRAMS,
     count(vocabulary=VOCABULARY_BIGRAMS, ngram_range=(1, 2), norm="l2", dtype=F64)),
    ("vocabulary-tfidf", "--weight tfidf --dtype f64 " + WORDS, tfidf(vocabulary=VOCABULARY_WORDS)),
    ("vocabulary-tfidf-unsmoothed", "--weight tfidf --no-smooth-idf --sublinear-tf --dtype f64 " + WORDS,
     tfidf(vocabulary=VOCABULARY_WORDS, smooth_idf=False, sublinear_tf=True)),
    ("vocabulary-char-wb", "--analyzer char-wb --ngrams 1:5 " + CHARS,
     count(vocabulary=VOCABULARY_CHARS, analyzer="char_wb", ngram_range=(1, 5))),
    ("vocabulary-char-tfidf", "--analyzer char --ngrams 1:5 --weight tfidf --dtype f32 " + CHARS,
     tfidf(vocabulary=VOCABULARY_CHARS, analyzer="char", ngram_range=(1, 5), dtype=F32)),
)

VALUES = table(
    "full",
    ("tfidf", "--weight tfidf --dtype f64", tfidf()),
    ("tfidf-default-dtype", "--weight tfidf", tfidf(dtype=F32)),
    ("tfidf-unnormed", "--weight tfidf --norm none --dtype f64", tfidf(norm=None)),
    ("tfidf-unsmoothed", "--weight tfidf --no-smooth-idf --norm none --dtype f64", tfidf(norm=None, smooth_idf=False)),
    ("tfidf-sublinear", "--weight tfidf --sublinear-tf --dtype f64", tfidf(sublinear_tf=True)),
    ("tfidf-sublinear-unsmoothed-l1", "--weight tfidf --sublinear-tf --no-smooth-idf --norm l1 --dtype f64",
     tfidf(norm="l1", smooth_idf=False, sublinear_tf=True)),
    ("tfidf-bigrams-f32", "--weight tfidf --ngrams 1:2 --min-df 2 --dtype f32",
     tfidf(ngram_range=(1, 2), min_df=2, dtype=F32)),
    ("tfidf-replace", "--weight tfidf --decode-error replace --dtype f64", tfidf(), "replace"),
    ("tfidf-ignore", "--weight tfidf --decode-error ignore --strip-accents unicode --dtype f64",
     tfidf(strip_accents="unicode"), "ignore"),
    ("hashed-tfidf", "--features hashed --weight tfidf --dtype f64", hashed_tfidf()),
    ("hashed-tfidf-32", "--features hashed --n-features 32 --weight tfidf --norm none --dtype f64",
     hashed_tfidf(n_features=32, norm=None)),
    ("hashed-tfidf-unsmoothed",
     "--features hashed --n-features 150 --weight tfidf --no-smooth-idf --norm l1 --ngrams 1:2 --dtype f64",
     hashed_tfidf(n_features=150, norm="l1", smooth_idf=False, ngram_range=(1, 2))),
    ("hashed-tfidf-sublinear",
     "--features hashed --n-features 256 --no-alternate-sign --weight tfidf --sublinear-tf --dtype f64",
     hashed_tfidf(n_features=256, alternate_sign=False, sublinear_tf=True)),
    ("hashed-tfidf-f32", "--features hashed --n-features 3000 --weight tfidf --dtype f32",
     hashed_tfidf(n_features=3000, dtype=F32)),
    ("bm25", "--weight bm25 --dtype f64", bm25()),
    ("bm25-default-dtype", "--weight bm25", bm25(dtype=F32)),
    ("bm25-lucene-k1-b", "--weight bm25 --bm25 lucene --k1 0.9 --b 0.4 --dtype f64", bm25(k1=0.9, b=0.4)),
    ("bm25-robertson", "--weight bm25 --bm25 robertson --dtype f64", bm25(method="robertson")),
    ("bm25-robertson-b-0", "--weight bm25 --bm25 robertson --k1 1.2 --b 0 --norm l2 --dtype f64",
     bm25(method="robertson", k1=1.2, b=0.0, norm="l2")),
    ("bm25-atire", "--weight bm25 --bm25 atire --dtype f64", bm25(method="atire")),
    ("bm25-atire-b-1", "--weight bm25 --bm25 atire --k1 2 --b 1 --norm l1 --dtype f64",
     bm25(method="atire", k1=2.0, b=1.0, norm="l1")),
    ("bm25-plus", "--weight bm25 --bm25 bm25+ --dtype f64", bm25(method="bm25+")),
    ("bm25-plus-delta", "--weight bm25 --bm25 bm25+ --delta 1 --k1 1.2 --b 0.5 --norm l2 --dtype f64",
     bm25(method="bm25+", delta=1.0, k1=1.2, b=0.5, norm="l2")),
    ("bm25-l", "--weight bm25 --bm25 bm25l --dtype f64", bm25(method="bm25l")),
    ("bm25-l-delta", "--weight bm25 --bm25 bm25l --delta 0.2 --b 0.3 --ngrams 1:2 --min-df 2 --dtype f64",
     bm25(method="bm25l", delta=0.2, b=0.3, ngram_range=(1, 2), min_df=2)),
    ("bm25-l-f32", "--weight bm25 --bm25 bm25l --dtype f32", bm25(method="bm25l", dtype=F32)),
    ("hashed-bm25-plus", "--features hashed --no-alternate-sign --n-features 300 --weight bm25 --bm25 bm25+ --dtype f64",
     bm25(n_features=300, method="bm25+")),
    ("bm25-l2-f32", "--weight bm25 --norm l2 --min-df 2 --dtype f32", bm25(norm="l2", min_df=2, dtype=F32)),
    ("bm25-case-kept", "--weight bm25 --no-lowercase --strip-accents unicode --dtype f64",
     bm25(lowercase=False, strip_accents="unicode")),
    ("hashed-bm25", "--features hashed --no-alternate-sign --weight bm25 --dtype f64", bm25(n_features=2**20)),
    ("hashed-bm25-robertson-64",
     "--features hashed --no-alternate-sign --n-features 64 --weight bm25 --bm25 robertson --dtype f64",
     bm25(n_features=64, method="robertson")),
    ("hashed-bm25-atire-char-l2",
     "--features hashed --no-alternate-sign --n-features 30 --weight bm25 --bm25 atire --norm l2 --dtype f64"
     " --analyzer char --ngrams 1:2",
     bm25(n_features=30, method="atire", norm="l2", analyzer="char", ngram_range=(1, 2))),
)

# Patterns that need an engine with a step limit; bowline may refuse them, so no other set contains them.
LOOK_AROUND = table(
    "look-around",
    ("look-behind-and-ahead", r"--token-pattern '(?<!\w)\w{4,}(?!\w)'", count(token_pattern=r"(?<!\w)\w{4,}(?!\w)")),
    ("look-ahead-overlap", r"--token-pattern '(?=(\w\w))\w'", count(token_pattern=r"(?=(\w\w))\w")),
    ("back-reference", r"--token-pattern '(\w)\1'", count(token_pattern=r"(\w)\1")),
)

FULL = NGRAMS + PATTERNS + TERMS + COLUMNS + VALUES
CASES = BASIC + FULL + LOOK_AROUND
SETS = {"basic": BASIC, "full": BASIC + FULL, "look-around": LOOK_AROUND}
