//! Inverse document frequencies. N is the number of documents that did not fail; df is a column's document frequency.
//!
//! Sources: scikit-learn's `TfidfTransformer`; for BM25 the variants of Kamphuis et al., "Which BM25 Do You Mean?"
//! (2020), as the `bm25s` package computes them.

/// A formula for idf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Idf {
    /// ln((1 + N) / (1 + df)) + 1.
    Smooth,
    /// ln(N / df) + 1; infinite for a column that occurs in no document.
    Plain,
    /// ln(1 + (N - df + 0.5) / (df + 0.5)).
    Lucene,
    /// ln(max(1, (N - df + 0.5) / (df + 0.5))).
    Robertson,
    /// ln(N / df); infinite for a column that occurs in no document.
    Atire,
    /// ln((N + 1) / df), of BM25+; infinite for a column that occurs in no document.
    Plus,
    /// ln((N + 1) / (df + 0.5)), of BM25L.
    Long,
}

impl Idf {
    /// The idf of a column that occurs in `df` of `n` documents.
    pub(crate) fn of(self, n: u64, df: u64) -> f64 {
        let (n, df) = (n as f64, df as f64);
        let odds = (n - df + 0.5) / (df + 0.5);
        match self {
            Idf::Smooth => ((n + 1.0) / (df + 1.0)).ln() + 1.0,
            Idf::Plain => (n / df).ln() + 1.0,
            // `ln_1p` would give other last bits than the reference, which adds first.
            Idf::Lucene => (1.0 + odds).ln(),
            Idf::Robertson => odds.max(1.0).ln(),
            Idf::Atire => (n / df).ln(),
            Idf::Plus => ((n + 1.0) / df).ln(),
            Idf::Long => ((n + 1.0) / (df + 0.5)).ln(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(Idf::Smooth.of(9, 9), 1.0);
        assert_eq!(Idf::Plain.of(4, 0), f64::INFINITY);
        assert_eq!(Idf::Robertson.of(10, 9), 0.0);
        assert_eq!(Idf::Atire.of(10, 10), 0.0);
        assert!((Idf::Lucene.of(3, 1) - (1.0f64 + 2.5 / 1.5).ln()).abs() < 1e-15);
    }
}
