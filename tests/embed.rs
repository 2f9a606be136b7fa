//! The output of `bowline embed`, option by option, compared with answers computed by hand.

mod command;
mod documents;
mod encodings;
mod estimate;
mod formats;
mod matrix;
mod walk;

use crate::support::{Dir, DocumentLine, Output};

type Row = Vec<(usize, f64)>;

/// Requires that the matrix has these rows.
#[track_caller]
fn assert_rows(output: &Output, columns: usize, rows: &[&[(usize, f64)]]) {
    let csr = output.csr();
    assert_eq!(csr.shape, [rows.len(), columns]);
    assert_eq!(csr.rows(), rows.iter().map(|row| row.to_vec()).collect::<Vec<Row>>());
}

fn ok(path: &str, bytes: u64, tokens: u64) -> DocumentLine {
    DocumentLine { path: path.to_owned(), bytes, tokens, status: "ok".to_owned(), ..DocumentLine::default() }
}

fn failed(path: &str, bytes: u64, cause: &str) -> DocumentLine {
    let (status, cause) = ("failed".to_owned(), Some(cause.to_owned()));
    DocumentLine { path: path.to_owned(), bytes, status, cause, ..DocumentLine::default() }
}

fn pets() -> Dir {
    Dir::with_corpus(&[
        ("b.txt", "The cat sat. The cat!\n"),
        ("a.txt", "A dog; the cat"),
        ("c.txt", "Dog dog DOG, 2 cats"),
    ])
}
