"""Compares characters under a version of Unicode with this Python: words, lower case, accents and token patterns.

    cargo build --example characters -p bowline-workers
    python3 tests/parity/characters.py target/debug/examples/characters

finds terms in texts with every code point, alone and next to characters that determine its lower case, and in random texts,
with the Unicode version of this Python, and lists the first differences. There must be none. This needs scikit-learn.
`--table` writes workers/src/analyzer/unicode/ages.rs instead. This needs Python 3.11, for Unicode 14.0, and pip, which
installs `unicodedata2` of the other versions into a temporary directory.
"""

import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import unicodedata
import warnings

# The versions of Python 3.11 to 3.14. The last one is the version of the program's own tables of words.
VERSIONS = ["14.0.0", "15.0.0", "15.1.0", "16.0.0"]
CODES = range(0x110000)
SURROGATES = range(0xD800, 0xE000)
ASSIGNED = "import {0}, sys; print({0}.unidata_version, *(int({0}.category(chr(c)) != 'Cn') for c in range(0x110000)), sep='')"
DEFAULT = r"(?u)\b\w\w+\b"
PATTERNS = [
    DEFAULT, r"\w+", r"\b\w+\b", r"\b\S+\b", r"\W+", r"[^\W\d_]+", r"\d+", r"\D+", r"\b.", r"\w\B.", r"(?<!\w)\S+",
    # Of letters whose other case is newer, and of newer letters.
    "[\u0250-\u02af\ua7c0-\ua7ff]+", "[^\u0264\ua7cb]+", "\ua7cb+", "(?i)\u0264+", "(?i)\ua7cb+", "(?i)[\u0180-\u02af]+",
    "(?i)[\ua7cb-\ua7dc]+", "(?i)[^\u0264\u019b]+", "(?i)[^\ua7cb\ua7dc]+", "(?i)[x\\W]+", "(?i)[\\d\ua7da]+", "(?i)\ua7d3",
]


def assigned(version, directory):
    """For each code point, whether `version` assigns it."""
    module = "unicodedata"
    if version != unicodedata.unidata_version:
        module = "unicodedata2"
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*install, "--target", f"{directory}/{version}", f"{module}=={version}"], check=True)
    command = [sys.executable, "-c", ASSIGNED.format(module)]
    environment = {"PYTHONPATH": f"{directory}/{version}"}
    flags = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    assert flags.startswith(version), f"{version} is not {flags[:6]}"
    return [flag == "1" for flag in flags.removeprefix(version)]


def table():
    """Prints the Rust source of the table."""
    with tempfile.TemporaryDirectory() as directory:
        of_versions = [assigned(version, directory) for version in VERSIONS]
    ranges = []
    for code in CODES:
        age = next((age for age, flags in enumerate(of_versions) if flags[code]), len(VERSIONS))
        if not ranges or ranges[-1][2] != age:
            ranges.append([code, code, age])
        ranges[-1][1] = code
    names = [version.removesuffix(".0") for version in VERSIONS]
    print("//! The characters that were not assigned in Unicode 14.0. Written by tests/parity/characters.py from releases of")
    print("//! Python's tables.\n")
    print(f"/// First and last code points of ranges, in order, and the number of the first version of {', '.join(names)}")
    print(f"/// that assigns them, from 0; {len(VERSIONS)} if none does.")
    print("pub(crate) const AGES: &[(u32, u32, u8)] = &[")
    for first, last, age in ranges:
        if age > 0:
            print(f"    (0x{first:X}, 0x{last:X}, {age}),")
    print("];")


def contexts(character):
    """Words with the character, alone and where it determines whether a capital sigma is final."""
    c = character
    return f"A{c}Σ {c}Σ AΣ{c}B {c} {c}{c} x{c}y{c}_ "


def texts():
    for start in range(0, len(CODES), 64):
        codes = (code for code in CODES[start : start + 64] if code not in SURROGATES)
        yield "".join(contexts(chr(code)) for code in codes)
    generator = random.Random(1)
    newer = [chr(code) for code in CODES if unicodedata.category(chr(code)) == "Cn" and code < 0x33480]
    known = [chr(code) for code in CODES if unicodedata.category(chr(code)) not in ("Cn", "Cs") and code < 0x33480]
    special = list("aZ_9 .'-:\u00ad\u0300\u0345\u2019ΣσςΑİıIẞßKÅéДか한½\u200d\n\u0264\u019b\ua7cb\ua7d2\ua7d3\ua7da\ua7dc")
    for _ in range(5000):
        kinds = generator.choices([newer, known, special], [2, 2, 5], k=generator.randrange(1, 60))
        yield "".join(generator.choice(kind) for kind in kinds)


def expected(text, lowercase, strip, pattern):
    text = text.lower() if lowercase else text
    text = strip(text) if strip else text
    return [text, *pattern.findall(text)]


def first_difference(ours, theirs):
    """The parts of two lists of strings around the first place where they differ."""
    pairs = itertools.zip_longest(ours, theirs, fillvalue="")
    a, b = next((a, b) for a, b in pairs if a != b)
    at = len(os.path.commonprefix([a, b]))
    return f"{a[max(at - 4, 0) : at + 4]!a} instead of {b[max(at - 4, 0) : at + 4]!a}"


def compare(program):
    """Prints the first differences. Returns whether there are none."""
    from sklearn.feature_extraction.text import strip_accents_ascii, strip_accents_unicode

    warnings.simplefilter("ignore", FutureWarning)
    settings = [(lowercase, strip, DEFAULT) for lowercase in (False, True) for strip in (None, "unicode", "ascii")]
    settings += [(False, None, pattern) for pattern in PATTERNS]
    functions = {None: None, "unicode": strip_accents_unicode, "ascii": strip_accents_ascii}
    compiled = [(lowercase, functions[strip], re.compile(pattern)) for lowercase, strip, pattern in settings]
    differences = count = 0
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n") as source:
        source.write(json.dumps(settings) + "\n")
        source.writelines(json.dumps(text, ensure_ascii=False) + "\n" for text in texts())
        source.seek(0)
        command = [program, unicodedata.unidata_version]
        with subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
            for text in texts():
                count += 1
                for setting, how in zip(settings, compiled):
                    ours, theirs = json.loads(process.stdout.readline()), expected(text, *how)
                    if ours == theirs:
                        continue
                    differences += 1
                    if differences <= 20:
                        print(f"{setting} on {text[:6]!a}...: {first_difference(ours, theirs)}", flush=True)
    print(f"{count} texts, {len(settings)} settings, Unicode {unicodedata.unidata_version}: {differences} differences")
    return process.returncode == 0 and differences == 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        table()
    elif len(sys.argv) == 2:
        sys.exit(0 if compare(sys.argv[1]) else 1)
    else:
        sys.exit(__doc__)
