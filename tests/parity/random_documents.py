"""Writes random documents full of text that programs often handle wrongly, the same documents for the same seed.

    python tests/parity/random_documents.py --documents 10000 --seed 7 DIR

Characters are those of Unicode 13, so that Python's tables and newer ones agree. Documents with NUL bytes are among
them (`--nul`, a share), and, on request, documents that are not UTF-8 (`--invalid`, a share).
"""

from __future__ import annotations

import argparse
import random
import sys
import unicodedata
from pathlib import Path
from typing import Callable

# Assigned in Unicode 14, first and last code points.
NEW_IN_14 = """
061D 061D 0870 088E 0890 0891 0898 089F 08B5 08B5 08C8 08D2 0C3C 0C3C 0C5D 0C5D 0CDD 0CDD 170D 170D 1715 1715
171F 171F 180F 180F 1AC1 1ACE 1B4C 1B4C 1B7D 1B7E 1DFA 1DFA 20C0 20C0 2C2F 2C2F 2C5F 2C5F 2E53 2E5D 9FFD 9FFF
A7C0 A7C1 A7D0 A7D1 A7D3 A7D3 A7D5 A7D9 A7F2 A7F4 FBC2 FBC2 FD40 FD4F FDCF FDCF FDFE FDFF 10570 1057A 1057C 1058A
1058C 10592 10594 10595 10597 105A1 105A3 105B1 105B3 105B9 105BB 105BC 10780 10785 10787 107B0 107B2 107BA
10F70 10F89 11070 11075 110C2 110C2 116B9 116B9 11740 11746 11AB0 11ABF 12F90 12FF2 16A70 16ABE 16AC0 16AC9
1AFF0 1AFF3 1AFF5 1AFFB 1AFFD 1AFFE 1B11F 1B122 1CF00 1CF2D 1CF30 1CF46 1CF50 1CFC3 1D1E9 1D1EA 1DF00 1DF1E
1E290 1E2AE 1E7E0 1E7E6 1E7E8 1E7EB 1E7ED 1E7EE 1E7F0 1E7FE 1F6DD 1F6DF 1F7F0 1F7F0 1F979 1F979 1F9CC 1F9CC
1FA7B 1FA7C 1FAA9 1FAAC 1FAB7 1FABA 1FAC3 1FAC5 1FAD7 1FAD9 1FAE0 1FAE7 1FAF0 1FAF6 2A6DE 2A6DF 2B735 2B738
""".split()
# Older characters that later tables treat otherwise next to a final sigma: one is no longer cased, one no longer a
# non-spacing mark.
CHANGED_SINCE = (0x0295, 0x1171E)
KNOWN_TABLES = ("13.0.0", "14.0.0")

WHITE_SPACE = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
CONTROLS = "".join(map(chr, range(1, 32))) + "\x7f\x80\x85\x9f"
JOINERS = "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u2060\ufe0e\ufe0f\ufeff"
IGNORABLE = (
    ".'^`:\u00a8\u00b7\u00b4\u2018\u2019\u2024\u2027\uff0e\uff1a\u02b0\u02bc\u0301\u0308\u0345\u05bf\u0640\U0001f3fd" + JOINERS
)
SIGMA = "ΣΣΣΣσςΑΒαβ\u0391\u0301\u1fbcabZ1_Ⅷⓐª日\U00010400\U0001d6ba -,;\n" + IGNORABLE
DOTTED = "İİİIiı\u0307aΣΑ1."
BOUNDARY_LENGTHS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127, 128, 129, 255, 256, 257, 300]
SCRIPTS = ["etaoinshrdlu", "aeiouäöüßéñ", "αβγδεσς", "абвгдежз", "אבגדה", "कखगघ", "日本語文字", "한글말"]
INVALID = [
    b"\xff", b"\x80", b"\xc3", b"\xc0\x80", b"\xe2\x82", b"\xe2\x28\xa1", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80",
]


def assigned() -> dict[str, str]:
    """The characters of Unicode 13 by kind; surrogates and private use are left out."""
    if unicodedata.unidata_version not in KNOWN_TABLES:
        sys.exit(f"this Python has Unicode {unicodedata.unidata_version}; needed: {' or '.join(KNOWN_TABLES)}")
    bounds = [int(bound, 16) for bound in NEW_IN_14]
    new = {code for first, last in zip(bounds[::2], bounds[1::2]) for code in range(first, last + 1)}
    new.update(CHANGED_SINCE)
    kinds: dict[str, list[str]] = {"any": [], "mark": [], "number": [], "cased": [], "compatible": [], "astral": []}
    for code in range(0x20, 0x110000):
        character = chr(code)
        category = unicodedata.category(character)
        if code in new or category in ("Cn", "Cs", "Co", "Cc"):
            continue
        ideograph = 0x3400 <= code <= 0x9FFF or 0xAC00 <= code <= 0xD7A3 or 0x17000 <= code <= 0x3FFFF
        if ideograph and code % 37:
            continue
        kinds["any"].append(character)
        if category[0] == "M":
            kinds["mark"].append(character)
        if category[0] == "N":
            kinds["number"].append(character)
        if category in ("Lu", "Lt") or character.lower() != character:
            kinds["cased"].append(character)
        if unicodedata.decomposition(character) or 0xAC00 <= code <= 0xD7A3:
            kinds["compatible"].append(character)
        if code > 0xFFFF:
            kinds["astral"].append(character)
    return {kind: "".join(characters) for kind, characters in kinds.items()}


