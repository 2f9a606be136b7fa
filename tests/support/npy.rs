//! NumPy's array format, version 1.0 (NEP 1), read strictly: what is not as NumPy writes it fails the test.

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
}

impl Array {
    /// Reads a file's bytes.
    pub fn parse(bytes: &[u8]) -> Self {
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "the magic of version 1.0");
        let header = 10 + u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
        let text = std::str::from_utf8(&bytes[10..header]).expect("a header of ASCII");
        assert!(text.ends_with('\n') && text.contains("'fortran_order': False"), "{text}");
        let shape = between(text, "'shape': (", ")").split(',').map(str::trim).filter(|one| !one.is_empty());
        let array = Array {
            descr: between(text, "'descr': '", "'").to_owned(),
            shape: shape.map(|one| one.parse().expect("a dimension")).collect(),
            header,
            elements: bytes[header..].to_vec(),
        };
        assert_eq!(array.elements.len(), array.len() * array.element_size(), "{text}");
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
            "<i4" => {
                self.elements.as_chunks().0.iter().map(|&bytes| i32::from_le_bytes(bytes) as i64).collect()
            }
            "<i8" => self.elements.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect(),
            descr => panic!("{descr} are no integers"),
        }
    }

    /// The elements as numbers, of whatever type they are.
    pub fn numbers(&self) -> Vec<f64> {
        match self.descr.as_str() {
            "<f4" => {
                self.elements.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes) as f64).collect()
            }
            "<f8" => self.elements.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
            _ => self.integers().into_iter().map(|number| number as f64).collect(),
        }
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}")).1;
    rest.split_once(after).unwrap_or_else(|| panic!("no {after} in {rest}")).0
}
