//! The records of a CSV or TSV file, as Python's `csv` module, pandas and `csv-core` find them.
//!
//! A field in quotes may contain anything, a doubled quote is a quote; a quote inside an unquoted field, and what follows a
//! closing quote, is literal. Lines end with `\n`, `\r` or both; a blank line is no record. A range of the file may begin in
//! quotes, so each range is scanned first ([`Scan`]): its end state, for each state in which it may begin, leads to the state
//! in which the next range begins. Gives bytes; the analyzer decodes them.

use super::line_reader::{ByteReader, append, clear};
use super::{About, RecordSettings, Records};
use crate::analyzer::chunks::{Chunk, LONGEST};
use crate::analyzer::decode::{DecodeError, decode, with_nul};
use crate::failure::Failure;
use memchr::{memchr, memchr3};
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

/// Maximum bytes of a header: 16 MiB.
const MAX_HEADER: u64 = 16 << 20;

/// Bytes that are scanned at a time, for each state: 16 KiB stay in the processor's first-level cache.
const BLOCK: usize = 16 << 10;

/// A place in the structure of a CSV file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum State {
    /// Between two records.
    StartOfRecord,
    /// Behind a delimiter.
    StartOfField,
    /// Outside of quotes.
    InField,
    /// Within quotes.
    InQuotes,
    /// Behind a quote within quotes: the first of two, or the closing one.
    QuoteInQuotes,
}

impl State {
    /// All states, in the order of their numbers.
    pub(crate) const ALL: [State; 5] =
        [State::StartOfRecord, State::StartOfField, State::InField, State::InQuotes, State::QuoteInQuotes];
}

/// Receives the fields of records.
trait Fields {
    /// More bytes of the current field.
    fn bytes(&mut self, run: &[u8]);

    /// The end of the current field.
    fn end_field(&mut self);
}

/// Only the borders of records are wanted.
struct Borders;

impl Fields for Borders {
    fn bytes(&mut self, _run: &[u8]) {}

    fn end_field(&mut self) {}
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Goes on from `state` to the end of the record, or to the end of `bytes`. Returns how many of them it passed, and
/// whether the record has ended.
fn advance(delimiter: u8, state: &mut State, bytes: &[u8], fields: &mut impl Fields) -> (usize, bool) {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match *state {
            State::StartOfRecord if is_line_end(byte) => at += 1,
            State::StartOfRecord | State::StartOfField if byte == b'"' => {
                at += 1;
                *state = State::InQuotes;
            }
            State::InQuotes => {
                let rest = &bytes[at..];
                let end = memchr(b'"', rest);
                let run = &rest[..end.unwrap_or(rest.len())];
                fields.bytes(run);
                at += run.len();
                if end.is_some() {
                    at += 1;
                    *state = State::QuoteInQuotes;
                }
            }
            State::QuoteInQuotes if byte == b'"' => {
                fields.bytes(b"\"");
                at += 1;
                *state = State::InQuotes;
            }
            _ => {
                let rest = &bytes[at..];
                let end = memchr3(delimiter, b'\n', b'\r', rest);
                let run = &rest[..end.unwrap_or(rest.len())];
                fields.bytes(run);
                at += run.len();
                *state = State::InField;
                if let Some(&end) = bytes.get(at) {
                    at += 1;
                    fields.end_field();
                    if end != delimiter {
                        *state = State::StartOfRecord;
                        return (at, true);
                    }
                    *state = State::StartOfField;
                }
            }
        }
    }
    (at, false)
}

/// Why [`Cursor::step`] returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The record goes on.
    Within,
    /// The record has ended.
    RecordEnd,
    /// The record has ended with the stream.
    StreamEnd,
}

/// A place in a stream.
struct Cursor {
    bytes: ByteReader,
    state: State,
    delimiter: u8,
}

impl Cursor {
    /// Goes on in the current record, as far as bytes are in memory.
    fn step(&mut self, fields: &mut impl Fields) -> Result<Step, Failure> {
        let bytes = self.bytes.fill()?;
        if bytes.is_empty() {
            fields.end_field();
            return Ok(Step::StreamEnd);
        }
        let (count, has_ended) = advance(self.delimiter, &mut self.state, bytes, fields);
        self.bytes.consume(count);
        Ok(if has_ended { Step::RecordEnd } else { Step::Within })
    }

