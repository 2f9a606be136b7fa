//! Lists of words and terms that users give: a term a line, or JSON. Reads what editors and other tools make of such a list, or
//! refuses it with the line that is wrong. Whether an entry can occur in a text is another question (`never_equal`).

use crate::error::{ErrorKind, Fault};
use crate::file_format;
use crate::pipe;
use crate::settings::StopWordList;
use anyhow::{Result, anyhow, bail, ensure};
use bowline_workers::analyzer::stop_words;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicUsize;

/// Maximum size of a list in bytes; a stream without end is not a list.
const MAX_BYTES: usize = 4 << 30;

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;

/// What other options call standard input. Here it is the name of a file.
const STANDARD_INPUT: &str = "-";

/// The byte-order mark.
const MARK: char = '\u{FEFF}';

/// A list, in its own order.
#[derive(Debug, Default, PartialEq)]
pub struct WordList {
    /// The entries. One may be empty, but not the last.
    pub words: Vec<String>,
    /// What an entry is called in messages: a line, or an entry of JSON.
    pub unit: &'static str,
}

/// Reads a list from a file or a pipe, whose writer may come later. White space around an entry is dropped if `trims`: where no
/// term can have it. `interrupted` holds the number of a signal that asked the run to end.
///
/// # Errors
/// The system's; what is wrong with the list, with the line; that of being interrupted.
pub fn read(path: &Path, trims: bool, interrupted: &AtomicUsize) -> Result<WordList> {
    parse(&read_bytes(path, interrupted)?, trims)
}

/// All bytes of a file or pipe; up to the first chunk with a NUL, since no list has one.
fn read_bytes(path: &Path, interrupted: &AtomicUsize) -> Result<Vec<u8>> {
    if path == Path::new(STANDARD_INPUT) && !path.exists() {
        return Err(Fault::new(ErrorKind::ListNamedDash, "no such file").into());
    }
    let file = pipe::open_list(path)?;
    let mut bytes = Vec::new();
    loop {
        let known = bytes.len();
        bytes.resize(known + CHUNK, 0);
        let read = pipe::read(&file, &mut bytes[known..], interrupted)?;
        bytes.truncate(known + read);
        if read == 0 || bytes[known..].contains(&0) {
            return Ok(bytes);
        }
        ensure!(bytes.len() <= MAX_BYTES, "more than {} GiB, too large for a list", MAX_BYTES >> 30);
    }
}

/// The stop words that `argument` names: a language with a built-in list, or else a file. White space around the words of a file
/// is dropped if `trims`. (`./german` is a file.) `interrupted` holds the number of a signal that asked the run to end.
///
/// # Errors
/// Neither a language nor a file, or as for [`read`].
pub fn stop_words(argument: &str, trims: bool, interrupted: &AtomicUsize) -> Result<StopWordList> {
    if stop_words::list_of(argument).is_some() {
        return Ok(StopWordList::Language(argument.to_owned()));
    }
    if argument != STANDARD_INPUT && !Path::new(argument).exists() && !argument.contains(['/', '.']) {
        let error = stop_words::UnknownLanguage(argument.to_owned());
        return Err(Fault::new(ErrorKind::Usage, format!("no such file, and {error}")).into());
    }
    let words = read(Path::new(argument), trims, interrupted)?.words;
    Ok(StopWordList::Given { words: words.into_iter().filter(|word| !word.is_empty()).collect() })
}

/// The list that these bytes are.
fn parse(bytes: &[u8], trims: bool) -> Result<WordList> {
    if let Some(refusal) = file_format::refusal(bytes, trims) {
        bail!(refusal);
    }
    let text = decode(bytes)?;
    match json(text, trims)? {
        Some(words) => Ok(WordList { words, unit: "entry" }),
        None => Ok(WordList { words: lines(text, trims)?, unit: "line" }),
    }
}

