//! A file each of whose lines is a JSON object (JSON Lines). A blank line is no record, as in pandas and `jsonlines`.
//!
//! `serde_json` decides what is valid. Against Python's `json`: NaN and infinities are invalid, and so is a lone surrogate
//! (`"\ud800"`) in a key or a wanted field; other values are not decoded, so there it passes. Of equal keys the last counts.

mod string;

use super::line_reader::{Line, LineReader, append, clear, is_blank};
use super::{About, RecordSettings, Records};
use crate::analyzer::chunks::{Chunk, LONGEST};
use crate::analyzer::decode::{DecodeError, InvalidUtf8, decode, with_nul};
use crate::failure::Failure;
use memchr::memchr;
use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::Range;

/// Bytes that any line may have: 16 MiB.
const ANY_LINE: u64 = 16 << 20;

/// Bytes of a line that show its encoding: 4 KiB.
const BEGINNING: usize = 4 << 10;

/// Bytes of an escape of one byte: `\u0041`.
const ESCAPE: u64 = 6;

/// The records of a split.
pub(crate) struct JsonLines {
    lines: LineReader,
    /// Maximum bytes of a line.
    limit: usize,
    /// A line that is not in the reader's buffer as a whole.
    line: Vec<u8>,
    decode_error: DecodeError,
    /// A line that was not UTF-8, and a buffer to decode it.
    decoded: [Vec<u8>; 2],
    parser: Parser,
    about: About,
}

impl JsonLines {
    /// The records are `lines`. Invalid UTF-8 in them is treated as `decode_error` demands, before they are parsed.
    pub(crate) fn new(lines: LineReader, settings: &RecordSettings, decode_error: DecodeError) -> Self {
        let limit = settings.max_bytes.saturating_mul(ESCAPE).max(ANY_LINE).min(LONGEST as u64);
        JsonLines {
            lines,
            limit: limit as usize,
            line: Vec::new(),
            decode_error,
            decoded: Default::default(),
            parser: Parser::new(settings),
            about: About::default(),
        }
    }
}

impl Records for JsonLines {
    fn next(&mut self, text: &mut Vec<u8>) -> Option<Result<Chunk, Failure>> {
        let JsonLines { lines, limit, line: spill, decode_error, decoded, parser, about } = self;
        text.clear();
        about.id = None;
        clear(spill);
        loop {
            let line = match lines.next(spill, *limit)? {
                Ok(Line::Buffered(line)) => line,
                Ok(Line::Spilled) => spill,
                Ok(Line::Long { is_blank: true, .. }) => continue,
                // A text in it may be shorter than 2 GiB, but also longer.
                Ok(Line::Long { .. }) if *limit == LONGEST => return Some(Err(Failure::Unbroken)),
                Ok(Line::Long { .. }) => return Some(Err(Failure::LargerThan(parser.max_bytes))),
                Err(failure) => return Some(Err(failure)),
            };
            if is_blank(line) {
                continue;
            }
            let line = to_str(line, *decode_error, decoded);
            let result = line.and_then(|line| parser.parse(line, text, about));
            if result.is_err() {
                text.clear();
            }
            return Some(result.map(|()| Chunk::WHOLE));
        }
    }

    fn skip(&mut self, _text: &mut Vec<u8>) -> bool {
        std::iter::from_fn(|| self.lines.pass()).any(|is_blank| !is_blank)
    }

    fn about(&self) -> &About {
        &self.about
    }
}

/// The text of a line, which is decoded in `buffers` if it is not UTF-8.
fn to_str<'l>(
    line: &'l [u8],
    policy: DecodeError,
    buffers: &'l mut [Vec<u8>; 2],
) -> Result<&'l str, Failure> {
    if let Ok(line) = simdutf8::basic::from_utf8(line) {
        return Ok(line);
    }
    let [bytes, spare] = buffers;
    clear(bytes);
    clear(spare);
    append(bytes, line)?;
    decode(bytes, policy, spare).map_err(|InvalidUtf8(at)| Failure::InvalidUtf8(at))?;
    std::str::from_utf8(bytes).map_err(|error| Failure::InvalidUtf8(error.valid_up_to() as u64))
}

/// Takes the wanted fields of a line.
struct Parser {
    /// The fields that are wanted, each once.
    names: Vec<String>,
    /// Their values in the current line, as JSON.
    values: Vec<Option<Range<usize>>>,
    /// The text fields, in `names`.
    text: Vec<usize>,
    /// The fields that may have the identifier, in `names`, the first choice first.
    id: Vec<usize>,
    /// Whether a record without an identifier fails.
    needs_id: bool,
    max_bytes: u64,
}