    /// Passes over blank lines, unless it is in a record. Returns false if nothing is left before byte `end`.
    fn pass_blank_lines(&mut self, end: u64) -> Result<bool, Failure> {
        while self.bytes.at() < end {
            let bytes = self.bytes.fill()?;
            let count = match self.state {
                State::StartOfRecord => bytes.iter().take_while(|&&byte| is_line_end(byte)).count(),
                _ => 0,
            };
            let is_end = bytes.is_empty();
            let is_found = count < bytes.len();
            self.bytes.consume(count);
            if is_found || is_end {
                return Ok(is_found && self.bytes.at() < end);
            }
        }
        Ok(false)
    }
}

/// The state at the end of a range of a file, for each state at its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scan([State; 5]);

impl Scan {
    /// Reads `stream`, which is a range of a file from `start` on. No range may end at byte 1 or 2 of the file, since a
    /// byte-order mark may be there.
    ///
    /// # Errors
    /// The failure of the stream, or that of a file in another encoding.
    pub(crate) fn read(stream: Box<dyn Read + Send>, start: u64, delimiter: u8) -> Result<Scan, Failure> {
        let mut reader = ByteReader::new(stream, start);
        let mut states = State::ALL;
        reader.pass_mark()?;
        loop {
            let bytes = reader.fill()?;
            if bytes.is_empty() {
                return Ok(Scan(states));
            }
            for block in bytes.chunks(BLOCK) {
                // States that have met stay together.
                let mut ends = [None; 5];
                states = states
                    .map(|state| *ends[state as usize].get_or_insert_with(|| end(delimiter, state, block)));
            }
            let count = bytes.len();
            reader.consume(count);
        }
    }

    /// The state at the end of the range if it begins in `start`.
    #[cfg(test)]
    fn end(self, start: State) -> State {
        self.0[start as usize]
    }

    /// The numbers of the end states, for a message.
    pub(crate) fn to_numbers(self) -> [u8; 5] {
        self.0.map(|state| state as u8)
    }
}

/// The state behind `bytes`.
fn end(delimiter: u8, mut state: State, mut bytes: &[u8]) -> State {
    while !bytes.is_empty() {
        let (count, _) = advance(delimiter, &mut state, bytes, &mut Borders);
        bytes = &bytes[count..];
    }
    state
}

/// The places of the wanted fields in the records of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    /// The text fields, from 0; or the failure of each record if one is not in the header.
    text: Result<Vec<u64>, Failure>,
    /// The identifier; or the failure of each record if it was demanded and is not in the header.
    id: Result<Option<u64>, Failure>,
    /// The number of fields of each record. It is not checked if there is no header.
    fields: Option<u64>,
    /// The offset in the file behind the header: all records begin there or later.
    end: u64,
}

impl Header {
    /// Reads the header of a file from `stream`, which begins with the file. Reads nothing if the settings say that there
    /// is none; fields are then numbers from 1.
    ///
    /// Of equal names in the header the first counts.
    ///
    /// # Errors
    /// The failure of the stream, that of a file in another encoding, or [`Failure::OtherFormat`] if the header does not end
    /// within 16 MiB.
    pub(crate) fn read(stream: Box<dyn Read + Send>, settings: &RecordSettings) -> Result<Header, Failure> {
        if !settings.has_header {
            let place = |name: &str| name.parse::<u64>().ok().and_then(|number| number.checked_sub(1));
            return Ok(Header::new(settings, None, 0, place));
        }
        let mut names = Names::default();
        let defaults = ["id", "_id"].map(str::to_owned);
        names.wanted.extend(
            settings
                .text_fields
                .iter()
                .chain(&settings.id_field)
                .chain(&defaults)
                .map(|name| (name.clone(), None)),
        );
        let delimiter = settings.delimiter.unwrap_or(b',');
        let mut cursor = Cursor { bytes: ByteReader::new(stream, 0), state: State::StartOfRecord, delimiter };
        cursor.bytes.pass_mark()?;
        let beginning = beginning(cursor.bytes.fill()?).to_vec();
        while cursor.step(&mut names)? == Step::Within {
            if cursor.bytes.at() > MAX_HEADER {
                return Err(Failure::OtherFormat);
            }
        }
        let place = |name: &str| names.wanted.iter().find(|(wanted, _)| wanted == name)?.1;
        let mut header = Header::new(settings, Some(names.count), cursor.bytes.at(), place);
        // The names are there, but in another encoding.
        let in_header = &beginning[..beginning.len().min(usize::try_from(header.end).unwrap_or(usize::MAX))];
        if header.text.is_err() && in_header.contains(&0) {
            header.text = Err(with_nul(&beginning));
        }
        Ok(header)
    }

