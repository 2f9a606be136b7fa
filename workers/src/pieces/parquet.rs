//! `matrix.parquet`: a row a document, a row group a piece.
//!
//! A worker writes a file of one row group to memory, of which the row group is kept: nothing in it depends on its place. The
//! coordinator writes the footer from the sizes of the column chunks. Statistics and page indexes are left out.

use super::{Piece, Rows, Shape, Value};
use crate::matrix_plan::Dtype;
use crate::protocol::{CHUNKS, ChunkSize, PieceSize};
use parquet::basic::{Compression, EncodingMask, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, SchemaDescriptor, Type};
use std::io::Write;
use std::sync::Arc;

/// The first bytes of a file.
pub(super) const MAGIC: &[u8; 4] = b"PAR1";

/// The version of the format in which all is encoded.
const VERSION: i32 = 1;

fn schema(dtype: Dtype) -> Result<Arc<Type>> {
    let value = match dtype {
        Dtype::I32 => "INT32",
        Dtype::I64 => "INT64",
        Dtype::F32 => "FLOAT",
        Dtype::F64 => "DOUBLE",
    };
    let text = format!(
        "message schema {{
            REQUIRED BYTE_ARRAY path (STRING);
            OPTIONAL INT64 record;
            OPTIONAL BYTE_ARRAY id (STRING);
            REQUIRED GROUP indices (LIST) {{ REPEATED GROUP list {{ REQUIRED INT32 element; }} }}
            REQUIRED GROUP values (LIST) {{ REPEATED GROUP list {{ REQUIRED {value} element; }} }}
        }}"
    );
    parse_message_type(&text).map(Arc::new)
}

/// Of counts and of tf-idf values of manual pages, this takes 4.9 and 16.0 MB, Snappy 7.4 and 19.4 MB, and delta encoding of
/// column numbers with Zstandard 7.3 and 18.5 MB.
fn compression() -> Result<Compression> {
    Ok(Compression::ZSTD(ZstdLevel::try_new(1)?))
}

/// Encodes a row group, and measures its column chunks.
pub(super) fn row_group<T: Value>(rows: &Rows<T>) -> Result<(Vec<u8>, PieceSize)> {
    let is_integer = matches!(rows.plan.matrix.values.dtype, Dtype::I32 | Dtype::I64);
    let properties = WriterProperties::builder()
        .set_compression(compression()?)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_dictionary_enabled(false)
        // Counts are few and small.
        .set_column_dictionary_enabled(ColumnPath::from("values.list.element"), is_integer);
    let schema = schema(rows.plan.matrix.values.dtype)?;
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build()))?;
    let mut group = writer.next_row_group()?;
    let labels = || rows.labels();
    let paths: Vec<ByteArray> = labels().map(|label| ByteArray::from(label.path.into_bytes())).collect();
    write_column::<ByteArrayType>(&mut group, &paths, None, None)?;
    let levels = |is_there: &mut dyn Iterator<Item = bool>| is_there.map(i16::from).collect::<Vec<_>>();
    let records: Vec<i64> = labels().filter_map(|label| label.record).collect();
    let are_there = levels(&mut labels().map(|label| label.record.is_some()));
    write_column::<Int64Type>(&mut group, &records, Some(&are_there), None)?;
    let ids: Vec<ByteArray> =
        labels().filter_map(|label| Some(ByteArray::from(label.id?.into_bytes()))).collect();
    let are_there = levels(&mut labels().map(|label| label.id.is_some()));
    write_column::<ByteArrayType>(&mut group, &ids, Some(&are_there), None)?;
    // Of an empty list, a column contains one entry without a value.
    let entries = |ends: &[usize]| (ends[1] - ends[0]).max(1);
    let (mut defined, mut repeated) = (Vec::new(), Vec::new());
    for ends in rows.starts.windows(2) {
        defined.resize(defined.len() + entries(ends), i16::from(ends[0] < ends[1]));
        repeated.push(0);
        repeated.resize(defined.len(), 1);
    }
    write_column::<Int32Type>(
        &mut group,
        bytemuck::cast_slice(&rows.columns),
        Some(&defined),
        Some(&repeated),
    )?;
    write_column::<T::Parquet>(&mut group, &rows.values, Some(&defined), Some(&repeated))?;
    let metadata = group.close()?;
    let mut size = PieceSize::default();
    for (chunk, column) in size.chunks.iter_mut().zip(metadata.columns()) {
        let dictionary = column.dictionary_page_offset().map_or(0, |start| column.data_page_offset() - start);
        *chunk = ChunkSize {
            compressed: column.compressed_size() as u64,
            uncompressed: column.uncompressed_size() as u64,
            values: column.num_values() as u64,
            dictionary: u32::try_from(dictionary)?,
            encodings: column.encodings_mask().as_i32(),
        };
        size.bytes += chunk.compressed;
    }
    let mut bytes = writer.into_inner()?;
    bytes.drain(..MAGIC.len());
    bytes.truncate(size.bytes as usize);
    Ok((bytes, size))
}

fn write_column<T: DataType>(
    group: &mut SerializedRowGroupWriter<impl Write + Send>,
    values: &[T::T],
    defined: Option<&[i16]>,
    repeated: Option<&[i16]>,
) -> Result<()> {
    let column = group.next_column()?;
    let mut column = column.ok_or_else(|| ParquetError::General("a column too many".to_owned()))?;
    column.typed::<T>().write_batch(values, defined, repeated)?;
    column.close()
}

/// The footer of a file whose row groups start at byte `offset`.
pub(super) fn foot(shape: &Shape, offset: u64, pieces: &[Piece]) -> Result<Vec<u8>> {
    let columns = Arc::new(SchemaDescriptor::new(schema(shape.dtype)?));
    let mut offset = offset;
    let mut groups = Vec::with_capacity(pieces.len());
    for (ordinal, piece) in pieces.iter().enumerate() {
        let mut group = RowGroupMetaData::builder(columns.clone())
            .set_num_rows((piece.rows.end - piece.rows.start) as i64)
            .set_total_byte_size(piece.size.chunks.iter().map(|chunk| chunk.uncompressed as i64).sum())
            .set_file_offset(offset as i64)
            .set_ordinal(i32::try_from(ordinal)?);
        for (number, chunk) in piece.size.chunks.iter().enumerate() {
            let dictionary = (chunk.dictionary > 0).then_some(offset as i64);
            let column = ColumnChunkMetaData::builder(columns.column(number))
                .set_compression(compression()?)
                .set_encodings_mask(EncodingMask::try_new(chunk.encodings)?)
                .set_num_values(chunk.values as i64)
                .set_total_compressed_size(chunk.compressed as i64)
                .set_total_uncompressed_size(chunk.uncompressed as i64)
                .set_dictionary_page_offset(dictionary)
                .set_data_page_offset((offset + chunk.dictionary as u64) as i64);
            group = group.add_column_metadata(column.build()?);
            offset += chunk.compressed;
        }
        groups.push(group.build()?);
    }
    debug_assert_eq!(columns.num_columns(), CHUNKS);
    let by = format!("bowline version {}", env!("CARGO_PKG_VERSION"));
    let n_columns = KeyValue::new("n_columns".to_owned(), shape.columns.to_string());
    let file = FileMetaData::new(VERSION, shape.rows as i64, Some(by), Some(vec![n_columns]), columns, None);
    let mut foot = Vec::new();
    ParquetMetaDataWriter::new(&mut foot, &ParquetMetaData::new(file, groups)).finish()?;
    Ok(foot)
}
