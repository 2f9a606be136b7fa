//! Lists that users give (`--stop-words`, `--vocabulary FILE`): pipes, files that are not lists, entries that no text
//! contains, and the built-in stop words.

use crate::support::{Dir, Running};
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

fn pets() -> Dir {
    Dir::with_corpus(&[("a.txt", "the cat and the dog"), ("b.txt", "a dog ran")])
}

/// The lines that a run prints before its summary, without `bowline: `.
#[track_caller]
fn notices(dir: &Dir, options: &[&str]) -> Vec<String> {
    let options = [options, &["--force"]].concat();
    let finished = dir.embed(&options).run().expect(0);
    let lines = finished.stderr.lines().filter_map(|line| line.strip_prefix("bowline: "));
    lines.map(str::to_owned).collect()
}

/// The one line of a run that ends with exit code 1 and leaves no file.
#[track_caller]
fn refusal(dir: &Dir, options: &[&str]) -> String {
    let before = dir.entries();
    let finished = dir.embed(options).run().expect(1);
    assert_eq!(dir.entries(), before, "{options:?}");
    finished.line().to_owned()
}

/// A directory with a corpus and a pipe that no program has open.
fn with_pipe() -> Dir {
    let dir = pets();
    mkfifo(&dir.path("pipe"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    dir
}

/// A run that waits for the other end of `pipe` and has installed its signal handlers.
fn waiting(dir: &Dir, options: &[&str]) -> Running {
    let mut running = dir.embed(options).start();
    running.until("its handlers are installed", |running| {
        let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
        u64::from_str_radix(caught.trim(), 16).unwrap_or(0) & 1 << (Signal::SIGTERM as u64 - 1) != 0
    });
    running
}

#[test]
fn a_pipe_without_its_other_end_can_be_interrupted() {
    for option in ["--stop-words", "--vocabulary", "--report"] {
        for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
            let dir = with_pipe();
            let running = waiting(&dir, &[option, "pipe"]);
            running.signal(signal);
            assert_eq!(running.wait().expect(code).stderr, "", "{option}");
            assert_eq!(dir.entries(), ["corpus", "pipe"], "{option}");
        }
    }
}

/// Other options read standard input from `-`.
#[test]
fn a_list_of_standard_input_has_a_hint_that_works() {
    for option in ["--stop-words", "--vocabulary"] {
        let dir = pets();
        let said = format!("{option} -: no such file (/dev/stdin names standard input)");
        assert_eq!(dir.embed(&[option, "-"]).run().expect(1).line(), said);
        dir.write("-", "cat\n");
        dir.embed(&[option, "-"]).run().expect(0);
    }
}

#[test]
fn a_pipe_is_waited_for() {
    for (option, terms) in [("--stop-words", vec!["cat", "dog", "ran"]), ("--vocabulary", vec!["the", "and"])]
    {
        let dir = with_pipe();
        let mut running = waiting(&dir, &[option, "pipe"]);
        let mut writer = None;
        running.until("the pipe is open", |_| {
            writer = File::options().write(true).custom_flags(libc::O_NONBLOCK).open(dir.path("pipe")).ok();
            writer.is_some()
        });
        let mut writer = writer.unwrap();
        writer.write_all(b"the\n").unwrap();
        writer.write_all(b"and\n").unwrap();
        drop(writer);
        running.wait().expect(0);
        assert_eq!(dir.output("out").terms(), terms, "{option}");
    }
    let dir = with_pipe();
    let running = waiting(&dir, &["--report", "pipe"]);
    let mut reader =
        File::options().read(true).custom_flags(libc::O_NONBLOCK).open(dir.path("pipe")).unwrap();
    running.wait().expect(0);
    let mut report = String::new();
    reader.read_to_string(&mut report).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["documents"], 2);
}

