//! Wrong use and bad input: one clear line that names the path or the option, the right exit code, and nothing left
//! behind.
//!
//! Exit codes: 2 wrong usage, 1 could not finish, 3 finished with failed documents.

use crate::support::{Dir, Invocation, processes, wrapper};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, symlink};

fn pets() -> Dir {
    Dir::with_corpus(&[("a.txt", "the cat"), ("b.txt", "the dog")])
}

/// Runs what must fail with `code`, and returns its one line. Nothing may be left of it.
#[track_caller]
fn refused(dir: &Dir, invocation: Invocation, code: i32) -> String {
    let before = dir.entries();
    let finished = invocation.run().expect(code);
    assert_eq!(dir.entries(), before, "something is left:\n{}", finished.stderr);
    finished.line().to_owned()
}

/// The path of `name` in `dir`, as messages show it.
fn shown(dir: &Dir, name: &str) -> String {
    dir.path(name).to_str().expect("a path of UTF-8").to_owned()
}

/// Runs what the parser of the command line must refuse, and returns what it says.
#[track_caller]
fn misused(dir: &Dir, arguments: &[&str]) -> String {
    let before = dir.entries();
    let finished = dir.bowline(arguments).run().expect(2);
    assert_eq!((dir.entries(), finished.stdout.as_str()), (before, ""));
    assert!(finished.stderr.starts_with("error: "), "{}", finished.stderr);
    finished.stderr
}

#[test]
fn values_that_no_option_has() {
    let dir = pets();
    let wrong = [
        ("--format", "csv"),
        ("--binary", "maybe"),
        ("--decode-error", "panic"),
        ("--features", "words"),
        ("--weight", "heavy"),
        ("--norm", "l3"),
        ("--dtype", "i8"),
        ("--mode", "fibers"),
        ("--progress", "often"),
        ("--workers", "0"),
        ("--workers", "1025"),
        ("--workers", "two"),
        ("--n-features", "0"),
        ("--n-features", "2147483648"),
        ("--document-timeout", "0"),
        ("--document-timeout", "-1"),
        ("--document-timeout", "nan"),
        ("--document-timeout", "inf"),
        ("--max-failures", "-1"),
        ("--max-failures", "many"),
        ("--max-document-bytes", "1x"),
        ("--max-document-bytes", ""),
        ("--max-document-bytes", "99999999T"),
    ];
    for (option, value) in wrong {
        let pair = format!("{option}={value}");
        let said = misused(&dir, &["embed", "-o", "out", &pair, "corpus"]);
        let first = said.lines().next().unwrap_or_default();
        assert!(first.contains(option) && first.contains(value), "{pair}: {said}");
    }
}

