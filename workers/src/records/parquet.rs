//! The rows of a Parquet file, each a document.
//!
//! A split is a byte range of the file. In each row group, the column of the first text field occupies some bytes; a place
//! in these bytes stands for the row at the same share of the group's rows. So a worker finds the rows of its range
//! without knowing other ranges, and each row belongs to one range wherever the file is cut. Only the text and identifier
//! columns are read; pages before the range's rows are passed over without being decoded.
//!
//! The `parquet` crate (without arrow) decodes the pages. It panics on some corrupt input: a panic is `Corrupt` here.

mod pages;
mod thrift;

use super::{About, RecordSettings, Records};
use crate::analyzer::chunks::Chunk;
use crate::failure::Failure;
use pages::FilePages;
use parquet::basic::{Compression, ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use parquet::data_type::{ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader,
    ParquetStatisticsPolicy, RowGroupMetaData,
};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};
use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The last bytes of a file, and the first.
const MAGIC: [u8; 4] = *b"PAR1";
/// The same of a file whose footer is encrypted.
const MAGIC_ENCRYPTED: [u8; 4] = *b"PARE";
/// The length of the footer, and the magic bytes.
const TAIL_BYTES: u64 = 8;
/// Maximum bytes of a footer. The crate needs several times as much memory.
const MAX_FOOTER_BYTES: u64 = 512 << 20;
/// Maximum rows for each byte of a file. Writers start a page, of some 20 bytes, after 20,000 rows or fewer. A few bytes
/// may claim millions of nulls, and each row becomes a document.
const MAX_ROWS_PER_BYTE: u64 = 1 << 12;
/// The number of LZO in Parquet's list of codecs.
const LZO: u32 = 3;

/// The Parquet file that a worker read last. Its footer is decoded once for all splits of the file.
#[derive(Default)]
pub(crate) struct ParquetFiles {
    last: Option<(u64, Arc<ParquetFile>)>,
}

impl ParquetFiles {
    /// The documents of a range of bytes of the file with this number.
    ///
    /// The ranges of a file must begin at 0 and not leave out any byte. If the file is not a Parquet file, the range that
    /// begins at 0 has one failed document, and the others have none.
    pub(crate) fn records(
        &mut self,
        number: u64,
        file: Arc<File>,
        range: Range<u64>,
        settings: &RecordSettings,
    ) -> ParquetRecords {
        let opened = match &self.last {
            Some((last, opened)) if *last == number => Ok(opened.clone()),
            _ => ParquetFile::open(file, settings.max_bytes).map(Arc::new),
        };
        if let Ok(opened) = &opened {
            self.last = Some((number, opened.clone()));
        }
        ParquetRecords::new(opened, range, settings)
    }
}

/// A Parquet file with a valid footer.
struct ParquetFile {
    pages: FilePages,
    metadata: ParquetMetaData,
    /// Bytes of the file before its footer.
    data_bytes: u64,
    /// Whether the footer says that some columns are encrypted.
    is_encrypted: bool,
}

