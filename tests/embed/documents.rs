//! How a document becomes text: size limits, binary files, encodings, capitals, and the line in documents.jsonl.

use super::{assert_rows, failed, ok, pets};
use crate::support::Dir;
use serde_json::json;

#[test]
fn a_document_may_be_as_large_as_the_limit() {
    let dir = Dir::with_corpus(&[("a", "12345"), ("b", "123456"), ("c", "")]);
    let finished = dir.embed(&["--max-document-bytes", "5"]).run().expect(3);
    let documents = [ok("a", 5, 1), failed("b", 6, "too large: 6 bytes"), ok("c", 0, 0)];
    assert_eq!(dir.output("out").documents(), documents);
    let told = "bowline: b: too large: 6 bytes (--max-document-bytes sets the limit)\n3 documents, 1 failed,";
    assert!(finished.stderr.starts_with(told), "{}", finished.stderr);
    let text = "word ".repeat(205);
    let dir = Dir::with_corpus(&[("1024", &text[..1024]), ("1025", &text)]);
    let output = dir.embedded_with(3, &["--max-document-bytes", "1K"]);
    assert_eq!(output.failures(), [(1, "too large: 1025 bytes".to_owned())]);
}

#[test]
fn binary_documents_fail_or_are_embedded() {
    let mut late = vec![b' '; 8192];
    late.extend_from_slice(b"\0late");
    let mut just = vec![b' '; 8191];
    just.extend_from_slice(b"\0just");
    let dir = Dir::with_corpus(&[("a", &b"ab\0cd"[..]), ("b", &just), ("c", &late)]);
    let finished = dir.embed(&[]).run().expect(3);
    let output = dir.output("out");
    assert_eq!(output.documents(), [failed("a", 5, "binary"), failed("b", 8196, "binary"), ok("c", 8197, 1)]);
    assert!(
        finished.stderr.contains("bowline: a: binary (--binary embed accepts it)\n"),
        "{}",
        finished.stderr
    );
    assert_rows(&output, 1, &[&[], &[], &[(0, 1.0)]]);
    let output = dir.embedded(&["--binary", "embed", "--force"]);
    assert_eq!(output.terms(), ["ab", "cd", "just", "late"]);
}

/// No option that a message names turns such a file into text without words.
#[test]
fn text_in_utf_16_or_32_fails_as_such() {
    let utf16 =
        |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let utf32 = |text: &str, bytes: fn(u32) -> [u8; 4]| text.chars().flat_map(|c| bytes(c as u32)).collect();
    let (plain, marked) = ("The cat sat.\r\n", "\u{FEFF}The cat sat.\r\n");
    let dir = Dir::with_corpus(&[
        ("a", utf16(marked, u16::to_le_bytes)),
        ("b", utf16(marked, u16::to_be_bytes)),
        ("c", utf32(marked, u32::to_le_bytes)),
        ("d", utf32(marked, u32::to_be_bytes)),
        // It contains no NUL.
        ("e", utf16("\u{FEFF}\u{732B}\u{5EA7}", u16::to_le_bytes)),
        ("f", marked.as_bytes().to_vec()),
    ]);
    let causes = ["UTF-16", "UTF-16", "UTF-32", "UTF-32", "UTF-16"].map(str::to_owned);
    let expected: Vec<_> = causes.into_iter().enumerate().collect();
    let ways = ["strict", "replace", "ignore"].map(|way| ["--binary", "embed", "--decode-error", way]);
    for options in [&[][..], &["--decode-error", "ignore"]].into_iter().chain(ways.iter().map(|way| &way[..]))
    {
        let finished = dir.embed(options).args(&["--force"]).run().expect(3);
        let output = dir.output("out");
        assert_eq!(output.failures(), expected, "{options:?}");
        assert_eq!(output.documents()[5].tokens, 3);
        let hint = "bowline: a: UTF-16 (--encoding auto reads it, and other documents in UTF-8)\n";
        assert!(finished.stderr.contains(hint), "{}", finished.stderr);
    }
    let dir = Dir::with_corpus(&[
        ("a", utf16(plain, u16::to_le_bytes)),
        ("b", utf16(plain, u16::to_be_bytes)),
        ("c", utf32(plain, u32::to_le_bytes)),
        ("d", b"NUL\0between\0words\0".to_vec()),
    ]);
    let finished = dir.embed(&[]).run().expect(3);
    let causes = ["binary, perhaps UTF-16", "binary, perhaps UTF-16", "binary, perhaps UTF-32", "binary"];
    let causes: Vec<_> = causes.map(str::to_owned).into_iter().enumerate().collect();
    assert_eq!(dir.output("out").failures(), causes);
    let hint = "bowline: a: binary, perhaps UTF-16 (--encoding utf-16le or utf-16be reads it; ";
    assert!(finished.stderr.contains(hint), "{}", finished.stderr);
}