impl Parser {
    fn new(settings: &RecordSettings) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut place = |name: &str| {
            names.iter().position(|known| known == name).unwrap_or_else(|| {
                names.push(name.to_owned());
                names.len() - 1
            })
        };
        let text = settings.text_fields.iter().map(|name| place(name)).collect();
        let id = match &settings.id_field {
            Some(name) => vec![place(name)],
            None => ["id", "_id"].map(place).to_vec(),
        };
        Parser {
            values: vec![None; names.len()],
            names,
            text,
            id,
            needs_id: settings.id_field.is_some(),
            max_bytes: settings.max_bytes,
        }
    }

    /// Appends the text of a record to `text`, and sets its identifier.
    fn parse(&mut self, line: &str, text: &mut Vec<u8>, about: &mut About) -> Result<(), Failure> {
        if self.parse_plain(line.as_bytes(), text, about).is_some() {
            return Ok(());
        }
        text.clear();
        about.id = None;
        let Parser { names, values, .. } = self;
        values.fill(None);
        let mut json = serde_json::Deserializer::from_str(line);
        let is_object = line.trim_ascii_start().starts_with('{');
        let fields = Fields { names, values, line };
        let parsed = match is_object {
            true => fields.deserialize(&mut json),
            false => IgnoredAny::deserialize(&mut json).map(|IgnoredAny| ()),
        };
        parsed.and_then(|()| json.end()).map_err(|error| invalid(line, &error))?;
        if !is_object {
            return Err(Failure::NotAnObject);
        }
        let id = self.id(line).map(|id| about.id = id);
        self.text(line, text)?;
        id
    }

    /// As [`Parser::parse`], in one pass without a tree of calls, for most lines: an object of strings and integers, in which
    /// each wanted field occurs once and the text is one field. `None` for all other lines, also for invalid ones.
    fn parse_plain(&mut self, line: &[u8], text: &mut Vec<u8>, about: &mut About) -> Option<()> {
        let &[wanted] = &*self.text else { return None };
        let mut at = spaces(line, 0);
        if line.get(at) != Some(&b'{') {
            return None;
        }
        let (mut has_text, mut id): (bool, Option<(usize, String)>) = (false, None);
        loop {
            at = spaces(line, at + 1);
            let key = string::plain(line, at)?;
            at = spaces(line, key.end + 1);
            if line.get(at) != Some(&b':') {
                return None;
            }
            at = spaces(line, at + 1);
            let name = self.names.iter().position(|name| name.as_bytes() == &line[key.clone()]);
            let choice = name.and_then(|name| self.id.iter().position(|&id| id == name));
            if name == Some(wanted) {
                // A second one would count, or the field is the identifier, too.
                if has_text || choice.is_some() {
                    return None;
                }
                has_text = true;
                at = string::decode(line, at, text).ok()?;
            } else if line.get(at) == Some(&b'"') && choice.is_none() {
                at = string::end(line, at)?;
            } else {
                let value = match line.get(at)? {
                    b'"' => string::plain(line, at)?,
                    _ => at..integer(line, at)?,
                };
                at = if line[at] == b'"' { value.end + 1 } else { value.end };
                if let Some(choice) = choice {
                    if id.as_ref().is_some_and(|&(known, _)| known == choice) {
                        return None;
                    }
                    if id.as_ref().is_none_or(|&(known, _)| choice < known) {
                        id = Some((choice, std::str::from_utf8(&line[value]).ok()?.to_owned()));
                    }
                }
            }
            at = spaces(line, at);
            match line.get(at)? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        let is_all = spaces(line, at + 1) == line.len();
        let fits = text.len() as u64 <= self.max_bytes.min(LONGEST as u64);
        if !is_all || !has_text || !fits || (self.needs_id && id.is_none()) {
            return None;
        }
        about.id = id.map(|(_, id)| id);
        Some(())
    }

    /// The identifier of the parsed line.
    fn id(&self, line: &str) -> Result<Option<String>, Failure> {
        let mut cause = Failure::NoField(0);
        for value in self.id.iter().filter_map(|&name| self.values[name].clone()) {
            cause = match Value::of(line, value.clone()) {
                Value::Text => {
                    let mut id = Vec::new();
                    string::decode(&line.as_bytes()[..value.end], value.start, &mut id)?;
                    return Ok(String::from_utf8(id).ok());
                }
                Value::Number => return Ok(Some(line[value].to_owned())),
                Value::Null => Failure::NullField(0),
                Value::Other => Failure::NotText(0),
            };
        }
        if self.needs_id { Err(cause) } else { Ok(None) }
    }

    /// Appends the text fields of the parsed line to `text`.
    fn text(&self, line: &str, text: &mut Vec<u8>) -> Result<(), Failure> {
        for (number, &name) in (1..).zip(&self.text) {
            if number > 1 {
                append(text, b"\n")?;
            }
            let value = self.values[name].clone().ok_or(Failure::NoField(number))?;
            match Value::of(line, value.clone()) {
                Value::Text => {
                    string::decode(&line.as_bytes()[..value.end], value.start, text)?;
                }
                Value::Null => return Err(Failure::NullField(number)),
                Value::Number | Value::Other => return Err(Failure::NotText(number)),
            }
        }
        match text.len() {
            length if length as u64 > self.max_bytes => Err(Failure::TooLarge(length as u64)),
            length if length > LONGEST => Err(Failure::Unbroken),
            _ => Ok(()),
        }
    }
}

