//! Reads an output back, and prints the terms of its first document, the highest values first:
//!
//! ```sh
//! cargo run --release --example read_output /tmp/embeddings
//! ```

use bowline::Output;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: read_output OUTPUT")?;
    let output = Output::open(&path)?;
    let document = output.document("0")?;
    println!("{}: {} tokens", document.name, document.tokens);
    for term in document.terms {
        println!("{:>10.4}  {}", term.value, term.term);
    }
    Ok(())
}
