//! Append-only logs of bytes in this process's own memory, of which nothing is seen before the writer is gone.

use std::sync::{Arc, OnceLock};

/// Bytes that a private log may have: as many as a place in a run can refer to.
pub(crate) const CAPACITY: usize = 1 << 43;

/// The committed bytes, once there is no writer. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrivateLog(Arc<OnceLock<Bytes>>);

/// Bytes that begin at a multiple of 8.
#[derive(Debug, Default)]
struct Bytes {
    words: Vec<u64>,
    length: usize,
}

impl PrivateLog {
    /// The committed bytes: none as long as there is a writer.
    pub(crate) fn committed(&self) -> &[u8] {
        self.0.get().map_or(&[], |bytes| &bytemuck::cast_slice(&bytes.words)[..bytes.length])
    }

    /// The log's writer. What a second writer appends is lost.
    pub(crate) fn writer(&self) -> PrivateWriter {
        PrivateWriter { log: self.clone(), bytes: Bytes::default(), committed: 0 }
    }
}

/// The writer of a private log, which gets the committed bytes when this is dropped.
#[derive(Debug)]
pub(crate) struct PrivateWriter {
    log: PrivateLog,
    bytes: Bytes,
    committed: usize,
}

impl PrivateWriter {
    /// Appends `bytes`.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let end = self.bytes.length + bytes.len();
        self.bytes.words.resize(end.div_ceil(size_of::<u64>()), 0);
        bytemuck::cast_slice_mut(&mut self.bytes.words)[self.bytes.length..end].copy_from_slice(bytes);
        self.bytes.length = end;
    }

    /// Keeps all appended bytes.
    pub(crate) fn commit(&mut self) {
        self.committed = self.bytes.length;
    }
}

impl Drop for PrivateWriter {
    fn drop(&mut self) {
        self.bytes.length = self.committed;
        let _ = self.log.0.set(std::mem::take(&mut self.bytes));
    }
}
