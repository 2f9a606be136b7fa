//! Text for people, safe for a terminal. A name, a term or an argument can't break a line, control the terminal or reverse
//! the order of the letters around it. A closed standard error does not change a result.

use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

/// Writes one line to standard error.
pub fn say(line: &str) {
    // If standard error is closed there is nowhere to report it.
    let _ = write_line(&mut io::stderr(), line);
}

/// Writes one line, which stays one line with any names in it.
///
/// # Errors
/// The writer's.
pub fn write_line(out: &mut dyn io::Write, line: &str) -> io::Result<()> {
    let mut line = printable(line).into_owned();
    line.push('\n');
    out.write_all(line.as_bytes())
}

/// `text` with each invisible character replaced by the `\xHH` of its bytes.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, is_unseen, |c, escaped| {
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            // Writing to a string does not fail.
            let _ = write!(escaped, "\\x{byte:02X}");
        }
    })
}

/// `value` as JSON over several lines, with each invisible character as `\uHHHH`.
///
/// # Errors
/// The value's, if it can't be written as JSON.
pub fn json(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(visible(&serde_json::to_string_pretty(value)?))
}

/// `value` as JSON in one line, with each invisible character as `\uHHHH`.
///
/// # Errors
/// The value's, if it can't be written as JSON.
pub fn json_line(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(visible(&serde_json::to_string(value)?))
}

/// JSON with each invisible character of a string as `\uHHHH`.
fn visible(text: &str) -> String {
    // Outside of strings, where there would be no such escape, there are only line breaks.
    let is_unseen = |c| c != '\n' && is_unseen(c);
    let text = escaped(text, is_unseen, |c, escaped| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    });
    text.into_owned()
}

/// `text` with the characters that `is_meant` selects replaced by the output of `escape`.
fn escaped(text: &str, is_meant: impl Fn(char) -> bool, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(&is_meant) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(2 * text.len());
    for c in text.chars() {
        match is_meant(c) {
            true => escape(c, &mut written),
            false => written.push(c),
        }
    }
    Cow::Owned(written)
}

/// Whether a character steers the terminal, breaks the line, turns the direction of the text, or can't be seen at all: the
/// controls C0, DEL and C1, and Unicode's format characters and separators of lines and paragraphs. Not the joiners U+200C
/// and U+200D, which Persian, Hindi and emoji are written with, nor signs that can be seen.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}' | '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_seen_is_shown() {
        assert_eq!(printable("a\nb\u{1b}[2J\u{85}é"), "a\\x0Ab\\x1B[2J\\xC2\\x85é");
        for c in "\0\u{7}\t\r\u{1b}\u{7f}\u{80}\u{9b}\u{9f}\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}\u{e0000}\u{e0041}".chars() {
            let text = format!("a{c}b");
            let shown = printable(&text);
            assert!(shown.starts_with("a\\x") && shown.is_ascii(), "{c:?}: {shown}");
        }
        for text in ["a \\ b", "e\u{301}", "می\u{200c}روم", "👩\u{200d}🔬", "葛\u{e0100}", "\u{5e9}\u{5dc}"]
        {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }

    #[test]
    fn json_means_the_same_and_has_nothing_that_steers() {
        let names = ["\u{1b}[31m", "\u{7f}\u{9b}\u{202e}", "\u{e0041}", "a\nb\\", "é\u{200d}"];
        let text = json(&names).unwrap();
        assert!(text.contains(r#""\u007f\u009b\u202e""#) && text.contains(r#""\udb40\udc41""#), "{text}");
        assert!(!text.lines().any(|line| line.contains(is_unseen)), "{text}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), names);
    }
}