    fn new(
        settings: &RecordSettings,
        fields: Option<u64>,
        end: u64,
        place: impl Fn(&str) -> Option<u64>,
    ) -> Header {
        let text = (1..).zip(&settings.text_fields);
        let text = text.map(|(number, name)| place(name).ok_or(Failure::NoField(number)));
        let id = match &settings.id_field {
            Some(name) => place(name).map(Some).ok_or(Failure::NoField(0)),
            None if settings.has_header => Ok(place("id").or_else(|| place("_id"))),
            None => Ok(None),
        };
        Header { text: text.collect(), id, fields, end }
    }
}

/// The beginning of a file, of whole units of any encoding.
fn beginning(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(4 << 10)]
}

/// Looks for names in a header.
#[derive(Default)]
struct Names {
    /// The names, with the place of each that was found.
    wanted: Vec<(String, Option<u64>)>,
    current: Vec<u8>,
    /// The number of fields that have ended.
    count: u64,
}

impl Fields for Names {
    fn bytes(&mut self, run: &[u8]) {
        self.current.extend_from_slice(run);
    }

    fn end_field(&mut self) {
        for (name, place) in &mut self.wanted {
            if name.as_bytes() == self.current {
                place.get_or_insert(self.count);
            }
        }
        self.current.clear();
        self.count += 1;
    }
}

/// A field that is wanted.
#[derive(Debug)]
struct Slot {
    /// Its place in each record.
    place: u64,
    /// Its bytes in the current record, unless there are too many.
    bytes: Vec<u8>,
    /// Their number.
    length: u64,
    /// Whether memory was lacking.
    is_lacking: bool,
}

/// The wanted fields of a record.
struct Row {
    slots: Vec<Slot>,
    /// The slot of the current field, if it has one.
    current: Option<usize>,
    /// The number of fields that have ended.
    fields: u64,
    /// Maximum bytes of a slot.
    limit: u64,
}

impl Row {
    /// Begins a record.
    fn clear(&mut self) {
        for slot in &mut self.slots {
            clear(&mut slot.bytes);
            (slot.length, slot.is_lacking) = (0, false);
        }
        self.fields = 0;
        self.find_slot();
    }

    fn find_slot(&mut self) {
        self.current = self.slots.iter().position(|slot| slot.place == self.fields);
    }
}

impl Fields for Row {
    fn bytes(&mut self, run: &[u8]) {
        let Some(slot) = self.current.map(|slot| &mut self.slots[slot]) else { return };
        slot.length += run.len() as u64;
        if slot.length > self.limit {
            clear(&mut slot.bytes);
        } else if slot.is_lacking || append(&mut slot.bytes, run).is_err() {
            slot.is_lacking = true;
            clear(&mut slot.bytes);
        }
    }

    fn end_field(&mut self) {
        self.fields += 1;
        self.find_slot();
    }
}

/// The records of a split.
///
/// A record with another number of fields than the header fails. Without a header, one without a wanted field fails.
pub(crate) struct CsvRecords {
    cursor: Cursor,
    range: Range<u64>,
    header: Arc<Header>,
    max_bytes: u64,
    decode_error: DecodeError,
    row: Row,
    /// The slots of the text fields.
    text: Vec<usize>,
    /// The slot of the identifier.
    id: Option<usize>,
    about: About,
    is_over: bool,
}

impl CsvRecords {
    /// The records that begin in `range`, where the state is `state`. The stream begins with byte `range.start` of the file,
    /// and goes on behind the range as long as the last record does.
    pub(crate) fn new(
        stream: Box<dyn Read + Send>,
        range: Range<u64>,
        state: State,
        header: Arc<Header>,
        settings: &RecordSettings,
        decode_error: DecodeError,
    ) -> Self {
        let mut slots: Vec<Slot> = Vec::new();
        let mut slot = |place: u64| {
            slots.iter().position(|slot| slot.place == place).unwrap_or_else(|| {
                slots.push(Slot { place, bytes: Vec::new(), length: 0, is_lacking: false });
                slots.len() - 1
            })
        };
        let text = header.text.iter().flatten().map(|&place| slot(place)).collect();
        let id = header.id.ok().flatten().map(slot);
        let limit = settings.max_bytes.min(LONGEST as u64);
        CsvRecords {
            cursor: Cursor {
                bytes: ByteReader::new(stream, range.start),
                state,
                delimiter: settings.delimiter.unwrap_or(b','),
            },
            range,
            header,
            max_bytes: settings.max_bytes,
            decode_error,
            row: Row { slots, current: None, fields: 0, limit },
            text,
            id,
            about: About::default(),
            is_over: false,
        }
    }