#[test]
fn arguments_that_are_missing_or_too_many() {
    let dir = pets();
    let wrong: [(&[&str], &str); 7] = [
        (&["embed", "corpus"], "--output"),
        (&["embed", "--output", "out"], "<CORPUS>"),
        (&["embed", "--output", "", "corpus"], "--output"),
        (&["embed", "--output", "out", "--bogus", "corpus"], "--bogus"),
        (&["embed", "--output", "out", "--output", "other", "corpus"], "--output"),
        (&["embed", "--output", "out", "--dense", "--format", "npz", "corpus"], "--dense"),
        (&["embd", "corpus"], "embd"),
    ];
    for (arguments, named) in wrong {
        let said = misused(&dir, arguments);
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
    assert!(dir.bowline(&[]).run().expect(2).stderr.contains("Usage: bowline"));
}

#[test]
fn options_that_contradict_each_other() {
    let dir = pets();
    let wrong: [(&[&str], &str); 6] = [
        (
            &["--norm", "l2", "--dtype", "i32"],
            "--norm needs --dtype f32 or f64: an integer can't hold its values",
        ),
        (
            &["--norm", "l1", "--dtype", "i64"],
            "--norm needs --dtype f32 or f64: an integer can't hold its values",
        ),
        (&["--n-features", "8"], "--n-features needs --features hashed"),
        (&["--features", "vocabulary", "--n-features", "8"], "--n-features needs --features hashed"),
        (&["--no-alternate-sign"], "--no-alternate-sign needs --features hashed"),
        (&["--n-features", "8", "--quiet"], "--n-features needs --features hashed"),
    ];
    for (options, line) in wrong {
        assert_eq!(refused(&dir, dir.embed(options), 2), line, "{options:?}");
    }
}

#[test]
fn no_such_corpus() {
    let dir = pets();
    for corpora in [&["nowhere"][..], &["corpus", "nowhere"], &["nowhere", "corpus"]] {
        let line = refused(&dir, dir.bowline(&["embed", "-o", "out"]).args(corpora), 1);
        assert!(line.starts_with("nowhere: No such file or directory"), "{line}");
    }
}

#[test]
fn empty_directory() {
    let dir = pets();
    fs::create_dir(dir.path("empty")).unwrap();
    let line = refused(&dir, dir.bowline(&["embed", "-o", "out", "empty"]), 1);
    assert_eq!(line, "empty: no documents found");
}

#[test]
fn nothing_but_what_is_left_out() {
    let dir = Dir::with_corpus(&[(".hidden", "cat")]);
    let line = refused(&dir, dir.embed(&[]), 1);
    assert_eq!(line, "corpus: no documents found (--hidden and --glob decide what is left out)");
    let line = refused(&dir, dir.embed(&["--hidden", "--glob", "!.*"]), 1);
    assert_eq!(line, "corpus: no documents found (--hidden and --glob decide what is left out)");
}

#[test]
fn corpus_that_is_no_file() {
    let dir = pets();
    nix::unistd::mkfifo(&dir.path("pipe"), Mode::S_IRWXU).unwrap();
    for special in ["/dev/null", "pipe"] {
        let line = refused(&dir, dir.bowline(&["embed", "-o", "out", special]), 1);
        let said = format!("{special}: neither a directory nor a regular file: put its text into a file");
        assert_eq!(line, said);
    }
}

#[test]
fn kinds_of_input_that_are_not_read_yet() {
    let dir = pets();
    let record = "write the text of each record into a file of its own";
    let packed = "unpack it first";
    for (name, ending, next) in [
        ("table.csv", ".csv", record),
        ("lines.jsonl", ".jsonl", record),
        ("LINES.NDJSON", ".ndjson", record),
        ("COLUMNS.PARQUET", ".parquet", record),
        ("text.txt.gz", ".gz", packed),
        ("lines.jsonl.gz", ".jsonl.gz", packed),
        ("texts.tar.gz", ".tar.gz", packed),
        ("texts.tgz", ".tgz", packed),
        ("texts.tar", ".tar", packed),
        ("Texts.Zip", ".zip", packed),
    ] {
        dir.write(name, "the cat");
        let line = refused(&dir, dir.bowline(&["embed", "-o", "out", "corpus", name]), 1);
        let said = format!("{name}: {ending} input is not supported yet: {next}");
        assert!(line.starts_with(&said), "{line}");
    }
}

#[test]
fn corpora_that_people_mean_otherwise() {
    let dir = pets();
    for (corpus, said) in [
        (
            "-",
            "-: standard input is not supported yet: put its text into a file, or write ./- for a file of that name",
        ),
        ("https://example.org/a.txt", "(download it first: a CORPUS is a directory or a file)"),
        ("corpus/*.txt", "(the shell has not expanded it: give the directory, and the pattern with --glob)"),
        ("~/corpus", "(the shell expands ~ only at the beginning and unquoted)"),
    ] {
        let line = refused(&dir, dir.bowline(&["embed", "-o", "out", corpus]), 1);
        assert!(line.starts_with(&format!("{corpus}: ")) && line.ends_with(said), "{line}");
    }
    assert!(misused(&dir, &["embed", "-o", "out", ""]).contains("CORPUS"));
    // A file that has such a name is read.
    dir.write("-", "cat");
    dir.write("[a]*.txt", "dog");
    dir.bowline(&["embed", "-o", "out", "./-", "[a]*.txt"]).run().expect(0);
    assert_eq!(dir.output("out").terms(), ["cat", "dog"]);
}

#[test]
fn globs_that_match_no_file_get_advice() {
    let dir = Dir::with_corpus(&[("a.txt", "cat"), ("sub/b.txt", "dog"), (".c", "cow")]);
    let name = "a glob without a slash is a name, one with a slash a path beneath CORPUS";
    for (globs, hint) in [
        (&["sub"][..], "--glob 'sub' names a folder: 'sub/' takes all that is beneath it".to_owned()),
        (&["*.md"], format!("no file matches --glob '*.md': {name}")),
        (&["b.txt/", "/b.txt"], format!("no file matches --glob 'b.txt/', '/b.txt': {name}")),
        (&["corpus/a.txt"], format!("no file matches --glob 'corpus/a.txt': {name}")),
        (&[".c"], "no file matches --glob '.c': hidden ones need --hidden".to_owned()),
    ] {
        let options: Vec<_> = globs.iter().flat_map(|glob| ["--glob", glob]).collect();
        let line = refused(&dir, dir.embed(&options), 1);
        assert_eq!(line, format!("corpus: no documents found ({hint})"));
    }
    // Where others match, it is a notice.
    let finished = dir.embed(&["--glob", "a.txt", "--glob", "sub", "--glob", "!*.rst"]).run().expect(0);
    let notice = "bowline: --glob 'sub' names a folder: 'sub/' takes all that is beneath it\n1 documents,";
    assert!(finished.stderr.starts_with(notice), "{}", finished.stderr);
}

#[test]
fn globs_without_a_meaning_are_wrong_usage() {
    let dir = pets();
    for (glob, what) in [
        ("", "names no file: '**' matches all of them"),
        ("!", "names no file: '**' matches all of them"),
        ("./", "names no file: '**' matches all of them"),
        ("../corpus/*", "leaves CORPUS: a glob is a path beneath it"),
    ] {
        let line = refused(&dir, dir.embed(&["--glob", glob]), 2);
        assert_eq!(line, format!("--glob: '{glob}' {what}"));
    }
}

#[test]
fn glob_that_makes_no_sense() {
    let dir = pets();
    let finished = dir.embed(&["--glob", "[a"]).run();
    assert!(finished.line().starts_with("--glob: error parsing glob '[a'"), "{}", finished.stderr);
    assert_eq!(dir.entries(), ["corpus"]);
}

#[test]
fn glob_that_makes_no_sense_is_wrong_usage() {
    let dir = pets();
    let line = refused(&dir, dir.embed(&["--glob", "[a"]), 2);
    assert_eq!(line.matches("unclosed character class").count(), 1, "{line}");
}

#[test]
fn a_cause_is_told_once() {
    let dir = pets();
    let line = refused(&dir, dir.bowline(&["embed", "-o", "out", "nowhere"]), 1);
    assert_eq!(line, "nowhere: No such file or directory");
}

#[test]
fn a_path_cannot_break_a_line_nor_steer_the_terminal() {
    let dir = Dir::with_corpus(&[("a\nb\u{1b}[2J.txt", b"\xFF")]);
    let finished = dir.embed(&[]).run().expect(3);
    assert_eq!(finished.stderr.lines().count(), 3, "{}", finished.stderr.escape_debug());
    assert!(!finished.stderr.contains('\u{1b}'), "{}", finished.stderr.escape_debug());
}

#[test]
fn standard_error_that_takes_nothing_changes_no_exit_code() {
    let dir = pets();
    dir.embed(&[]).stderr_to("/dev/full").run().expect(0);
    assert_eq!(dir.output("out").documents().len(), 2);
    dir.embed(&[]).stderr_to("/dev/full").run().expect(1);
}

#[test]
fn no_term_in_any_document() {
    for text in ["", "a ! ?"] {
        let dir = Dir::with_corpus(&[("a.txt", text)]);
        assert_eq!(refused(&dir, dir.embed(&[]), 1), "empty vocabulary: no document has a term");
        assert_eq!(dir.embedded(&["--features", "hashed"]).csr().rows(), [[]]);
    }
}

#[test]
fn invalid_utf_8_names_the_document_its_cause_and_the_way_out() {
    let dir = Dir::with_corpus(&[("a.txt", &b"the cat"[..]), ("b.txt", b"dog \xC3\x28")]);
    let finished = dir.embed(&[]).run().expect(3);
    let line = "bowline: b.txt: invalid UTF-8 at byte 4 (--decode-error replace or ignore accepts it)\n";
    assert!(finished.stderr.starts_with(line), "{}", finished.stderr);
    assert_eq!(dir.output("out").failures(), [(1, "invalid UTF-8 at byte 4".to_owned())]);
}

#[test]
fn every_document_fails() {
    let dir = Dir::with_corpus(&[("a.txt", b"\xFF"), ("b.txt", b"\0")]);
    let variants: [&[&str]; 3] = [&[], &["--dense"], &["--features", "hashed", "--n-features", "4"]];
    for options in variants {
        let output = dir.embedded_with(3, &[options, &["--force"]].concat());
        let causes = [(0, "invalid UTF-8 at byte 0".to_owned()), (1, "binary".to_owned())];
        assert_eq!(output.failures(), causes, "{options:?}");
    }
    assert_eq!(dir.embedded_with(3, &["--force"]).csr().shape, [2, 0]);
    assert_eq!(dir.embedded_with(3, &["--force", "--dense"]).dense().shape, [2, 0]);
}

#[test]
fn output_that_exists() {
    let dir = pets();
    let before = dir.embedded(&[]).files();
    let line = refused(&dir, dir.embed(&["--dense"]), 1);
    assert_eq!(line, format!("{}: exists already (--force replaces it)", shown(&dir, "out")));
    assert_eq!(dir.output("out").files(), before);
    dir.write("file", "");
    let line = refused(&dir, dir.embed_to("file", &[]), 1);
    assert_eq!(line, format!("{}: exists already (--force replaces it)", shown(&dir, "file")));
}

#[test]
fn force_replaces_nothing_but_an_output() {
    let dir = pets();
    dir.write("precious/thesis.txt", "years of work");
    dir.write("file", "more work");
    std::os::unix::fs::symlink("precious", dir.path("link")).unwrap();
    for target in ["precious", "file", "link", "corpus"] {
        let line = refused(&dir, dir.embed_to(target, &["--force"]), 1);
        let expected =
            format!("{}: is not an output of bowline, so --force does not replace it", shown(&dir, target));
        assert_eq!(line, expected);
    }
    assert_eq!(fs::read(dir.path("precious/thesis.txt")).unwrap(), b"years of work");
    assert_eq!(fs::read(dir.path("file")).unwrap(), b"more work");
}

#[test]
fn a_failing_run_keeps_the_output_that_it_was_to_replace() {
    let dir = pets();
    let before = dir.embedded(&[]).files();
    let line = refused(&dir, dir.bowline(&["embed", "--force", "-o", "out", "nowhere"]), 1);
    assert!(line.starts_with("nowhere: "), "{line}");
    assert_eq!(dir.output("out").files(), before);
}

#[test]
fn parent_of_the_output_is_missing() {
    let dir = pets();
    let line = refused(&dir, dir.embed_to("no/such/out", &[]), 1);
    let expected =
        format!("{}: cannot be written (--output names another place): ", shown(&dir, "no/such/out.partial"));
    assert!(line.starts_with(&expected) && line.contains("No such file or directory"), "{line}");
}

#[test]
fn report_that_cannot_be_written() {
    let dir = pets();
    let line = refused(&dir, dir.embed(&["--report", "no/such/report.json"]), 1);
    assert!(line.starts_with("no/such/report.json: No such file or directory"), "{line}");
}

#[test]
fn parent_of_the_output_is_not_writable() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = pets();
    fs::create_dir(dir.path("locked")).unwrap();
    let _mode = dir.chmod("locked", 0o555);
    let arguments = ["embed", "-o", "locked/out", "corpus"];
    let line = refused(&dir, dir.through(&user).args(&arguments), 1);
    let expected =
        format!("{}: cannot be written (--output names another place): ", shown(&dir, "locked/out.partial"));
    assert!(line.starts_with(&expected) && line.contains("Permission denied"), "{line}");
}

