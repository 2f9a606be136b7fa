//! Lists of words and terms that users give: a term a line, or JSON. Reads what editors and other tools make of such a list, or
//! refuses it with the line that is wrong. Whether an entry can occur in a text is another question (`never_equal`).

use crate::output::TermLine;
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// Bytes of a list, at most: a list that has no end is no list.
const MAX_BYTES: u64 = 4 << 30;

/// A list, in its own order.
#[derive(Debug, Default, PartialEq)]
pub struct WordList {
    /// The entries. One may be empty, but not the last.
    pub words: Vec<String>,
    /// What an entry is called in messages: a line, or an entry of JSON.
    pub unit: &'static str,
}

/// Reads a list. White space around an entry is dropped if `trims`: where no term can have it.
///
/// # Errors
/// The system's; or what is wrong with the list, with the line.
pub fn read(path: &Path, trims: bool) -> Result<WordList> {
    let file = File::open(path)?;
    let kind = file.metadata()?.file_type();
    ensure!(!kind.is_dir(), "a directory, not a list");
    ensure!(kind.is_file() || kind.is_fifo(), "neither a file nor a pipe");
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= MAX_BYTES, "more than {} GiB, which is no list", MAX_BYTES >> 30);
    parse(&bytes, trims)
}

/// The list that these bytes are.
fn parse(bytes: &[u8], trims: bool) -> Result<WordList> {
    let text = decode(bytes)?;
    if let Some(list) = json(text)? {
        return Ok(list);
    }
    // Old Macs end lines with a carriage return.
    let is_mac = text.contains('\r') && !text.contains('\n');
    let lines =
        text.split(if is_mac { '\r' } else { '\n' }).map(|line| line.strip_suffix('\r').unwrap_or(line));
    let mut words: Vec<String> =
        lines.map(|line| if trims { line.trim() } else { line }.to_owned()).collect();
    while words.last().is_some_and(String::is_empty) {
        words.pop();
    }
    if let Some(line) = words.iter().position(|word| trims && word.contains('\t')) {
        bail!("line {}: has a tab; a list has one term a line (`cut -f1` takes the first column)", line + 1);
    }
    Ok(WordList { words, unit: "line" })
}

/// The text of a file, without a mark at its beginning.
fn decode(bytes: &[u8]) -> Result<&str> {
    let convert =
        |encoding: &str| format!("{encoding}, not UTF-8 (`iconv -f {encoding} -t UTF-8` converts it)");
    match bytes {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => bail!(convert("UTF-32")),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => bail!(convert("UTF-16")),
        [b'P', b'K', 3, 4, ..] => bail!("a zip archive, not a list (an output is given by its directory)"),
        _ => {}
    }
    let bytes = bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(bytes);
    let line = |at: usize| 1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        bail!("line {}: has a NUL byte, so this is no list of words", line(at));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let line = line(error.valid_up_to());
        anyhow!("line {line}: not UTF-8 (if it is Latin-1, `iconv -f latin1 -t UTF-8` converts the list)")
    })
}

/// A list in JSON: an array of strings, an object of columns by term, or the lines of an output's `vocabulary.jsonl`. Nothing if
/// the text is none of these and does not look as if it should be.
fn json(text: &str) -> Result<Option<WordList>> {
    let start = text.trim_start();
    let list = |words| Ok(Some(WordList { words, unit: "entry" }));
    if start.starts_with('[') {
        // A word may begin so, too.
        return serde_json::from_str(text).ok().map_or(Ok(None), list);
    }
    if !start.starts_with('{') {
        return Ok(None);
    }
    if start.starts_with("{\"term\":") {
        let term = |(number, line): (usize, &str)| {
            let line: TermLine =
                serde_json::from_str(line).with_context(|| format!("line {}", number + 1))?;
            Ok(line.term.into_owned())
        };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let words = lines.map(term).collect::<Result<_>>()?;
        return list(words);
    }
    match serde_json::from_str::<BTreeMap<String, u64>>(text) {
        Ok(columns) => {
            let mut words: Vec<(u64, String)> =
                columns.into_iter().map(|(term, column)| (column, term)).collect();
            words.sort_unstable();
            let is_order = words.iter().zip(0..).all(|((column, _), number)| *column == number);
            ensure!(is_order, "a JSON object whose numbers are no columns: they must be 0, 1, 2 and so on");
            list(words.into_iter().map(|(_, term)| term).collect())
        }
        // A word may begin so, too: but not a text that is JSON.
        Err(_) if serde_json::from_str::<serde_json::Value>(text).is_err() => Ok(None),
        Err(_) => bail!(
            "JSON, but no list of terms (an array of strings is one; an output is given by its directory)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(bytes: &[u8], trims: bool) -> Vec<String> {
        parse(bytes, trims).unwrap().words
    }

    #[test]
    fn lists_as_editors_and_tools_write_them() {
        for list in [
            &b"the\nand\n"[..],
            b"the\nand",
            b"the\r\nand\r\n",
            b"the\rand\r",
            b"\xEF\xBB\xBFthe\nand\n",
            b"the\nand\n\n\n",
            b"the\nand\n \n\t\n",
            b"the \n\tand\n",
            b"[\"the\", \"and\"]",
            b"{\"and\": 1, \"the\": 0}\n",
            b"{\"term\":\"the\",\"df\":3}\n{\"term\":\"and\",\"df\":1,\"idf\":1.5}\n",
        ] {
            assert_eq!(words(list, true), ["the", "and"], "{:?}", String::from_utf8_lossy(list));
        }
        assert_eq!(words(b" th\nth \n\n", false), [" th", "th "]);
        assert_eq!(words(b"[a\n{b\n", false), ["[a", "{b"]);
        assert_eq!(words(b"the\n\nand", true), ["the", "", "and"]);
        assert!(words(b"", true).is_empty() && words(b"\n\n", true).is_empty());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for (list, said) in [
            (&b"the\nth\xE9\n"[..], "line 2: not UTF-8"),
            (b"\xFF\xFEt\0h\0", "UTF-16, not UTF-8 (`iconv -f UTF-16 -t UTF-8` converts it)"),
            (b"\xFF\xFE\0\0t\0\0\0", "UTF-32"),
            (b"the\nt\0h\0", "line 2: has a NUL byte"),
            (b"PK\x03\x04", "a zip archive"),
            (b"the\nand\t3\n", "line 2: has a tab"),
            (b"{\"bowline\": \"0.1.0\"}", "JSON, but no list of terms"),
            (b"{\"the\": 0, \"and\": 2}", "whose numbers are no columns"),
            (b"{\"term\":\"the\",\"df\":3}\n{\"term\":\n", "line 2"),
        ] {
            let error = format!("{:#}", parse(list, true).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }
}
