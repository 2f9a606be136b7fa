//! Faults of records, of archives and of compressed files: each costs the documents that it concerns, with a cause.

use super::{COMPRESSIONS, compressed, embed, file, id, jsonl, parquet, table, tar, texts, zip};
use crate::support::{Dir, DocumentLine, Output, wrapper};
use std::fs::{self, File};
use std::time::Duration;

/// A worker's memory in tests of bombs.
const LITTLE_MEMORY: [&str; 4] = ["--worker-memory", "64M", "--workers", "2"];

/// The cause of each row, or none.
fn causes(output: &Output) -> Vec<Option<String>> {
    output.documents().into_iter().map(|line| line.cause).collect()
}

/// Requires these causes, by row, and no other.
#[track_caller]
pub(super) fn assert_fails(output: &Output, rows: usize, expected: &[(usize, &str)], context: &str) {
    let expected: Vec<_> = expected.iter().map(|&(row, cause)| (row, cause.to_owned())).collect();
    assert_eq!((output.documents().len(), output.failures()), (rows, expected), "{context}");
}

#[test]
fn a_bad_line_of_json_costs_only_itself() {
    let lines: &[(&[u8], Option<&str>)] = &[
        (br#"{"title":"the cat","text":"sat","key":7}"#, None),
        (br#"{"title":"the cat","text":"sat","key":"#, Some("invalid JSON at byte 38 of the line")),
        (br#"["the cat"]"#, Some("not a JSON object")),
        (br#"{"title":"the cat","key":1}"#, Some("no field \"text\"")),
        (br#"{"title":null,"text":"sat","key":1}"#, Some("the field \"title\" is null")),
        (br#"{"title":"the cat","text":12,"key":1}"#, Some("the field \"text\" is not a string")),
        (br#"{"title":"the cat","text":["sat"],"key":1}"#, Some("the field \"text\" is not a string")),
        (br#"{"title":"the cat","text":"sat"}"#, Some("no field \"key\"")),
        (br#"{"title":"the cat","text":"sat","key":null}"#, Some("the field \"key\" is null")),
        (br#"{"title":"the cat","text":"sat","key":{}}"#, Some("the field \"key\" is not a string")),
        (b"", None),
        (b"{\"title\":\"\xFF\",\"text\":\"sat\",\"key\":1}", Some("invalid UTF-8 at byte 10")),
        (br#"{"title":"the dog","text":"ran","key":"last"}"#, None),
    ];
    let dir = Dir::new();
    let all = lines.iter().map(|(line, _)| *line).collect::<Vec<_>>().join(&b'\n');
    dir.write("a.jsonl", &all);
    dir.write("a.jsonl.zst", compressed(&all, "zst"));
    let options = ["--text-field", "title", "--text-field", "text", "--id-field", "key"];
    for name in ["a.jsonl", "a.jsonl.zst"] {
        let (output, said) = embed(&dir, 3, "out", &options, &[name]);
        let expected =
            lines.iter().filter(|(line, _)| !line.is_empty()).map(|(_, cause)| cause.map(str::to_owned));
        assert_eq!(causes(&output), expected.collect::<Vec<_>>());
        assert_eq!(output.terms(), ["cat", "dog", "ran", "sat", "the"]);
        assert_eq!(output.documents()[11].id.as_deref(), Some("last"));
        for line in [
            format!(
                "bowline: {name}, record 3, id 1: no field \"text\" (--text-field names the field of the text)\n"
            ),
            format!(
                "bowline: {name}, record 7: no field \"key\" (--id-field names the field of the identifier)\n"
            ),
            format!("bowline: {name}, record 2: not a JSON object (--input-format names the format)\n"),
        ] {
            assert!(said.contains(&line), "{said}");
        }
    }
}

#[test]
fn a_bad_row_of_a_table_costs_only_itself() {
    let dir = Dir::new();
    dir.write("a.csv", "id,text\n1,the cat\n2\n3,the,dog\n4,\"the\nbird\"\n5,\u{e9}t\u{e9}\n6,the end");
    let ragged = |fields: &str| format!("{fields}, but the header has 2");
    let (output, said) = embed(&dir, 3, "out", &[], &["a.csv"]);
    assert_fails(&output, 6, &[(1, &ragged("1 field")), (2, &ragged("3 fields"))], "ragged");
    assert!(said.contains("(--delimiter names the character between two fields)\n"), "{said}");
    let (output, _) = embed(&dir, 3, "out", &["--text-field", "body"], &["a.csv"]);
    let missing: Vec<_> = (0..6).map(|row| (row, "no field \"body\"")).collect();
    assert_fails(&output, 6, &missing, "no such field");
    dir.write("b.tsv", "1\tthe cat\nthe dog\n\t\n");
    let options = ["--no-header", "--text-field", "2", "--input-format", "tsv"];
    let (output, _) = embed(&dir, 3, "out", &options, &["b.tsv"]);
    assert_fails(&output, 3, &[(1, "no field \"2\"")], "no header");
    dir.write("c.txt", b"the cat\n\xFF\nthe dog\nnul\0\nend");
    let (output, _) = embed(&dir, 3, "out", &["--input-format", "lines"], &["c.txt"]);
    assert_fails(&output, 5, &[(1, "invalid UTF-8 at byte 0"), (3, "binary")], "lines");
}

#[test]
fn a_bad_parquet_file_costs_only_itself() {
    let dir = Dir::new();
    let texts = texts(250, 20);
    let whole = parquet(&texts);
    dir.write("a.parquet", &whole);
    let (clean, _) = embed(&dir, 0, "clean", &[], &["a.parquet"]);
    let (output, _) = embed(&dir, 3, "out", &["--text-field", "body"], &["a.parquet"]);
    assert_eq!(output.failures()[0], (0, "no field \"body\"".to_owned()));
    dir.write("z.txt", "the end");
    let mut lengths = Vec::new();
    for (what, change) in [
        ("half", &(|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2)) as &dyn Fn(&mut Vec<u8>)),
        ("no bytes", &|bytes| bytes.clear()),
        ("another format", &|bytes| *bytes = b"the cat".to_vec()),
        ("a footer of 4 GiB", &|bytes| {
            let at = bytes.len() - 8;
            bytes[at..at + 4].fill(0xFF);
        }),
        ("a footer of nonsense", &|bytes| {
            let at = bytes.len() - 200;
            bytes[at..at + 150].fill(0xA5);
        }),
        ("pages of nonsense", &|bytes| {
            let middle = bytes.len() / 3;
            bytes[middle..middle + 400].fill(0xA5);
        }),
    ] {
        let mut bytes = whole.clone();
        change(&mut bytes);
        dir.write("a.parquet", bytes);
        let options = [&LITTLE_MEMORY[..], &["--document-timeout", "20"]].concat();
        let (output, said) = embed(&dir, 3, "out", &options, &["a.parquet", "z.txt"]);
        let documents = output.documents();
        assert_eq!(
            documents.last().map(|line| (line.path.as_str(), line.tokens)),
            Some(("z.txt", 2)),
            "{what}"
        );
        assert!(said.contains("bowline: a.parquet"), "{what}: {said}");
        lengths.push((what, documents.len(), output.failures()));
    }
    assert!(
        lengths.iter().all(|(_, rows, failed)| !failed.is_empty() && *rows <= clean.documents().len() + 1),
        "{lengths:?}"
    );
}

/// A file of several members, the last of which is cut or spoiled.
#[test]
fn what_is_before_a_fault_of_a_compressed_file_is_embedded() {
    let texts = texts(200, 30);
    let dir = Dir::new();
    for format in ["jsonl", "csv", "tar"] {
        let bytes = file(&texts, format);
        for ending in COMPRESSIONS {
            let (first, last) = bytes.split_at(bytes.len() * 2 / 3);
            let [first, last] = [first, last].map(|part| compressed(part, ending));
            let name = format!("a.{format}.{ending}");
            for is_cut in [true, false] {
                let mut all = [first.clone(), last.clone()].concat();
                match is_cut {
                    true => all.truncate(first.len() + last.len() / 2),
                    false => {
                        let middle = first.len() + last.len() / 2;
                        all[middle..middle + 40].fill(0x5A);
                    }
                }
                let size = all.len();
                dir.write(&name, &all);
                let mut reference: Option<Vec<DocumentLine>> = None;
                for workers in ["1", "3"] {
                    let (output, said) = embed(&dir, 3, "out", &["--workers", workers], &[&name]);
                    let documents = output.documents();
                    let context = format!("{name}, cut: {is_cut}: {documents:?}");
                    let (failed, good) = documents.split_last().expect("documents");
                    // What is behind a wrong byte may be wrong until the checksum, at the end of the member or block.
                    let good = &good[..if is_cut { good.len() } else { 80 }];
                    assert!(good.len() >= 80 && good.iter().all(|line| line.cause.is_none()), "{context}");
                    let cause = failed.cause.as_deref().expect("a cause");
                    match is_cut {
                        true => assert_eq!(cause, format!("the file ends too early, after {size} bytes")),
                        false => {
                            let at = cause
                                .strip_prefix("corrupt at byte ")
                                .and_then(|rest| rest.strip_suffix(" of the file"));
                            let at: usize = at.and_then(|at| at.parse().ok()).expect(cause);
                            assert!((first.len()..=size).contains(&at), "{cause}, {} of {size}", first.len());
                        }
                    }
                    assert!(!is_cut || said.contains(cause), "{said}");
                    for (line, text) in good.iter().zip(&texts) {
                        assert_eq!(line.bytes, text.len() as u64, "{context}");
                    }
                    assert_eq!(reference.get_or_insert_with(|| documents.clone()), &documents);
                }
            }
        }
    }
    // A text file is one document.
    for ending in COMPRESSIONS {
        let name = format!("a.txt.{ending}");
        let mut all = compressed(jsonl(&texts).as_slice(), ending);
        all.truncate(all.len() / 2);
        dir.write(&name, &all);
        let (output, _) = embed(&dir, 3, "out", &[], &[&name]);
        assert_fails(
            &output,
            1,
            &[(0, &format!("the file ends too early, after {} bytes", all.len()))],
            &name,
        );
    }
}

/// A stream of `mebibytes` MiB of spaces between `first` and `last`, in some KiB. Members of gzip and zstd may follow each other.
fn bomb(ending: &str, first: &str, mebibytes: usize, last: &str) -> Vec<u8> {
    let spaces = compressed(&vec![b' '; 64 << 20], ending);
    let mut all = compressed(first.as_bytes(), ending);
    (0..mebibytes / 64).for_each(|_| all.extend_from_slice(&spaces));
    all.extend(compressed(last.as_bytes(), ending));
    all
}

#[test]
fn bombs_take_little_memory() {
    let dir = Dir::new();
    let limit = ["--max-document-bytes", "1M"];
    let too_large = "too large: more than 1048576 bytes";
    for ending in ["gz", "zst"] {
        // 10 GiB.
        dir.write(format!("a.txt.{ending}"), bomb(ending, "the cat", 10 << 10, "the dog"));
        let options = [&LITTLE_MEMORY[..], &limit].concat();
        let (output, _) = embed(&dir, 3, "out", &options, &[&format!("a.txt.{ending}")]);
        assert_fails(&output, 1, &[(0, too_large)], ending);
        dir.write(format!("a.txt.{ending}"), bomb(ending, "the cat", 256, "the dog"));
        let (output, _) = embed(&dir, 0, "out", &LITTLE_MEMORY, &[&format!("a.txt.{ending}")]);
        assert_eq!(output.documents()[0].bytes, (256 << 20) + 14, "{ending}");
        for (format, first, last, head) in [
            ("jsonl", "{\"text\":\"the cat\"}\n{\"text\":\"", "\"}\n{\"text\":\"the dog\"}\n", ""),
            ("csv", "\"the cat\"\n\"", "\"\nthe dog\n", "text\n"),
            ("lines", "the cat\n", "\nthe dog\n", ""),
        ] {
            let name = format!("a.{format}.{ending}");
            dir.write(&name, bomb(ending, &format!("{head}{first}"), 256, last));
            let options = [&LITTLE_MEMORY[..], &["--input-format", format]].concat();
            let (output, _) = embed(&dir, 3, "out", &options, &[&name]);
            assert_fails(&output, 3, &[(1, "out of memory")], &name);
            let (output, _) = embed(&dir, 3, "out", &[&options[..], &limit].concat(), &[&name]);
            let exact = |more: u64| format!("too large: {} bytes", (256u64 << 20) + more);
            let cause = match format {
                "jsonl" => too_large.to_owned(),
                "csv" => exact(0),
                _ => exact(0),
            };
            assert_fails(&output, 3, &[(1, &cause)], &name);
        }
    }
}

/// Zeroes, in a file that takes no disk.
#[test]
fn a_line_without_an_end_takes_little_memory() {
    let dir = Dir::new();
    for (format, first) in [
        ("jsonl", "{\"text\":\"the cat\"}\n{\"text\":\""),
        ("csv", "text\nthe cat\n\"b"),
        ("lines", "the cat\n"),
    ] {
        let name = format!("a.{format}");
        dir.write(&name, first);
        File::options().write(true).open(dir.path(&name)).unwrap().set_len(300 << 20).unwrap();
        let options = [&LITTLE_MEMORY[..], &["--input-format", format]].concat();
        let (output, _) = embed(&dir, 3, "out", &options, &[&name]);
        assert_fails(&output, 2, &[(1, "out of memory")], &name);
        let (output, said) =
            embed(&dir, 3, "out", &[&options[..], &["--max-document-bytes", "1M"]].concat(), &[&name]);
        let cause = &output.failures()[0].1;
        assert!(cause.starts_with("too large: ") && output.documents().len() == 2, "{name}: {cause}");
        assert!(said.contains("(--max-document-bytes sets the limit)"), "{said}");
    }
}

/// A quote that is never closed, in a file of several ranges: all that follows it is one field.
#[test]
fn a_quote_that_is_not_closed_takes_the_rest_of_the_file() {
    let texts = texts(1500, 200);
    let dir = Dir::new();
    let mut bytes = table(&texts, ',');
    let good = 700;
    let at = bytes.windows(9).position(|bytes| bytes == id(good).as_bytes()).expect("a record");
    // A quote that opens the record's first field. The next one closes it, and what is quoted changes places.
    bytes.insert(at, b'"');
    dir.write("a.csv", &bytes);
    let mut reference: Option<Vec<(String, Vec<u8>)>> = None;
    for workers in ["1", "3", "13"] {
        let finished = dir
            .bowline(&["embed", "--no-sync", "--force", "--output", "out", "--workers", workers, "a.csv"])
            .run();
        assert!(matches!(finished.status.code(), Some(0 | 3)), "{}", finished.stderr);
        let output = dir.output("out");
        let documents = output.documents();
        for (line, text) in documents[..good].iter().zip(&texts) {
            assert_eq!((line.bytes, &line.cause), (text.len() as u64, &None));
        }
        let files: Vec<_> = output.files().into_iter().collect();
        assert!(reference.get_or_insert_with(|| files.clone()) == &files, "{workers} workers");
    }
}

#[test]
fn the_names_and_sizes_of_members_are_only_text() {
    let dir = Dir::new();
    let members: &[(&str, &[u8])] = &[
        ("../evil.txt", b"the cat"),
        ("/absolute.txt", b"the dog"),
        ("a/../../b.txt", b"the end"),
        (".hidden", b"not seen"),
        ("good.txt", b"the rest"),
    ];
    for (name, bytes) in
        [("a.tar", tar(members)), ("a.zip", zip(members)), ("a.tgz", compressed(&tar(members), "gz"))]
    {
        dir.write(name, bytes);
        let (output, said) = embed(&dir, 0, "out", &[], &[name]);
        let found: Vec<_> =
            output.documents().into_iter().map(|line| line.member.expect("a member")).collect();
        assert_eq!(found, ["../evil.txt", "/absolute.txt", "a/../../b.txt", "good.txt"], "{name}");
        assert!(said.contains("1 entry left out"), "{said}");
    }
    assert_eq!(dir.entries(), ["a.tar", "a.tgz", "a.zip", "out"]);
    let mut builder = tar::Builder::new(Vec::new());
    for kind in
        [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Fifo, tar::EntryType::Directory]
    {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        builder.append_link(&mut header, "link", "/etc/passwd").unwrap();
    }
    let whole = [builder.into_inner().unwrap()[..2048].to_vec(), tar(members)].concat();
    dir.write("links.tar", whole);
    let (output, said) = embed(&dir, 0, "out", &[], &["links.tar"]);
    assert!(said.contains("4 entries left out"), "{said}");
    assert_eq!(output.documents().len(), 4);
    // Sizes that lie: the tar's first member claims 8 GiB, the zip's members claim other sizes.
    let mut lying = tar(members);
    lying[124..136].copy_from_slice(b"77777777777\0");
    let sum: u32 = lying[..512]
        .iter()
        .enumerate()
        .map(|(at, &byte)| if (148..156).contains(&at) { 32 } else { byte.into() })
        .sum();
    lying[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    dir.write("lies.tar", &lying);
    let (output, _) = embed(&dir, 3, "out", &LITTLE_MEMORY, &["lies.tar"]);
    let size = lying.len();
    assert_fails(&output, 1, &[(0, &format!("the file ends too early, after {size} bytes"))], "lies.tar");
    let (output, _) = embed(&dir, 3, "out", &["--max-document-bytes", "1M"], &["lies.tar"]);
    assert_eq!(output.failures()[0], (0, "too large: 8589934591 bytes".to_owned()));
    let long: &[u8] = &b"the cat ".repeat(1000);
    let honest = zip(&[("a.txt", long), ("b.txt", long), ("c.txt", b"the end")]);
    for size in [0u32, 10, 7999, 8001, u32::MAX - 1] {
        let mut lying = honest.clone();
        let places: Vec<_> =
            (0..lying.len() - 4).filter(|&at| lying[at..at + 4] == 8000u32.to_le_bytes()).collect();
        assert!(places.len() >= 2, "{places:?}");
        let mine = |at: &usize| *at < lying.len();
        for at in places.into_iter().filter(mine).collect::<Vec<_>>() {
            lying[at..at + 4].copy_from_slice(&size.to_le_bytes());
        }
        dir.write("lies.zip", &lying);
        let (output, _) = embed(&dir, 3, "out", &LITTLE_MEMORY, &["lies.zip"]);
        let documents = output.documents();
        let states: Vec<_> = documents.iter().map(|line| line.status.as_str()).collect();
        assert_eq!(states, ["failed", "failed", "ok"], "{size}: {documents:?}");
    }
    assert!(!dir.path("evil.txt").exists() && fs::metadata("/absolute.txt").is_err());
}

/// The system refuses a read once, or from then on.
#[test]
fn a_read_of_records_that_fails_once_is_tried_again() {
    let dir = Dir::new();
    dir.write("a.jsonl", jsonl(&texts(2000, 60)));
    dir.write("a.jsonl.gz", compressed(&jsonl(&texts(2000, 60)), "gz"));
    for name in ["a.jsonl", "a.jsonl.gz"] {
        let (clean, _) = embed(&dir, 0, "clean", &[], &[name]);
        for (at, code) in [("inject=pread64:error=EIO:when=3", 0), ("inject=pread64:error=EIO:when=3+", 3)] {
            let Some(mut wrapper) = wrapper::failing(at) else { return };
            wrapper.extend(["-f", "-P", name]);
            let arguments =
                ["embed", "--no-sync", "--force", "--workers", "1", "--output", "found", "--mode", "inline"];
            dir.through(&wrapper)
                .args(&arguments)
                .args(&[name])
                .limit(Duration::from_secs(60))
                .run()
                .expect(code);
            let found = dir.output("found");
            match code {
                0 => crate::support::assert_same_bytes(&clean, &found, name),
                _ => {
                    let failures = found.failures();
                    let is_lost = |(_, cause): &(usize, String)| cause == "I/O error";
                    assert!(!failures.is_empty() && failures.iter().all(is_lost), "{name}: {failures:?}");
                }
            }
        }
    }
}