/// The text of a file, without a mark at its beginning.
fn decode(bytes: &[u8]) -> Result<&str> {
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        bail!("line {}: has a NUL byte, so this is not a list of words", line_number(bytes, at));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = line_number(bytes, error.valid_up_to());
        anyhow!("line {line}: not UTF-8 (if it is Latin-1, `iconv -f latin1 -t UTF-8` converts the list)")
    })?;
    Ok(text.strip_prefix(MARK).unwrap_or(text))
}

/// The line that byte `at` is in, from 1 on.
fn line_number(bytes: &[u8], at: usize) -> usize {
    let end = if bytes.contains(&b'\n') { b'\n' } else { b'\r' };
    1 + bytes[..at].iter().filter(|&&byte| byte == end).count()
}

/// The entries of a list with one a line.
fn lines(text: &str, trims: bool) -> Result<Vec<String>> {
    // Old Macs end lines with a carriage return.
    let end = if text.contains('\n') { '\n' } else { '\r' };
    let mut words = Vec::new();
    for (line, number) in text.split(end).zip(1..) {
        // Where files were joined, a line in the middle begins with the mark of its file.
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start_matches(MARK);
        let word = if trims { line.trim() } else { line };
        if word.contains('\r') {
            bail!(
                "line {number}: has a carriage return in it, and other lines end in a newline (`tr '\\r' '\\n'` makes all ends \
                 alike; a term that has one can be given in a JSON array)"
            );
        }
        if trims && word.contains('\t') {
            bail!(
                "line {number}: has a tab; a list has one term per line (`cut -f1` takes the first column)"
            );
        }
        words.push(word.to_owned());
    }
    while words.last().is_some_and(String::is_empty) {
        words.pop();
    }
    Ok(words)
}

/// What a list in JSON may be.
const IN_JSON: &str =
    "a list is an array of strings, an object of columns by term, or an output's vocabulary.jsonl";

/// A line of an output's `vocabulary.jsonl`.
#[derive(Deserialize)]
struct TermOfLine {
    term: String,
}

/// The entries of a list in JSON: an array of strings, an object of columns by term, or the lines of an output's
/// `vocabulary.jsonl`. Nothing if the text is no JSON and does not look as if it should be.
fn json(text: &str, trims: bool) -> Result<Option<Vec<String>>> {
    let start = text.trim_start();
    let opened = start.strip_prefix(['[', '{']).map(str::trim_start);
    let Some(opened) = opened else { return Ok(None) };
    let what = if start.starts_with('[') { "array" } else { "object" };
    let is_json = |text: &str| serde_json::from_str::<IgnoredAny>(text);
    // A word may begin with a bracket, too: but one without spaces in it hardly with a bracket and a quote.
    let looks_like_json = trims && opened.starts_with(['"', '\'']);
    if what == "array" {
        return match (serde_json::from_str(text), is_json(text)) {
            (Ok(words), _) => Ok(Some(words)),
            (Err(error), Ok(_)) => bail!("a JSON array, but not of strings: {error} ({IN_JSON})"),
            (_, Err(error)) if looks_like_json => {
                bail!("looks like a JSON array, but is not valid: {error} ({IN_JSON})")
            }
            _ => Ok(None),
        };
    }
    let first = start.lines().next().unwrap_or_default();
    if is_of::<TermOfLine>(first) {
        return terms_of_lines(text).map(Some);
    }
    if let Ok(columns) = serde_json::from_str(text) {
        return in_order(columns).map(Some);
    }
    let object = [text, first].into_iter().find(|text| is_json(text).is_ok());
    match (object, is_json(text)) {
        (Some(object), _) => bail!("JSON, but not a list of terms{}", seems(object)),
        (None, Err(error)) if looks_like_json => {
            bail!("looks like a JSON object, but is not valid: {error} ({IN_JSON})")
        }
        _ => Ok(None),
    }
}

fn is_of<T: DeserializeOwned>(text: &str) -> bool {
    serde_json::from_str::<T>(text).is_ok()
}

