//! Translates Python's regular expressions (`re`, 3.11) to the syntax of the `regex` and `fancy-regex` crates.
//!
//! Both engines choose matches as Python does: the first alternative that leads to a match. Differences are written
//! out: classes by Python's definition of a word, a digit, a space; `\b`, `$`, `\Z`; quantifiers and classes by Python's
//! rules for special characters. A pattern that cannot be expressed is rejected. Under a version of Unicode older than the
//! engines', the characters of later versions are taken out of categories, and have no other case.

mod classes;

use crate::analyzer::characters::Properties;
use crate::analyzer::unicode::UnicodeVersion;
use classes::Later;
use std::fmt::Write as _;
use std::iter::Peekable;
use std::ops::Range;
use std::str::Chars;

/// A token pattern that cannot be used.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum PatternError {
    /// It is not a regular expression, or not one that the engines accept.
    #[error("{0}")]
    Syntax(String),
    /// It is too large for the engines.
    #[error("the pattern is too large: repetitions within repetitions multiply")]
    TooLarge,
    /// It has more than one capture group; a token can be only one.
    #[error("{0} capture groups, and only one can be the token: write (?:...) for the others")]
    Groups(usize),
}

/// A pattern in the engines' syntax.
#[derive(Debug)]
pub(crate) struct Translation {
    /// For the linear engine; `None` if it cannot find the same matches.
    pub(crate) linear: Option<String>,
    /// For the backtracking engine.
    pub(crate) exact: String,
    /// Number of capture groups.
    pub(crate) groups: usize,
    /// Whether `linear` uses word boundaries.
    pub(crate) has_borders: bool,
}

/// Python's `\w` inside a class.
const WORD: &str = r"\p{L}\p{N}_";
const ASCII_WORD: &str = "a-zA-Z0-9_";

/// Translates a pattern for a version of Unicode.
///
/// # Errors
/// [`PatternError`].
pub(crate) fn translate(pattern: &str, version: UnicodeVersion) -> Result<Translation, PatternError> {
    let mut translator = Translator {
        later: Later::than(version),
        version,
        chars: pattern.chars().peekable(),
        linear: String::new(),
        exact: String::new(),
        flags: Flags::default(),
        groups: 0,
        is_linear: true,
        has_borders: false,
        captured: None,
        item: 0,
    };
    translator.global_flags()?;
    translator.alternatives(0)?;
    if translator.chars.next().is_some() {
        return Err(syntax("unbalanced parenthesis"));
    }
    let Translator { linear, exact, groups, has_borders, mut is_linear, .. } = translator;
    // An empty match after a match is a further token in Python, and none in the engine.
    is_linear &=
        regex_syntax::parse(&linear).is_ok_and(|hir| hir.properties().minimum_len().unwrap_or(0) > 0);
    Ok(Translation { linear: is_linear.then_some(linear), exact, groups, has_borders })
}

fn syntax(message: impl Into<String>) -> PatternError {
    PatternError::Syntax(message.into())
}

#[derive(Clone, Copy, Default)]
struct Flags {
    ascii: bool,
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    verbose: bool,
}

impl Flags {
    fn set(&mut self, flag: char, on: bool) -> Result<(), PatternError> {
        match flag {
            'i' => self.ignore_case = on,
            'm' => self.multi_line = on,
            's' => self.dot_all = on,
            'x' => self.verbose = on,
            'a' if on => self.ascii = true,
            'u' if on => self.ascii = false,
            'L' => return Err(syntax("the flag L means nothing for text")),
            other => return Err(syntax(format!("unknown flag {}", other.escape_debug()))),
        }
        Ok(())
    }
}

struct Translator<'a> {
    version: UnicodeVersion,
    /// The characters that the version does not assign.
    later: Later,
    chars: Peekable<Chars<'a>>,
    linear: String,
    exact: String,
    flags: Flags,
    groups: usize,
    is_linear: bool,
    has_borders: bool,
    /// The range of the capture group in `exact`, once it is closed.
    captured: Option<Range<usize>>,
    /// The start in `exact` of the item that a quantifier may follow.
    item: usize,
}

/// The last translated item, for a quantifier that may follow.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    Nothing,
    Item,
    Quantified,
}

