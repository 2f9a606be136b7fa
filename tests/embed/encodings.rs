//! Documents in other encodings than UTF-8: the same text gives the same output.

use crate::support::Dir;
use serde_json::json;

/// Each encoding with a text, its bytes as Python encodes it, and bytes that are not valid in it, with their offset.
type Sample = (&'static str, &'static str, Vec<u8>, &'static [u8]);

fn samples() -> Vec<Sample> {
    let cats = "Les chats \u{1F431} dorment: 猫が寝る. Кошки спят.\r\n";
    let marked = format!("\u{FEFF}{cats}");
    let utf16 =
        |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let utf32 = |text: &str, bytes: fn(u32) -> [u8; 4]| -> Vec<u8> {
        text.chars().flat_map(|c| bytes(c as u32)).collect()
    };
    let latin = "Le café où l'Été finit, çà et là: ½ naïve straße";
    let latin_bytes: Vec<u8> = latin.chars().map(|c| c as u8).collect();
    vec![
        ("utf-16", cats, utf16(&marked, u16::to_le_bytes), b"\0\xDC"),
        ("utf-16", cats, utf16(&marked, u16::to_be_bytes), b"\xDC\0"),
        ("utf-16", cats, utf16(cats, u16::to_le_bytes), b"\0\xDCa"),
        ("utf_16_le", cats, utf16(cats, u16::to_le_bytes), b"\0\xD8a\0"),
        ("utf-16be", cats, utf16(cats, u16::to_be_bytes), b"a"),
        ("utf-32", cats, utf32(&marked, u32::to_le_bytes), b"\0\0\x11\0"),
        ("utf-32", cats, utf32(&marked, u32::to_be_bytes), b"\0\x11\0\0"),
        ("utf-32le", cats, utf32(cats, u32::to_le_bytes), b"\0\xD8\0\0"),
        ("utf_32_be", cats, utf32(cats, u32::to_be_bytes), b"\0\0\0"),
        ("utf-8-sig", cats, marked.as_bytes().to_vec(), b""),
        ("latin1", latin, latin_bytes.clone(), b""),
        ("cp1252", latin, latin_bytes, b"\x81"),
        ("ascii", "plain text", b"plain text".to_vec(), b"\xE9"),
        ("cp437", "Größe naïve café", b"Gr\x94\xE1e na\x8Bve caf\x82".to_vec(), b""),
        (
            "shift_jis",
            "日本語の 文章 アイウ、テスト abc",
            b"\x93\xFA\x96{\x8C\xEA\x82\xCC \x95\xB6\x8F\xCD \x83A\x83C\x83E\x81A\x83e\x83X\x83g abc"
                .to_vec(),
            b"\xFF",
        ),
        (
            "euc-jp",
            "日本語の 文章 テスト",
            b"\xC6\xFC\xCB\xDC\xB8\xEC\xA4\xCE \xCA\xB8\xBE\xCF \xA5\xC6\xA5\xB9\xA5\xC8".to_vec(),
            b"\xC6",
        ),
        (
            "GB18030",
            "中文 文本 測試 ñ \u{1F431} abc",
            b"\xD6\xD0\xCE\xC4 \xCE\xC4\xB1\xBE \x9Cy\xD4\x87 \x810\x8A9 \x949\xCE3 abc".to_vec(),
            b"\x815",
        ),
        (
            "koi8_r",
            "Съешь же ещё этих мягких французских булок",
            b"\xF3\xDF\xC5\xDB\xD8 \xD6\xC5 \xC5\xDD\xA3 \xDC\xD4\xC9\xC8 \xCD\xD1\xC7\xCB\xC9\xC8 \
              \xC6\xD2\xC1\xCE\xC3\xD5\xDA\xD3\xCB\xC9\xC8 \xC2\xD5\xCC\xCF\xCB"
                .to_vec(),
            b"",
        ),
        ("big5", "中文 測試 文本", b"\xA4\xA4\xA4\xE5 \xB4\xFA\xB8\xD5 \xA4\xE5\xA5\xBB".to_vec(), b"\xA4"),
        (
            "euc-kr",
            "한국어 문장 시험",
            b"\xC7\xD1\xB1\xB9\xBE\xEE \xB9\xAE\xC0\xE5 \xBD\xC3\xC7\xE8".to_vec(),
            b"\xC7",
        ),
    ]
}

#[test]
fn a_text_gives_the_same_matrix_in_every_encoding() {
    for (label, text, bytes, invalid) in samples() {
        let options: [&[&str]; 2] = [&[], &["--analyzer", "char", "--ngrams", "1:3"]];
        for options in options {
            let dir = Dir::with_corpus(&[("a", text)]);
            let expected = dir.embedded(options);
            let other = Dir::with_corpus(&[("a", &bytes)]);
            let output = other.embedded(&[options, &["--encoding", label]].concat());
            let [expected, mut found] = [&expected, &output].map(|output| output.files());
            for name in ["matrix.npz", "vocabulary.jsonl"] {
                assert!(found.remove(name) == expected.get(name).cloned(), "{label}: {name}");
            }
        }
        if invalid.is_empty() {
            continue;
        }
        let dir = Dir::with_corpus(&[("a", [&bytes[..], invalid].concat())]);
        let finished = dir.embed(&["--encoding", label]).run().expect(3);
        let cause = format!("invalid in its encoding at byte {}", bytes.len());
        assert_eq!(dir.output("out").failures(), [(0, cause.clone())], "{label}");
        let line = format!("bowline: a: {cause} (--encoding names another encoding; --decode-error ");
        assert!(finished.stderr.starts_with(&line), "{label}: {}", finished.stderr);
        for policy in ["replace", "ignore"] {
            let output = dir.embedded(&["--encoding", label, "--decode-error", policy, "--force"]);
            assert_eq!(output.documents()[0].status, "ok", "{label} {policy}");
        }
    }
}

#[test]
fn auto_decides_for_each_document() {
    let text = "Die Straße führt über die grüne Wiese zum Mühlbach, wo die Bäume blühen. ";
    let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
    let utf16: Vec<u8> = format!("\u{FEFF}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect();
    let utf32: Vec<u8> = format!("\u{FEFF}{text}").chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
    let dir = Dir::with_corpus(&[
        ("a", text.as_bytes()),
        ("b", &latin),
        ("c", &utf16),
        ("d", &utf32),
        ("e", format!("\u{FEFF}{text}").as_bytes()),
        ("f", b""),
        ("g", b"a\0b"),
    ]);
    for mode in ["processes", "inline"] {
        let output = dir.embedded_with(3, &["--encoding", "auto", "--force", "--mode", mode]);
        assert_eq!(output.failures(), [(6, "binary".to_owned())]);
        let rows = output.csr().rows();
        assert!(rows[1..5].iter().all(|row| *row == rows[0]), "{rows:?}");
        assert_eq!(output.documents().iter().map(|line| line.bytes).nth(2), Some(utf16.len() as u64));
    }
}

#[test]
fn a_mark_of_another_encoding_fails() {
    let dir = Dir::with_corpus(&[
        ("a", &b"\xFF\xFEa\0"[..]),
        ("b", b"\0\0\xFE\xFF\0\0\0a\0\0\0b"),
        ("c", b"abc \xE9"),
    ]);
    for label in ["latin1", "shift_jis", "utf-8-sig", "utf-16be"] {
        dir.embed(&["--encoding", label, "--decode-error", "ignore", "--binary", "embed", "--force"])
            .run()
            .expect(3);
        let causes = dir.output("out").failures();
        assert_eq!(causes[..2], [(0, "UTF-16".to_owned()), (1, "UTF-32".to_owned())], "{label}");
    }
    let output = dir.embedded_with(3, &["--encoding", "utf-32", "--force"]);
    assert_eq!(output.failures()[0], (0, "UTF-16".to_owned()));
}

#[test]
fn a_large_document_is_decoded_in_pieces() {
    let text = "Größe naïve café \u{430}\u{431} ".repeat(30_000);
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let dir = Dir::with_corpus(&[("a", &text)]);
    let rows = dir.embedded(&[]).csr().rows();
    let dir = Dir::with_corpus(&[("a", &bytes)]);
    let output = dir.embedded(&["--encoding", "utf-16", "--max-document-bytes", &bytes.len().to_string()]);
    assert_eq!((output.csr().rows(), output.documents()[0].bytes), (rows, bytes.len() as u64));
    let limit = (bytes.len() - 1).to_string();
    let output = dir.embedded_with(3, &["--encoding", "utf-16", "--force", "--max-document-bytes", &limit]);
    assert_eq!(output.failures(), [(0, format!("too large: {} bytes", bytes.len()))]);
}

#[test]
fn the_encoding_is_in_the_manifest_and_taken_over_with_a_vocabulary() {
    let dir = Dir::with_corpus(&[("a", b"caf\xE9 cr\xE8me")]);
    let output = dir.embedded(&["--encoding", "L1"]);
    assert_eq!(output.manifest()["settings"]["text"]["encoding"], json!("iso-8859-1"));
    dir.embed_to("new", &["--vocabulary", "out"]).run().expect(0);
    let new = dir.output("new");
    assert_eq!(new.csr().rows(), output.csr().rows());
    assert_eq!(new.manifest()["settings"]["text"]["encoding"], json!("iso-8859-1"));
    // New documents may be in another encoding.
    let other = Dir::with_corpus(&[("a", "café crème")]);
    let earlier = dir.path("out");
    let earlier = earlier.to_str().expect("UTF-8");
    let matched = other.embedded(&["--vocabulary", earlier, "--encoding", "utf-8"]);
    assert_eq!(matched.csr().rows(), output.csr().rows());
    // An output of an earlier version does not name its encoding: it was UTF-8.
    let manifest = std::fs::read_to_string(dir.path("out/manifest.json")).expect("a manifest");
    let without = manifest.replace("\"encoding\": \"iso-8859-1\",", "");
    assert_ne!(without, manifest);
    dir.write("out/manifest.json", without);
    let output = other.embedded(&["--vocabulary", earlier, "--force"]);
    assert_eq!(output.manifest()["settings"]["text"]["encoding"], json!("utf-8"));
    assert_eq!(output.csr().rows(), matched.csr().rows());
}

#[test]
fn an_unknown_encoding_is_refused() {
    let dir = Dir::with_corpus(&[("a", "cat")]);
    let finished = dir.embed(&["--encoding", "lattin1"]).run().expect(2);
    let cause = "no encoding is named `lattin1` (near it: iso-8859-1)";
    assert!(finished.stderr.contains(cause), "{}", finished.stderr);
    assert!(!dir.path("out").exists());
}
