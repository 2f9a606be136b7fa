//! Rows of texts whose columns are known.

use super::threads::{Consumer, consume, lock};
use super::{AnyCsr, Csr, Host, TextsError, Values, are_narrow, indptr};
use crate::analyzer::chunks::Chunk;
use crate::cells::{Element, Index, Row};
use crate::count::{CountSettings, DocumentCounter};
use crate::failure::Failure;
use crate::key::Key;
use crate::segment::RowNumbers;
use std::sync::Mutex;

/// Converts texts to rows whose columns are known: of a given vocabulary, or by hashing. Calls may run at the same time; each
/// takes its counters from a pool.
pub struct Transformer {
    settings: CountSettings,
    pool: Mutex<Vec<DocumentCounter>>,
}

/// Counters that wait in a pool, at most.
const POOLED: usize = 64;

/// What a thread of a transformer has made.
struct RowCounter<'a, T> {
    settings: &'a CountSettings,
    values: &'a Values<'a>,
    /// Made with the thread's first text, unless it is from the pool: a call for a single small batch needs only one.
    counter: Option<DocumentCounter>,
    scratch: Row,
    rows: Vec<RowsOfBatch<T>>,
}

struct RowsOfBatch<T> {
    batch: u32,
    lengths: Vec<u32>,
    /// No column is above `i32::MAX`.
    indices: Vec<i32>,
    data: Vec<T>,
    not_finite: Option<(u32, u32)>,
}

impl<T: Element + Send> Consumer for RowCounter<'_, T> {
    fn consume(&mut self, key: Key, text: &mut Vec<u8>) -> Result<(), Failure> {
        let RowCounter { settings, values, counter, scratch, rows } = self;
        if rows.last().is_none_or(|rows| rows.batch != key.split) {
            let (lengths, indices, data) = (Vec::new(), Vec::new(), Vec::new());
            rows.push(RowsOfBatch { batch: key.split, lengths, indices, data, not_finite: None });
        }
        let Some(RowsOfBatch { lengths, indices, data, not_finite, .. }) = rows.last_mut() else {
            return Ok(());
        };
        let counter = counter.get_or_insert_with(|| DocumentCounter::new(settings));
        counter.begin();
        counter.count(text, Chunk::WHOLE)?;
        let counted = counter.finish(None);
        scratch.set(counted.row, counted.tokens);
        indices.extend(scratch.columns().map(i32::from_column));
        lengths.push(scratch.columns().len() as u32);
        let weighed =
            scratch.weighed(&values.settings, |column| values.idf(column), values.mean_length, data);
        if let Err(column) = weighed {
            not_finite.get_or_insert((key.ordinal, column.0));
        }
        counter.has_memory();
        Ok(())
    }
}

impl Transformer {
    /// A transformer with an empty pool. The features are not [`Features::Vocabulary`](crate::count::Features::Vocabulary).
    pub fn new(settings: CountSettings) -> Self {
        Transformer { settings, pool: Mutex::new(Vec::new()) }
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        match self.settings.row_numbers() {
            RowNumbers::Columns(columns) => columns as usize,
            RowNumbers::Terms | RowNumbers::Ngrams => 0,
        }
    }

    /// The rows of the texts of `host`.
    ///
    /// # Errors
    /// See [`TextsError`].
    pub fn transform<H: Host, T: Element + Send>(
        &self,
        host: &mut H,
        threads: usize,
        values: &Values,
    ) -> Result<AnyCsr<T>, TextsError<H::Error>> {
        let threads = threads.max(1);
        let mut pooled = {
            let mut pool = lock(&self.pool);
            let kept = pool.len().saturating_sub(threads);
            pool.split_off(kept)
        };
        let settings = &self.settings;
        let mut counters = Vec::with_capacity(threads);
        counters.resize_with(threads, || RowCounter {
            settings,
            values,
            counter: pooled.pop(),
            scratch: Row::default(),
            rows: Vec::new(),
        });
        // After a panic, a counter may be in any state; the others are whole.
        let sizes = consume(host, 0, &mut counters)?;
        let (mut parts, mut idle) = (Vec::new(), Vec::new());
        for RowCounter { counter, rows, .. } in counters {
            idle.extend(counter);
            parts.extend(rows);
        }
        {
            let mut pool = lock(&self.pool);
            idle.truncate(POOLED.saturating_sub(pool.len()));
            pool.append(&mut idle);
        }
        parts.sort_unstable_by_key(|part: &RowsOfBatch<T>| part.batch);
        let first = |batch: u32| sizes[..batch as usize].iter().map(|&size| size as usize).sum::<usize>();
        let mut not_finite = parts.iter().filter_map(|part| part.not_finite.map(|cell| (part.batch, cell)));
        if let Some((batch, (ordinal, column))) = not_finite.next() {
            return Err(TextsError::NotFinite { row: first(batch) + ordinal as usize, column });
        }
        Ok(assembled(parts))
    }
}

/// The matrix of all rows.
fn assembled<T: Element>(mut parts: Vec<RowsOfBatch<T>>) -> AnyCsr<T> {
    let cells = parts.iter().map(|part| part.indices.len()).sum();
    match &mut parts[..] {
        _ if !are_narrow(cells) => AnyCsr::Wide(joined(&parts)),
        // Most calls have one part, which is not copied.
        [RowsOfBatch { lengths, indices, data, .. }] => AnyCsr::Narrow(Csr {
            data: std::mem::take(data),
            indices: std::mem::take(indices),
            indptr: indptr(lengths.iter().map(|&length| length as usize)),
        }),
        _ => AnyCsr::Narrow(joined(&parts)),
    }
}

/// The rows of all parts, in one matrix.
fn joined<I: Index, T: Element>(parts: &[RowsOfBatch<T>]) -> Csr<I, T> {
    let cells = parts.iter().map(|part| part.indices.len()).sum();
    let (mut indices, mut data) = (Vec::with_capacity(cells), Vec::with_capacity(cells));
    for part in parts {
        indices.extend(part.indices.iter().map(|&column| I::from_column(column as u32)));
        data.extend_from_slice(&part.data);
    }
    let lengths = parts.iter().flat_map(|part| &part.lengths);
    Csr { data, indices, indptr: indptr(lengths.map(|&length| length as usize)) }
}

impl std::fmt::Debug for Transformer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transformer").field("columns", &self.columns()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_narrow_matrices_are_the_same() {
        let part = |batch, lengths: &[u32], indices: &[i32], data: &[f32]| RowsOfBatch {
            batch,
            lengths: lengths.to_vec(),
            indices: indices.to_vec(),
            data: data.to_vec(),
            not_finite: None,
        };
        let parts = || vec![part(0, &[2, 0], &[1, i32::MAX], &[1.0, 2.0]), part(2, &[1], &[7], &[3.0])];
        let wide: Csr<i64, f32> = joined(&parts());
        assert_eq!(wide.indices, [1, i64::from(i32::MAX), 7]);
        assert_eq!((wide.indptr, &wide.data[..]), (vec![0, 2, 2, 3], &[1.0, 2.0, 3.0][..]));
        for parts in
            [parts(), parts()[..1].iter().map(|p| part(0, &p.lengths, &p.indices, &p.data)).collect()]
        {
            let expected = AnyCsr::Narrow(joined(&parts));
            assert_eq!(assembled(parts), expected);
        }
        assert_eq!([are_narrow(i32::MAX as usize), are_narrow(1 << 31)], [true, false]);
    }
}