impl ParquetFile {
    fn open(file: Arc<File>, max_document: u64) -> Result<Self, Failure> {
        let pages = FilePages::new(file, max_document)?;
        let bytes = pages.bytes();
        if bytes < TAIL_BYTES + MAGIC.len() as u64 {
            return Err(Failure::OtherFormat);
        }
        let tail = pages.read(bytes - TAIL_BYTES, TAIL_BYTES as usize)?;
        let (length, magic) = tail.split_at(4);
        if magic == MAGIC_ENCRYPTED {
            return Err(Failure::Encrypted);
        }
        if magic != MAGIC {
            let first = pages.read(0, MAGIC.len())?;
            let begins_well = first == MAGIC || first == MAGIC_ENCRYPTED;
            return Err(if begins_well { Failure::Truncated(bytes) } else { Failure::OtherFormat });
        }
        let length = u64::from(u32::from_le_bytes(length.try_into().map_err(|_| Failure::OtherFormat)?));
        if length > MAX_FOOTER_BYTES {
            return Err(Failure::TooLarge(length));
        }
        let corrupt = Failure::Corrupt(bytes - TAIL_BYTES);
        let at = (bytes - TAIL_BYTES).checked_sub(length).ok_or(corrupt)?;
        let footer = pages.read(at, length as usize)?;
        let is_encrypted = thrift::check_footer(&footer).map_err(|_| corrupt)?;
        let options = ParquetMetaDataOptions::new()
            .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
            .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll)
            .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll);
        let decode = || ParquetMetaDataReader::decode_metadata_with_options(&footer, Some(&options));
        match catch_unwind(AssertUnwindSafe(decode)) {
            Ok(Ok(metadata)) => Ok(ParquetFile { pages, metadata, data_bytes: at, is_encrypted }),
            _ if is_encrypted => Err(Failure::Encrypted),
            _ => Err(Failure::Corrupt(at)),
        }
    }

    fn schema(&self) -> &SchemaDescriptor {
        self.metadata.file_metadata().schema_descr()
    }

    /// The cause of the crate's last error, or of its panic.
    fn take_fault(&self) -> Failure {
        match self.pages.take_fault() {
            Failure::Corrupt(_) if self.is_encrypted => Failure::Encrypted,
            failure => failure,
        }
    }

    /// The column of a group, with the place that the crate reads it from.
    fn chunk(&self, group: &RowGroupMetaData, column: usize) -> Result<ColumnChunkMetaData, Failure> {
        let corrupt = Failure::Corrupt(self.data_bytes);
        let chunk = group.columns().get(column).ok_or(corrupt)?;
        let mut chunk = chunk.clone();
        // Some writers state a dictionary at 0 where there is none.
        let first_page = chunk.data_page_offset();
        if chunk.dictionary_page_offset().is_some_and(|offset| offset <= 0 || offset >= first_page) {
            chunk = chunk.into_builder().set_dictionary_page_offset(None).build().map_err(|_| corrupt)?;
        }
        let start = chunk.dictionary_page_offset().unwrap_or(first_page);
        let end = start.checked_add(chunk.compressed_size()).and_then(|end| u64::try_from(end).ok());
        let is_within =
            start >= 0 && chunk.compressed_size() >= 0 && end.is_some_and(|end| end <= self.data_bytes);
        if chunk.file_path().is_some_and(|path| !path.is_empty()) || !is_within {
            return Err(corrupt);
        }
        match chunk.compression() {
            Compression::LZO => Err(Failure::UnknownMethod(LZO)),
            _ => Ok(chunk),
        }
    }

    /// Rows of a group.
    fn rows(&self, group: usize) -> Result<u64, Failure> {
        u64::try_from(self.metadata.row_group(group).num_rows())
            .map_err(|_| Failure::Corrupt(self.data_bytes))
    }

    /// Checks that the rows of the file are not too many for its bytes.
    fn check_rows(&self) -> Result<(), Failure> {
        let mut left = self.pages.bytes().saturating_mul(MAX_ROWS_PER_BYTE);
        for group in 0..self.metadata.num_row_groups() {
            left = left.checked_sub(self.rows(group)?).ok_or(Failure::Corrupt(self.data_bytes))?;
        }
        Ok(())
    }

    /// The bytes of a column in each row group, if they lie in the order of the groups.
    fn places(&self, column: usize) -> Option<Vec<Range<u64>>> {
        let mut end = 0;
        let groups = self.metadata.row_groups().iter();
        let places = groups.map(|group| {
            if group.num_rows() == 0 {
                return Some(end..end);
            }
            let (start, bytes) = self.chunk(group, column).ok()?.byte_range();
            let is_behind = start >= end && bytes > 0;
            end = start.checked_add(bytes)?;
            is_behind.then_some(start..end)
        });
        places.collect()
    }
}

/// The number of rows of a group, of `rows` rows in the bytes `place`, that belong to ranges that end at `at` or before.
fn boundary(rows: u64, place: &Range<u64>, at: u64) -> u64 {
    if at <= place.start {
        0
    } else if at >= place.end {
        rows
    } else {
        let (share, bytes) = (u128::from(at - place.start), u128::from(place.end - place.start));
        // Not more than `rows`: the share is not more than the bytes.
        (u128::from(rows) * share).div_ceil(bytes) as u64
    }
}

/// A text field: its column, or why no row has it.
type Field = Result<usize, Failure>;

/// Finds the column of a field by its name, or by the names of the groups that contain it, with dots between them.
fn find(schema: &SchemaDescriptor, name: &str, field: u32) -> Field {
    let same = |column: &ColumnDescriptor| column.path().string() == name;
    if let Some(column) = schema.columns().iter().position(|column| same(column)) {
        return if schema.column(column).max_rep_level() == 0 {
            Ok(column)
        } else {
            Err(Failure::NotText(field))
        };
    }
    let within = |path: &str| path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    let is_group = schema.columns().iter().any(|column| within(&column.path().string()));
    Err(if is_group { Failure::NotText(field) } else { Failure::NoField(field) })
}