    /// Goes to the next record. Returns false if none begins in the range.
    fn begin(&mut self) -> Result<bool, Failure> {
        let CsvRecords { cursor, range, header, is_over, .. } = self;
        if *is_over {
            return Ok(false);
        }
        // Until the record is read. A failure ends the records.
        *is_over = true;
        cursor.bytes.pass_mark()?;
        while cursor.pass_blank_lines(range.end)? {
            if cursor.state == State::StartOfRecord && cursor.bytes.at() >= header.end {
                return Ok(true);
            }
            // In the header, or in a record that begins before the range.
            cursor.step(&mut Borders)?;
        }
        Ok(false)
    }

    /// Reads the next record into `text`. Returns false if there is none.
    fn read(&mut self, text: &mut Vec<u8>) -> Result<bool, Failure> {
        if !self.begin()? {
            return Ok(false);
        }
        self.row.clear();
        self.is_over = pass(&mut self.cursor, &mut self.row)?;
        self.finish(text).map(|()| true)
    }

    /// Gives the record that was read.
    fn finish(&mut self, text: &mut Vec<u8>) -> Result<(), Failure> {
        let fields = self.row.fields;
        let id = self.read_id().map(|id| self.about.id = id);
        if let Some(failure) = self.header.text.as_ref().err() {
            return Err(*failure);
        }
        if let Some(expected) = self.header.fields
            && expected != fields
        {
            let number = |count: u64| count.try_into().unwrap_or(u32::MAX);
            return Err(Failure::Ragged { found: number(fields), expected: number(expected) });
        }
        for (number, &slot) in (1..).zip(&self.text) {
            if self.row.slots[slot].place >= fields {
                return Err(Failure::NoField(number));
            }
        }
        let slots = self.text.iter().map(|&slot| &self.row.slots[slot]);
        let lengths = slots.clone().map(|slot| slot.length);
        let length = lengths.fold(0u64, u64::saturating_add) + self.text.len().saturating_sub(1) as u64;
        if length > self.max_bytes {
            return Err(Failure::TooLarge(length));
        }
        if length > LONGEST as u64 {
            return Err(Failure::Unbroken);
        }
        if slots.clone().any(|slot| slot.is_lacking) {
            return Err(Failure::OutOfMemory);
        }
        id?;
        if let [slot] = self.text[..] {
            std::mem::swap(text, &mut self.row.slots[slot].bytes);
            return Ok(());
        }
        for (number, slot) in slots.enumerate() {
            if number > 0 {
                append(text, b"\n")?;
            }
            append(text, &slot.bytes)?;
        }
        Ok(())
    }

    /// The identifier of the record that was read.
    fn read_id(&self) -> Result<Option<String>, Failure> {
        self.header.id?;
        let Some(slot) = self.id.map(|slot| &self.row.slots[slot]) else { return Ok(None) };
        if slot.place >= self.row.fields {
            return Err(Failure::NoField(0));
        }
        if slot.length > self.row.limit {
            return Err(Failure::TooLarge(slot.length));
        }
        if slot.is_lacking {
            return Err(Failure::OutOfMemory);
        }
        let mut id = slot.bytes.clone();
        decode(&mut id, self.decode_error, &mut Vec::new()).map_err(|error| Failure::InvalidUtf8(error.0))?;
        Ok(String::from_utf8(id).ok())
    }
}

/// Goes to the end of the record. Returns whether it is the last.
fn pass(cursor: &mut Cursor, fields: &mut impl Fields) -> Result<bool, Failure> {
    loop {
        match cursor.step(fields)? {
            Step::Within => {}
            step => return Ok(step == Step::StreamEnd),
        }
    }
}

