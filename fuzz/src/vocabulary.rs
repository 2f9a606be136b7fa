//! Any `--vocabulary`, a file of terms or an earlier output: the run rejects it or succeeds with it.
//!
//! The parts: `manifest.json`, `vocabulary.jsonl` and `idf.npy` of an earlier output. The second part is also used as a
//! file of terms.

use super::files::{Files, parts};
use bowline::{
    Base, Cancel, Error, Job, MemoryLimits, Mode, Model, RunOptions, SettingsBuilder, Sink, Source, Summary,
    run as embed,
};
use std::fs;
use std::path::Path;

thread_local! {
    static FILES: Files = {
        let files = Files::new();
        files.write("corpus/a.txt", b"the cat sat on the mat");
        files.write("corpus/b.txt", "un café, deux Cafés".as_bytes());
        files
    };
}

/// Embeds two documents with one vocabulary.
pub fn run(data: &[u8]) {
    let [manifest, vocabulary, idf] = parts(data);
    FILES.with(|files| {
        files.write("earlier/manifest.json", manifest);
        files.write("earlier/vocabulary.jsonl", vocabulary);
        files.write("earlier/idf.npy", idf);
        files.write("terms.txt", vocabulary);
        ["earlier", "terms.txt"].into_iter().for_each(|given| embed_with(files, given));
    });
}

/// A run with `given` as its vocabulary.
fn embed_with(files: &Files, given: &str) {
    let model = match Model::read(Path::new(&files.path(given)), true, &Cancel::new()) {
        Ok(model) => model,
        Err(error) => return assert!(!format!("{error:#}").is_empty()),
    };
    let earlier = model.earlier.as_ref().map(|earlier| &earlier.settings);
    let settings = match SettingsBuilder::default().build(Base { earlier, has_vocabulary: true }) {
        Ok(settings) => settings,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let sink = Sink { force: true, sync: false, ..Sink::new(files.path("out")) };
    let memory = MemoryLimits { run: Some(256 << 20), worker: None };
    let job = Job {
        source: Source { paths: vec![files.path("corpus").into()], ..Source::default() },
        settings,
        model: Some(model),
        sink,
        options: RunOptions { mode: Mode::Inline, memory, ..RunOptions::default() },
    };
    let done: Result<Summary, Error> = embed(&job, &mut |_| (), &Cancel::new());
    match done {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(_) => {
            let documents =
                fs::read_to_string(files.path("out/documents.jsonl")).expect("a list of documents");
            assert!(!documents.contains("panicked"), "{documents}");
        }
    }
}
