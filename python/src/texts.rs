//! The texts of a Python program, for the engine: objects of an iterable, or strings in Arrow's memory.
//!
//! A batch refers to the memory of its objects and keeps them alive. Only the calling thread makes and drops batches. It has
//! Python's lock while it makes them; of those that are dropped without it, Python releases the objects later.

use crate::arrow::{Chunks, StringChunk};
use bowline_workers::texts::{Host, Texts, TextsError};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyMemoryError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyIterator, PyString};
use pyo3::{intern, sync::PyOnceLock};
use std::ops::Range;

create_exception!(
    bowline._native,
    Unsupported,
    PyException,
    "The engine cannot give scikit-learn's exact answer for these settings or texts."
);
create_exception!(
    bowline._native,
    TextError,
    PyValueError,
    "An element that is no text: number `index`, the object `item`."
);

/// Texts of a batch, at most.
const BATCH_TEXTS: usize = 512;

/// Bytes of a batch, at most, but for its last text: 256 KiB.
const BATCH_BYTES: usize = 256 << 10;

/// What to do with a string that has lone surrogates, which are no text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Surrogates {
    /// They stand for characters that are in no term.
    Separate,
    /// They may be in terms.
    Refuse,
}

/// Gives the engine the texts of an object.
pub struct Reader {
    source: Source,
    rules: Rules,
    /// Texts given so far.
    given: usize,
}

/// What is a text.
#[derive(Clone, Copy)]
struct Rules {
    surrogates: Surrogates,
    /// Whether bytes that are not UTF-8 are an error.
    is_strict: bool,
}

enum Source {
    Objects(Py<PyIterator>),
    Arrow {
        chunks: Chunks,
        chunk: Option<StringChunk>,
        at: usize,
    },
    /// No text.
    Nothing,
}

/// Some of the texts.
pub enum Batch {
    /// Of objects.
    Objects(Vec<Object>),
    /// Strings of a chunk.
    Arrow(StringChunk, Range<usize>),
}

/// The memory of an object.
pub enum Object {
    /// An ASCII string.
    Str(PyBackedStr),
    /// Bytes, or the UTF-8 of a string.
    Bytes(PyBackedBytes),
}

impl Texts for Batch {
    fn len(&self) -> usize {
        match self {
            Batch::Objects(objects) => objects.len(),
            Batch::Arrow(_, range) => range.len(),
        }
    }

    fn text(&self, index: usize) -> &[u8] {
        match self {
            Batch::Objects(objects) => match &objects[index] {
                Object::Str(text) => text.as_bytes(),
                Object::Bytes(text) => text,
            },
            Batch::Arrow(chunk, range) => chunk.get(range.start + index).unwrap_or_default().as_bytes(),
        }
    }
}

impl Reader {
    /// The texts of `texts`: an iterable of str and bytes, or an object with `__arrow_c_stream__`.
    ///
    /// # Errors
    /// If it is neither.
    pub fn new(texts: &Bound<'_, PyAny>, surrogates: Surrogates, is_strict: bool) -> PyResult<Self> {
        let source = match texts.hasattr(intern!(texts.py(), "__arrow_c_stream__"))? {
            true => Source::Arrow { chunks: Chunks::of(texts)?, chunk: None, at: 0 },
            false => Source::Objects(texts.try_iter()?.unbind()),
        };
        Ok(Reader { source, rules: Rules { surrogates, is_strict }, given: 0 })
    }

    /// No texts: for calls that only ask whether to go on.
    pub fn nothing() -> Self {
        let rules = Rules { surrogates: Surrogates::Refuse, is_strict: true };
        Reader { source: Source::Nothing, rules, given: 0 }
    }
}

impl Rules {
    /// The next texts of an iterator that has given `given` texts, and whether they are the last.
    fn objects(self, iterator: &mut Bound<'_, PyIterator>, given: usize) -> PyResult<(Batch, bool)> {
        let (mut objects, mut bytes) = (Vec::new(), 0);
        while objects.len() < BATCH_TEXTS && bytes < BATCH_BYTES {
            let Some(item) = iterator.next() else { return Ok((Batch::Objects(objects), true)) };
            let object = self.object(&item?, given + objects.len())?;
            bytes += match &object {
                Object::Str(text) => text.len(),
                Object::Bytes(text) => text.len(),
            };
            objects.push(object);
        }
        Ok((Batch::Objects(objects), false))
    }

