//! Embeds the text files of a directory by tf-idf, in threads, and prints what became of them:
//!
//! ```sh
//! cargo run --release --example embed_directory data/sample /tmp/embeddings
//! ```

use bowline::{Base, Cancel, Event, Job, RunOptions, SettingsBuilder, Sink, Source, WeightKind, run};
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(corpus), Some(output)) = (arguments.next(), arguments.next()) else {
        return Err("usage: embed_directory CORPUS OUTPUT".into());
    };
    let settings = SettingsBuilder { weight: Some(WeightKind::Tfidf), ..SettingsBuilder::default() };
    let job = Job {
        source: Source { paths: vec![corpus], globs: vec!["*.txt".to_owned()], ..Source::default() },
        settings: settings.build(Base::default())?,
        model: None,
        sink: Sink::new(output),
        options: RunOptions::default(),
    };
    let mut on_event = |event: Event| {
        if let Event::Notice(notice) = event {
            eprintln!("{notice}");
        }
    };
    let summary = run(&job, &mut on_event, &Cancel::new())?;
    let counts = summary.counts;
    println!("{} documents, {} columns, {} non-zeros", counts.documents, counts.columns, counts.nonzeros);
    for failed in &summary.failures {
        println!("{}: {}", failed.document, failed.cause);
    }
    Ok(())
}