impl Records for CsvRecords {
    fn next(&mut self, text: &mut Vec<u8>) -> Option<Result<Chunk, Failure>> {
        text.clear();
        self.about.id = None;
        match self.read(text) {
            Ok(true) => Some(Ok(Chunk::WHOLE)),
            Ok(false) => None,
            Err(failure) => {
                text.clear();
                Some(Err(failure))
            }
        }
    }

    fn skip(&mut self, _text: &mut Vec<u8>) -> bool {
        match self.begin() {
            Ok(true) => {
                self.is_over = pass(&mut self.cursor, &mut Borders).unwrap_or(true);
                true
            }
            Ok(false) => false,
            Err(_) => true,
        }
    }

    fn about(&self) -> &About {
        &self.about
    }
}

#[cfg(test)]
mod tests {
    use super::super::line_reader::tests::{Trickle, ranges, stream};
    use super::*;
    use csv_core::ReadRecordResult;
    use proptest::prelude::*;

    fn settings(text_fields: &[&str]) -> RecordSettings {
        RecordSettings {
            text_fields: text_fields.iter().map(|&name| name.to_owned()).collect(),
            max_bytes: 1000,
            ..RecordSettings::default()
        }
    }

    /// A record's text and identifier.
    type Found = Vec<Result<(String, Option<String>), Failure>>;

    fn all(mut records: CsvRecords) -> Found {
        let mut text = Vec::new();
        let mut found = Vec::new();
        while let Some(result) = records.next(&mut text) {
            let id = records.about().id.clone();
            found.push(result.map(|_| (String::from_utf8_lossy(&text).into_owned(), id)));
        }
        assert_eq!(records.next(&mut text), None);
        found
    }

    /// The records of a range.
    fn of(
        file: &[u8],
        settings: &RecordSettings,
        range: Range<u64>,
        state: State,
        step: usize,
    ) -> CsvRecords {
        let header = Header::read(stream(file, 0, step), settings).expect("a header");
        let bytes = stream(file, range.start, step);
        CsvRecords::new(bytes, range, state, Arc::new(header), settings, DecodeError::Strict)
    }

    fn read(file: &str, settings: &RecordSettings) -> Found {
        let whole = |step| of(file.as_bytes(), settings, 0..u64::MAX, State::StartOfRecord, step);
        let found = all(whole(usize::MAX));
        assert_eq!(all(whole(1)), found);
        let mut skipped = whole(3);
        assert_eq!((0..).take_while(|_| skipped.skip(&mut Vec::new())).count(), found.len());
        found
    }

    fn texts(file: &str, settings: &RecordSettings) -> Vec<Result<String, Failure>> {
        read(file, settings).into_iter().map(|found| found.map(|(text, _)| text)).collect()
    }

    #[test]
    fn fields_and_quotes() {
        let texts = |file: &str| {
            let texts = texts(&format!("text\n{file}"), &settings(&["text"]));
            texts.into_iter().map(|text| text.expect("a text")).collect::<Vec<_>>()
        };
        assert_eq!(texts("a\nb"), ["a", "b"]);
        assert_eq!(texts("a\r\n\r\n\nb\rc\n"), ["a", "b", "c"]);
        assert_eq!(texts("\"\"\n \n"), ["", " "]);
        assert_eq!(texts("\"a \"\"b\"\",\r\nc\"\nd"), ["a \"b\",\r\nc", "d"]);
        // As Python reads them, too.
        assert_eq!(
            texts("\"abc\"def\na\"b\"\n \"c\"\n\"d\" \"e\""),
            ["abcdef", "a\"b\"", " \"c\"", "d \"e\""]
        );
        assert_eq!(texts("\"never\nclosed"), ["never\nclosed"]);
        assert_eq!(texts(""), [""; 0]);
    }

    #[test]
    fn headers() {
        let file = "\u{FEFF}\"id\",text,title,text\n7,a,b,c\n,d,\"e\",f\n8,g\n9,h,i,j,k\n";
        let ragged = |found| Err(Failure::Ragged { found, expected: 4 });
        let found = |text: &str, id: &str| Ok((text.to_owned(), Some(id.to_owned())));
        assert_eq!(
            read(file, &settings(&["title", "text"])),
            [found("b\na", "7"), found("e\nd", ""), ragged(2), ragged(5)]
        );
        let twice = read(file, &settings(&["id", "id"]));
        assert_eq!(twice[0], found("7\n7", "7"));
        let missing = read(file, &settings(&["text", "body"]));
        assert_eq!(missing, vec![Err(Failure::NoField(2)); 4]);
        let explicit = |name: &str| RecordSettings { id_field: Some(name.to_owned()), ..settings(&["text"]) };
        assert_eq!(read(file, &explicit("title"))[0], found("a", "b"));
        assert_eq!(read(file, &explicit("key"))[0], Err(Failure::NoField(0)));
        assert_eq!(read("", &settings(&["text"])), []);
        assert_eq!(read("\n\ntext\n", &settings(&["text"])), []);
    }