#[test]
fn unreadable_file() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = pets();
    let _modes = (dir.chmod(".", 0o777), dir.chmod("corpus/b.txt", 0));
    let finished = dir.through(&user).args(&["embed", "-o", "out", "corpus"]).run().expect(3);
    assert!(finished.stderr.starts_with("bowline: b.txt: Permission denied\n"), "{}", finished.stderr);
    assert_eq!(dir.output("out").failures(), [(1, "Permission denied".to_owned())]);
}

#[test]
fn unreadable_directory() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = Dir::with_corpus(&[("a.txt", "cat"), ("folder/b.txt", "dog"), ("z.txt", "cat")]);
    let _modes = (dir.chmod(".", 0o777), dir.chmod("corpus/folder", 0));
    let finished = dir.through(&user).args(&["embed", "-o", "out", "corpus"]).run().expect(3);
    let first = finished.stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with("bowline: corpus/folder: ") && first.contains("Permission denied"), "{first}");
    assert_eq!(dir.output("out").paths(), ["a.txt", "z.txt"]);
    assert_eq!(dir.output("out").failures(), []);
}

#[test]
fn unreadable_corpus() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = pets();
    let _modes = (dir.chmod(".", 0o777), dir.chmod("corpus", 0));
    let line = refused(&dir, dir.through(&user).args(&["embed", "-o", "out", "corpus"]), 1);
    assert!(line.starts_with("corpus: Permission denied"), "{line}");
}

