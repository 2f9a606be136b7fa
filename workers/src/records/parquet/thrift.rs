//! Checks of a Parquet file's footer and page headers before the `parquet` crate decodes them.
//!
//! The crate trusts some numbers of both: it reserves memory for as many children as a schema element claims, decodes a
//! schema by recursion, and reserves as much memory as a page header claims. These checks read the same bytes, Thrift's
//! compact protocol (thrift.apache.org, "Thrift Compact protocol encoding"), without reserving anything.

/// Maximum depth of a schema, and of structures within structures.
const MAX_DEPTH: usize = 64;

// Types of fields in the compact protocol.
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// Why bytes are not a structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flaw {
    /// They end too early.
    Ended,
    /// They are no such structure.
    Wrong,
}

/// The numbers of a page header that memory or the order of rows depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct PageSizes {
    /// Bytes of the page in the file, behind its header.
    pub(super) compressed: i32,
    /// Bytes of the page in memory.
    pub(super) uncompressed: i32,
    /// Values of a page of version 2.
    values: Option<i32>,
    /// Rows of a page of version 2.
    rows: Option<i32>,
}

impl PageSizes {
    /// The sizes that a page header at the start of these bytes states, and the bytes of the header.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), Flaw> {
        let mut thrift = Thrift { bytes, at: 0 };
        let mut sizes = PageSizes::default();
        let mut id = 0;
        while let Some(kind) = thrift.field(&mut id)? {
            match (id, kind) {
                (2, I32) => sizes.uncompressed = thrift.number()?,
                (3, I32) => sizes.compressed = thrift.number()?,
                (8, STRUCT) => {
                    let mut inner = 0;
                    while let Some(kind) = thrift.field(&mut inner)? {
                        match (inner, kind) {
                            (1, I32) => sizes.values = Some(thrift.number()?),
                            (3, I32) => sizes.rows = Some(thrift.number()?),
                            (1 | 3, _) => return Err(Flaw::Wrong),
                            _ => thrift.skip(kind, MAX_DEPTH)?,
                        }
                    }
                }
                (2 | 3 | 8, _) => return Err(Flaw::Wrong),
                _ => thrift.skip(kind, MAX_DEPTH)?,
            }
        }
        // Columns that are read are flat.
        let is_valid = sizes.compressed >= 0 && sizes.uncompressed >= 0 && sizes.values == sizes.rows;
        is_valid.then_some((sizes, thrift.at)).ok_or(Flaw::Wrong)
    }
}

/// Checks a footer's schema and the lengths of its lists. Returns whether the footer says that columns are encrypted.
pub(super) fn check_footer(bytes: &[u8]) -> Result<bool, Flaw> {
    let mut thrift = Thrift { bytes, at: 0 };
    let mut is_encrypted = false;
    let mut id = 0;
    while let Some(kind) = thrift.field(&mut id)? {
        match (id, kind) {
            (2, LIST) => thrift.schema()?,
            (2, _) => return Err(Flaw::Wrong),
            _ => thrift.skip(kind, MAX_DEPTH)?,
        }
        is_encrypted |= id == 8;
    }
    Ok(is_encrypted)
}

/// Bytes in the compact protocol, read in order.
struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Thrift<'_> {
    fn byte(&mut self) -> Result<u8, Flaw> {
        let byte = *self.bytes.get(self.at).ok_or(Flaw::Ended)?;
        self.at += 1;
        Ok(byte)
    }

    fn pass(&mut self, bytes: u64) -> Result<(), Flaw> {
        let left = self.bytes.len() - self.at;
        let bytes = usize::try_from(bytes).ok().filter(|&bytes| bytes <= left).ok_or(Flaw::Ended)?;
        self.at += bytes;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Flaw> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Flaw::Wrong)
    }

    fn signed(&mut self) -> Result<i64, Flaw> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn number(&mut self) -> Result<i32, Flaw> {
        i32::try_from(self.signed()?).map_err(|_| Flaw::Wrong)
    }

    /// The type of the next field of a structure, whose number replaces `id`; `None` at the structure's end.
    fn field(&mut self, id: &mut i16) -> Result<Option<u8>, Flaw> {
        let byte = self.byte()?;
        let kind = byte & 0x0f;
        if kind == 0 {
            return Ok(None);
        }
        *id = match byte >> 4 {
            0 => i16::try_from(self.signed()?).map_err(|_| Flaw::Wrong)?,
            step => id.checked_add(step.into()).ok_or(Flaw::Wrong)?,
        };
        Ok(Some(kind))
    }

    /// The type and the number of the elements of a list, which is not larger than the bytes that are left.
    fn list(&mut self) -> Result<(u8, u64), Flaw> {
        let byte = self.byte()?;
        let elements = match byte >> 4 {
            15 => self.varint()?,
            few => few.into(),
        };
        let left = (self.bytes.len() - self.at) as u64;
        (elements <= left).then_some((byte & 0x0f, elements)).ok_or(Flaw::Ended)
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), Flaw> {
        let depth = depth.checked_sub(1).ok_or(Flaw::Wrong)?;
        match kind {
            // A boolean is part of its field's type.
            1 | 2 => Ok(()),
            BYTE => self.pass(1),
            I16 | I32 | I64 => self.varint().map(drop),
            DOUBLE => self.pass(8),
            UUID => self.pass(16),
            BINARY => {
                let bytes = self.varint()?;
                self.pass(bytes)
            }
            LIST | SET => {
                let (kind, elements) = self.list()?;
                (0..elements).try_for_each(|_| self.skip(kind, depth))
            }
            MAP => {
                let entries = self.varint()?;
                if entries == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                if entries > (self.bytes.len() - self.at) as u64 {
                    return Err(Flaw::Ended);
                }
                (0..entries).try_for_each(|_| {
                    self.skip(kinds >> 4, depth)?;
                    self.skip(kinds & 0x0f, depth)
                })
            }
            STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth)?;
                }
                Ok(())
            }
            _ => Err(Flaw::Wrong),
        }
    }

    /// A schema: its elements in depth-first order, each with the number of its children.
    fn schema(&mut self) -> Result<(), Flaw> {
        let (kind, elements) = self.list()?;
        if kind != STRUCT {
            return Err(Flaw::Wrong);
        }
        // Children still to come, of each ancestor of the next element.
        let mut ancestors = vec![1];
        for element in 0..elements {
            while ancestors.last() == Some(&0) {
                ancestors.pop();
            }
            *ancestors.last_mut().ok_or(Flaw::Wrong)? -= 1;
            let mut children = 0;
            let mut id = 0;
            while let Some(kind) = self.field(&mut id)? {
                match (id, kind) {
                    (5, I32) => children = self.number()?,
                    (5, _) => return Err(Flaw::Wrong),
                    _ => self.skip(kind, MAX_DEPTH)?,
                }
            }
            let children = u64::try_from(children).map_err(|_| Flaw::Wrong)?;
            if children >= elements - element || ancestors.len() > MAX_DEPTH {
                return Err(Flaw::Wrong);
            }
            ancestors.push(children);
        }
        Ok(())
    }
}

