//! Any bytes in any encoding: text in pieces equals the whole text, and UTF-8 equals Rust's.
//!
//! The first line is the name of the encoding. A byte chooses the policy, one the sizes of pieces; the rest is the text.

use bowline_workers::analyzer::decode::DecodeError;
use bowline_workers::encoding::{Encoding, Transcoded};
use bowline_workers::failure::Failure;
use std::io::{self, Read};

/// Gives bytes in pieces whose sizes repeat.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: [usize; 2],
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.sizes.swap(0, 1);
        let size = self.sizes[0].min(into.len());
        self.bytes.read(&mut into[..size])
    }
}

/// The text of a stream, up to its failure if there is one.
fn text(
    bytes: &[u8],
    sizes: [usize; 2],
    encoding: Encoding,
    policy: DecodeError,
) -> (Vec<u8>, Option<String>) {
    let mut text = Vec::new();
    let mut stream = Transcoded::new(Pieces { bytes, sizes }, encoding, policy);
    let failure = stream.read_to_end(&mut text).err().map(|error| error.to_string());
    assert!(std::str::from_utf8(&text).is_ok());
    (text, failure)
}

/// Decodes one text.
pub fn run(data: &[u8]) {
    let Some(end) = data.iter().position(|&byte| byte == b'\n') else { return };
    let Some((&[policy, sizes], bytes)) = data[end + 1..].split_first_chunk::<2>() else { return };
    let Ok(encoding) = String::from_utf8_lossy(&data[..end]).parse::<Encoding>() else { return };
    assert_eq!(encoding.label().parse::<Encoding>(), Ok(encoding));
    let policies = [DecodeError::Strict, DecodeError::Replace, DecodeError::Ignore];
    let policy = policies[usize::from(policy) % policies.len()];
    let sizes = [1 + usize::from(sizes >> 4), 1 + usize::from(sizes & 15)];
    let whole = text(bytes, [bytes.len().max(1); 2], encoding, policy);
    assert_eq!(text(bytes, sizes, encoding, policy), whole);
    let (mut at_once, mut spare) = (bytes.to_vec(), Vec::new());
    let decoded = encoding.decode(&mut at_once, policy, &mut spare);
    if encoding.is_utf8() {
        let expected = match policy {
            DecodeError::Strict => {
                let end = std::str::from_utf8(bytes).err().map_or(bytes.len(), |error| error.valid_up_to());
                bytes[..end].to_vec()
            }
            DecodeError::Replace => String::from_utf8_lossy(bytes).into_owned().into_bytes(),
            DecodeError::Ignore => bytes.utf8_chunks().flat_map(|chunk| chunk.valid().bytes()).collect(),
        };
        let failure = (policy == DecodeError::Strict && expected.len() < bytes.len())
            .then(|| Failure::InvalidUtf8(expected.len() as u64).to_string());
        assert_eq!(whole, (expected, failure));
        return;
    }
    match decoded {
        Ok(_) => assert_eq!(whole, (at_once, None)),
        Err(failure) => assert_eq!(whole.1, Some(failure.to_string())),
    }
}
