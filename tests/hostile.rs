//! Malicious input: crafted outputs, for `inspect` and for `--vocabulary`, and texts and patterns that need too much
//! memory or time.
//!
//! A command that reads a crafted output has at most 1 GiB of address space, and reports the file and its fault in one
//! line. The fuzz targets (`fuzz/`) test the same readers with random inputs.

use crate::support::{Array, Dir, Finished, Npz, Output, assert_same_bytes, wrapper};
use nix::sys::stat::Mode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::time::Duration;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A sparse file of at most 4 GiB, which takes no disk.
const HUGE: u64 = 4 << 30;

fn pets() -> Dir {
    Dir::with_corpus(&[("a.txt", "a dog; the cat"), ("b.txt", "the cat sat. the cat!"), ("c.txt", "")])
}

/// The change to a file of an output.
enum Craft {
    Bytes(Vec<u8>),
    /// These bytes, then zeroes up to 4 GiB.
    Huge(Vec<u8>),
    Pipe,
    Missing,
}

impl Craft {
    fn apply(&self, path: &Path) {
        // The file may be missing already.
        let _ = fs::remove_file(path);
        match self {
            Craft::Bytes(bytes) => fs::write(path, bytes).unwrap(),
            Craft::Huge(bytes) => {
                fs::write(path, bytes).unwrap();
                File::options().write(true).open(path).unwrap().set_len(HUGE).unwrap();
            }
            Craft::Pipe => nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap(),
            Craft::Missing => {}
        }
    }
}

/// Crafts the file `name` of `out`, requires that the command refuses it in a line that contains `said`, and restores
/// it.
#[track_caller]
fn refuses(dir: &Dir, arguments: &[&str], what: &str, name: &str, craft: &Craft, said: &str) {
    let path = dir.path("out").join(name);
    let before = fs::read(&path).ok();
    craft.apply(&path);
    let limit = Duration::from_secs(10);
    let finished = dir.through(&wrapper::few_addresses()).args(arguments).limit(limit).run();
    assert_eq!(finished.status.code(), Some(1), "{what}: {}", finished.stderr);
    let line = finished.line();
    assert!(line.contains("out") && line.contains(said), "{what}: {line}");
    assert!(line.len() < 500, "{what}: {line}");
    assert_eq!(dir.entries(), ["corpus", "out"], "{what}");
    fs::remove_file(&path).ok();
    before.into_iter().for_each(|bytes| fs::write(&path, bytes).unwrap());
}

/// The manifest of an output with a change.
fn manifest(output: &Output, change: impl FnOnce(&mut Value)) -> Craft {
    let mut manifest = output.manifest();
    change(&mut manifest);
    Craft::Bytes(serde_json::to_vec(&manifest).unwrap())
}

/// An array whose header has this text, in one of the versions of the format.
fn npy(version: u8, claimed: usize, text: &str, elements: &[u8]) -> Vec<u8> {
    let length = match version {
        1 => (claimed as u16).to_le_bytes().to_vec(),
        _ => (claimed as u32).to_le_bytes().to_vec(),
    };
    [b"\x93NUMPY", &[version, 0][..], &length, text.as_bytes(), elements].concat()
}

fn array(descr: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    npy(1, text.len(), &text, elements)
}

/// The archive of an output with another member, packed as by any program.
fn repacked(output: &Output, name: &str, bytes: &[u8], method: CompressionMethod) -> Craft {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (member, content) in Npz::read(&output.matrix()).0 {
        let file = output.file("matrix.npz");
        let Array { header, elements, .. } = &content.array;
        let start = content.offset as usize;
        let original = &file[start..start + header + elements.len()];
        archive.start_file(member.as_str(), options).unwrap();
        archive.write_all(if member == name { bytes } else { original }).unwrap();
    }
    Craft::Bytes(archive.finish().unwrap().into_inner())
}