/// The place behind the white space at `at`.
fn spaces(line: &[u8], at: usize) -> usize {
    let spaces = line.get(at..).unwrap_or_default().iter();
    at + spaces.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count()
}

/// The end of the integer at `at`, if a value ends there. JSON allows no zero before another digit.
fn integer(line: &[u8], at: usize) -> Option<usize> {
    let start = at + usize::from(line.get(at) == Some(&b'-'));
    let digits = line.get(start..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_valid = digits == 1 || digits > 1 && line[start] != b'0';
    let end = start + digits;
    (is_valid && matches!(line.get(end)?, b',' | b'}' | b' ' | b'\t')).then_some(end)
}

/// What a value in JSON is.
enum Value {
    Text,
    Number,
    Null,
    Other,
}

impl Value {
    /// The kind of the value at `place`, which is valid.
    fn of(line: &str, place: Range<usize>) -> Self {
        match line.as_bytes()[place].first() {
            Some(b'"') => Value::Text,
            Some(b'-' | b'0'..=b'9') => Value::Number,
            Some(b'n') => Value::Null,
            _ => Value::Other,
        }
    }
}

/// The failure of a line that is not JSON.
fn invalid(line: &str, error: &serde_json::Error) -> Failure {
    // Columns count bytes, from 1. A JSON text that ends too early has its error behind the last byte.
    if let failure @ (Failure::PerhapsUtf16 | Failure::PerhapsUtf32) = perhaps_encoded(line.as_bytes()) {
        return failure;
    }
    let at = if error.is_eof() { line.len() } else { error.column().saturating_sub(1).min(line.len()) };
    Failure::InvalidJson(at as u64)
}

/// What a line with NULs may be. In JSON there are none.
fn perhaps_encoded(line: &[u8]) -> Failure {
    // The first byte may be of the line end before.
    let start = usize::from(line.len() % 2 == 1 && line.starts_with(b"\0"));
    let beginning = &line[start..line.len().min(start + BEGINNING)];
    if memchr(0, beginning).is_some() { with_nul(beginning) } else { Failure::Binary }
}

/// The places of the wanted values of an object.
struct Fields<'p> {
    names: &'p [String],
    values: &'p mut [Option<Range<usize>>],
    line: &'p str,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(field) = object.next_key_seed(Name(self.names))? {
            let Some(field) = field else {
                object.next_value::<IgnoredAny>()?;
                continue;
            };
            // Borrowed from the line: the difference of the addresses is its place.
            let value = object.next_value::<&RawValue>()?.get();
            let start = value.as_ptr().addr().wrapping_sub(self.line.as_ptr().addr());
            self.values[field] = Some(start..start + value.len());
        }
        Ok(())
    }
}

/// A key: which of the names it is.
struct Name<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|name| name == key))
    }
}

#[cfg(test)]
mod tests {
    use super::super::line_reader::tests::{lines, ranges};
    use super::*;
    use proptest::prelude::*;

    fn settings(text_fields: &[&str]) -> RecordSettings {
        RecordSettings {
            text_fields: text_fields.iter().map(|&name| name.to_owned()).collect(),
            max_bytes: 1000,
            ..RecordSettings::default()
        }
    }

    fn with_id(name: &str) -> RecordSettings {
        RecordSettings { id_field: Some(name.to_owned()), ..settings(&["text"]) }
    }

