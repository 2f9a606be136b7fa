//! `bowline generate`: the same seed gives the same bytes, and embed accepts the corpus.

use crate::support::Dir;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The files beneath a directory, by path.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let folders = fs::read_dir(directory).unwrap().map(|folder| folder.unwrap().path());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|file| file.unwrap().path());
    files.map(|file| (file.strip_prefix(directory).unwrap().to_owned(), fs::read(&file).unwrap())).collect()
}

#[test]
fn a_seed_makes_one_corpus_of_any_length() {
    let dir = Dir::new();
    for (name, documents, seed) in [("short", "300", "5"), ("long", "1200", "5"), ("other", "300", "6")] {
        dir.bowline(&["generate", name, "--documents", documents, "--seed", seed]).run().expect(0);
    }
    let [short, long, other] = ["short", "long", "other"].map(|name| files(&dir.path(name)));
    assert_eq!((short.len(), long.len(), other.len()), (300, 1200, 300));
    assert!(
        short.iter().all(|(path, text)| long.get(path) == Some(text)),
        "the long one begins with the short one"
    );
    assert!(short.iter().all(|(path, text)| other.get(path) != Some(text)), "another seed, another corpus");
    let largest = fs::read_dir(dir.path("long"))
        .unwrap()
        .map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().count());
    assert_eq!(largest.max(), Some(1000), "no folder is larger");
    let text = String::from_utf8(long.into_values().flatten().collect()).expect("UTF-8");
    for letter in ["a", "é", "т", "π", "的"] {
        assert!(text.contains(letter), "{letter}");
    }
    dir.bowline(&["embed", "--output", "output", "long"]).run().expect(0);
}

#[test]
fn what_is_there_stays() {
    let dir = Dir::with_corpus(&[("a.txt", "the cat")]);
    let finished = dir.bowline(&["generate", "corpus"]).run().expect(1);
    let line = finished.line();
    assert!(line.contains("corpus: is not empty"), "{line}");
    assert_eq!(fs::read_dir(dir.path("corpus")).unwrap().count(), 1);
    let finished = dir.bowline(&["generate", "corpus/a.txt/x"]).run().expect(1);
    let line = finished.line();
    assert!(line.contains("corpus/a.txt/x: "), "{line}");
}
