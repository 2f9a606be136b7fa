//! Characters and classes of characters: escapes, ranges and categories in Python's syntax, and both cases of a letter.

use super::{Last, PatternError, Translator, syntax};
use std::fmt::Write as _;

impl Translator<'_> {
    pub(super) fn literal(&mut self, c: char) -> Last {
        if self.flags.ignore_case {
            let mut class = String::from("[");
            push_item(&mut class, c, c);
            self.extra_cases(&mut class, c, c);
            class.push(']');
            let class = self.with_case(&class);
            self.push(&class);
        } else {
            let mut text = String::new();
            push_escaped(&mut text, c);
            self.push(&text);
        }
        Last::Item
    }

    fn with_case(&self, class: &str) -> String {
        let folds = self.flags.ignore_case && !self.flags.ascii;
        if folds { format!("(?i:{class})") } else { class.to_owned() }
    }

    /// In Python the dotless and the dotted i are cases of i; in the engines, by Unicode's simple folding, they are
    /// not. With the ASCII flag, only ASCII letters have cases.
    fn extra_cases(&self, class: &mut String, first: char, last: char) {
        if !self.flags.ignore_case {
            return;
        }
        let holds = |c: char| (first..=last).contains(&c);
        if !self.flags.ascii && "iIıİ".chars().any(holds) {
            class.push_str("iIıİ");
        }
        if self.flags.ascii {
            let letters = ('A'..='Z').chain('a'..='z').filter(|&c| holds(c));
            class.extend(letters.map(|c| {
                if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
            }));
        }
    }

    /// The rest of a class. Python has ranges, escapes and a leading `^`; no other character is special in a class.
    pub(super) fn class(&mut self) -> Result<Last, PatternError> {
        let mut class = String::from("[");
        if self.eat("^") {
            class.push('^');
        }
        let mut is_first = true;
        loop {
            let c = self.next("a character set")?;
            if c == ']' && !is_first {
                break;
            }
            is_first = false;
            let first = match self.class_item(c)? {
                Ok(first) => first,
                Err(category) => {
                    class.push_str(&category);
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
            push_item(&mut class, first, last);
            self.extra_cases(&mut class, first, last);
        }
        class.push(']');
        let class = self.with_case(&class);
        self.push(&class);
        Ok(Last::Item)
    }

    /// One character of a class, or a category.
    fn class_item(&mut self, c: char) -> Result<Result<char, String>, PatternError> {
        if c != '\\' {
            return Ok(Ok(c));
        }
        let c = self.next("an escape")?;
        if let Some(category) = self.category(c) {
            return Ok(Err(category));
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

/// Appends a character, escaped so that the engines read it literally.
fn push_escaped(text: &mut String, c: char) {
    match c {
        c if c.is_ascii_alphanumeric() || c == '_' || c as u32 >= 0xA0 => text.push(c),
        c => {
            let _ = write!(text, "\\x{{{:X}}}", c as u32);
        }
    }
}

fn push_item(class: &mut String, first: char, last: char) {
    push_escaped(class, first);
    if first != last {
        class.push('-');
        push_escaped(class, last);
    }
}
