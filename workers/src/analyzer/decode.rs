//! Bytes to text: what `--decode-error` says about bytes that are no UTF-8. No byte-order mark is removed and no
//! line end is changed, as in Python's `bytes.decode`.

/// What to do with bytes that are no UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The document fails.
    Strict,
    /// U+FFFD for each maximal part of a sequence, as Rust's and Python's lossy decoders do.
    Replace,
    /// The bytes are left out, and what stands beside them is joined.
    Ignore,
}

/// The offset of the first byte that is no UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidUtf8(pub u64);

/// Makes `bytes` UTF-8 as `policy` says. `spare` is a buffer to keep between calls.
///
/// # Errors
/// [`InvalidUtf8`] under [`DecodeError::Strict`]; `bytes` are as they were then.
pub fn decode(bytes: &mut Vec<u8>, policy: DecodeError, spare: &mut Vec<u8>) -> Result<(), InvalidUtf8> {
    if simdutf8::basic::from_utf8(bytes).is_ok() {
        return Ok(());
    }
    let replacement = match policy {
        DecodeError::Strict => {
            let valid = std::str::from_utf8(bytes).err().map_or(0, |error| error.valid_up_to());
            return Err(InvalidUtf8(valid as u64));
        }
        DecodeError::Replace => "\u{FFFD}",
        DecodeError::Ignore => "",
    };
    spare.clear();
    for chunk in bytes.utf8_chunks() {
        spare.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            spare.extend_from_slice(replacement.as_bytes());
        }
    }
    std::mem::swap(bytes, spare);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], policy: DecodeError) -> Result<Vec<u8>, InvalidUtf8> {
        let mut bytes = bytes.to_vec();
        decode(&mut bytes, policy, &mut Vec::new()).map(|()| bytes)
    }

    #[test]
    fn policies() {
        let bad = b"ab\xFFcd \xE4\xB8 \xC3\xFF\xA9";
        assert_eq!(decoded(bad, DecodeError::Strict), Err(InvalidUtf8(2)));
        assert_eq!(decoded(bad, DecodeError::Ignore).unwrap(), b"abcd  ");
        assert_eq!(decoded(bad, DecodeError::Replace).unwrap(), String::from_utf8_lossy(bad).as_bytes());
        for policy in [DecodeError::Strict, DecodeError::Replace, DecodeError::Ignore] {
            assert_eq!(decoded("\u{FEFF}é\r\n".as_bytes(), policy).unwrap(), "\u{FEFF}é\r\n".as_bytes());
        }
    }
}
