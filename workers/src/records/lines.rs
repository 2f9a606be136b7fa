//! A file each of whose lines is a document. An empty line is an empty document, so line numbers are row numbers.
//!
//! Gives bytes; the analyzer decodes them.

use super::line_reader::{Line, LineReader, append};
use super::{About, Records};
use crate::analyzer::chunks::{Chunk, LONGEST};
use crate::failure::Failure;

/// The lines of a split.
pub(crate) struct Lines {
    lines: LineReader,
    max_bytes: u64,
    about: About,
}

impl Lines {
    /// The documents are `lines`. One of more than `max_bytes` bytes fails.
    pub(crate) fn new(lines: LineReader, max_bytes: u64) -> Self {
        Lines { lines, max_bytes, about: About::default() }
    }
}

impl Records for Lines {
    fn next(&mut self, text: &mut Vec<u8>) -> Option<Result<Chunk, Failure>> {
        let limit = self.max_bytes.min(LONGEST as u64) as usize;
        let result = self.lines.next(text, limit)?.and_then(|line| match line {
            Line::Buffered(line) => append(text, line),
            Line::Spilled => Ok(()),
            Line::Long { bytes, .. } if bytes > self.max_bytes => Err(Failure::TooLarge(bytes)),
            Line::Long { .. } => Err(Failure::Unbroken),
        });
        Some(result.map(|()| Chunk::WHOLE))
    }

    fn skip(&mut self, _text: &mut Vec<u8>) -> bool {
        self.lines.pass().is_some()
    }

    fn about(&self) -> &About {
        &self.about
    }
}

#[cfg(test)]
mod tests {
    use super::super::line_reader::tests::lines;
    use super::*;

    #[test]
    fn each_line_is_a_document() {
        let mut documents = Lines::new(lines(b"a\n\nlarger\r\nb", 0..u64::MAX, 2), 5);
        let mut text = b"old".to_vec();
        for expected in [Ok("a"), Ok(""), Err(Failure::TooLarge(6)), Ok("b")] {
            let found = documents.next(&mut text).expect("a document");
            assert_eq!(found, expected.map(|_| Chunk::WHOLE));
            assert_eq!(text, expected.unwrap_or_default().as_bytes());
        }
        assert_eq!(documents.next(&mut text), None);
        assert_eq!(documents.about(), &About::default());
        let mut documents = Lines::new(lines(b"a\n\nb", 0..u64::MAX, 2), 5);
        assert!(documents.skip(&mut text) && documents.skip(&mut text));
        assert_eq!(documents.next(&mut text), Some(Ok(Chunk::WHOLE)));
        assert_eq!(text, b"b");
        assert!(!documents.skip(&mut text));
    }
}
