"""Compares the encodings of `bowline embed --encoding` with Python's codecs of the same names.

    cargo build --example decode -p bowline-workers
    python3 tests/parity/encodings.py target/debug/examples/decode

decodes every sequence of one or two bytes in every encoding and lists the differences. Encodings of one byte a character
must have none. `--table` writes workers/src/encoding/table.rs, from Python's codecs, instead.
"""

import codecs
import encodings.aliases
import os
import re
import subprocess
import sys

# Python's codecs of several bytes a character, and the decoder of encoding_rs for each.
MULTIBYTE = {
    "shift_jis": "SHIFT_JIS", "cp932": "SHIFT_JIS", "euc_jp": "EUC_JP", "iso2022_jp": "ISO_2022_JP",
    "gb18030": "GB18030", "gbk": "GBK", "gb2312": "GBK", "big5": "BIG5", "big5hkscs": "BIG5", "cp950": "BIG5",
    "euc_kr": "EUC_KR", "cp949": "EUC_KR",
}
WIDE = ["utf_8", "utf_8_sig", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be"]
# Names that the Encoding Standard prefers, where Python knows them as well.
PREFERRED = {
    "utf_8": "utf-8", "ascii": "ascii", "latin_1": "iso-8859-1", "cp866": "ibm866", "mac_roman": "macintosh",
    "shift_jis": "shift_jis", "utf_16_le": "utf-16le", "utf_16_be": "utf-16be", "utf_32_le": "utf-32le",
    "utf_32_be": "utf-32be", "iso2022_jp": "iso-2022-jp", "big5hkscs": "big5-hkscs",
}
NOT_DEFINED = "\ufffd"


def single_byte():
    """Python's codecs of one byte a character whose lower half is ASCII."""
    names = sorted(name[:-3] for name in os.listdir(os.path.dirname(encodings.aliases.__file__)) if name.endswith(".py"))
    for name in names:
        # `iso8859_1` is `latin_1` again.
        if name in MULTIBYTE or name in WIDE or name.startswith("iso2022") or name in ("iso8859_1", "charmap") or "escape" in name:
            continue
        try:
            text = bytes(range(256)).decode(name, "replace")
        except (LookupError, UnicodeError, ValueError, TypeError, AssertionError):
            continue
        if len(text) != 256 or text[:128] != bytes(range(128)).decode("ascii"):
            continue
        yield name, text[128:]


def label(codec):
    """The name in the manifest. Python knows it, too."""
    name = PREFERRED.get(codec)
    if name is None:
        name = re.sub(r"^cp(125\d|874)$", r"windows-\1", codec)
        name = re.sub(r"^iso8859_", "iso-8859-", name).replace("_", "-")
        if name == "windows-874":
            name = "cp874"
    codecs.lookup(name)
    return name


def squeezed(name):
    return re.sub(r"[^a-z0-9]", "", name.lower())


def table():
    """Prints the Rust source of the table."""
    singles = dict(single_byte())
    codecs_of = WIDE + sorted(singles) + list(MULTIBYTE)
    aliases = {}
    for codec in codecs_of:
        for name in [codec, label(codec)]:
            assert aliases.setdefault(squeezed(name), codec) == codec, name
    for alias, codec in encodings.aliases.aliases.items():
        if codec in codecs_of:
            assert aliases.setdefault(squeezed(alias), codec) == codec, alias
    kinds = {
        "utf_8": "Utf8", "utf_8_sig": "Utf8Sig", "utf_16": "Utf16(None)", "utf_32": "Utf32(None)",
        "utf_16_le": "Utf16(Some(Endian::Little))", "utf_16_be": "Utf16(Some(Endian::Big))",
        "utf_32_le": "Utf32(Some(Endian::Little))", "utf_32_be": "Utf32(Some(Endian::Big))",
    }
    print("//! The encodings: their labels, other names, and the characters of those with one byte a character. Written by")
    print("//! tests/parity/encodings.py from Python's codecs.\n")
    print("use super::{Endian, Kind};\n")
    print("/// Each encoding, by its label. The first is UTF-8; the last is not an encoding, but the guess of one. Numbers of")
    print("/// encodings are written to files of a run, never to its output.")
    print("pub(super) static ENCODINGS: &[(&str, Kind)] = &[")
    for codec in codecs_of:
        if codec in singles:
            kind = f"Table(&{codec.upper()})"
        else:
            kind = kinds.get(codec) or f"Multibyte(&encoding_rs::{MULTIBYTE[codec]}_INIT)"
        print(f'    ("{label(codec)}", Kind::{kind}),')
    print('    ("auto", Kind::Auto),')
    print("];\n")
    print("/// Names in lower case, without any other characters than letters and digits, and the numbers of their encodings; in")
    print("/// order.")
    print("pub(super) static NAMES: &[(&str, u8)] = &[")
    aliases["auto"] = None
    numbers = {codec: number for number, codec in enumerate(codecs_of)}
    for alias in sorted(aliases):
        print(f'    ("{alias}", {numbers.get(aliases[alias], len(codecs_of))}),')
    print("];")
    for codec in sorted(singles):
        print(f"\n/// The characters of the bytes from 0x80 of Python's `{codec}`; 0 if there is none.")
        print(f"const {codec.upper()}: [u16; 128] = [")
        values = [0 if c == NOT_DEFINED else ord(c) for c in singles[codec]]
        for start in range(0, 128, 16):
            print("    " + ", ".join(f"0x{value:x}" if value else "0" for value in values[start : start + 16]) + ",")
        print("];")


def sequences():
    for first in range(256):
        yield bytes([first])
    for first in range(256):
        for second in range(256):
            yield bytes([first, second])


def decoded(sequence, codec):
    try:
        return sequence.decode(codec)
    except UnicodeError:
        return None


def compare(program):
    """Prints how many sequences differ, and the first of each kind. Returns whether all is as it should be."""
    all_right = True
    singles = dict(single_byte())
    for codec in ["ascii", "latin_1", *sorted(singles), *MULTIBYTE]:
        output = subprocess.run([program, label(codec)], stdout=subprocess.PIPE, check=True).stdout.decode("utf-8")
        lines = output.split("\n")[:-1]
        ours = [None if line == "-" else "".join(chr(int(c, 16)) for c in line.split()) for line in lines]
        kinds = {"only we decode": [], "only Python decodes": [], "another character": []}
        count = 0
        for sequence, text in zip(sequences(), ours, strict=True):
            theirs = decoded(sequence, codec)
            # A pair of two characters of one byte says nothing new.
            if len(sequence) == 2 and theirs is not None and len(theirs) == 2 and text == theirs:
                continue
            count += 1
            if text == theirs:
                continue
            kind = "only we decode" if theirs is None else "only Python decodes" if text is None else "another character"
            kinds[kind].append((sequence.hex(), theirs, text))
        differ = {kind: found for kind, found in kinds.items() if found}
        if not differ:
            print(f"{codec}: the same")
            continue
        all_right &= codec in MULTIBYTE
        print(f"{codec}:" if codec in MULTIBYTE else f"{codec}: WRONG")
        for kind, found in differ.items():
            print(f"    {kind}: {len(found)}, as {found[:8]}")
    return all_right


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        table()
    elif len(sys.argv) == 2:
        sys.exit(0 if compare(sys.argv[1]) else 1)
    else:
        sys.exit(__doc__)