/// Files of the kernel, whose size is always 0 or 4096 bytes.
#[test]
fn a_file_whose_size_is_made_up_is_read_to_its_end() {
    let dir = pets();
    let paths = ["/proc/version", "/proc/sys/kernel/ostype", "/sys/kernel/mm/transparent_hugepage/enabled"];
    let paths = paths.map(|path| (path, std::fs::read(path).unwrap_or_default()));
    // Not every system has all of them.
    let paths: Vec<_> = paths.into_iter().filter(|(_, content)| !content.is_empty()).collect();
    for mode in ["processes", "threads", "inline"] {
        let files: Vec<_> = paths.iter().map(|(path, _)| *path).collect();
        dir.embed(&["--force", "--mode", mode]).args(&files).run().expect(0);
        let documents = dir.output("out").documents();
        for (path, content) in &paths {
            let line = documents.iter().find(|line| line.path == *path).expect("a line");
            assert_eq!((line.bytes, &*line.status), (content.len() as u64, "ok"), "{path} {mode}");
            assert!(line.tokens > 0, "{path} {mode}");
        }
        let limited = ["--force", "--mode", mode, "--max-document-bytes", "5", "/proc/version"];
        let finished = dir.embed(&limited).run().expect(3);
        let line =
            "bowline: /proc/version: too large: more than 5 bytes (--max-document-bytes sets the limit)\n";
        assert!(finished.stderr.contains(line), "{}", finished.stderr);
    }
}

#[test]
fn invalid_utf_8_fails_is_replaced_or_left_out() {
    let dir = Dir::with_corpus(&[("a", &b"ab\xFFcd ef"[..]), ("b", b"ef")]);
    let output = dir.embedded_with(3, &[]);
    assert_eq!(output.documents(), [failed("a", 8, "invalid UTF-8 at byte 2"), ok("b", 2, 1)]);
    assert_rows(&output, 1, &[&[], &[(0, 1.0)]]);
    let output = dir.embedded(&["--decode-error", "replace", "--force"]);
    assert_eq!(output.terms(), ["ab", "cd", "ef"]);
    assert_rows(&output, 3, &[&[(0, 1.0), (1, 1.0), (2, 1.0)], &[(2, 1.0)]]);
    assert_eq!(dir.embedded(&["--decode-error", "ignore", "--force"]).terms(), ["abcd", "ef"]);
    let output = dir.embedded_with(3, &["--decode-error", "strict", "--force"]);
    assert_eq!(output.failures(), [(0, "invalid UTF-8 at byte 2".to_owned())]);
}

#[test]
fn a_failed_document_counts_in_no_frequency_and_no_mean() {
    let dir = Dir::with_corpus(&[("a", &b"cat \xFF"[..]), ("b", b"cat dog"), ("c", b"")]);
    let output = dir.embedded_with(3, &[]);
    assert_eq!(output.vocabulary(), [("cat".to_owned(), 1), ("dog".to_owned(), 1)]);
    let counts = json!({
        "documents": 3, "failed": 1, "columns": 2, "nonzeros": 2, "tokens": 2, "unknown": 0, "mean_length": 1.0,
    });
    assert_eq!(output.manifest()["counts"], counts);
}

#[test]
fn capitals_are_lowered_unless_kept() {
    let dir = Dir::with_corpus(&[("a", "Cat cat CAT \u{39f}\u{394}\u{39f}\u{3a3} \u{130}x stra\u{df}e")]);
    // The final sigma is ς; U+0130 is lowered to `i` and a mark, which is not a word character.
    assert_eq!(dir.embedded(&[]).terms(), ["cat", "stra\u{df}e", "\u{3bf}\u{3b4}\u{3bf}\u{3c2}"]);
    let kept = ["CAT", "Cat", "cat", "stra\u{df}e", "\u{130}x", "\u{39f}\u{394}\u{39f}\u{3a3}"];
    assert_eq!(dir.embedded(&["--no-lowercase", "--force"]).terms(), kept);
}

#[test]
fn an_empty_document_is_a_row_of_zeroes() {
    let dir = Dir::with_corpus(&[("a", ""), ("b", "cat"), ("c", "? ! x")]);
    let output = dir.embedded(&[]);
    assert_eq!(output.documents(), [ok("a", 0, 0), ok("b", 3, 1), ok("c", 5, 0)]);
    assert_rows(&output, 1, &[&[], &[(0, 1.0)], &[]]);
    assert_eq!(dir.embedded(&["--dense", "--force"]).dense().numbers(), [0.0, 1.0, 0.0]);
}

#[test]
fn odd_paths_are_told_reversibly() {
    let paths: [&[u8]; 5] = [b"a\nb.txt", b"back\\slash", b"byte-\xFF", b"byte-\\xFF", b"quote\"tab\t"];
    let files: Vec<_> = paths.iter().map(|path| (path, "word")).collect();
    let output = Dir::with_corpus(&files).embedded(&[]);
    let told = ["a\nb.txt", "back\\\\slash", "byte-\\\\xFF", "byte-\\xFF", "quote\"tab\t"];
    assert_eq!(output.paths(), told);
    assert_eq!(output.csr().shape, [5, 1]);
}
