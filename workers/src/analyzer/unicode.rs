//! Versions of Unicode, so that terms can be those of a Python whose tables are older than the tables of this program.
//!
//! Between two versions, characters are assigned. The properties in use of those assigned before stay the same, except two
//! that matter to a final sigma (`characters::is_final_sigma`). So under a version, a character that it does not assign is
//! not a word character and has no lower case, no decomposition and no combining class. `ages` contains those characters;
//! `characters` has the age of each beside its properties.

pub(super) mod ages;

/// A version of Unicode. Characters of later versions are not assigned.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
#[repr(u8)]
pub enum UnicodeVersion {
    /// Unicode 14.0, as in Python 3.11.
    V14_0 = 0,
    /// Unicode 15.0, as in Python 3.12.
    V15_0 = 1,
    /// Unicode 15.1, as in Python 3.13.
    V15_1 = 2,
    /// Unicode 16.0, as in Python 3.14.
    V16_0 = 3,
    /// All characters of this program's tables. These are not all of one version: words are those of Unicode 16.0, lower
    /// case is that of the Rust release, accents are those of `unicode-normalization`.
    #[default]
    Newest = 4,
}

impl UnicodeVersion {
    /// The version with a number as in Python's `unicodedata.unidata_version`, such as `15.1.0`. A version after 16.0 is
    /// [`UnicodeVersion::Newest`], which may lack some of its characters. `None` for an older version than 14.0, for which
    /// there is no table, and for other text.
    pub fn of(number: &str) -> Option<Self> {
        let mut parts = number.split('.').map(str::parse::<u32>);
        match (parts.next()?.ok()?, parts.next()?.ok()?) {
            (14, 0) => Some(UnicodeVersion::V14_0),
            (15, 0) => Some(UnicodeVersion::V15_0),
            (15, 1) => Some(UnicodeVersion::V15_1),
            (16, 0) => Some(UnicodeVersion::V16_0),
            later if later > (16, 0) => Some(UnicodeVersion::Newest),
            _ => None,
        }
    }

    /// The ranges of the characters that a later version assigns, or none yet, in order.
    pub(super) fn unassigned(self) -> impl Iterator<Item = (char, char)> {
        let ages = ages::AGES.iter().filter(move |&&(_, _, age)| age > self as u8);
        ages.filter_map(|&(first, last, _)| Some((char::from_u32(first)?, char::from_u32(last)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_numbers() {
        for (number, version) in [
            ("14.0.0", Some(UnicodeVersion::V14_0)),
            ("15.0.0", Some(UnicodeVersion::V15_0)),
            ("15.1.0", Some(UnicodeVersion::V15_1)),
            ("16.0", Some(UnicodeVersion::V16_0)),
            ("17.0.0", Some(UnicodeVersion::Newest)),
            ("100.0.0", Some(UnicodeVersion::Newest)),
            ("13.0.0", None),
            ("15", None),
            ("", None),
            ("15.x", None),
        ] {
            assert_eq!(UnicodeVersion::of(number), version, "{number}");
        }
        assert_eq!(UnicodeVersion::default(), UnicodeVersion::Newest);
    }

    #[test]
    fn ranges_are_in_order_and_apart() {
        let mut end = None;
        for &(first, last, age) in ages::AGES {
            assert!(end < Some(first) && first <= last && (1..=UnicodeVersion::Newest as u8).contains(&age));
            end = Some(last);
        }
        assert_eq!(UnicodeVersion::Newest.unassigned().count(), 0);
        assert_eq!(UnicodeVersion::V14_0.unassigned().count(), ages::AGES.len());
    }
}