#[test]
fn standard_input_gives_a_list() {
    for (list, kept) in
        [("the\\nand\\n", vec!["cat", "dog", "ran"]), ("", vec!["and", "cat", "dog", "ran", "the"])]
    {
        let dir = pets();
        let run = dir.through(&["sh", "-c", r#"printf "$0" | "$@""#, list]);
        let options = ["embed", "--no-sync", "-w", "1", "-o", "out", "--stop-words", "/dev/stdin", "corpus"];
        run.args(&options).run().expect(0);
        assert_eq!(dir.output("out").terms(), kept);
    }
}

#[test]
fn what_is_no_list_is_refused_in_one_line() {
    let dir = pets();
    dir.embed_to("model", &["--weight", "tfidf"]).run().expect(0);
    dir.embed_to("hashed", &["--features", "hashed", "--hash-terms", "--weight", "tfidf"]).run().expect(0);
    let utf16: Vec<u8> = "это\nвсе\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut workbook = b"PK\x03\x04\x14\0\0\0\x08\0".to_vec();
    workbook.extend_from_slice(b"....xl/workbook.xml....[Content_Types].xml");
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    for (content, said) in [
        (&b"\xFF\xFEt\0h\0e\0\n\0"[..], "UTF-16, not UTF-8 (`iconv -f UTF-16 -t UTF-8` converts it)"),
        (b"t\0h\0e\0\n\0", "UTF-16 without a byte-order mark, not UTF-8 (`iconv -f UTF-16LE"),
        (b"\0t\0h\0e\0\n", "UTF-16 without a byte-order mark, not UTF-8 (`iconv -f UTF-16BE"),
        (&utf16, "UTF-16 without a byte-order mark"),
        (b"the\nan\0d\n", "line 2: has a NUL byte"),
        (b"the\nand\rdog\n", "line 2: has a carriage return in it"),
        (b"the\r\nand\rdog\r\n", "line 2: has a carriage return in it"),
        (b"the\rth\xE9\r", "line 2: not UTF-8"),
        (b"\x80\x04\x95\x0e\0\0\0\0\0\0\0", "a Python pickle, not a list (save the words as plain text"),
        (b"\x80\x03]q\0(X\x03\0\0\0the", "a Python pickle, not a list"),
        (b"\x1F\x8B\x08\0\0\0\0\0", "compressed by gzip, not a list (`gzip -d` decompresses it)"),
        (b"BZh91AY&SY", "compressed by bzip2"),
        (b"\xFD7zXZ\0\0", "compressed by xz"),
        (b"\x28\xB5\x2F\xFD\x04", "compressed by zstd"),
        (b"7z\xBC\xAF\x27\x1C", "a 7z archive"),
        (b"PK\x03\x04", "a zip archive, not a list"),
        (&workbook, "an Excel workbook (.xlsx), not a list (save the words as plain text in UTF-8"),
        (&tar, "a tar archive"),
        (b"\x93NUMPY\x01\0v\0", "a NumPy array (.npy), not a list"),
        (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "an Office document (.doc, .xls)"),
        (b"%PDF-1.7\n%the\n", "a PDF document, not a list"),
        (b"{\\rtf1\\ansi the\\par and}\n", "rich text (RTF), not a list (save the words as plain text"),
        (b"\xEF\xBB\xBF<!DOCTYPE html>\n<title>the</title>\n", "an HTML page, not a list"),
        (b"\n<HTML><body>the</body></HTML>\n", "an HTML page, not a list"),
        (b"<?xml version=\"1.0\"?>\n<words/>\n", "an XML file, not a list"),
        (
            b"[\"the\", 1]",
            "a JSON array, but not of strings: invalid type: integer `1`, expected a string at line 1",
        ),
        (b"[[\"the\", \"and\"]]", "a JSON array, but not of strings"),
        (
            b"[\"the\",\n \"and\"",
            "looks like a JSON array, but is not valid: EOF while parsing a list at line 2",
        ),
        (b"['the', 'and']", "looks like a JSON array, but is not valid: "),
        (b"{'the': 0}", "looks like a JSON object, but is not valid: "),
        (b"{\"the\": 0.5}", "JSON, but not a list of terms (a list is an array of strings, "),
        (b"{\"words\": [\"the\"]}\n", "JSON, but not a list of terms (a list is an array of strings, "),
        (b"{\"word\": \"the\"}\n{\"word\": \"and\"}\n", "JSON, but not a list of terms (a list is"),
        (b"{\"term\":\"the\"}\nand\n", "line 2: expected value at column 1"),
    ] {
        dir.write("list", content);
        for option in ["--stop-words", "--vocabulary"] {
            let line = refusal(&dir, &[option, "list"]);
            assert!(line.starts_with(&format!("{option} list: {said}")), "{content:?}: {line}");
        }
    }
    for (list, said) in [
        (
            "model/manifest.json",
            "JSON, but not a list of terms: it seems to be the manifest.json of an output (give ",
        ),
        (
            "model/documents.jsonl",
            "JSON, but not a list of terms: it seems to be the documents.jsonl of an output (give ",
        ),
        ("hashed/hash_terms.jsonl", "JSON, but not a list of terms (a list is"),
        ("hashed/idf.npy", "a NumPy array (.npy), not a list"),
        ("model/matrix.npz", "a NumPy archive (.npz), not a list (an output is given by its directory)"),
        ("/dev/zero", "neither a file nor a pipe"),
    ] {
        for option in ["--stop-words", "--vocabulary"] {
            let line = refusal(&dir, &[option, list]);
            assert!(line.starts_with(&format!("{option} {list}: {said}")), "{line}");
        }
    }
    // The output of one document, too.
    let dir = Dir::with_corpus(&[("a.txt", "the cat")]);
    dir.embedded(&[]);
    let line = refusal(&dir, &["--vocabulary", "out/documents.jsonl", "--force"]);
    assert!(line.contains("it seems to be the documents.jsonl of an output"), "{line}");
    assert_eq!(
        refusal(&dir, &["--stop-words", "out", "--force"]),
        "--stop-words out: a directory, not a list"
    );
}

#[test]
fn files_that_were_joined_are_a_list() {
    let dir = pets();
    for list in ["\u{FEFF}the\n\u{FEFF}and\n", "the\r\n\u{FEFF}and\r\n\u{FEFF}", "the\r\r\nand\r\r\n"] {
        dir.write("list", list);
        assert_eq!(notices(&dir, &["--stop-words", "list"]), [""; 0], "{list:?}");
        assert_eq!(dir.output("out").terms(), ["cat", "dog", "ran"], "{list:?}");
        assert_eq!(notices(&dir, &["--vocabulary", "list"]), [""; 0], "{list:?}");
        assert_eq!(dir.output("out").terms(), ["the", "and"], "{list:?}");
    }
    dir.write("list", "at\n\u{FEFF}th\n");
    let options = ["--analyzer", "char", "--ngrams", "2", "--vocabulary", "list"];
    assert_eq!(notices(&dir, &options), [""; 0]);
    assert_eq!(dir.output("out").terms(), ["at", "th"]);
}

#[test]
fn a_pattern_that_takes_spaces_keeps_them() {
    let dir = Dir::with_corpus(&[("a.txt", "new york, rome #tag")]);
    dir.write("list", " rome #tag\nnew york\n");
    assert_eq!(notices(&dir, &["--token-pattern", "[^,]+", "--vocabulary", "list"]), [""; 0]);
    let terms = [(" rome #tag".to_owned(), 1), ("new york".to_owned(), 1)];
    assert_eq!(dir.output("out").vocabulary(), terms);
}

#[test]
fn what_stands_around_a_word_may_make_it_one() {
    let dir = Dir::with_corpus(&[("a.txt", "new york, rome #tag")]);
    for (pattern, entry) in [
        (r"(?<=\s)\w+", "york"),
        (r"\w+(?=\s)", "new"),
        (r"(?<=#)\w+", "tag"),
        (r"#(\w+)", "tag"),
        (r"\w+(?=,)", "york"),
        (r"\B\w+\b", "ork"),
    ] {
        dir.write("list", entry);
        for option in ["--vocabulary", "--stop-words"] {
            dir.write("corpus/b.txt", "#other one, xyz ");
            assert_eq!(notices(&dir, &["--token-pattern", pattern, option, "list"]), [""; 0], "{pattern}");
        }
    }
    // Entries that no text contains are still named.
    for (pattern, entry) in [(r"(?<=\s)\w+", "York"), (r"#(\w+)", "TAG"), ("[a-z]+", "york2")] {
        dir.write("list", entry);
        let said = notices(&dir, &["--token-pattern", pattern, "--stop-words", "list"]);
        assert!(said.len() == 1 && said[0].contains(&format!("`{entry}`")), "{pattern}: {said:?}");
    }
}

/// A pattern may take many steps for each entry. The check of the list stops before it has taken them all.
#[test]
fn a_pattern_that_takes_many_steps_holds_no_run_up() {
    let dir = Dir::with_corpus(&[("a.txt", "ab")]);
    let list: Vec<String> = (40..1000).map(|length| "a".repeat(length)).collect();
    dir.write("list", list.join("\n"));
    let options = ["--token-pattern", "(?:(?:a|aa|(?=a)a)+)+(?=b)", "--stop-words", "list"];
    assert_eq!(notices(&dir, &options), [""; 0]);
    assert_eq!(dir.output("out").terms(), ["a"]);
}

#[test]
fn an_empty_list_of_stop_words_is_noticed() {
    let dir = pets();
    for list in ["", "\n\n", "[]", "\u{FEFF}"] {
        dir.write("list", list);
        let said = notices(&dir, &["--stop-words", "list"]);
        assert_eq!(said, ["the list of stop words is empty: no word is dropped"], "{list:?}");
        let line = refusal(&dir, &["--vocabulary", "list", "--force"]);
        assert_eq!(line, "--vocabulary list: the vocabulary is empty");
    }
}

#[test]
fn stop_words_of_many_languages() {
    for (language, text, kept) in [
        ("german", "Das ist ein Haus und es war für die Familie", vec!["familie", "haus"]),
        ("french", "L'été n'est pas la saison qu'il aime dans ce pays", vec!["aime", "pays", "saison"]),
        ("italian", "L'acqua dell'isola non è nella casa", vec!["acqua", "casa", "isola"]),
        ("catalan", "L'aigua és a la casa", vec!["aigua", "casa"]),
        ("polish", "To nie jest dom, ale rzeka", vec!["dom", "rzeka"]),
        ("greek", "και σπίτι", vec!["σπίτι"]),
    ] {
        let dir = Dir::with_corpus(&[("a.txt", text)]);
        assert_eq!(notices(&dir, &["--stop-words", language]), [""; 0], "{language}");
        let out = dir.output("out");
        assert_eq!(out.terms(), kept, "{language}");
        assert_eq!(out.manifest()["settings"]["text"]["stop_words"], language);
    }
}

#[test]
fn built_in_lists_are_written_as_the_text_is() {
    for (language, text, accents, options, kept) in [
        ("german", "für Haus", "unicode", &[][..], vec!["haus"]),
        ("german", "für Haus", "ascii", &[], vec!["haus"]),
        ("french", "été même maison", "unicode", &[], vec!["maison"]),
        ("spanish", "también está casa", "ascii", &[], vec!["casa"]),
        ("greek", "και ότι σπίτι", "unicode", &[], vec!["σπιτι"]),
        ("english", "don\u{2019}t stop", "ascii", &[], vec!["stop"]),
        ("english", "don\u{2019}t stop", "unicode", &["--tokenizer", "unicode"], vec!["stop"]),
    ] {
        let dir = Dir::with_corpus(&[("a.txt", text)]);
        let options = [&["--stop-words", language, "--strip-accents", accents][..], options].concat();
        assert_eq!(notices(&dir, &options), [""; 0], "{language} {accents}");
        let out = dir.output("out");
        assert_eq!(out.terms(), kept, "{language} {accents}");
        // A transform gives the same matrix.
        dir.embed_to("again", &["--vocabulary", "out"]).run().expect(0);
        assert_eq!(dir.output("again").file("matrix.npz"), out.file("matrix.npz"), "{language}");
    }
    // A list from a file is exact, as in scikit-learn.
    let dir = Dir::with_corpus(&[("a.txt", "für Haus")]);
    dir.write("list", "für\n");
    let said = notices(&dir, &["--stop-words", "list", "--strip-accents", "unicode"]);
    assert!(said.len() == 1 && said[0].contains("`für`"), "{said:?}");
    assert_eq!(dir.output("out").terms(), ["fur", "haus"]);
}

#[test]
fn another_tokenizer_is_advised_only_if_it_helps() {
    let dir = Dir::with_corpus(&[("a.txt", "அங்கு வீடு house")]);
    let said = notices(&dir, &["--stop-words", "tamil"]);
    assert!(
        said.len() == 1 && said[0].ends_with("(--tokenizer unicode finds words in scripts with marks)"),
        "{said:?}"
    );
    assert_eq!(notices(&dir, &["--stop-words", "tamil", "--tokenizer", "unicode"]), [""; 0]);
    assert_eq!(dir.output("out").terms(), ["house", "வீடு"]);
    // Most entries of this list have several words.
    for tokenizer in ["pattern", "unicode"] {
        let said = notices(&dir, &["--stop-words", "vietnamese", "--tokenizer", tokenizer]);
        assert!(said.len() == 1 && said[0].ends_with("can't equal a word under these settings"), "{said:?}");
    }
}
