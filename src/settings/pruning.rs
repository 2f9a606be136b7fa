//! Pruning: the selection of terms that get a column, by document frequency and rank.

use serde::{Deserialize, Serialize};

/// A number of documents, or a share of them, as it was written: `1` is one document, `1.0` all of them.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Df {
    /// A number of documents, 1 at least.
    Documents(u64),
    /// A share, from 0 to 1, of all documents that did not fail.
    Share(f64),
}

impl Df {
    /// How many of `documents` documents it is.
    pub(crate) fn of(self, documents: u64) -> f64 {
        match self {
            Df::Documents(number) => number as f64,
            Df::Share(share) => share * documents as f64,
        }
    }
}

impl std::str::FromStr for Df {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse::<u64>() {
            return if number >= 1 {
                Ok(Df::Documents(number))
            } else {
                Err("a number of documents is 1 or more".into())
            };
        }
        match text.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Df::Share(share)),
            _ => Err("a number of documents such as 2, or a share from 0.0 to 1.0".into()),
        }
    }
}

/// Which terms get no column, in scikit-learn's order: by document frequency, then by rank.
#[derive(Clone, Copy, Debug)]
pub struct Pruning {
    /// Documents that a term must occur in.
    pub min_df: Df,
    /// Documents that a term may occur in.
    pub max_df: Df,
    /// Terms that are kept: those that occur most often.
    pub max_features: Option<usize>,
}

impl Pruning {
    /// Whether no term can be dropped.
    pub(crate) fn is_none(&self) -> bool {
        self.max_features.is_none()
            && self.min_df == Df::Documents(1)
            && matches!(self.max_df, Df::Share(share) if share >= 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_type_decides() {
        assert_eq!("1".parse(), Ok(Df::Documents(1)));
        assert_eq!("1.0".parse(), Ok(Df::Share(1.0)));
        assert_eq!("0.5".parse(), Ok(Df::Share(0.5)));
        assert_eq!("1e-3".parse(), Ok(Df::Share(0.001)));
        for wrong in ["0", "-1", "1.5", "x", "", "nan", "-0.5"] {
            assert!(wrong.parse::<Df>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_df_stays_what_it_was_in_the_manifest() {
        for df in [Df::Documents(1), Df::Share(1.0), Df::Share(0.07)] {
            let text = serde_json::to_string(&df).unwrap();
            assert_eq!(serde_json::from_str::<Df>(&text).unwrap(), df, "{text}");
        }
    }
}
