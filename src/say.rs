//! What is said to people: lines on standard error. A path can't break a line nor steer the terminal, and a standard
//! error that takes nothing changes no result.

use std::fmt::Write as _;
use std::io::Write as _;

/// Writes one line to standard error.
pub fn say(line: &str) {
    // Nobody is there to be told that nobody can be told.
    let _ = writeln!(std::io::stderr(), "{}", printable(line));
}

/// `line` with its control characters as `\\xHH`.
fn printable(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_control() {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(text, "\\x{byte:02X}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(printable("a\nb\u{1b}[2J\u{85}é"), "a\\x0Ab\\x1B[2J\\xC2\\x85é");
    }
}