fn is_text(column: &ColumnDescriptor) -> bool {
    let is_string = match column.logical_type_ref() {
        Some(logical) => matches!(logical, LogicalType::String | LogicalType::Enum | LogicalType::Json),
        None => matches!(
            column.converted_type(),
            ConvertedType::NONE | ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON
        ),
    };
    column.physical_type() == Type::BYTE_ARRAY && is_string
}

/// Whether a column of integers contains numbers without a sign; `None` if it does not contain plain numbers.
fn is_unsigned(column: &ColumnDescriptor) -> Option<bool> {
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Integer(integer)), _) => Some(!integer.is_signed),
        (Some(_), _) => None,
        (
            None,
            ConvertedType::NONE
            | ConvertedType::INT_8
            | ConvertedType::INT_16
            | ConvertedType::INT_32
            | ConvertedType::INT_64,
        ) => Some(false),
        (
            None,
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64,
        ) => Some(true),
        (None, _) => None,
    }
}

/// A column of a row group, read value by value.
struct Column<T: DataType> {
    reader: ColumnReaderImpl<T>,
    levels: Vec<i16>,
    values: Vec<T::T>,
}

impl<T: DataType> Column<T> {
    fn new(file: &ParquetFile, group: &RowGroupMetaData, column: usize) -> Result<Self, Failure> {
        let chunk = file.chunk(group, column)?;
        let rows = usize::try_from(group.num_rows()).map_err(|_| file.take_fault())?;
        let pages = file.pages.of_column(&chunk, rows).map_err(|_| file.take_fault())?;
        let reader = get_typed_column_reader(get_column_reader(chunk.column_descr_ptr(), pages));
        Ok(Column { reader, levels: Vec::new(), values: Vec::new() })
    }

    fn skip(&mut self, rows: u64) -> ParquetResult<()> {
        let rows = usize::try_from(rows)?;
        if rows > 0 && self.reader.skip_records(rows)? != rows {
            return Err(ParquetError::General("fewer values than rows".to_owned()));
        }
        Ok(())
    }

    /// The next value; `None` if it is null. One at a time: values that share a prefix become copies in memory, so that a
    /// small page may contain any number of large values.
    fn next(&mut self) -> ParquetResult<Option<&T::T>> {
        self.levels.clear();
        self.values.clear();
        match self.reader.read_records(1, Some(&mut self.levels), None, &mut self.values)? {
            (1, ..) => Ok(self.values.first()),
            _ => Err(ParquetError::General("fewer values than rows".to_owned())),
        }
    }
}

/// The identifier's column of a row group.
enum IdColumn {
    Bytes(Column<ByteArrayType>),
    Int32(Column<Int32Type>),
    Uint32(Column<Int32Type>),
    Int64(Column<Int64Type>),
    Uint64(Column<Int64Type>),
}

impl IdColumn {
    fn new(file: &ParquetFile, group: &RowGroupMetaData, column: usize) -> Result<Self, Failure> {
        let descriptor = file.schema().column(column);
        let unsigned = is_unsigned(&descriptor);
        Ok(match descriptor.physical_type() {
            Type::INT32 if unsigned == Some(true) => IdColumn::Uint32(Column::new(file, group, column)?),
            Type::INT32 => IdColumn::Int32(Column::new(file, group, column)?),
            Type::INT64 if unsigned == Some(true) => IdColumn::Uint64(Column::new(file, group, column)?),
            Type::INT64 => IdColumn::Int64(Column::new(file, group, column)?),
            _ => IdColumn::Bytes(Column::new(file, group, column)?),
        })
    }

    fn is_readable(column: &ColumnDescriptor) -> bool {
        match column.physical_type() {
            Type::INT32 | Type::INT64 => is_unsigned(column).is_some(),
            _ => is_text(column),
        }
    }

    fn skip(&mut self, rows: u64) -> ParquetResult<()> {
        match self {
            IdColumn::Bytes(column) => column.skip(rows),
            IdColumn::Int32(column) | IdColumn::Uint32(column) => column.skip(rows),
            IdColumn::Int64(column) | IdColumn::Uint64(column) => column.skip(rows),
        }
    }