    fn object(self, item: &Bound<'_, PyAny>, index: usize) -> PyResult<Object> {
        let py = item.py();
        if let Ok(text) = item.cast::<PyString>() {
            if text.call_method0(intern!(py, "isascii"))?.is_truthy()? {
                return Ok(Object::Str(PyBackedStr::try_from(text.clone())?));
            }
            // Not the string's own UTF-8, which it would keep.
            return match text.encode_utf8() {
                Ok(bytes) => Ok(Object::Bytes(bytes.into())),
                Err(_) if self.surrogates == Surrogates::Separate => {
                    Ok(Object::Bytes(without_surrogates(text)?.into()))
                }
                Err(_) => Err(Unsupported::new_err("a lone surrogate")),
            };
        }
        if let Ok(bytes) = item.cast::<PyBytes>() {
            if self.is_strict && std::str::from_utf8(bytes.as_bytes()).is_err() {
                // Python's own error.
                bytes.call_method1(intern!(py, "decode"), ("utf-8",))?;
            }
            return Ok(Object::Bytes(bytes.clone().into()));
        }
        Err(no_text(py, index, item.clone())?)
    }
}

/// The error of an element that is no text.
fn no_text(py: Python<'_>, index: usize, item: Bound<'_, PyAny>) -> PyResult<PyErr> {
    let kind = item.get_type().name()?;
    let error = TextError::new_err(format!("document {index} is of type {kind}, not str or bytes"));
    let value = error.value(py);
    value.setattr("index", index)?;
    value.setattr("item", item)?;
    Ok(error)
}

/// The UTF-8 of a string, with U+FFFD for each lone surrogate: neither is a word character.
fn without_surrogates<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyBytes>> {
    let py = text.py();
    let bytes = text.call_method1(intern!(py, "encode"), ("utf-8", "surrogatepass"))?;
    let mut bytes = bytes.cast::<PyBytes>()?.as_bytes().to_vec();
    let mut at = 0;
    while let Err(error) = std::str::from_utf8(&bytes[at..]) {
        at += error.valid_up_to();
        // The three bytes of a surrogate.
        let Some(surrogate) = bytes.get_mut(at..at + 3) else { break };
        surrogate.copy_from_slice("\u{FFFD}".as_bytes());
    }
    Ok(PyBytes::new(py, &bytes))
}

impl Host for Reader {
    type Error = PyErr;
    type Batch = Batch;

    fn next(&mut self) -> PyResult<(Batch, bool)> {
        let (batch, is_last) = match &mut self.source {
            Source::Objects(iterator) => Python::attach(|py| {
                py.check_signals()?;
                let mut iterator = iterator.bind(py).clone();
                self.rules.objects(&mut iterator, self.given)
            })?,
            Source::Arrow { chunks, chunk, at } => {
                Python::attach(|py| py.check_signals())?;
                let found = loop {
                    match chunk {
                        Some(found) if *at < found.len() => break Some(found.clone()),
                        _ => {
                            *at = 0;
                            // The producer may be Python code.
                            *chunk = Python::attach(|_| chunks.next())?;
                            if chunk.is_none() {
                                break None;
                            }
                        }
                    }
                };
                match found {
                    None => (Batch::Objects(Vec::new()), true),
                    Some(found) => {
                        let start = *at;
                        let mut bytes = 0;
                        while *at < found.len() && *at - start < BATCH_TEXTS && bytes < BATCH_BYTES {
                            let Some(text) = found.get(*at) else {
                                let index = self.given + *at - start;
                                return Err(Python::attach(|py| {
                                    no_text(py, index, py.None().into_bound(py))
                                })?);
                            };
                            bytes += text.len();
                            *at += 1;
                        }
                        (Batch::Arrow(found, start..*at), false)
                    }
                }
            }
            Source::Nothing => (Batch::Objects(Vec::new()), true),
        };
        self.given += batch.len();
        Ok((batch, is_last))
    }

    fn check(&mut self) -> PyResult<()> {
        Python::attach(|py| py.check_signals())
    }
}

/// The exception of an error.
pub fn raised(error: TextsError<PyErr>) -> PyErr {
    match error {
        TextsError::Host(error) => error,
        TextsError::Text { index, failure } => Unsupported::new_err(format!("document {index}: {failure}")),
        TextsError::NotFinite { row, column } => PyValueError::new_err(format!(
            "document {row} has a value that is not finite, in column {column}"
        )),
        TextsError::TooMany => PyMemoryError::new_err("more cells than can be numbered"),
        TextsError::System(error) => PyOSError::new_err(error),
    }
}

/// The number of threads to use: `BOWLINE_NUM_THREADS`, `OMP_NUM_THREADS`, or the cores that this process may use.
#[pyfunction]
pub fn available_threads() -> usize {
    let set = ["BOWLINE_NUM_THREADS", "OMP_NUM_THREADS"].into_iter().find_map(|name| {
        // The second one may be a list, for nested threads.
        let value = std::env::var(name).ok()?;
        value.split(',').next()?.trim().parse::<usize>().ok().filter(|&threads| threads > 0)
    });
    static CORES: PyOnceLock<usize> = PyOnceLock::new();
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    set.unwrap_or_else(|| Python::attach(|py| *CORES.get_or_init(py, cores)))
}