    #[test]
    fn without_a_header() {
        let settings = |fields: &[&str]| RecordSettings {
            has_header: false,
            delimiter: Some(b'\t'),
            ..settings(fields)
        };
        let file = "a\tb\nc\nd\te\tf";
        let expected = [Ok("b".to_owned()), Err(Failure::NoField(1)), Ok("e".to_owned())];
        assert_eq!(texts(file, &settings(&["2"])), expected);
        for name in ["0", "text", "-1", "99999999999999999999"] {
            assert_eq!(texts(file, &settings(&[name])), vec![Err(Failure::NoField(1)); 3]);
        }
    }

    #[test]
    fn limits() {
        let settings = RecordSettings { max_bytes: 4, ..settings(&["text", "b"]) };
        let file = "text,b,c\nab,c,not wanted\nab,cd,\n\"abcdef\",g,\nx,\"\n\n\n\n,\n";
        let large = |bytes| Err(Failure::TooLarge(bytes));
        let ragged = Err(Failure::Ragged { found: 2, expected: 3 });
        assert_eq!(texts(file, &settings), [Ok("ab\nc".to_owned()), large(5), large(8), ragged]);
        // A header without an end.
        let header = std::io::repeat(b',').take(1 << 30);
        let failure = Header::read(Box::new(header), &settings);
        assert_eq!(failure, Err(Failure::OtherFormat));
        // A quote that is never closed holds no more than the limit.
        let endless = || Box::new((&b"text,b\n\""[..]).chain(std::io::repeat(b'a').take(1 << 26)));
        let header = Arc::new(Header::read(endless(), &settings).expect("a header"));
        let mut records = CsvRecords::new(
            endless(),
            0..u64::MAX,
            State::StartOfRecord,
            header,
            &settings,
            DecodeError::Strict,
        );
        let mut text = Vec::new();
        assert_eq!(records.next(&mut text), Some(Err(Failure::Ragged { found: 1, expected: 2 })));
        assert!(records.row.slots.iter().all(|slot| slot.bytes.capacity() <= 64));
        assert_eq!(records.next(&mut text), None);
    }

    #[test]
    fn encodings() {
        let settings = settings(&["text"]);
        let utf16 = b"\xFF\xFEt\0e\0x\0t\0";
        assert_eq!(Header::read(stream(utf16, 0, 1), &settings), Err(Failure::Utf16));
        let no_header = RecordSettings { has_header: false, ..settings.clone() };
        let records = of(utf16, &no_header, 0..u64::MAX, State::StartOfRecord, 1);
        assert_eq!(all(records), [Err(Failure::Utf16)]);
        let file = b"id,text\n\xFFa,b\nc,\xFF\n";
        let records = of(file, &settings, 0..u64::MAX, State::StartOfRecord, 9);
        // The analyzer decodes texts.
        let last = Ok(("\u{FFFD}".to_owned(), Some("c".to_owned())));
        assert_eq!(all(records), [Err(Failure::InvalidUtf8(0)), last]);
    }

    #[test]
    fn a_fault_of_the_stream_ends_the_records() {
        let settings = settings(&["text"]);
        let file = b"text\na\nbc";
        let faulty = Trickle { bytes: file.to_vec(), at: 0, step: 2, error: Some(Failure::Truncated(9)) };
        let header = Arc::new(Header::read(stream(file, 0, 9), &settings).unwrap());
        let (start, policy) = (State::StartOfRecord, DecodeError::Strict);
        let records = CsvRecords::new(Box::new(faulty), 0..u64::MAX, start, header, &settings, policy);
        assert_eq!(all(records), [Ok(("a".to_owned(), None)), Err(Failure::Truncated(9))]);
    }

    #[test]
    fn numbers_of_states() {
        let scan = Scan::read(stream(b"a\"", 5, 1), 5, b',').unwrap();
        assert_eq!(scan.to_numbers().map(|number| State::ALL[usize::from(number)]), scan.0);
    }