    /// The next identifier, or why there is none: null, or not UTF-8.
    fn next(&mut self) -> ParquetResult<Result<String, Failure>> {
        let number = match self {
            IdColumn::Bytes(column) => {
                return Ok(match column.next()? {
                    Some(value) => {
                        std::str::from_utf8(value.data()).map(str::to_owned).map_err(|_| Failure::NotText(0))
                    }
                    None => Err(Failure::NullField(0)),
                });
            }
            IdColumn::Int32(column) => column.next()?.map(ToString::to_string),
            IdColumn::Uint32(column) => column.next()?.map(|number| number.cast_unsigned().to_string()),
            IdColumn::Int64(column) => column.next()?.map(ToString::to_string),
            IdColumn::Uint64(column) => column.next()?.map(|number| number.cast_unsigned().to_string()),
        };
        Ok(number.ok_or(Failure::NullField(0)))
    }
}

/// The columns of the current row group.
struct Group {
    /// A column for each text field that the file has.
    texts: Vec<Option<Column<ByteArrayType>>>,
    id: Option<IdColumn>,
    /// Rows that are still to be read.
    left: u64,
}

/// The rows of a Parquet file that belong to a range of its bytes.
pub(crate) struct ParquetRecords {
    file: Option<Arc<ParquetFile>>,
    texts: Vec<Field>,
    /// The identifier's column, or why no row has an identifier that was asked for.
    id: Option<Field>,
    /// Whether a row without identifier fails.
    needs_id: bool,
    /// The rows of each group in the range; groups without any are left out.
    rows: std::vec::IntoIter<(usize, Range<u64>)>,
    group: Option<Group>,
    /// The failure of the file as a whole.
    fault: Option<Failure>,
    max_bytes: u64,
    about: About,
}

impl ParquetRecords {
    fn new(file: Result<Arc<ParquetFile>, Failure>, range: Range<u64>, settings: &RecordSettings) -> Self {
        let mut records = ParquetRecords {
            file: None,
            texts: Vec::new(),
            id: None,
            needs_id: settings.id_field.is_some(),
            rows: Vec::new().into_iter(),
            group: None,
            fault: None,
            max_bytes: settings.max_bytes,
            about: About::default(),
        };
        let starts_file = range.start == 0;
        let found = file.and_then(|file| {
            records.find_columns(file.schema(), settings);
            records.rows = records.find_rows(&file, range)?.into_iter();
            Ok(file)
        });
        match found {
            Ok(file) => records.file = Some(file),
            Err(failure) => records.fault = starts_file.then_some(failure),
        }
        records
    }

    fn find_columns(&mut self, schema: &SchemaDescriptor, settings: &RecordSettings) {
        let fields = settings.text_fields.iter().zip(1..);
        let texts = fields.map(|(name, field)| match find(schema, name, field) {
            Ok(column) if !is_text(&schema.column(column)) => Err(Failure::NotText(field)),
            found => found,
        });
        self.texts = texts.collect();
        let readable = |found: Field| match found {
            Ok(column) if !IdColumn::is_readable(&schema.column(column)) => Err(Failure::NotText(0)),
            found => found,
        };
        self.id = match &settings.id_field {
            Some(name) => Some(readable(find(schema, name, 0))),
            // The first of the two that the file has, even if it has no identifiers.
            None => {
                ["id", "_id"].map(|name| find(schema, name, 0)).into_iter().find_map(|found| match found {
                    Err(Failure::NoField(_)) => None,
                    found => Some(readable(found)),
                })
            }
        };
        if !self.needs_id {
            self.id = self.id.filter(Result::is_ok);
        }
    }

    fn find_rows(&self, file: &ParquetFile, range: Range<u64>) -> Result<Vec<(usize, Range<u64>)>, Failure> {
        file.check_rows()?;
        let first_text = self.texts.iter().find_map(|field| field.ok()).unwrap_or(0);
        let places = file.places(first_text);
        let mut rows = Vec::new();
        for group in 0..file.metadata.num_row_groups() {
            let all = file.rows(group)?;
            let wanted = match places.as_ref().and_then(|places| places.get(group)) {
                Some(place) => boundary(all, place, range.start)..boundary(all, place, range.end),
                None if range.start == 0 && range.end > 0 => 0..all,
                None => 0..0,
            };
            if !wanted.is_empty() {
                rows.push((group, wanted));
            }
        }
        Ok(rows)
    }

