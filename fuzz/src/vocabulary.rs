//! Any `--vocabulary`, a file of terms or an earlier output: the run refuses it, or goes through with it.
//!
//! The parts: `manifest.json`, `vocabulary.jsonl` and `idf.npy` of an earlier output. The second one is taken as a file of
//! terms, too.

use super::files::{Files, parts};
use bowline::cli::{Cli, Command, EmbedArgs};
use bowline::embed::embed;
use clap::Parser as _;
use std::fs;

/// The files, and the commands that take them, which are parsed once.
struct Desk {
    files: Files,
    commands: [EmbedArgs; 2],
}

thread_local! {
    static DESK: Desk = {
        let files = Files::new();
        files.write("corpus/a.txt", b"the cat sat on the mat");
        files.write("corpus/b.txt", "un café, deux Cafés".as_bytes());
        Desk { commands: ["earlier", "terms.txt"].map(|given| command(&files, given)), files }
    };
}

/// Embeds two documents with one vocabulary.
pub fn run(data: &[u8]) {
    let [manifest, vocabulary, idf] = parts(data);
    DESK.with(|Desk { files, commands }| {
        files.write("earlier/manifest.json", manifest);
        files.write("earlier/vocabulary.jsonl", vocabulary);
        files.write("earlier/idf.npy", idf);
        files.write("terms.txt", vocabulary);
        commands.iter().for_each(|args| embed_with(files, args));
    });
}

/// The run that takes `given` for its vocabulary.
fn command(files: &Files, given: &str) -> EmbedArgs {
    let (given, out, corpus) = (files.path(given), files.path("out"), files.path("corpus"));
    let running = ["bowline", "embed", "--progress=never", "--quiet", "--no-sync", "--force"];
    let rest = ["--mode=inline", "--memory=256M", "--vocabulary", &given, "--output", &out, &corpus];
    match Cli::try_parse_from(running.iter().chain(&rest)).expect("a command").command {
        Command::Embed(args) => *args,
        _ => panic!("embed"),
    }
}

fn embed_with(files: &Files, args: &EmbedArgs) {
    match embed(args, Default::default()) {
        Err(error) => assert!(!format!("{error:#}").is_empty()),
        Ok(_) => {
            let documents =
                fs::read_to_string(files.path("out/documents.jsonl")).expect("a list of documents");
            assert!(!documents.contains("panicked"), "{documents}");
        }
    }
}