#[test]
fn unreadable_directory_is_told_in_the_systems_words() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = Dir::with_corpus(&[("a.txt", "cat"), ("folder/b.txt", "cat")]);
    let _modes = (dir.chmod(".", 0o777), dir.chmod("corpus/folder", 0));
    let finished = dir.through(&user).args(&["embed", "-o", "out", "corpus"]).run().expect(3);
    assert!(
        finished.stderr.starts_with("bowline: corpus/folder: Permission denied\n"),
        "{}",
        finished.stderr
    );
}

#[test]
fn nothing_but_an_unreadable_directory() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = Dir::with_corpus(&[("folder/a.txt", "cat")]);
    let _modes = (dir.chmod(".", 0o777), dir.chmod("corpus/folder", 0));
    let finished = dir.through(&user).args(&["embed", "-o", "out", "corpus"]).run().expect(1);
    assert!(finished.stderr.contains("corpus/folder: Permission denied"), "{}", finished.stderr);
}

#[test]
fn what_is_unreadable_behind_a_link_has_the_links_path() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = Dir::with_corpus(&[("a.txt", "cat"), ("sub/b.txt", "dog")]);
    dir.write("closed/inner/c.txt", "cow");
    dir.write("shut/d.txt", "cow");
    // The first folder can be neither listed nor entered, the second can be listed only.
    symlink("../../closed", dir.path("corpus/sub/list")).unwrap();
    symlink("../../shut/d.txt", dir.path("corpus/sub/file")).unwrap();
    symlink("../closed/inner", dir.path("corpus/folder")).unwrap();
    let _modes = (dir.chmod(".", 0o777), dir.chmod("closed", 0), dir.chmod("shut", 0o644));
    for corpus in ["corpus", "corpus/"] {
        let options = ["embed", "--follow", "--force", "-o", "out", corpus];
        let finished = dir.through(&user).args(&options).run().expect(3);
        let said = "bowline: corpus/folder: Permission denied\n\
                    bowline: corpus/sub/file: Permission denied\n\
                    bowline: corpus/sub/list: Permission denied\n2 documents,";
        assert!(finished.stderr.starts_with(said), "{}", finished.stderr);
        assert_eq!(dir.output("out").paths(), ["a.txt", "sub/b.txt"]);
    }
}

