//! `matrix.arrow`: an Arrow IPC file, a row a document, a record batch a piece (Arrow Columnar Format 1.5, "IPC File
//! Format").
//!
//! Not compressed, and each array begins at a multiple of 64 bytes, so that a reader can map the file. The metadata are
//! FlatBuffers, built here slot by slot as `Schema.fbs`, `Message.fbs` and `File.fbs` number them.

use super::{Piece, Rows, Shape, Value};
use crate::matrix_plan::Dtype;
use flatbuffers::{FlatBufferBuilder, TableFinishedWIPOffset, TableUnfinishedWIPOffset, VOffsetT, WIPOffset};
use std::io;

const MAGIC: &[u8] = b"ARROW1";

/// The magic, up to a multiple of 8 bytes.
const START: &[u8] = b"ARROW1\0\0";

/// The first bytes of a message: it has more than 2^31 bytes, which no message had before version 0.15.
const CONTINUATION: [u8; 4] = [0xFF; 4];

/// The alignment of messages and arrays, in bytes.
const ALIGNMENT: usize = 64;

/// `MetadataVersion.V5`.
const V5: i16 = 4;

/// Members of the union `MessageHeader`.
const SCHEMA: u8 = 1;
const RECORD_BATCH: u8 = 3;

/// Members of the union `Type`.
const INT: u8 = 2;
const FLOATING_POINT: u8 = 3;
const UTF8: u8 = 5;
const LIST: u8 = 12;

type Builder<'a> = FlatBufferBuilder<'a>;
type Table = WIPOffset<TableFinishedWIPOffset>;

/// The place of a table's field, by its number in the schema of the metadata.
const fn slot(number: VOffsetT) -> VOffsetT {
    4 + 2 * number
}

fn table(builder: &mut Builder, fill: impl FnOnce(&mut Builder)) -> Table {
    let start: WIPOffset<TableUnfinishedWIPOffset> = builder.start_table();
    fill(builder);
    builder.end_table(start)
}

/// A vector of `length` structs of integers, given in order.
fn structs(builder: &mut Builder, length: usize, integers: &[i64]) -> WIPOffset<u8> {
    builder.start_vector::<i64>(integers.len());
    for &integer in integers.iter().rev() {
        builder.push(integer);
    }
    WIPOffset::new(builder.end_vector::<i64>(length).value())
}

/// The table of a type, with its member of the union.
fn type_of(builder: &mut Builder, dtype: Dtype) -> (u8, Table) {
    let integer = |builder: &mut Builder, bits: i32| {
        let integer = table(builder, |builder| {
            builder.push_slot_always(slot(0), bits);
            builder.push_slot_always(slot(1), true);
        });
        (INT, integer)
    };
    let float = |builder: &mut Builder, precision: i16| {
        (FLOATING_POINT, table(builder, |builder| builder.push_slot_always(slot(0), precision)))
    };
    match dtype {
        Dtype::I32 => integer(builder, 32),
        Dtype::I64 => integer(builder, 64),
        Dtype::F32 => float(builder, 1),
        Dtype::F64 => float(builder, 2),
    }
}

fn field(
    builder: &mut Builder,
    name: &str,
    is_nullable: bool,
    (kind, of): (u8, Table),
    children: &[Table],
) -> Table {
    let name = builder.create_string(name);
    let children = builder.create_vector(children);
    table(builder, |builder| {
        builder.push_slot_always(slot(0), name);
        builder.push_slot_always(slot(1), is_nullable);
        builder.push_slot_always(slot(2), kind);
        builder.push_slot_always(slot(3), of);
        builder.push_slot_always(slot(5), children);
    })
}