    /// A record's text, and its identifier.
    type Found = (Result<String, Failure>, Option<String>);

    fn all(mut records: JsonLines) -> Vec<Found> {
        let mut text = Vec::new();
        let mut found = Vec::new();
        while let Some(result) = records.next(&mut text) {
            let text = result.map(|_| String::from_utf8(text.clone()).expect("UTF-8"));
            found.push((text, records.about().id.clone()));
        }
        found
    }

    fn read_bytes(file: &[u8], settings: &RecordSettings, policy: DecodeError) -> Vec<Found> {
        let records = |step| JsonLines::new(lines(file, 0..u64::MAX, step), settings, policy);
        let found = all(records(usize::MAX));
        assert_eq!(all(records(1)), found);
        let mut skipped = records(2);
        assert_eq!((0..).take_while(|_| skipped.skip(&mut Vec::new())).count(), found.len());
        found
    }

    /// The text of a file of one record.
    fn one(file: &str, settings: &RecordSettings) -> Result<String, Failure> {
        one_bytes(file.as_bytes(), settings, DecodeError::Strict)
    }

    fn one_bytes(file: &[u8], settings: &RecordSettings, policy: DecodeError) -> Result<String, Failure> {
        let [(text, _)] = &read_bytes(file, settings, policy)[..] else { panic!("one record") };
        text.clone()
    }

    fn ok(text: &str) -> Result<String, Failure> {
        Ok(text.to_owned())
    }

