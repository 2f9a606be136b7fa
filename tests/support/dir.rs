//! A new directory for each test, removed at its end: the corpus in `corpus/`, outputs and other files beside it.
//!
//! Runs start in this directory, so that no test needs an absolute path.

use super::{Invocation, Output, Random};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tempfile::TempDir;

/// A temporary mode of a file.
#[must_use]
pub struct TemporaryMode(PathBuf);

impl Drop for TemporaryMode {
    fn drop(&mut self) {
        set_mode(&self.0, 0o755);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a file of our own");
}

/// The directory of one test. An output that is open in it keeps it.
pub struct Dir(Rc<TempDir>);

impl Dir {
    /// An empty directory, which other users may enter.
    pub fn new() -> Self {
        let dir = TempDir::with_prefix("bowline-test-").expect("a temporary directory");
        set_mode(dir.path(), 0o755);
        Dir(Rc::new(dir))
    }

    /// A directory whose `corpus/` has these files, a pair of path and content each.
    pub fn with_corpus(files: &[(impl AsRef<[u8]>, impl AsRef<[u8]>)]) -> Self {
        let dir = Dir::new();
        fs::create_dir(dir.path("corpus")).expect("the corpus's directory");
        for (path, content) in files {
            dir.add(path.as_ref(), content.as_ref());
        }
        dir
    }

    /// A directory with a generated corpus of this number of documents, enough to keep workers busy for a while.
    pub fn with_generated(documents: usize) -> Self {
        let mut random = Random::new(documents as u64);
        let dir = Dir::with_corpus(&[("empty.txt", "")]);
        for number in 1..documents {
            dir.add(format!("{number}.txt").as_bytes(), random.text(100).as_bytes());
        }
        dir
    }

    /// Adds a file to the corpus, and its parent directories. Paths are bytes, since not all are UTF-8.
    pub fn add(&self, path: &[u8], content: &[u8]) {
        self.write(Path::new("corpus").join(OsStr::from_bytes(path)), content);
    }

    /// Writes a file beneath this directory, and its parent directories.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("directories");
        fs::write(path, content).expect("a file of a test");
    }

    /// Gives a file or directory these permissions until the end of the test, when it must be removable.
    pub fn chmod(&self, path: &str, mode: u32) -> TemporaryMode {
        set_mode(&self.path(path), mode);
        TemporaryMode(self.path(path))
    }

    /// The path of `name` beneath this directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// `bowline ARGUMENTS`, run here.
    pub fn bowline(&self, arguments: &[&str]) -> Invocation {
        Invocation::new(self.0.path()).args(arguments)
    }

    /// The program as arguments of another command, run here.
    pub fn through(&self, wrapper: &[&str]) -> Invocation {
        Invocation::through(wrapper, self.0.path())
    }

    /// `bowline embed --output out OPTIONS corpus`.
    pub fn embed(&self, options: &[&str]) -> Invocation {
        self.embed_to("out", options)
    }

    /// `bowline embed --output OUTPUT OPTIONS corpus`, with two workers unless OPTIONS set the number. It does not
    /// sync.
    pub fn embed_to(&self, output: &str, options: &[&str]) -> Invocation {
        let run = self.bowline(&["embed", "--no-sync", "--output", output]).args(options).args(&["corpus"]);
        run.workers(Some("2"))
    }

    /// Embeds the corpus, which must succeed, and opens the output.
    pub fn embedded(&self, options: &[&str]) -> Output {
        self.embedded_with(0, options)
    }

    /// Embeds the corpus, which must end with this exit code, and opens the output.
    pub fn embedded_with(&self, code: i32, options: &[&str]) -> Output {
        self.embed(options).run().expect(code);
        self.output("out")
    }

    /// The report of a run with `--report report.json`.
    pub fn report(&self) -> Value {
        let report = fs::read(self.path("report.json")).expect("a report");
        serde_json::from_slice(&report).expect("JSON")
    }

    /// The output of that name.
    pub fn output(&self, name: &str) -> Output {
        Output::open(self.path(name), self.0.clone())
    }

    /// Names of the entries of this directory, sorted.
    pub fn entries(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path())
            .expect("the test's directory")
            .map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}