fn schema(builder: &mut Builder, shape: &Shape) -> Table {
    let text = |builder: &mut Builder| (UTF8, table(builder, |_| {}));
    let list = |builder: &mut Builder, name: &str, dtype: Dtype| {
        let of = type_of(builder, dtype);
        let item = field(builder, "item", false, of, &[]);
        let list = table(builder, |_| {});
        field(builder, name, false, (LIST, list), &[item])
    };
    let of = text(builder);
    let path = field(builder, "path", false, of, &[]);
    let of = type_of(builder, Dtype::I64);
    let record = field(builder, "record", true, of, &[]);
    let of = text(builder);
    let id = field(builder, "id", true, of, &[]);
    let indices = list(builder, "indices", Dtype::I32);
    let values = list(builder, "values", shape.dtype);
    let fields = builder.create_vector(&[path, record, id, indices, values]);
    let (key, value) =
        (builder.create_string("n_columns"), builder.create_string(&shape.columns.to_string()));
    let pair = table(builder, |builder| {
        builder.push_slot_always(slot(0), key);
        builder.push_slot_always(slot(1), value);
    });
    let metadata = builder.create_vector(&[pair]);
    table(builder, |builder| {
        builder.push_slot_always(slot(1), fields);
        builder.push_slot_always(slot(2), metadata);
    })
}

/// Appends a message, without its body, up to a multiple of [`ALIGNMENT`].
fn push_message(
    out: &mut Vec<u8>,
    header: u8,
    body: usize,
    fill: impl FnOnce(&mut Builder) -> Table,
) -> io::Result<()> {
    let mut builder = Builder::new();
    let content = fill(&mut builder);
    let message = table(&mut builder, |builder| {
        builder.push_slot_always(slot(0), V5);
        builder.push_slot_always(slot(1), header);
        builder.push_slot_always(slot(2), content);
        builder.push_slot_always(slot(3), body as i64);
    });
    builder.finish_minimal(message);
    let metadata = builder.finished_data();
    let start = out.len() + CONTINUATION.len() + size_of::<i32>();
    let end = (start + metadata.len()).next_multiple_of(ALIGNMENT);
    out.extend_from_slice(&CONTINUATION);
    out.extend_from_slice(&i32::try_from(end - start).map_err(io::Error::other)?.to_le_bytes());
    out.extend_from_slice(metadata);
    out.resize(end, 0);
    Ok(())
}

/// The bytes before the first record batch.
pub(super) fn head(shape: &Shape) -> Vec<u8> {
    let mut out = START.to_vec();
    // A schema of five fields is never too large.
    let _ = push_message(&mut out, SCHEMA, 0, |builder| schema(builder, shape));
    out
}

/// The arrays of a record batch, as its metadata describe them.
#[derive(Default)]
struct Body {
    bytes: Vec<u8>,
    /// Length and number of nulls of each array.
    nodes: Vec<i64>,
    /// Offset and length in bytes of each buffer.
    buffers: Vec<i64>,
}

impl Body {
    fn node(&mut self, length: usize, nulls: usize) {
        self.nodes.extend([length as i64, nulls as i64]);
    }

    fn buffer(&mut self, bytes: &[u8]) {
        self.buffers.extend([self.bytes.len() as i64, bytes.len() as i64]);
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }

    /// Begins an array: one bit for each element, unless all are there.
    fn array(&mut self, are_there: impl ExactSizeIterator<Item = bool>) {
        let length = are_there.len();
        let mut bits = vec![0u8; length.div_ceil(8)];
        let mut nulls = length;
        for (index, _) in are_there.enumerate().filter(|&(_, is_there)| is_there) {
            bits[index / 8] |= 1 << (index % 8);
            nulls -= 1;
        }
        self.node(length, nulls);
        self.buffer(if nulls == 0 { &[] } else { &bits });
    }

    /// The offsets of texts or lists, which end at `ends`.
    fn offsets(&mut self, ends: impl Iterator<Item = usize>) -> io::Result<()> {
        let offsets = std::iter::once(0).chain(ends).map(|end| i32::try_from(end).map_err(io::Error::other));
        let offsets: Vec<i32> = offsets.collect::<io::Result<_>>()?;
        self.buffer(bytemuck::cast_slice(&offsets));
        Ok(())
    }

    fn texts(&mut self, texts: &[Option<String>]) -> io::Result<()> {
        self.array(texts.iter().map(Option::is_some));
        let mut end = 0;
        self.offsets(texts.iter().map(|text| {
            end += text.as_ref().map_or(0, String::len);
            end
        }))?;
        let texts: Vec<&str> = texts.iter().flatten().map(String::as_str).collect();
        self.buffer(texts.concat().as_bytes());
        Ok(())
    }