#[test]
fn a_folder_that_opens_and_can_not_be_listed_is_named() {
    let dir = Dir::with_corpus(&[("a.txt", "cat"), ("sub/folder/b.txt", "dog"), ("z.txt", "cat")]);
    dir.write("elsewhere/c.txt", "cow");
    symlink("../elsewhere", dir.path("corpus/link")).unwrap();
    for (folder, shown, follow) in [
        ("corpus/sub/folder", "corpus/sub/folder", &[][..]),
        ("corpus/sub/folder", "corpus/sub/folder", &["--follow"]),
        ("elsewhere", "corpus/link", &["--follow"]),
    ] {
        let path = dir.path(folder).canonicalize().unwrap();
        let path = path.to_str().expect("a path of UTF-8");
        let Some(fault) = wrapper::failing_at("inject=getdents64:error=EIO", path) else { return };
        let options = [&["embed", "--force", "-o", "out", "corpus"][..], follow].concat();
        let finished = dir.through(&fault).args(&options).workers(Some("1")).run().expect(3);
        let said = format!("bowline: {shown}: I/O error\n");
        assert!(finished.stderr.starts_with(&said), "{}", finished.stderr);
    }
}

#[test]
fn a_path_that_is_too_long_for_the_system_is_named() {
    let dir = Dir::with_corpus(&[("a.txt", "cat")]);
    // Deeper than a path can be: each folder is made from within the one above it.
    let name = "d".repeat(200);
    let mut folder: OwnedFd = fs::File::open(dir.path("corpus")).unwrap().into();
    for _ in 0..25 {
        mkdirat(&folder, name.as_str(), Mode::S_IRWXU).unwrap();
        folder = openat(&folder, name.as_str(), OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    }
    for follow in [&[][..], &["--follow"]] {
        let finished = dir.embed(&[follow, &["--force"]].concat()).run().expect(3);
        let first = finished.stderr.lines().next().unwrap_or_default();
        assert!(first.starts_with(&format!("bowline: corpus/{name}/")), "{first}");
        assert!(first.ends_with(": File name too long"), "{first}");
        assert_eq!(dir.output("out").paths(), ["a.txt"]);
    }
}

/// The line of a run whose output lies on a disk of 16 KiB. The wrapper prints what is left there: nothing.
fn on_small_disk(dir: &Dir) -> Option<String> {
    let disk = wrapper::small_disk("16k")?;
    fs::create_dir(dir.path("disk")).unwrap();
    Some(refused(dir, dir.through(&disk).args(&["embed", "-o", "disk/out", "corpus"]), 1))
}

/// The bytes that a line says are needed.
fn bytes_needed(line: &str) -> Option<u64> {
    line.split("needs ").nth(1)?.split(' ').next()?.parse().ok()
}

#[test]
fn disk_too_small_for_the_matrix() {
    let text: String = (0..5000).map(|number| format!("word{number} ")).collect();
    let Some(line) = on_small_disk(&Dir::with_corpus(&[("a.txt", text)])) else { return };
    // 5000 cells of 8 bytes.
    assert!(bytes_needed(&line).is_some_and(|bytes| (40_000..44_000).contains(&bytes)), "{line}");
    assert!(line.contains("--output") && line.contains("No space left on device"), "{line}");
    let free = line.split("and ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    assert!(free.is_some_and(|free| free <= 16_384), "{line}");
}

#[test]
fn disk_too_small_for_the_list_of_documents() {
    let name = "a-name-of-some-length-".repeat(5);
    let files: Vec<_> = (0..200).map(|number| (format!("{name}{number}.txt"), "word")).collect();
    let dir = Dir::with_corpus(&files);
    let Some(line) = on_small_disk(&dir) else { return };
    // 200 lines of more than a hundred bytes.
    assert!(bytes_needed(&line).is_some_and(|bytes| (30_000..50_000).contains(&bytes)), "{line}");
    assert!(line.starts_with("documents.jsonl needs ") && line.contains("No space left on device"), "{line}");
}

#[test]
fn what_a_killed_run_left_is_replaced_with_a_notice() {
    let dir = pets();
    let expected = dir.embedded(&[]).files();
    for (quiet, options) in [(false, &["--force"][..]), (true, &["--force", "--quiet"])] {
        dir.write("out.partial/matrix.npz", "half");
        dir.write("out.partial/stray", "");
        let finished = dir.embed(options).run().expect(0);
        let notice =
            format!("bowline: {}: left by a run that did not finish; replaced\n", shown(&dir, "out.partial"));
        assert_eq!(finished.stderr.contains(&notice), !quiet, "{}", finished.stderr);
        assert_eq!(
            (dir.output("out").files(), dir.entries()),
            (expected.clone(), vec!["corpus".into(), "out".into()])
        );
    }
}

/// What bears the partial name and is none of a run's doing is nobody's to remove.
#[test]
fn what_no_run_has_left_stays() {
    let dir = pets();
    dir.write("precious/thesis.txt", "years of work");
    dir.write("foreign.partial/chapters/one.txt", "years of work");
    std::os::unix::fs::symlink("precious", dir.path("link.partial")).unwrap();
    dir.write("file.partial", "more work");
    nix::unistd::mkfifo(&dir.path("pipe.partial"), Mode::S_IRWXU).unwrap();
    for (target, said) in [
        ("foreign", "is nothing that a run has left, so it is not replaced (--output names another place)"),
        ("link", "cannot be written (--output names another place): Not a directory"),
        ("file", "cannot be written (--output names another place): Not a directory"),
        ("pipe", "cannot be written (--output names another place): Not a directory"),
    ] {
        for options in [&[][..], &["--force"], &["--resume"]] {
            let line = refused(&dir, dir.embed_to(target, options), 1);
            let expected = format!("{}: {said}", shown(&dir, &format!("{target}.partial")));
            assert!(line.starts_with(&expected), "{line}");
        }
    }
    assert_eq!(fs::read(dir.path("precious/thesis.txt")).unwrap(), b"years of work");
    assert_eq!(fs::read(dir.path("foreign.partial/chapters/one.txt")).unwrap(), b"years of work");
    assert_eq!(fs::read(dir.path("file.partial")).unwrap(), b"more work");
}

/// As over a network, where a directory can't be exchanged with another in one step.
#[test]
fn a_file_system_that_only_renames_is_enough() {
    let Some(wrapper) = wrapper::failing("inject=renameat2:error=EINVAL") else { return };
    let dir = pets();
    let expected = dir.embed_to("expected", &["--dense"]).run().expect(0);
    assert!(!expected.stderr.is_empty());
    let expected = dir.output("expected").files();
    for options in [&["--dense"][..], &["--dense", "--force"]] {
        let arguments = ["embed", "--output", "out", "corpus"];
        dir.through(&wrapper).args(&arguments).args(options).run().expect(0);
        assert_eq!(
            (dir.output("out").files(), dir.entries()),
            (expected.clone(), vec!["corpus".into(), "expected".into(), "out".into()])
        );
    }
}

#[test]
fn disk_too_small_for_a_list_of_buckets() {
    let Some(disk) = wrapper::small_disk("64k") else { return };
    let text: String = (0..5000).map(|number| format!("word{number} ")).collect();
    let dir = Dir::with_corpus(&[("a.txt", text)]);
    fs::create_dir(dir.path("disk")).unwrap();
    let options = ["--features", "hashed", "--n-features", "10", "--hash-terms"];
    let run = dir.through(&disk).args(&["embed", "-o", "disk/out", "corpus"]).args(&options);
    let line = refused(&dir, run, 1);
    let begins = format!("{} needs more than ", shown(&dir, "disk/out.partial/hash_terms.jsonl"));
    assert!(line.starts_with(&begins) && line.contains("are free (--output names another place)"), "{line}");
}

/// While the output that is replaced is removed, it bears the partial name.
#[test]
fn an_output_that_is_being_replaced_is_not_taken_for_what_is_left() {
    let Some(wrapper) = wrapper::failing("inject=renameat2:delay_exit=5000000") else { return };
    let dir = pets();
    dir.embedded(&[]);
    let inode = |name: &str| fs::metadata(dir.path(name)).map(|metadata| metadata.ino()).ok();
    let replaced = inode("out");
    let mut first = dir.through(&wrapper).args(&["embed", "--force", "-o", "out", "corpus"]).start();
    first.until("the new output's name", |_| inode("out.partial") == replaced);
    let line = dir.embed(&["--force"]).run().expect(1).line().to_owned();
    assert!(line.contains("/out.partial: another run is writing it"), "{line}");
    first.wait().expect(0);
    assert_eq!(dir.entries(), ["corpus", "out"]);
}

/// The lock that a run gets may be that of a directory which has another name by now.
#[test]
fn a_lock_on_what_another_run_has_just_finished_is_none() {
    let Some(wrapper) = wrapper::failing("inject=flock:delay_enter=4000000:when=1") else { return };
    for (options, code) in [(&[][..], 1), (&["--force"], 0)] {
        let dir = pets();
        fs::create_dir(dir.path("out.partial")).unwrap();
        let mut second = dir.through(&wrapper).args(&["embed", "-o", "out", "corpus"]).args(options).start();
        second.until("it has the directory open, and waits", |second| {
            let open = second.workers().into_iter().flat_map(processes::open_files);
            open.into_iter().any(|path| path.ends_with("/out.partial"))
        });
        dir.embed(&[]).run().expect(0);
        let finished = second.wait().expect(code);
        assert!(code == 0 || finished.line().ends_with("/out: exists already (--force replaces it)"));
        assert_eq!(dir.entries(), ["corpus", "out"]);
    }
}