    /// All fields of a file, as `csv-core` reads them.
    fn reference(file: &[u8], delimiter: u8) -> Vec<Vec<Vec<u8>>> {
        let mut reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        let (mut rest, mut records) = (file, Vec::new());
        loop {
            let (mut output, mut ends) = (vec![0; file.len() + 1], vec![0; file.len() + 2]);
            let (mut written, mut fields) = (0, 0);
            loop {
                let (result, read, bytes, count) =
                    reader.read_record(rest, &mut output[written..], &mut ends[fields..]);
                rest = &rest[read..];
                written += bytes;
                fields += count;
                match result {
                    ReadRecordResult::InputEmpty => {}
                    ReadRecordResult::Record => break,
                    ReadRecordResult::End => return records,
                    full => panic!("{full:?}"),
                }
            }
            let mut start = 0;
            let record =
                ends[..fields].iter().map(|&end| output[std::mem::replace(&mut start, end)..end].to_vec());
            records.push(record.collect());
        }
    }

    /// The start state of each range, by scans that know only their range.
    fn states(file: &[u8], ranges: &[Range<u64>], delimiter: u8, step: usize) -> Vec<State> {
        let scans = ranges.iter().map(|range| {
            let stream = stream(&file[..range.end as usize], range.start, step);
            Scan::read(stream, range.start, delimiter).expect("a scan")
        });
        let mut state = State::StartOfRecord;
        scans
            .map(|scan| {
                let next = scan.end(state);
                std::mem::replace(&mut state, next)
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn cuts_change_nothing(
            file in "(\u{FEFF})?[aé\", ,\t\n\r\"\n]{0,60}",
            cuts in prop::collection::vec(any::<usize>(), 0..5),
            step in 1usize..70,
            delimiter in prop::sample::select(&b",\t \"a"[..]),
        ) {
            let file = file.as_bytes();
            let settings = RecordSettings { has_header: false, delimiter: Some(delimiter), ..settings(&["1", "2", "1"]) };
            let expected: Vec<_> = reference(file, delimiter)
                .iter()
                .map(|fields| match &fields[..] {
                    [first, second, ..] => Ok([&first[..], second, first].join(&b'\n')),
                    _ => Err(Failure::NoField(2)),
                })
                .map(|text| text.map(|text| (String::from_utf8_lossy(&text).into_owned(), None)))
                .collect();
            // No range ends in the byte-order mark.
            let cuts: Vec<_> = cuts.iter().map(|cut| cut % (file.len() + 1)).filter(|&cut| cut > 2).collect();
            let ranges = ranges(file.len(), &cuts);
            let parts: Vec<_> = ranges
                .iter()
                .zip(states(file, &ranges, delimiter, step))
                .flat_map(|(range, state)| all(of(file, &settings, range.clone(), state, step)))
                .collect();
            prop_assert_eq!(&parts, &expected);
            let whole = || of(file, &settings, 0..u64::MAX, State::StartOfRecord, step);
            let mut skipped = whole();
            prop_assert_eq!((0..).take_while(|_| skipped.skip(&mut Vec::new())).count(), expected.len());
            let mut rest = whole();
            if rest.skip(&mut Vec::new()) {
                prop_assert_eq!(all(rest), &expected[1..]);
            }
        }

        #[test]
        fn a_header_is_no_record(
            rest in "[a\",\n]{0,40}",
            cuts in prop::collection::vec(any::<usize>(), 0..5),
            step in 1usize..70,
        ) {
            let file = format!("\n\n\"te\nxt\",text\n{rest}");
            let (file, settings) = (file.as_bytes(), settings(&["text"]));
            let expected: Vec<_> = reference(file, b',')
                .iter()
                .skip(1)
                .map(|fields| match &fields[..] {
                    [_, text] => Ok((String::from_utf8_lossy(text).into_owned(), None)),
                    _ => Err(Failure::Ragged { found: fields.len() as u32, expected: 2 }),
                })
                .collect();
            let ranges = ranges(file.len(), &cuts);
            let parts: Vec<_> = ranges
                .iter()
                .zip(states(file, &ranges, b',', step))
                .flat_map(|(range, state)| all(of(file, &settings, range.clone(), state, step)))
                .collect();
            prop_assert_eq!(&parts, &expected);
        }
    }
}