impl Translator<'_> {
    fn push(&mut self, text: &str) {
        self.linear.push_str(text);
        self.exact.push_str(text);
    }

    /// Appends a construct that only the backtracking engine supports.
    fn push_exact(&mut self, text: &str) {
        self.is_linear = false;
        self.exact.push_str(text);
    }

    fn push_reference(&mut self, reference: &str) -> Result<Last, PatternError> {
        if self.flags.ignore_case {
            return Err(syntax(
                "a back-reference with the flag i is not supported: engines differ on what is equal",
            ));
        }
        self.push_exact(&format!("(?:{reference})"));
        Ok(Last::Item)
    }

    fn next(&mut self, what: &str) -> Result<char, PatternError> {
        self.chars.next().ok_or_else(|| syntax(format!("the pattern ends in the middle of {what}")))
    }

    fn eat(&mut self, text: &str) -> bool {
        let mut ahead = self.chars.clone();
        let found = text.chars().all(|c| ahead.next() == Some(c));
        if found {
            self.chars = ahead;
        }
        found
    }

    /// Flags for the whole pattern, at its beginning.
    fn global_flags(&mut self) -> Result<(), PatternError> {
        loop {
            let mut ahead = self.chars.clone();
            if (ahead.next(), ahead.next()) != (Some('('), Some('?')) {
                break;
            }
            let flags: String = ahead.clone().take_while(|c| c.is_ascii_alphabetic()).collect();
            if flags.is_empty() || ahead.nth(flags.len()) != Some(')') {
                break;
            }
            flags.chars().try_for_each(|flag| self.flags.set(flag, true))?;
            self.chars = ahead;
        }
        Ok(())
    }

    fn alternatives(&mut self, depth: usize) -> Result<(), PatternError> {
        if depth > 100 {
            return Err(syntax("groups are nested too deep"));
        }
        let mut last = Last::Nothing;
        while let Some(&c) = self.chars.peek() {
            if c == ')' {
                return Ok(());
            }
            self.chars.next();
            if !matches!(c, '*' | '+' | '?' | '{') {
                self.item = self.exact.len();
            }
            last = match c {
                '|' => {
                    self.push("|");
                    Last::Nothing
                }
                c if self.flags.verbose && c.is_ascii_whitespace() => last,
                '#' if self.flags.verbose => {
                    self.chars.by_ref().find(|&c| c == '\n');
                    last
                }
                '*' | '+' | '?' => self.quantifier(&c.to_string(), last)?,
                '{' => match self.bounds()? {
                    Some(bounds) => self.quantifier(&bounds, last)?,
                    None => self.literal('{'),
                },
                '(' => self.group(depth)?.unwrap_or(last),
                '[' => self.class()?,
                '.' => {
                    self.push(if self.flags.dot_all { "(?s:.)" } else { r"[^\n]" });
                    Last::Item
                }
                '^' => {
                    self.push(if self.flags.multi_line { "(?m:^)" } else { r"\A" });
                    Last::Item
                }
                '$' if self.flags.multi_line => {
                    self.push("(?m:$)");
                    Last::Item
                }
                '$' => {
                    self.push_exact(r"(?=\n?\z)");
                    Last::Item
                }
                '\\' => self.escape()?,
                c => self.literal(c),
            };
        }
        Ok(())
    }

    /// A quantifier, greedy, lazy or possessive, after the item that it repeats.
    fn quantifier(&mut self, text: &str, last: Last) -> Result<Last, PatternError> {
        match last {
            Last::Nothing => return Err(syntax("nothing to repeat")),
            Last::Quantified => return Err(syntax("multiple repeat")),
            Last::Item => {}
        }
        if text != "?"
            && self
                .captured
                .as_ref()
                .is_some_and(|group| group.start >= self.item && self.may_be_empty(group))
        {
            return Err(syntax(
                "the token's group is repeated and may be empty: engines differ on what it is then",
            ));
        }
        self.push(text);
        if self.eat("?") {
            self.push("?");
        } else if self.eat("+") {
            self.push_exact("+");
        }
        Ok(Last::Quantified)
    }

    /// Whether a part of the translation, a whole group, matches the empty text.
    fn may_be_empty(&self, group: &Range<usize>) -> bool {
        let alone = fancy_regex::Regex::new(&format!(r"\A(?:{})\z", &self.exact[group.clone()]));
        alone.map_or(true, |regex| regex.is_match("").unwrap_or(true))
    }

    /// The rest of `{m,n}`, as the engines write it; `None` if the brace is a literal character.
    fn bounds(&mut self) -> Result<Option<String>, PatternError> {
        let inner: String = self.chars.clone().take_while(|&c| c != '}').collect();
        let is_closed = self.chars.clone().any(|c| c == '}');
        let (least, most) =
            inner.split_once(',').map_or((inner.as_str(), None), |(least, most)| (least, Some(most)));
        let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        if !is_closed || inner.is_empty() || !is_number(least) || !most.is_none_or(is_number) {
            return Ok(None);
        }
        // A larger bound exceeds any practical pattern; and `{,}` is `*`.
        let bound = |text: &str| match text.parse::<u32>() {
            Ok(number) if number <= 1000 => Ok(number.to_string()),
            _ => Err(syntax("the repetition number is too large")),
        };
        let least = if least.is_empty() { "0".to_owned() } else { bound(least)? };
        let text = match most {
            None => format!("{{{least}}}"),
            Some("") => format!("{{{least},}}"),
            Some(most) => {
                let most = bound(most)?;
                if least.parse::<u32>().ok() > most.parse::<u32>().ok() {
                    return Err(syntax("min repeat greater than max repeat"));
                }
                format!("{{{least},{most}}}")
            }
        };
        self.chars.nth(inner.chars().count());
        Ok(Some(text))
    }

    /// The rest of a group. A comment gives `None`.
    fn group(&mut self, depth: usize) -> Result<Option<Last>, PatternError> {
        let (flags, start, captures) = (self.flags, self.exact.len(), self.groups);
        if self.eat("?#") {
            return match self.chars.by_ref().find(|&c| c == ')') {
                Some(_) => Ok(None),
                None => Err(syntax("missing ), unterminated comment")),
            };
        }
        if self.eat("?P=") {
            let name = self.name(')')?;
            return self.push_reference(&format!(r"\k<{name}>")).map(Some);
        }
        if self.eat("?P<") {
            let name = self.name('>')?;
            self.groups += 1;
            self.push(&format!("(?P<{name}>"));
        } else if self.eat("?:") {
            self.push("(?:");
        } else if self.eat("?>") {
            self.push_exact("(?>");
        } else if self.eat("?=") {
            self.push_exact("(?=");
        } else if self.eat("?!") {
            self.push_exact("(?!");
        } else if self.eat("?<=") {
            self.push_exact("(?<=");
        } else if self.eat("?<!") {
            self.push_exact("(?<!");
        } else if self.eat("?(") {
            return Err(syntax("conditional groups are not supported"));
        } else if self.eat("?") {
            self.scoped_flags()?;
            self.push("(?:");
        } else {
            self.groups += 1;
            self.push("(");
        }
        self.alternatives(depth + 1)?;
        if self.chars.next() != Some(')') {
            return Err(syntax("missing ), unterminated subpattern"));
        }
        self.push(")");
        self.flags = flags;
        self.item = start;
        if self.groups > captures && self.captured.is_none() {
            self.captured = Some(start..self.exact.len());
        }
        Ok(Some(Last::Item))
    }

    /// The flags of `(?aimsx-imsx:`, up to the colon.
    fn scoped_flags(&mut self) -> Result<(), PatternError> {
        let mut on = true;
        loop {
            match self.next("a group's flags")? {
                ':' => return Ok(()),
                '-' if on => on = false,
                ')' => return Err(syntax("global flags not at the start of the expression")),
                flag => {
                    let mut flags = self.flags;
                    flags.set(flag, on)?;
                    self.flags = flags;
                }
            }
        }
    }

    fn name(&mut self, end: char) -> Result<String, PatternError> {
        let name: String = self.chars.by_ref().take_while(|&c| c != end).collect();
        let is_name = name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && name
                .chars()
                .all(|c| c == '_' || c.is_alphanumeric() && Properties::is_assigned(c, self.version));
        if is_name { Ok(name) } else { Err(syntax(format!("bad character in group name {name:?}"))) }
    }

    /// The meaning of a letter for a class of characters, inside brackets.
    fn category(&self, letter: char) -> Option<String> {
        let later = &self.later.subtraction;
        let inner = match (letter, self.flags.ascii) {
            ('w' | 'W', true) => ASCII_WORD.to_owned(),
            ('w' | 'W', false) => format!("{WORD}{later}"),
            ('d' | 'D', true) => "0-9".to_owned(),
            ('d' | 'D', false) => format!(r"\p{{Nd}}{later}"),
            ('s' | 'S', true) => r"\t\n\r\x0B\x0C\x20".to_owned(),
            ('s' | 'S', false) => r"\s\x1C-\x1F".to_owned(),
            _ => return None,
        };
        Some(format!("[{}{inner}]", if letter.is_ascii_uppercase() { "^" } else { "" }))
    }

    fn escape(&mut self) -> Result<Last, PatternError> {
        let c = self.next("an escape")?;
        if let Some(category) = self.category(c) {
            self.push(&category);
            return Ok(Last::Item);
        }
        match c {
            'A' => self.push(r"\A"),
            'Z' => self.push(r"\z"),
            'b' | 'B' => self.border(c == 'b'),
            '1'..='9' => {
                return self.reference(c);
            }
            c => {
                let c = self.character(c)?;
                self.literal(c);
            }
        }
        Ok(Last::Item)
    }

    /// A word boundary, or its negation. The linear engine has another definition of it, see `TokenPattern::find`.
    fn border(&mut self, is_border: bool) {
        let word = self.category('w').unwrap_or_default();
        let (here, there) = if is_border { ("!", "=") } else { ("=", "!") };
        // Python's `\B`, up to 3.13, does not match an empty text.
        let not_empty = if is_border { "" } else { r"(?!\A\z)" };
        let _ = write!(self.exact, "(?:(?<={word})(?{here}{word})|(?<!{word})(?{there}{word}){not_empty})");
        if self.flags.ascii || !is_border {
            self.is_linear = false;
        } else {
            self.has_borders = true;
            self.linear.push_str(r"\b");
        }
    }

    /// `\1`, or an octal escape of three digits.
    fn reference(&mut self, first: char) -> Result<Last, PatternError> {
        let mut digits = String::from(first);
        while digits.len() < 3 && self.chars.peek().is_some_and(char::is_ascii_digit) {
            digits.extend(self.chars.next());
        }
        if digits.len() == 3 && digits.chars().all(|c| c < '8') {
            let code = u32::from_str_radix(&digits, 8).unwrap_or(0);
            return match char::from_u32(code).filter(|_| code <= 0o377) {
                Some(c) => Ok(self.literal(c)),
                None => Err(syntax(format!("octal escape value \\{digits} outside of range 0-0o377"))),
            };
        }
        match digits.parse::<usize>() {
            Ok(group) if group >= 1 && group <= self.groups => self.push_reference(&format!("\\{group}")),
            _ => Err(syntax(format!("invalid group reference {digits}"))),
        }
    }

    /// The character that an escape with the letter `c` means, inside a class or out of it.
    fn character(&mut self, c: char) -> Result<char, PatternError> {
        Ok(match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'f' => '\x0C',
            'v' => '\x0B',
            'a' => '\x07',
            'x' => self.hexadecimal(2)?,
            'u' => self.hexadecimal(4)?,
            'U' => self.hexadecimal(8)?,
            '0' => {
                let mut code = 0;
                for _ in 0..2 {
                    if let Some(digit) = self.chars.peek().and_then(|c| c.to_digit(8)) {
                        code = code * 8 + digit;
                        self.chars.next();
                    }
                }
                char::from_u32(code).unwrap_or('\0')
            }
            c if c.is_ascii_alphanumeric() => return Err(syntax(format!("bad escape \\{c}"))),
            c => c,
        })
    }

    fn hexadecimal(&mut self, digits: usize) -> Result<char, PatternError> {
        let text: String = self.chars.by_ref().take(digits).collect();
        let is_code = text.len() == digits && text.chars().all(|c| c.is_ascii_hexdigit());
        let code = is_code.then(|| u32::from_str_radix(&text, 16).ok()).flatten();
        code.and_then(char::from_u32).ok_or_else(|| syntax(format!("bad escape with the digits {text:?}")))
    }
}