/// Whether the delta-encoded numbers at the start of these bytes are not more than `most`; the bytes behind them.
///
/// The `parquet` crate reserves memory for as many numbers as the first bytes claim. (Parquet format, "Delta Encoding".)
pub(super) fn check_deltas(bytes: &[u8], most: u64) -> Result<&[u8], Flaw> {
    let mut thrift = Thrift { bytes, at: 0 };
    let block = thrift.varint()?;
    let parts = thrift.varint()?;
    let mut left = thrift.varint()?;
    thrift.varint()?;
    if left > most || parts == 0 || block == 0 || block % parts != 0 || block / parts % 8 != 0 {
        return Err(Flaw::Wrong);
    }
    let part = block / parts;
    left = left.saturating_sub(1);
    while left > 0 {
        thrift.varint()?;
        let widths = thrift.at;
        thrift.pass(parts)?;
        for &width in &bytes[widths..thrift.at] {
            if left == 0 {
                break;
            }
            thrift.pass((part / 8).checked_mul(width.into()).ok_or(Flaw::Wrong)?)?;
            left = left.saturating_sub(part);
        }
    }
    Ok(&bytes[thrift.at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_a_page() {
        // A data page of version 1: type 0, 100 bytes in memory, 60 in the file.
        let header = [0x15, 0, 0x15, 0xc8, 1, 0x15, 0x78, 0x2c, 0x15, 6, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0];
        let (sizes, bytes) = PageSizes::read(&header).expect("a header");
        assert_eq!((sizes.compressed, sizes.uncompressed, bytes), (60, 100, header.len()));
        for cut in 0..header.len() {
            assert_eq!(PageSizes::read(&header[..cut]), Err(Flaw::Ended));
        }
    }

    #[test]
    fn a_schema_that_claims_children() {
        let footer = |children: &[u8]| {
            let mut bytes = vec![0x15, 2, 0x19, (children.len() as u8) << 4 | STRUCT];
            for &children in children {
                bytes.extend([0x55, children << 1, 0]);
            }
            bytes.push(0);
            check_footer(&bytes)
        };
        assert_eq!(footer(&[2, 0, 0]), Ok(false));
        assert_eq!(footer(&[2, 1, 0, 0]), Ok(false));
        assert_eq!(footer(&[3, 0, 0]), Err(Flaw::Wrong));
        assert_eq!(footer(&[1, 0, 0]), Err(Flaw::Wrong));
        let mut deep = vec![0x29, 0xfc, 100];
        deep.extend((0..100).rev().flat_map(|left| [0x55, u8::from(left > 0) << 1, 0]));
        deep.push(0);
        assert_eq!(check_footer(&deep), Err(Flaw::Wrong));
    }

    #[test]
    fn deltas_that_claim_too_many() {
        // Blocks of 128 in 4 parts; 3 values; first value 0; one block, whose first part has 1 bit a value.
        let bytes = [0x80, 1, 4, 3, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4, 99];
        assert_eq!(check_deltas(&bytes, 3), Ok(&[99][..]));
        assert_eq!(check_deltas(&bytes, 2), Err(Flaw::Wrong));
        assert_eq!(check_deltas(&bytes[..12], 3), Err(Flaw::Ended));
    }
}
