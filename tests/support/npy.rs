//! NumPy's array format, read by the `npyz` crate, which shares no code with the program. The test fails unless the
//! array is version 1.0 in C order, as NumPy writes it.

use npyz::{Deserialize, NpyFile, Order};

/// An array.
#[derive(Clone, PartialEq, Debug)]
pub struct Array {
    /// Type of the elements, as NumPy writes it.
    pub descr: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Bytes before the first element.
    pub header: usize,
    /// The elements in C order, little-endian.
    pub elements: Vec<u8>,
    /// All bytes of the file.
    file: Vec<u8>,
}

impl Array {
    /// Reads a file's bytes.
    pub fn parse(bytes: &[u8]) -> Self {
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "the magic of version 1.0");
        let header = 10 + u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
        let file = NpyFile::new(bytes).expect("an array");
        assert_eq!(file.order(), Order::C);
        let array = Array {
            descr: file.dtype().descr().trim_matches('\'').to_owned(),
            shape: file.shape().iter().map(|&one| one as usize).collect(),
            header,
            elements: bytes[header..].to_vec(),
            file: bytes.to_vec(),
        };
        assert_eq!(array.elements.len(), array.len() * array.element_size(), "{:?}", array.shape);
        array
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of an element.
    pub fn element_size(&self) -> usize {
        self.descr[2..].parse().expect("a type of known size")
    }

    /// The elements as whole numbers.
    pub fn integers(&self) -> Vec<i64> {
        match self.descr.as_str() {
            "<i4" => self.elements_as::<i32>().into_iter().map(i64::from).collect(),
            "<i8" => self.elements_as(),
            descr => panic!("{descr} are no integers"),
        }
    }

    /// The elements as numbers, whatever their type.
    pub fn numbers(&self) -> Vec<f64> {
        match self.descr.as_str() {
            "<f4" => self.elements_as::<f32>().into_iter().map(f64::from).collect(),
            "<f8" => self.elements_as(),
            _ => self.integers().into_iter().map(|number| number as f64).collect(),
        }
    }

    fn elements_as<T: Deserialize>(&self) -> Vec<T> {
        NpyFile::new(&self.file[..]).and_then(NpyFile::into_vec).expect("elements of that type")
    }
}