/// The apparent kind of a JSON object that is not a list, and advice what to give instead.
fn seems(object: &str) -> String {
    #[derive(Deserialize)]
    struct Manifest {
        #[serde(rename = "bowline")]
        _version: IgnoredAny,
        #[serde(rename = "settings")]
        _settings: IgnoredAny,
    }
    #[derive(Deserialize)]
    struct Document {
        #[serde(rename = "path")]
        _path: IgnoredAny,
        #[serde(rename = "status")]
        _status: IgnoredAny,
    }
    let of_an_output = if is_of::<Manifest>(object) {
        "manifest.json"
    } else if is_of::<Document>(object) {
        "documents.jsonl"
    } else {
        return format!(" ({IN_JSON})");
    };
    format!(
        ": it seems to be the {of_an_output} of an output (give the output's directory, or its vocabulary.jsonl)"
    )
}

fn terms_of_lines(text: &str) -> Result<Vec<String>> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let term = |(line, number): (&str, usize)| match serde_json::from_str::<TermOfLine>(line) {
        Ok(line) => Ok(line.term),
        Err(error) => {
            // Each is a text of one line for the parser.
            let error = error.to_string().replace("at line 1 column", "at column");
            Err(anyhow!("line {number}: {error}"))
        }
    };
    lines.map(term).collect()
}

/// The terms of an object of columns, by their columns.
fn in_order(columns: BTreeMap<String, u64>) -> Result<Vec<String>> {
    let mut words: Vec<(u64, String)> = columns.into_iter().map(|(term, column)| (column, term)).collect();
    words.sort_unstable();
    let is_order = words.iter().zip(0..).all(|((column, _), number)| *column == number);
    ensure!(is_order, "a JSON object whose numbers are not columns: they must be 0, 1, 2 and so on");
    Ok(words.into_iter().map(|(_, term)| term).collect())
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
            b"the\r\r\nand\r\r\n",
            b"the\n\xEF\xBB\xBFand\n\xEF\xBB\xBF",
            b"{\"df\":3,\"term\":\"the\"}\n{\"term\":\"and\"}\n",
            b"{\"term\":\"the\",\"df\":3}\n{\"term\":\"and\",\"df\":1,\"idf\":1.5}\n",
        ] {
            assert_eq!(words(list, true), ["the", "and"], "{:?}", String::from_utf8_lossy(list));
        }
        assert_eq!(words(b" th\nth \n\n", false), [" th", "th "]);
        assert_eq!(words(b"[a\n{b\n", false), ["[a", "{b"]);
        assert_eq!(words(b"[PAD]\n[unused0]\n", true), ["[PAD]", "[unused0]"]);
        assert_eq!(words(b"[\"\n{\"\n", false), ["[\"", "{\""]);
        assert_eq!(words(b"{\"term\": 0}", true), ["term"]);
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
            (b"the\rcaf\xE9\r", "line 2: not UTF-8"),
            (b"the\r\nand\rof\r\n", "line 2: has a carriage return"),
            (b"[\"the\", 1]", "a JSON array, but not of strings: invalid type: integer `1`"),
            (b"[\"the\", \"and\"", "looks like a JSON array, but is not valid: EOF"),
            (b"['the', 'and']", "looks like a JSON array, but is not valid: expected value"),
            (b"{'the': 0}", "looks like a JSON object, but is not valid"),
            (b"{\"path\":\"a\",\"status\":\"ok\"}", "seems to be the documents.jsonl of an output"),
            (b"{\"path\":\"a\"}\n{\"path\":\"b\"}\n", "JSON, but not a list of terms (a list is"),
            (b"{\"the\": 0.5}", "JSON, but not a list of terms (a list is"),
            (b"the\nand\t3\n", "line 2: has a tab"),
            (b"{\"bowline\": \"0.1.0\"}", "JSON, but not a list of terms"),
            (b"{\"the\": 0, \"and\": 2}", "whose numbers are not columns"),
            (b"{\"term\":\"the\",\"df\":3}\n{\"term\":\n", "line 2"),
        ] {
            let error = format!("{:#}", parse(list, true).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }
}