    #[test]
    fn fields() {
        let one = |file: &str| one(file, &settings(&["title", "text"]));
        assert_eq!(one(r#"{"text":"b","n":{"text":"x"},"title":"a"}"#), ok("a\nb"));
        assert_eq!(one(r#" {"t\u0065xt" : "b" , "title":"" } "#), ok("\nb"));
        assert_eq!(one(r#"{"text":1,"text":"b","title":null,"title":"a"}"#), ok("a\nb"));
        assert_eq!(one(r#"{"text":"b","text":null,"title":"a"}"#), Err(Failure::NullField(2)));
        assert_eq!(one(r#"{"text":"b"}"#), Err(Failure::NoField(1)));
        assert_eq!(one(r#"{"text":["b"],"title":"a"}"#), Err(Failure::NotText(2)));
        assert_eq!(one(r#"{"text":"b","title":-1.5e3}"#), Err(Failure::NotText(1)));
        for value in ["[]", "\"a\"", "null", "1e999", "true"] {
            assert_eq!(one(value), Err(Failure::NotAnObject));
        }
        assert_eq!(super::tests::one(r#"{"a":"b"}"#, &settings(&["a", "a"])), ok("b\nb"));
        assert_eq!(super::tests::one(r#"{"a":"b"}"#, &settings(&[])), ok(""));
    }

    #[test]
    fn identifiers() {
        let id = |file: &str, settings: &RecordSettings| {
            let [(text, id)] = &read_bytes(file.as_bytes(), settings, DecodeError::Strict)[..] else {
                panic!("one record")
            };
            (text.clone().err(), id.clone())
        };
        let some = |id: &str| (None, Some(id.to_owned()));
        assert_eq!(id(r#"{"_id":"b","text":"","id":"\u00e9"}"#, &settings(&["text"])), some("é"));
        assert_eq!(id(r#"{"_id":"b","text":"","id":null}"#, &settings(&["text"])), some("b"));
        assert_eq!(id(r#"{"text":"","id":[1]}"#, &settings(&["text"])), (None, None));
        for number in ["0", "-1.50", "1E+2", "123456789012345678901234567890"] {
            let file = format!(r#"{{"text":"","id": {number} }}"#);
            assert_eq!(id(&file, &settings(&["text"])), some(number));
        }
        assert_eq!(id(r#"{"text":"","id":"b","key":"a"}"#, &with_id("key")), some("a"));
        assert_eq!(id(r#"{"text":"a"}"#, &with_id("text")), some("a"));
        assert_eq!(id(r#"{"text":"","id":"b"}"#, &with_id("key")), (Some(Failure::NoField(0)), None));
        assert_eq!(id(r#"{"text":"","key":null}"#, &with_id("key")), (Some(Failure::NullField(0)), None));
        assert_eq!(id(r#"{"text":"","key":true}"#, &with_id("key")), (Some(Failure::NotText(0)), None));
        // Known even if the document fails.
        let failed = (Some(Failure::NoField(1)), Some("7".to_owned()));
        assert_eq!(id(r#"{"id":7}"#, &settings(&["text"])), failed);
    }

    #[test]
    fn blank_lines_are_no_records() {
        let file = b"\n{\"text\":\"a\"}\r\n \t\r\n\xEF\xBB\xBF\n{\"text\":\"b\"}\n\n ";
        let found = read_bytes(file, &settings(&["text"]), DecodeError::Strict);
        let found: Vec<_> = found.into_iter().map(|(text, _)| text).collect();
        assert_eq!(found, [ok("a"), Err(Failure::InvalidJson(0)), ok("b")]);
    }

    #[test]
    fn invalid_lines() {
        let invalid = |file: &str, at| {
            assert_eq!(one(file, &settings(&["text"])), Err(Failure::InvalidJson(at)), "{file}");
        };
        invalid("{", 1);
        invalid(r#"{"text":"a"} x"#, 13);
        invalid(r#"{"text":"a"}{"text":"a"}"#, 12);
        invalid(r#"{"text":"a","n":NaN}"#, 16);
        invalid(r#"{"text":"a",}"#, 12);
        // The byte before the control character.
        invalid("{\"text\":\"a\tb\"}", 9);
        invalid("{'text':'a'}", 1);
        // Surrogates without their partners are refused where they are decoded.
        invalid(r#"{"text":"a\ud800"}"#, 10);
        invalid(r#"{"text":"\udc00\ud800"}"#, 9);
        invalid(r#"{"text":"\ud800\u0041"}"#, 9);
        invalid(r#"{"id":"\ud800","text":""}"#, 7);
        assert_eq!(one(r#"{"text":"a","other":"\ud800"}"#, &settings(&["text"])), ok("a"));
        assert_eq!(
            one(r#"{"text":"\ud83d\uDE00\/\"\\\b\f\n\r\t\u0000"}"#, &settings(&["text"])),
            ok("😀/\"\\\u{8}\u{C}\n\r\t\0")
        );
    }

    #[test]
    fn deep_nesting_overflows_no_stack() {
        let deep = 1 << 20;
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = format!("{}1{}", open.repeat(deep), close.repeat(deep));
            let large = RecordSettings { max_bytes: 16 << 20, ..settings(&["text"]) };
            for field in ["text", "other"] {
                let file = format!(r#"{{"{field}":{nested},"id":"a"}}"#);
                let cause = if field == "text" { Failure::NotText(1) } else { Failure::NoField(1) };
                assert_eq!(one(&file, &large), Err(cause));
            }
            assert!(one(&open.repeat(deep), &large).is_err());
        }
    }

    #[test]
    fn invalid_utf8() {
        let file = b"{\"text\":\"a\xFFb\"}";
        let one = |file: &[u8], policy| one_bytes(file, &settings(&["text"]), policy);
        assert_eq!(one(file, DecodeError::Strict), Err(Failure::InvalidUtf8(10)));
        assert_eq!(one(file, DecodeError::Replace), ok("a\u{FFFD}b"));
        assert_eq!(one(file, DecodeError::Ignore), ok("ab"));
        assert_eq!(one(b"\xFF", DecodeError::Ignore), Err(Failure::InvalidJson(0)));
    }

    #[test]
    fn limits() {
        let limited = |max_bytes| RecordSettings { max_bytes, ..settings(&["text", "b"]) };
        assert_eq!(one(r#"{"text":"\u0061b","b":"c"}"#, &limited(4)), ok("ab\nc"));
        assert_eq!(one(r#"{"text":"\u0061b","b":"cd"}"#, &limited(4)), Err(Failure::TooLarge(5)));
        let long = |size| format!("{{\"b\":\"\",\"text\":\"\",\"other\":\"{}\"}}\n{{}}", "a".repeat(size));
        let causes = |file: &str| {
            let found = read_bytes(file.as_bytes(), &limited(4), DecodeError::Strict);
            found.into_iter().map(|(text, _)| text).collect::<Vec<_>>()
        };
        let missing = Err(Failure::NoField(1));
        assert_eq!(causes(&long(100)), [ok("\n"), missing.clone()]);
        assert_eq!(causes(&long(16 << 20)), [Err(Failure::LargerThan(4)), missing]);
        // As long, but blank.
        assert_eq!(causes(&" ".repeat(17 << 20)), []);
        let unlimited = JsonLines::new(lines(b"", 0..1, 1), &limited(u64::MAX), DecodeError::Strict);
        assert_eq!(unlimited.limit, LONGEST);
    }

    proptest! {
        #[test]
        fn the_plain_way_reads_what_serde_json_reads(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "\"", "\\", ":", ",", "text", "id", "_id", "a", "\u{e9}", "\\n", "\\\"", "\\/", "\\u0041",
                    "\\u00e9", "\\ud800", "\\u+123", "\\x", "\u{1}", "\t", " ", "0", "1", "-", "01", "1.5", "null", "[]", "{}",
                    "longer than eight", "\"id\":\"", "\"text\":\"", "\",", "\"text\":", "\"id\":7,",
                ]),
                0..12,
            ),
            begins in any::<bool>(),
            ends in any::<bool>(),
        ) {
            let (head, tail) = (if begins { "{\"text\":\"" } else { "" }, if ends { "\"}" } else { "" });
            let line = format!("{head}{}{tail}", parts.concat());
            let mut parser = Parser::new(&RecordSettings::default());
            let (mut text, mut about) = (Vec::new(), About::default());
            if parser.parse_plain(line.as_bytes(), &mut text, &mut about).is_some() {
                let value: serde_json::Value = serde_json::from_str(&line).expect("serde_json accepts it");
                prop_assert_eq!(value["text"].as_str().map(str::as_bytes), Some(&text[..]));
                let id = value.get("id").or_else(|| value.get("_id"));
                let id = id.map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
                prop_assert_eq!(about.id, id);
            }
        }

        #[test]
        fn as_serde_json_reads(
            lines in prop::collection::vec("\\PC{0,12}|[a\"\\\\\n\u{1}é😀]{0,12}", 1..6),
            extra in any::<f64>(),
            cuts in prop::collection::vec(any::<usize>(), 0..4),
            step in 1usize..99,
        ) {
            let (mut file, mut expected) = (String::new(), Vec::new());
            for (number, text) in lines.iter().enumerate() {
                let object = serde_json::json!({ "x": [extra, { "text": 1 }], "text": text, "id": number, "": text });
                file += &format!("{object}\n");
                // Escapes that `serde_json` does not write.
                let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
                file += &format!("{{\"text\":\"{units}\",\"id\":{number}}}\r\n\r\n");
                expected.extend([(Ok(text.clone()), Some(number.to_string())), (Ok(text.clone()), Some(number.to_string()))]);
            }
            let parts: Vec<_> = ranges(file.len(), &cuts)
                .into_iter()
                .flat_map(|range| {
                    let lines = super::super::line_reader::tests::lines(file.as_bytes(), range, step);
                    all(JsonLines::new(lines, &settings(&["text"]), DecodeError::Strict))
                })
                .collect();
            prop_assert_eq!(&parts, &expected);
            let lines = super::super::line_reader::tests::lines(file.as_bytes(), 0..u64::MAX, step);
            let mut records = JsonLines::new(lines, &settings(&["text"]), DecodeError::Strict);
            prop_assert!(records.skip(&mut Vec::new()));
            prop_assert_eq!(all(records), &expected[1..]);
        }

        #[test]
        fn any_bytes_are_read_or_fail(
            beginning in prop::sample::select(&["", "{\"text\":\"", "{\"id\":", "{\"text\":\"\\ud800"][..]),
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            end in prop::sample::select(&["", "\"}", "}"][..]),
        ) {
            let file = [beginning.as_bytes(), &bytes, end.as_bytes()].concat();
            for policy in [DecodeError::Strict, DecodeError::Replace, DecodeError::Ignore] {
                read_bytes(&file, &settings(&["text"]), policy);
            }
        }

        #[test]
        fn accepts_what_serde_json_accepts(
            line in r#"[{}\[\]":,a01eE+.\\u \-]{0,12}|\{"text":"[a"\\u0d8n]{0,14}"\}"#,
        ) {
            let value = serde_json::from_str::<serde_json::Value>(&line);
            for (text, _) in read_bytes(line.as_bytes(), &settings(&["text"]), DecodeError::Strict) {
                match &value {
                    Ok(serde_json::Value::Object(object)) => match object.get("text") {
                        Some(serde_json::Value::String(expected)) => prop_assert_eq!(&text, &Ok(expected.clone())),
                        Some(_) => prop_assert!(text.is_err()),
                        None => prop_assert_eq!(text, Err(Failure::NoField(1))),
                    },
                    Ok(_) => prop_assert_eq!(text, Err(Failure::NotAnObject)),
                    Err(_) => prop_assert!(text.is_err()),
                }
            }
        }
    }
}
