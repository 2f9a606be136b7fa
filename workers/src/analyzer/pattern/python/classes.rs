//! Characters and classes of characters: escapes, ranges and categories in Python's syntax, and both cases of a letter.

use super::{Last, PatternError, Translator, syntax};
use crate::analyzer::unicode::UnicodeVersion;
use regex_syntax::hir::{Class as Set, ClassUnicode, ClassUnicodeRange, HirKind};
use std::fmt::Write as _;

/// The characters that a version of Unicode does not assign.
pub(super) struct Later {
    characters: ClassUnicode,
    /// A class's end that takes those out of it that the engines take for letters or numbers; empty if there are none.
    pub(super) subtraction: String,
}

impl Later {
    pub(super) fn than(version: UnicodeVersion) -> Self {
        let ranges = version.unassigned().map(|(first, last)| ClassUnicodeRange::new(first, last));
        let characters = ClassUnicode::new(ranges);
        let mut subtraction = String::new();
        let known = regex_syntax::parse(r"[\p{L}\p{N}]").map(|hir| hir.into_kind());
        if let Ok(HirKind::Class(Set::Unicode(mut known))) = known {
            known.intersect(&characters);
            if !known.ranges().is_empty() {
                subtraction.push_str("--[");
                push_ranges(&mut subtraction, &known);
                subtraction.push(']');
            }
        }
        Later { characters, subtraction }
    }
}

/// A class of characters that is being read.
struct Class {
    is_negated: bool,
    /// Its single characters and ranges.
    items: ClassUnicode,
    /// Its categories, in the engines' syntax.
    categories: String,
}

impl Class {
    fn new(is_negated: bool) -> Self {
        Class { is_negated, items: ClassUnicode::empty(), categories: String::new() }
    }

    fn push(&mut self, first: char, last: char) {
        self.items.push(ClassUnicodeRange::new(first, last));
    }
}

impl Translator<'_> {
    pub(super) fn literal(&mut self, c: char) -> Last {
        if self.flags.ignore_case {
            let mut class = Class::new(false);
            self.push_range(&mut class, c, c);
            let class = self.finish(class);
            self.push(&class);
        } else {
            let mut text = String::new();
            push_escaped(&mut text, c);
            self.push(&text);
        }
        Last::Item
    }

    /// The class in the engines' syntax, with both cases of its letters if the pattern ignores case. Categories have no
    /// cases, and a character that is not assigned is the other case of none.
    fn finish(&self, class: Class) -> String {
        let Class { is_negated, mut items, categories } = class;
        if self.flags.ignore_case && !self.flags.ascii {
            let mut unassigned = items.clone();
            unassigned.intersect(&self.later.characters);
            items.difference(&self.later.characters);
            // The engines' tables of cases are compiled in.
            let _ = items.try_case_fold_simple();
            items.difference(&self.later.characters);
            items.union(&unassigned);
        }
        let start = if is_negated { "[^" } else { "[" };
        let mut text = format!("{start}{categories}");
        push_ranges(&mut text, &items);
        text.push(']');
        text
    }

    /// Adds a range of characters, or one, to a class.
    fn push_range(&self, class: &mut Class, first: char, last: char) {
        class.push(first, last);
        self.extra_cases(class, first, last);
    }

    /// In Python the dotless and the dotted i are cases of i; in the engines, by Unicode's simple folding, they are
    /// not. With the ASCII flag, only ASCII letters have cases.
    fn extra_cases(&self, class: &mut Class, first: char, last: char) {
        if !self.flags.ignore_case {
            return;
        }
        let holds = |c: char| (first..=last).contains(&c);
        if !self.flags.ascii && "iIıİ".chars().any(holds) {
            "iIıİ".chars().for_each(|c| class.push(c, c));
        }
        if self.flags.ascii {
            let letters = ('A'..='Z').chain('a'..='z').filter(|&c| holds(c));
            for c in letters {
                let other =
                    if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
                class.push(other, other);
            }
        }
    }

    /// The rest of a class. Python has ranges, escapes and a leading `^`; no other character is special in a class.
    pub(super) fn class(&mut self) -> Result<Last, PatternError> {
        let mut class = Class::new(self.eat("^"));
        let mut is_first = true;
        loop {
            let c = self.next("a character set")?;
            if c == ']' && !is_first {
                break;
            }
            is_first = false;
            let first = match self.class_item(c)? {
                Ok(first) => first,
                Err(letter) => {
                    class.categories.extend(self.category(letter));
                    continue;
                }
            };
            let mut ahead = self.chars.clone();
            let is_range = ahead.next() == Some('-') && !matches!(ahead.next(), Some(']') | None);
            let last = if is_range {
                self.chars.next();
                let c = self.next("a character set")?;
                self.class_item(c)?.map_err(|_| syntax("bad character range"))?
            } else {
                first
            };
            if last < first {
                let (first, last) = (first.escape_debug(), last.escape_debug());
                return Err(syntax(format!("bad character range {first}-{last}")));
            }
            self.push_range(&mut class, first, last);
        }
        let class = self.finish(class);
        self.push(&class);
        Ok(Last::Item)
    }

    /// One character of a class, or the letter of a category.
    fn class_item(&mut self, c: char) -> Result<Result<char, char>, PatternError> {
        if c != '\\' {
            return Ok(Ok(c));
        }
        let c = self.next("an escape")?;
        if self.category(c).is_some() {
            return Ok(Err(c));
        }
        Ok(Ok(match c {
            'b' => '\x08',
            '1'..='7' => {
                let mut code = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    if let Some(digit) = self.chars.peek().and_then(|c| c.to_digit(8)) {
                        code = code * 8 + digit;
                        self.chars.next();
                    }
                }
                char::from_u32(code)
                    .filter(|_| code <= 0o377)
                    .ok_or_else(|| syntax("octal escape value outside of range 0-0o377"))?
            }
            c => self.character(c)?,
        }))
    }
}

/// Appends ranges of characters, as a class in the engines' syntax contains them.
fn push_ranges(text: &mut String, set: &ClassUnicode) {
    for range in set.ranges() {
        let _ = write!(text, r"\x{{{:X}}}-\x{{{:X}}}", range.start() as u32, range.end() as u32);
    }
}

/// Appends a character, escaped so that the engines read it literally.
fn push_escaped(text: &mut String, c: char) {
    match c {
        c if c.is_ascii_alphanumeric() || c == '_' || c as u32 >= 0xA0 => text.push(c),
        c => {
            let _ = write!(text, "\\x{{{:X}}}", c as u32);
        }
    }
}