class Writer:
    """Draws pieces of text of many kinds; a document mixes a few kinds."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.kinds = assigned()
        self.words = [self.word() for _ in range(2000)]
        self.pieces: list[Callable[[], str]] = [
            self.frequent_word,
            self.frequent_word,
            self.word,
            self.boundary_word,
            self.near_twin,
            lambda: self.draw(SIGMA, 1, 14),
            lambda: self.draw(DOTTED, 1, 6),
            lambda: self.draw(self.kinds["any"], 1, 8),
            lambda: self.draw(self.kinds["number"] + "0123456789", 1, 5),
            lambda: self.draw(self.kinds["cased"], 1, 8),
            lambda: self.draw(self.kinds["compatible"], 1, 5),
            lambda: self.draw(self.kinds["astral"], 1, 5),
            self.marked,
            self.joined,
            self.ascii_stretch,
            lambda: self.draw(WHITE_SPACE, 1, 4),
            lambda: self.draw(CONTROLS, 1, 3),
            lambda: self.draw("_-'’.:·@/\\\"{}[]()<>&%$#*+|^~`", 1, 4),
        ]

    def draw(self, alphabet: str, low: int, high: int) -> str:
        return "".join(self.random.choices(alphabet, k=self.random.randint(low, high)))

    def word(self) -> str:
        return self.draw(self.random.choice(SCRIPTS), 1, 9)

    def frequent_word(self) -> str:
        """A word that other documents contain, too, in one of three spellings."""
        word = self.words[min(int(self.random.paretovariate(0.7)) - 1, len(self.words) - 1)]
        return self.random.choice([word, word, word.upper(), word.capitalize()])

    def boundary_word(self) -> str:
        """A word whose number of bytes is at a limit, ASCII or not."""
        letter = self.random.choice("abxZé日𝐚")
        length = self.random.choice(BOUNDARY_LENGTHS)
        return letter * (length // len(letter.encode()))

    def near_twin(self) -> str:
        """Words that are equal in their first bytes."""
        return "abcdefghijklmnopqrstuvwxyz"[: self.random.randint(13, 26)] + self.draw("abéê_1", 0, 3)

    def marked(self) -> str:
        return "".join(letter + self.draw(self.kinds["mark"], 0, 3) for letter in self.draw("aeoncΑΣΙ한कש", 1, 5))

    def joined(self) -> str:
        return self.random.choice(JOINERS).join(self.frequent_word() for _ in range(self.random.randint(2, 3)))

    def ascii_stretch(self) -> str:
        """ASCII of a length near a multiple of 64, then something else."""
        length = 64 * self.random.randint(1, 3) + self.random.randint(-3, 3)
        text = self.draw("abcdefgh ABCDEFGH  019_.,\n", length, length)
        return text + self.random.choice(["é", "Σ", "日", "𝐚", "İ", "\u0301", "\u2028", "\xa0", "\r", "\x1c"])

    def document(self) -> str:
        """From 0 to a few thousand characters; most separators are spaces."""
        kinds = self.random.sample(self.pieces, self.random.randint(1, 6))
        separators = self.random.choice([[" "], [" ", "\n"], list(WHITE_SPACE), ["", " ", ".", "-"]])
        count = min(int(self.random.lognormvariate(2.5, 1.3)), 1500)
        parts = []
        for _ in range(count):
            parts += (self.random.choice(kinds)(), self.random.choice(separators))
        return "".join(parts)

    def with_nul(self, text: str) -> str:
        at = self.random.randint(0, len(text))
        return text[:at] + "\0" * self.random.randint(1, 3) + text[at:]

    def with_invalid(self, content: bytes) -> bytes:
        for _ in range(self.random.randint(1, 3)):
            at = self.random.randint(0, len(content))  # often inside a character
            content = content[:at] + self.random.choice(INVALID) + content[at:]
        return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--documents", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nul", type=float, default=0.05, metavar="SHARE", help="documents with NUL bytes")
    parser.add_argument("--invalid", type=float, default=0.0, metavar="SHARE", help="documents that are not UTF-8")
    args = parser.parse_args()
    writer = Writer(args.seed)
    size = 0
    for number in range(args.documents):
        text = writer.document()
        if writer.random.random() < args.nul:
            text = writer.with_nul(text)
        content = text.encode("utf-8")
        if writer.random.random() < args.invalid:
            content = writer.with_invalid(content)
        path = args.directory / f"{number // 1000:03}" / f"{number:07}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        size += len(content)
    print(f"{args.documents} documents, {size} bytes")


if __name__ == "__main__":
    main()
