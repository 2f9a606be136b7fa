//! Strings in Arrow's memory, taken through its C stream interface without a copy.

#![expect(unsafe_code, reason = "the C stream interface is a structure of pointers to functions")]

use arrow_array::cast::AsArray as _;
use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::types::ArrowDictionaryKeyType;
use arrow_array::{Array, ArrayRef, downcast_dictionary_array, make_array};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use std::ffi::CStr;

/// The name of the capsule (Arrow's PyCapsule interface).
const STREAM: &CStr = c"arrow_array_stream";

/// The chunks of a column of strings, in order.
pub struct Chunks {
    stream: FFI_ArrowArrayStream,
    schema: FFI_ArrowSchema,
}

// SAFETY: the stream's functions may be called by any thread, one at a time (Arrow's C stream interface, "Thread safety"), and
// the methods here take `&mut self`.
unsafe impl Send for Chunks {}

impl Chunks {
    /// The chunks of an object with `__arrow_c_stream__`.
    ///
    /// # Errors
    /// If it is no stream of arrays.
    pub fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let capsule = object.call_method0("__arrow_c_stream__")?;
        let capsule = capsule.cast::<PyCapsule>()?;
        let pointer = capsule.pointer_checked(Some(STREAM))?;
        // SAFETY: a capsule of this name holds a valid stream. It is moved out, and what stays behind is marked as released.
        let mut stream = unsafe { FFI_ArrowArrayStream::from_raw(pointer.cast().as_ptr()) };
        let mut schema = FFI_ArrowSchema::empty();
        let get_schema =
            stream.get_schema().ok_or_else(|| PyValueError::new_err("a released Arrow stream"))?;
        // SAFETY: the stream is valid, and the function fills an empty schema.
        let errno = unsafe { get_schema(&mut stream, &mut schema) };
        if errno != 0 {
            return Err(PyValueError::new_err(format!("an Arrow stream without a schema: error {errno}")));
        }
        Ok(Chunks { stream, schema })
    }

    /// The next chunk; `None` behind the last one.
    ///
    /// # Errors
    /// If the producer fails, or if the chunk holds no strings.
    pub fn next(&mut self) -> PyResult<Option<StringChunk>> {
        let mut array = FFI_ArrowArray::empty();
        let get_next =
            self.stream.get_next().ok_or_else(|| PyValueError::new_err("a released Arrow stream"))?;
        // SAFETY: the stream is valid, and the function fills an empty array.
        let errno = unsafe { get_next(&mut self.stream, &mut array) };
        if errno != 0 {
            return Err(PyValueError::new_err(format!("an Arrow stream failed: error {errno}")));
        }
        if array.is_released() {
            return Ok(None);
        }
        // SAFETY: the array is of the stream's schema.
        let data = unsafe { from_ffi(array, &self.schema) };
        let data = data.map_err(|error| PyValueError::new_err(error.to_string()))?;
        StringChunk::new(make_array(data)).map(Some)
    }
}

/// Strings of one chunk.
#[derive(Clone)]
pub struct StringChunk {
    /// The strings, or the keys.
    array: ArrayRef,
    /// The place of each string in `strings`, if the array holds keys.
    keys: Option<std::sync::Arc<[Option<usize>]>>,
    strings: ArrayRef,
}

impl StringChunk {
    fn new(array: ArrayRef) -> PyResult<Self> {
        let (keys, strings) = match downcast_keys(&array) {
            Some((keys, strings)) => (Some(keys), strings),
            None => (None, array.clone()),
        };
        let chunk = StringChunk { array, keys, strings };
        let strings = &chunk.strings;
        match strings.as_string_opt::<i32>().is_some()
            || strings.as_string_opt::<i64>().is_some()
            || strings.as_string_view_opt().is_some()
        {
            true => Ok(chunk),
            false => Err(PyTypeError::new_err(format!(
                "an Arrow column of {}, not of strings",
                strings.data_type()
            ))),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.array.len()
    }

    /// String `index`; `None` if it is null.
    pub fn get(&self, index: usize) -> Option<&str> {
        let index = match &self.keys {
            Some(keys) => keys[index]?,
            None => index,
        };
        let strings = &self.strings;
        if strings.is_null(index) {
            return None;
        }
        if let Some(strings) = strings.as_string_opt::<i32>() {
            Some(strings.value(index))
        } else if let Some(strings) = strings.as_string_opt::<i64>() {
            Some(strings.value(index))
        } else {
            strings.as_string_view_opt().map(|strings| strings.value(index))
        }
    }
}

/// The keys of an array that is encoded by a dictionary, and the strings that they stand for.
fn downcast_keys(array: &ArrayRef) -> Option<(std::sync::Arc<[Option<usize>]>, ArrayRef)> {
    fn keys<K: ArrowDictionaryKeyType>(
        array: &arrow_array::DictionaryArray<K>,
    ) -> (std::sync::Arc<[Option<usize>]>, ArrayRef) {
        ((0..array.len()).map(|index| array.key(index)).collect(), array.values().clone())
    }
    downcast_dictionary_array!(
        array => Some(keys(array)),
        _ => None
    )
}