/// The archive of an output with another 32-bit element and correct checksums.
fn patched(output: &Output, name: &str, place: usize, element: i32) -> Craft {
    let mut file = output.file("matrix.npz");
    let member = &Npz::read(&output.matrix()).0[name];
    let start = member.offset as usize;
    let end = start + member.array.header + member.array.elements.len();
    let before = crc32(&file[start..end]);
    let at = start + member.array.header + place * 4;
    file[at..at + 4].copy_from_slice(&element.to_le_bytes());
    let after = crc32(&file[start..end]);
    let places: Vec<usize> = (0..file.len() - 3).filter(|&at| file[at..at + 4] == before).collect();
    assert_eq!(places.len(), 2, "a local header and the directory");
    places.into_iter().for_each(|at| file[at..at + 4].copy_from_slice(&after));
    Craft::Bytes(file)
}

fn crc32(bytes: &[u8]) -> [u8; 4] {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum().to_le_bytes()
}

/// Nesting that is too deep for a recursive parser.
fn nested() -> Craft {
    Craft::Bytes([br#"{"bowline":"#, "[".repeat(1 << 20).as_bytes()].concat())
}

#[test]
fn a_crafted_archive_is_no_matrix() {
    let dir = pets();
    let output = dir.embedded(&[]);
    let whole = output.file("matrix.npz");
    let stored = |name, bytes: &[u8]| repacked(&output, name, bytes, CompressionMethod::Stored);
    let bomb = array("<i4", "(25000000,)", &vec![0; 100_000_000]);
    let far = npy(2, HUGE as usize - 16, "{}", b"");
    let deep = "(".repeat(60_000) + "\n";
    for (what, craft) in [
        ("2^60 elements", stored("indices.npy", &array("<i4", "(1152921504606846976,)", b""))),
        ("2^62 rows and columns", stored("shape.npy", &array("<i8", "(4611686018427387904, 4)", b""))),
        ("3 GB of elements", stored("data.npy", &array("<i4", "(800000000,)", b""))),
        ("a header of 4 GiB", stored("indices.npy", &far)),
        ("a header that is nested", stored("indptr.npy", &npy(1, deep.len(), &deep, b""))),
        ("doubles", stored("data.npy", &array("<f8", "(6,)", &[0; 48]))),
        ("objects", stored("data.npy", &array("|O", "(6,)", &[0; 48]))),
        ("a bomb", repacked(&output, "data.npy", &bomb, CompressionMethod::Deflated)),
        ("half an archive", Craft::Bytes(whole[..whole.len() / 2].to_vec())),
        ("an archive without its end", Craft::Bytes(whole[..whole.len() - 1].to_vec())),
        ("an archive and more", Craft::Bytes([&whole[..], b"\0"].concat())),
        ("nothing", Craft::Bytes(Vec::new())),
    ] {
        refuses(
            &dir,
            &["inspect", "out"],
            what,
            "matrix.npz",
            &craft,
            "not the matrix that manifest.json describes",
        );
    }
    for (what, craft) in [
        ("a row that begins before the first", patched(&output, "indptr.npy", 1, -1)),
        ("a first row that does not begin at 0", patched(&output, "indptr.npy", 0, 1)),
        ("a row that ends before it begins", patched(&output, "indptr.npy", 1, 7)),
        ("cells that no row has", patched(&output, "indptr.npy", 3, 5)),
        ("a column too many", patched(&output, "indices.npy", 0, 4)),
        ("a negative column", patched(&output, "indices.npy", 5, -1)),
        ("the least column", patched(&output, "indices.npy", 0, i32::MIN)),
    ] {
        refuses(&dir, &["inspect", "out"], what, "matrix.npz", &craft, "matrix.npz: its rows make no sense");
    }
    for (what, craft, said) in [
        ("4 GiB", Craft::Huge(whole.clone()), "matrix.npz: "),
        ("a pipe", Craft::Pipe, "matrix.npz: not a file"),
        ("no file", Craft::Missing, "matrix.npz: No such file"),
    ] {
        refuses(&dir, &["inspect", "out"], what, "matrix.npz", &craft, said);
    }
    dir.bowline(&["inspect", "out"]).run().expect(0);
}

#[test]
fn a_crafted_array_is_no_matrix() {
    let dir = pets();
    let whole = dir.embedded(&["--dense"]).file("matrix.npy");
    let mut far = npy(2, HUGE as usize - 16, "{}", b"");
    far.resize(1 << 16, b' ');
    for (what, craft, said) in [
        ("a header of 4 GiB", Craft::Bytes(far.clone()), "not the matrix"),
        ("4 GiB", Craft::Huge(far), "matrix.npy: "),
        ("2^60 rows", Craft::Bytes(array("<i4", "(1152921504606846976, 4)", b"")), "not the matrix"),
        ("doubles", Craft::Bytes(array("<f8", "(3, 4)", &[0; 96])), "not the matrix"),
        ("half an array", Craft::Bytes(whole[..whole.len() - 1].to_vec()), "not the matrix"),
        ("an array and more", Craft::Bytes([&whole[..], b"\0"].concat()), "not the matrix"),
        ("nothing", Craft::Bytes(Vec::new()), "not the matrix"),
    ] {
        refuses(&dir, &["inspect", "out"], what, "matrix.npy", &craft, said);
    }
}

#[test]
fn a_crafted_list_is_refused() {
    let dir = pets();
    dir.embedded(&[]);
    let bytes = |text: &str| Craft::Bytes(text.as_bytes().to_vec());
    for name in ["documents.jsonl", "vocabulary.jsonl"] {
        let line = |rest: &str| format!("{name}: {rest}");
        for (what, craft, said) in [
            ("no text", Craft::Bytes(b"\xFF\xFE\0".to_vec()), line("line 1: expected value at column 1")),
            ("no JSON", bytes("{}}\n"), line("line 1: ")),
            ("other types", bytes(r#"{"term":7,"path":7}"#), line("line 1: invalid type")),
            ("an empty line", bytes("\n"), line("line 1: EOF")),
            ("nested lists", bytes(&"[".repeat(1 << 20)), line("line 1: ")),
            ("too few lines", bytes(""), "its files contradict each other".to_owned()),
            ("4 GiB", Craft::Huge(Vec::new()), line("out of memory")),
            ("a pipe", Craft::Pipe, line("not a file")),
        ] {
            // Without a vocabulary, columns have numbers instead of names.
            if (what, name) != ("too few lines", "vocabulary.jsonl") {
                refuses(&dir, &["inspect", "out"], what, name, &craft, &said);
            }
        }
    }
}

#[test]
fn a_crafted_manifest_is_refused() {
    let dir = pets();
    let output = dir.embedded(&[]);
    let with = |change: fn(&mut Value)| manifest(&output, change);
    for (what, craft, said) in [
        ("no text", Craft::Bytes(b"\xFF\0".to_vec()), "manifest.json: "),
        ("other types", with(|m| m["counts"] = json!("many")), "manifest.json: invalid type"),
        ("a negative count", with(|m| m["counts"]["documents"] = json!(-1)), "manifest.json: invalid value"),
        ("nested lists", nested(), "manifest.json: "),
        (
            "documents that are not there",
            with(|m| m["counts"]["documents"] = json!(1u64 << 60)),
            "contradict",
        ),
        ("columns that are not there", with(|m| m["counts"]["columns"] = json!(u64::MAX)), "contradict"),
        ("cells that are not there", with(|m| m["counts"]["nonzeros"] = json!(u64::MAX)), "not the matrix"),
        ("another type", with(|m| m["settings"]["values"]["dtype"] = json!("f64")), "not the matrix"),
        ("another file", with(|m| m["matrix"] = json!("../../etc/passwd")), "names no matrix of bowline"),
        ("4 GiB", Craft::Huge(Vec::new()), "manifest.json: out of memory"),
        ("a pipe", Craft::Pipe, "manifest.json: not a file"),
        ("no file", Craft::Missing, "no output of bowline"),
    ] {
        refuses(&dir, &["inspect", "out"], what, "manifest.json", &craft, said);
    }
}

/// Settings that no command line gives, in the manifest that `--vocabulary` reads.
#[test]
fn settings_that_no_command_line_gives_are_refused() {
    let ngrams = |min: u64, max: u64| {
        move |m: &mut Value| m["settings"]["text"]["ngrams"] = json!({"min": min, "max": max})
    };
    let setting = |part: &'static str, name: &'static str, value: Value| {
        move |m: &mut Value| m["settings"][part][name] = value
    };
    let dir = pets();
    let arguments = ["embed", "--no-sync", "--vocabulary", "out", "--output", "new", "corpus"];
    let output = dir.embedded(&["--weight", "tfidf"]);
    for (what, craft, said) in [
        ("no words a term", manifest(&output, ngrams(0, 0)), "manifest.json: ngrams: sizes are"),
        ("less than the least", manifest(&output, ngrams(2, 1)), "manifest.json: ngrams: the least size, 2"),
        ("four billion words a term", manifest(&output, ngrams(1, 4_000_000_000)), "manifest.json: ngrams: "),
        (
            "no pattern",
            manifest(&output, setting("text", "token_pattern", json!("("))),
            "manifest.json: token_pattern: ",
        ),
        (
            "no language",
            manifest(&output, setting("text", "stem", json!("klingon"))),
            "manifest.json: stem: ",
        ),
        ("a negative k1", manifest(&output, setting("values", "k1", json!(-1.0))), "manifest.json: k1: "),
        ("a b above 1", manifest(&output, setting("values", "b", json!(1e300))), "manifest.json: b: "),
        (
            "buckets of terms",
            manifest(&output, setting("columns", "n_features", json!(8))),
            "manifest.json: n_features: ",
        ),
        (
            "a negative length",
            manifest(&output, |m| m["counts"]["mean_length"] = json!(-1.0)),
            "manifest.json: mean_length: ",
        ),
        (
            "more columns than terms",
            manifest(&output, |m| m["counts"]["columns"] = json!(5)),
            "says 5 columns",
        ),
    ] {
        refuses(&dir, &arguments, what, "manifest.json", &craft, said);
    }
    let dir = pets();
    let output = dir.embedded(&["--features", "hashed", "--n-features", "8"]);
    for (what, value) in
        [("no buckets", 0u64), ("too many buckets", u32::MAX as u64), ("far too many", u64::MAX)]
    {
        let craft = manifest(&output, setting("columns", "n_features", json!(value)));
        refuses(&dir, &arguments, what, "manifest.json", &craft, "manifest.json: ");
    }
}

#[test]
fn a_crafted_vocabulary_is_refused() {
    let arguments = ["embed", "--no-sync", "--vocabulary", "out", "--output", "new", "corpus"];
    let dir = pets();
    let output = dir.embedded(&["--weight", "tfidf"]);
    let bytes = |text: &str| Craft::Bytes(text.as_bytes().to_vec());
    let lines = String::from_utf8(output.file("vocabulary.jsonl")).unwrap();
    for (what, craft, said) in [
        ("no text", Craft::Bytes(b"\xFF".to_vec()), "vocabulary.jsonl: line 1: expected value at column 1"),
        ("a surrogate", bytes(r#"{"term":"\ud800","df":1}"#), "vocabulary.jsonl: line 1: "),
        ("half a line", bytes(&lines[..lines.len() - 5]), "vocabulary.jsonl: line 4: "),
        ("a line less", bytes(&lines[lines.find('\n').unwrap() + 1..]), "lines, but manifest.json says"),
        (
            "a term twice",
            bytes(&"{\"term\":\"cat\",\"df\":1}\n".repeat(4)),
            "line 2: the term `cat` stands there a second",
        ),
        (
            "a negative idf",
            bytes(&lines.replacen("\"idf\":", "\"idf\":-", 1)),
            "vocabulary.jsonl: line 1: its idf is not a number of 0 or more",
        ),
        ("4 GiB", Craft::Huge(lines.clone().into_bytes()), "vocabulary.jsonl: out of memory"),
        ("a pipe", Craft::Pipe, "vocabulary.jsonl: not a file"),
        ("no file", Craft::Missing, "vocabulary.jsonl: No such file"),
    ] {
        refuses(&dir, &arguments, what, "vocabulary.jsonl", &craft, said);
    }
    let dir = pets();
    dir.embedded(&["--features", "hashed", "--n-features", "8", "--weight", "tfidf"]);
    let far = array("<f8", "(536870880,)", b"");
    for (what, craft) in [
        ("fewer", Craft::Bytes(array("<f8", "(7,)", &[0; 56]))),
        ("a header of 4 GiB", Craft::Bytes(npy(2, HUGE as usize - 16, "{}", b""))),
        ("4 GiB", Craft::Huge(far)),
        ("integers", Craft::Bytes(array("<i8", "(8,)", &[0; 64]))),
        ("negative numbers", Craft::Bytes(array("<f8", "(8,)", &(-1f64).to_le_bytes().repeat(8)))),
        ("no numbers", Craft::Bytes(array("<f8", "(8,)", &f64::NAN.to_le_bytes().repeat(8)))),
    ] {
        refuses(&dir, &arguments, what, "idf.npy", &craft, "--vocabulary out: idf.npy: ");
    }
}

#[test]
fn a_file_of_terms_that_is_none() {
    let dir = pets();
    for (what, craft, said) in [
        ("no text", Craft::Bytes(b"cat\n\xFF\n".to_vec()), "line 2: not UTF-8"),
        ("4 GiB", Craft::Huge(Vec::new()), "line 1: has a NUL byte"),
    ] {
        craft.apply(&dir.path("terms"));
        let arguments = ["embed", "--vocabulary", "terms", "--output", "out", "corpus"];
        let finished = dir.through(&wrapper::few_addresses()).args(&arguments).run().expect(1);
        assert!(
            finished.line().starts_with(&format!("--vocabulary terms: {said}")),
            "{what}: {}",
            finished.stderr
        );
        assert_eq!(dir.entries(), ["corpus", "terms"]);
    }
}

/// `inspect` does not take memory for each bucket, even for the largest number of buckets.
#[test]
fn columns_that_do_not_occur_take_no_memory() {
    let dir = pets();
    dir.embedded(&["--features", "hashed", "--n-features", "2147483646"]);
    let finished = dir.through(&wrapper::few_addresses()).args(&["inspect", "out"]).run().expect(0);
    assert!(finished.stdout.contains("2147483646  columns"), "{}", finished.stdout);
}

/// Ways to run the same work.
const WAYS: [&[&str]; 5] = [
    &["--workers", "1"],
    &["--workers", "2"],
    &["--workers", "5"],
    &["--mode", "threads", "--workers", "2"],
    &["--mode", "inline"],
];

/// Embeds the corpus in each of the ways, which must end with this exit code and the same bytes.
fn embedded_all_ways(dir: &Dir, code: i32, options: &[&str]) -> (Output, Vec<Finished>) {
    let output = |number: usize| format!("out{number}");
    let run = |(number, way): (usize, &&[&str])| {
        dir.embed_to(&output(number), &[options, way, &["--force"]].concat()).run().expect(code)
    };
    let finished: Vec<Finished> = WAYS.iter().enumerate().map(run).collect();
    let first = dir.output("out0");
    for (number, way) in WAYS.iter().enumerate().skip(1) {
        assert_same_bytes(&first, &dir.output(&output(number)), &format!("{options:?} {way:?}"));
    }
    (first, finished)
}

#[test]
fn words_of_any_length_are_words() {
    let lengths = [254, 255, 256, 65_535, 65_536, 1 << 20, 16 << 20];
    let dir = Dir::with_corpus(&[("a.txt", "the cat")]);
    for length in lengths {
        dir.add(format!("b{length}.txt").as_bytes(), &b"x".repeat(length));
    }
    // The same number of bytes, but half as many characters.
    dir.add("c.txt".as_bytes(), "É".repeat(1 << 19).as_bytes());
    for options in [
        &[][..],
        &["--token-pattern", r"\w+", "--ngrams", "1:2"],
        &["--tokenizer", "unicode", "--stem", "english"],
    ] {
        let (output, _) = embedded_all_ways(&dir, 0, options);
        let mut found: Vec<usize> =
            output.terms().iter().map(String::len).filter(|&length| length > 10).collect();
        found.sort_unstable();
        let mut expected = [&lengths[..], &[1 << 20]].concat();
        expected.sort_unstable();
        assert_eq!(found, expected, "{options:?}");
    }
    let (output, _) = embedded_all_ways(&dir, 0, &["--analyzer", "char-wb", "--ngrams", "3"]);
    let counts: BTreeMap<String, u64> = output.vocabulary().into_iter().collect();
    assert_eq!(
        (counts["xxx"], counts[" xx"], counts["ééé"]),
        (lengths.len() as u64, lengths.len() as u64, 1)
    );
}

#[test]
fn a_document_of_too_many_words_costs_only_itself() {
    let words: String = (0..3_000_000).map(|number| format!("w{number:x} ")).collect();
    let others = [("a.txt", "the cat sat"), ("c.txt", "the dog")];
    let clean = Dir::with_corpus(&others);
    let dir = Dir::with_corpus(&others);
    dir.add(b"b.txt", words.as_bytes());
    for options in [
        &[][..],
        &["--ngrams", "1:2"],
        &["--features", "hashed"],
        &["--analyzer", "char-wb", "--ngrams", "2:5"],
    ] {
        let expected = clean.embedded(&[options, &["--force"]].concat());
        for workers in ["1", "2", "5"] {
            let little = ["--worker-memory", "32M", "--workers", workers, "--force"];
            let finished = dir.embed(&[options, &little].concat()).run().expect(3);
            let output = dir.output("out");
            assert_eq!(output.failures(), [(1, "out of memory".to_owned())], "{options:?}");
            let told = "bowline: b.txt: out of memory (--worker-memory sets the limit)\n";
            assert!(finished.stderr.contains(told), "{}", finished.stderr);
            let (expected, mut rows) = (expected.csr().rows(), output.csr().rows());
            assert_eq!(rows.remove(1), []);
            assert_eq!(rows, expected, "{options:?} {workers}");
        }
    }
}

#[test]
fn a_pattern_without_end_costs_only_the_document() {
    let dir = Dir::with_corpus(&[("a.txt", "c the c"), ("b.txt", &"a".repeat(5000)), ("c.txt", "c")]);
    for pattern in [r"(?:a*)*(?!a|b)c", r"(?:a|aa|(?!x)a)+c|c", r"c|(?:a|(?<=a)a)*b"] {
        let (output, finished) = embedded_all_ways(&dir, 3, &["--token-pattern", pattern]);
        let cause = "the token pattern takes too many steps";
        assert_eq!(output.failures(), [(1, cause.to_owned())], "{pattern}");
        assert_eq!(output.csr().rows(), [vec![(0, 2.0)], vec![], vec![(0, 1.0)]], "{pattern}");
        for run in finished {
            let told = format!("bowline: b.txt: {cause} (a --token-pattern without look-around");
            assert!(run.stderr.contains(&told), "{}", run.stderr);
            assert!(run.took < Duration::from_secs(15), "{pattern} took {:?}", run.took);
        }
    }
}

#[test]
fn patterns_that_grow_beyond_all_bounds_are_refused() {
    let dir = pets();
    for pattern in [
        r"(?:(?:(?:\w{1000}){1000}){1000}){1000}".to_owned(),
        r"(?:(?:(?=a)\w{1000}){1000}){1000}".to_owned(),
        "(?:".repeat(90) + "a" + &"{1000})".repeat(90),
        "(".repeat(100_000),
        "[a".repeat(10_000),
    ] {
        let finished = dir.through(&wrapper::few_addresses()).args(&[
            "embed",
            "-o",
            "out",
            "--token-pattern",
            &pattern,
            "corpus",
        ]);
        let finished = finished.run().expect(2);
        assert!(finished.line().starts_with("--token-pattern: "), "{}", finished.stderr);
        assert!(finished.stderr.len() < 300 && finished.took < Duration::from_secs(5), "{}", finished.stderr);
        assert_eq!(dir.entries(), ["corpus"]);
    }
}