    /// Lists, all there, that begin at `starts` and contain `items`, which take `bytes`.
    fn lists(&mut self, starts: &[usize], bytes: &[u8]) -> io::Result<()> {
        self.array(starts[1..].iter().map(|_| true));
        self.offsets(starts[1..].iter().copied())?;
        self.node(starts[starts.len() - 1], 0);
        self.buffer(&[]);
        self.buffer(bytes);
        Ok(())
    }
}

/// Encodes a record batch.
pub(super) fn batch<T: Value>(rows: &Rows<T>) -> io::Result<Vec<u8>> {
    let labels: Vec<_> = rows.labels().collect();
    let mut body = Body::default();
    let records: Vec<_> = labels.iter().map(|label| label.record).collect();
    let (paths, ids): (Vec<_>, Vec<_>) = labels.into_iter().map(|label| (Some(label.path), label.id)).unzip();
    body.texts(&paths)?;
    body.array(records.iter().map(Option::is_some));
    let records: Vec<i64> = records.into_iter().map(Option::unwrap_or_default).collect();
    body.buffer(bytemuck::cast_slice(&records));
    body.texts(&ids)?;
    body.lists(&rows.starts, bytemuck::cast_slice(&rows.columns))?;
    body.lists(&rows.starts, bytemuck::cast_slice(&rows.values))?;
    let mut out = Vec::with_capacity(body.bytes.len() + 1024);
    push_batch(&mut out, rows.rows.len(), &body)?;
    out.extend_from_slice(&body.bytes);
    Ok(out)
}

/// Appends the message of a record batch, without its body.
fn push_batch(out: &mut Vec<u8>, rows: usize, body: &Body) -> io::Result<()> {
    push_message(out, RECORD_BATCH, body.bytes.len(), |builder| {
        let nodes = structs(builder, body.nodes.len() / 2, &body.nodes);
        let buffers = structs(builder, body.buffers.len() / 2, &body.buffers);
        table(builder, |builder| {
            builder.push_slot_always(slot(0), rows as i64);
            builder.push_slot_always(slot(1), nodes);
            builder.push_slot_always(slot(2), buffers);
        })
    })
}

/// The end of the messages and the footer of a file whose record batches start at byte `offset`.
pub(super) fn foot(shape: &Shape, offset: u64, pieces: &[Piece]) -> io::Result<Vec<u8>> {
    // The metadata of all batches have the same length.
    let mut metadata = Vec::new();
    let body = Body { nodes: vec![0; 2 * NODES], buffers: vec![0; 2 * BUFFERS], ..Body::default() };
    push_batch(&mut metadata, 0, &body)?;
    let metadata = metadata.len();
    let mut offset = offset;
    let blocks = pieces.iter().flat_map(|piece| {
        let start = offset as i64;
        offset += piece.size.bytes;
        [start, metadata as i64, piece.size.bytes as i64 - metadata as i64]
    });
    let blocks: Vec<i64> = blocks.collect();
    let mut builder = Builder::new();
    let schema = schema(&mut builder, shape);
    let blocks = structs(&mut builder, pieces.len(), &blocks);
    let dictionaries = structs(&mut builder, 0, &[]);
    let footer = table(&mut builder, |builder| {
        builder.push_slot_always(slot(0), V5);
        builder.push_slot_always(slot(1), schema);
        builder.push_slot_always(slot(2), dictionaries);
        builder.push_slot_always(slot(3), blocks);
    });
    builder.finish_minimal(footer);
    let footer = builder.finished_data();
    // A message of length 0 ends the messages.
    let mut out = [CONTINUATION, [0; 4]].concat();
    out.extend_from_slice(footer);
    out.extend_from_slice(&i32::try_from(footer.len()).map_err(io::Error::other)?.to_le_bytes());
    out.extend_from_slice(MAGIC);
    Ok(out)
}

/// Arrays of a record batch: one a column, and the items of two.
const NODES: usize = 7;

/// Buffers of a record batch: of `path`, `record`, `id`, and of the two lists.
const BUFFERS: usize = 3 + 2 + 3 + 2 * 4;
