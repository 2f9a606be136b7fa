//! Decodes every sequence of one or two bytes in an encoding, a line each: the numbers of the characters, or `-` if it is
//! invalid. tests/parity/encodings.py compares them with Python's.

use bowline_workers::analyzer::decode::DecodeError;
use bowline_workers::encoding::Encoding;
use std::io::Write as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let encoding: Encoding = std::env::args().nth(1).ok_or("the name of an encoding")?.parse()?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let pairs = (0..=255).flat_map(|first| (0..=255).map(move |second| vec![first, second]));
    let mut spare = Vec::new();
    for mut sequence in (0..=255).map(|byte| vec![byte]).chain(pairs) {
        match encoding.decode(&mut sequence, DecodeError::Strict, &mut spare) {
            Ok(_) => {
                let text = String::from_utf8(sequence)?;
                let numbers: Vec<_> = text.chars().map(|c| format!("{:x}", c as u32)).collect();
                writeln!(out, "{}", numbers.join(" "))?;
            }
            Err(_) => writeln!(out, "-")?,
        }
    }
    Ok(out.flush()?)
}