    /// The columns of the next row group in the range, at the first row that is wanted.
    fn open_group(&self, file: &ParquetFile, group: usize, rows: Range<u64>) -> Result<Group, Failure> {
        let group = file.metadata.row_group(group);
        let texts = self
            .texts
            .iter()
            .map(|field| field.ok().map(|column| Column::new(file, group, column)).transpose());
        let mut texts: Vec<_> = texts.collect::<Result<_, _>>()?;
        let mut id = match self.id {
            Some(Ok(column)) => Some(IdColumn::new(file, group, column)?),
            _ => None,
        };
        let mut skip = || {
            texts.iter_mut().flatten().try_for_each(|column| column.skip(rows.start))?;
            id.as_mut().map_or(Ok(()), |column| column.skip(rows.start))
        };
        skip().map_err(|_: ParquetError| file.take_fault())?;
        Ok(Group { texts, id, left: rows.end - rows.start })
    }

    /// Reads the next row; `None` behind the last one. The outer error is a fault behind which nothing can be read.
    fn read(&mut self, text: Option<&mut Vec<u8>>) -> Result<Option<Result<Chunk, Failure>>, Failure> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let Some(file) = self.file.clone() else {
            return Ok(None);
        };
        while self.group.as_ref().is_none_or(|group| group.left == 0) {
            let Some((group, rows)) = self.rows.next() else {
                return Ok(None);
            };
            self.group = Some(self.open_group(&file, group, rows)?);
        }
        let row = self.read_row(text).map_err(|_| file.take_fault())?;
        Ok(Some(row.map(|()| Chunk::WHOLE)))
    }

    /// Reads the next row of the current group, which has one.
    fn read_row(&mut self, mut text: Option<&mut Vec<u8>>) -> ParquetResult<Result<(), Failure>> {
        let Some(group) = &mut self.group else {
            return Ok(Err(Failure::OtherFormat));
        };
        group.left -= 1;
        let mut found = Ok(());
        let mut bytes = 0;
        for ((column, field), number) in group.texts.iter_mut().zip(&self.texts).zip(1..) {
            let value = match column {
                Some(column) => column.next()?,
                None => {
                    found = found.and(field.map(drop));
                    continue;
                }
            };
            let Some(value) = value else {
                found = found.and(Err(Failure::NullField(number)));
                continue;
            };
            let value = value.data();
            let separator: &[u8] = if number > 1 { b"\n" } else { b"" };
            bytes += (separator.len() + value.len()) as u64;
            if let Some(text) = text.as_mut().filter(|_| bytes <= self.max_bytes) {
                text.extend_from_slice(separator);
                text.extend_from_slice(value);
            }
        }
        if bytes > self.max_bytes {
            found = found.and(Err(Failure::TooLarge(bytes)));
        }
        let id = match (&mut group.id, self.id) {
            (Some(column), _) => Some(column.next()?),
            (None, Some(Err(failure))) => Some(Err(failure)),
            (None, _) => None,
        };
        match id {
            Some(Ok(id)) => self.about.id = Some(id),
            Some(Err(failure)) if self.needs_id => found = found.and(Err(failure)),
            _ => {}
        }
        Ok(found)
    }

    /// Reads the next row. Ends the split after a fault, also where the crate panics.
    fn advance(&mut self, text: Option<&mut Vec<u8>>) -> Option<Result<Chunk, Failure>> {
        self.about.id = None;
        let row = match catch_unwind(AssertUnwindSafe(|| self.read(text))) {
            Ok(Ok(row)) => return row,
            Ok(Err(fault)) => fault,
            Err(_) => self.file.as_ref().map_or(Failure::Panicked, |file| file.take_fault()),
        };
        self.about.id = None;
        self.file = None;
        self.group = None;
        Some(Err(row))
    }
}

impl Records for ParquetRecords {
    fn next(&mut self, text: &mut Vec<u8>) -> Option<Result<Chunk, Failure>> {
        text.clear();
        self.advance(Some(text))
    }

    /// Decodes the row, so that a fault in the file ends the split at the same row in each attempt.
    fn skip(&mut self, _text: &mut Vec<u8>) -> bool {
        self.advance(None).is_some()
    }

    fn about(&self) -> &About {
        &self.about
    }
}

#[cfg(test)]
#[path = "parquet/tests.rs"]
mod tests;
