//! `--glob`: which of the files beneath a CORPUS become documents.
//!
//! A glob is matched with a path relative to its CORPUS, or, if it has no slash, with the name at the end of it. It is not
//! a line of an ignore file: `#` and spaces mean themselves. Never reads a disk: the walk supplies the paths.

use crate::error::{ErrorKind, Fault};
use crate::event::{Notice, NoticeKind};
use regex::bytes::RegexSet;

/// The globs of a run, in the order of the command line.
pub struct Globs {
    globs: Vec<Rule>,
    set: RegexSet,
    /// What each pattern of the set stands for.
    patterns: Vec<Pattern>,
    /// The last glob that includes: those behind it can't be outdone.
    last_include: Option<usize>,
}

/// One glob.
struct Rule {
    /// As it was given.
    given: String,
    /// Whether it began with `!`.
    excludes: bool,
    /// Whether it ended with a slash.
    names_folders: bool,
}

/// One pattern of the set.
#[derive(Clone, Copy)]
struct Pattern {
    /// The glob that it comes from.
    rule: usize,
    /// Whether it matches what lies beneath the glob's matches, instead of those themselves.
    beneath: bool,
}

/// Which globs have matched anything so far.
#[derive(Default)]
pub struct GlobUse {
    files: Vec<bool>,
    folders: Vec<bool>,
}

impl GlobUse {
    /// Adds what another part of the walk has used.
    pub fn merge(&mut self, other: &GlobUse) {
        let merge = |all: &mut Vec<bool>, part: &[bool]| {
            all.resize(all.len().max(part.len()), false);
            all.iter_mut().zip(part).for_each(|(all, part)| *all |= part);
        };
        merge(&mut self.files, &other.files);
        merge(&mut self.folders, &other.folders);
    }
}

impl Globs {
    /// Parses the globs of a command line.
    ///
    /// # Errors
    /// For a glob without a meaning, or one that no path can match.
    pub fn new(given: &[String]) -> Result<Self, Fault> {
        let rules = given.iter().map(|glob| Rule::parse(glob)).collect::<Result<Vec<_>, _>>()?;
        let last_include = rules.iter().rposition(|(rule, _)| !rule.excludes);
        let (mut expressions, mut patterns) = (Vec::new(), Vec::new());
        for (number, (rule, expression)) in rules.iter().enumerate() {
            expressions.push(format!(r"\A{expression}\z"));
            patterns.push(Pattern { rule: number, beneath: false });
            // A folder that is left out is not walked, unless a later glob may include something beneath it.
            if if rule.excludes { Some(number) < last_include } else { rule.names_folders } {
                expressions.push(format!(r"\A{expression}/"));
                patterns.push(Pattern { rule: number, beneath: true });
            }
        }
        let too_large = |_| Fault::new(ErrorKind::Glob, "globs: together they are too large");
        let set = RegexSet::new(expressions).map_err(too_large)?;
        let globs = rules.into_iter().map(|(rule, _)| rule).collect();
        Ok(Globs { globs, set, patterns, last_include })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.globs.is_empty()
    }

    /// Whether the file with this path is a document. The last glob that matches it decides; without one it is a document
    /// unless others are asked for.
    pub fn takes_file(&self, path: &[u8], used: &mut GlobUse) -> bool {
        if self.is_empty() {
            return true;
        }
        let mut takes = self.last_include.is_none();
        used.files.resize(self.globs.len(), false);
        for &Pattern { rule, beneath } in self.set.matches(path).iter().map(|index| &self.patterns[index]) {
            if beneath || !self.globs[rule].names_folders {
                used.files[rule] = true;
                takes = !self.globs[rule].excludes;
            }
        }
        takes
    }

    /// Whether the folder with this path is left out, with all that lies beneath it.
    pub fn leaves_out_folder(&self, path: &[u8], used: &mut GlobUse) -> bool {
        if self.is_empty() {
            return false;
        }
        used.folders.resize(self.globs.len(), false);
        let mut leaves_out = false;
        for &Pattern { rule, .. } in self.set.matches(path).iter().map(|index| &self.patterns[index]) {
            used.folders[rule] = true;
            leaves_out |= self.globs[rule].excludes && Some(rule) > self.last_include;
        }
        leaves_out
    }

    /// What to do about globs that include and have matched no file.
    pub fn advice(&self, used: &GlobUse) -> Option<Notice> {
        let has = |used: &[bool], rule: usize| used.get(rule).copied().unwrap_or(false);
        let idle =
            (0..self.globs.len()).filter(|&rule| !self.globs[rule].excludes && !has(&used.files, rule));
        let (folders, nothing): (Vec<_>, Vec<_>) = idle.partition(|&rule| has(&used.folders, rule));
        let given = |rule: usize| self.globs[rule].given.as_str();
        if let Some(&rule) = folders.iter().find(|&&rule| !self.globs[rule].names_folders) {
            let folder = given(rule);
            return Some(Notice::plain(format!(
                "glob '{folder}' names a folder: '{folder}/' matches all files below it"
            )));
        }
        let names: Vec<_> =
            nothing.iter().chain(&folders).map(|&rule| format!("'{}'", given(rule))).collect();
        let named_hidden = |&rule: &usize| given(rule).starts_with('.') || given(rule).contains("/.");
        match names.is_empty() {
            true => None,
            false if nothing.iter().any(named_hidden) => {
                let text = format!("no file matches glob {}: hidden ones are left out", names.join(", "));
                Some(Notice::new(NoticeKind::HiddenLeftOut, text))
            }
            false => Some(Notice::plain(format!(
                "no file matches glob {}: a glob without a slash matches a name, one with a slash a path below CORPUS",
                names.join(", ")
            ))),
        }
    }
}

impl Rule {
    /// The glob, and the regular expression of the paths that it matches.
    fn parse(given: &str) -> Result<(Self, String), Fault> {
        let wrong = |what: &str| Err(Fault::new(ErrorKind::Glob, format!("glob '{given}' {what}")));
        let glob = given.strip_prefix('!');
        let excludes = glob.is_some();
        let glob = glob.unwrap_or(given);
        let names: Vec<_> = glob.split('/').filter(|&name| !name.is_empty() && name != ".").collect();
        if names.contains(&"..") {
            return wrong("leaves CORPUS: a glob is a path below it");
        }
        if names.is_empty() {
            return wrong("names no file: '**' matches all of them");
        }
        let names_folders = glob.ends_with('/');
        let is_name = !glob.trim_end_matches('/').contains('/');
        let expression = expression(&names.join("/"))
            .map_err(|what| Fault::new(ErrorKind::Glob, format!("glob '{given}': {what}")))?;
        let anywhere = if is_name { ANY_FOLDERS } else { "" };
        let rule = Rule { given: given.to_owned(), excludes, names_folders };
        Ok((rule, format!("{anywhere}(?:{expression})")))
    }
}

/// Any folders, each with its slash, or none.
const ANY_FOLDERS: &str = r"(?s-u:.*/)?";
/// Any part of a name. Names need not be UTF-8.
const ANY_PART: &str = r"(?-u:[^/]*)";

/// The regular expression that means what a glob does. `?` and `[...]` stand for one character, `*` for any part of a name, `**`
/// for any folders where it stands between slashes, `{a,b}` for one of several globs; a backslash makes the next character mean
/// itself.
fn expression(glob: &str) -> Result<String, &'static str> {
    let mut expression = String::with_capacity(2 * glob.len());
    let mut rest = glob;
    // Whether a name begins at each open brace.
    let mut braces = Vec::new();
    // Whether a name begins here.
    let mut begins = true;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let began = std::mem::replace(&mut begins, false);
        match c {
            '*' => {
                let is_any = rest.starts_with('*') && began;
                rest = rest.trim_start_matches('*');
                if is_any && let Some(beneath) = rest.strip_prefix('/') {
                    expression.push_str(ANY_FOLDERS);
                    (rest, begins) = (beneath, true);
                } else if is_any && rest.is_empty() {
                    expression.push_str(r"(?s-u:.+)");
                } else {
                    expression.push_str(ANY_PART);
                }
            }
            '?' => expression.push_str("[^/]"),
            '[' => rest = class(rest, &mut expression)?,
            '{' => {
                braces.push(began);
                expression.push_str("(?:");
                begins = began;
            }
            ',' if !braces.is_empty() => {
                expression.push('|');
                begins = braces.last() == Some(&true);
            }
            '}' if braces.pop().is_some() => expression.push(')'),
            '}' => return Err("unopened alternate group; missing '{'"),
            '\\' => {
                let escaped = rest.chars().next().ok_or("dangling '\\'")?;
                rest = &rest[escaped.len_utf8()..];
                push_escaped(escaped, &mut expression);
            }
            c => {
                push_escaped(c, &mut expression);
                begins = c == '/';
            }
        }
    }
    if !braces.is_empty() {
        return Err("unclosed alternate group; missing '}'");
    }
    // It may be nested too deeply, or too large.
    regex::bytes::Regex::new(&expression).map_err(|_| "too large")?;
    Ok(expression)
}

/// Adds the class of characters that `rest` begins with, behind its bracket, and returns what follows it.
fn class<'a>(rest: &'a str, expression: &mut String) -> Result<&'a str, &'static str> {
    const UNCLOSED: &str = "unclosed character class; missing ']'";
    let negated = rest.strip_prefix(['!', '^']);
    expression.push_str(if negated.is_some() { "[^/" } else { "[" });
    let mut chars = negated.unwrap_or(rest).chars();
    let mut is_first = true;
    loop {
        let low = match chars.next().ok_or(UNCLOSED)? {
            ']' if !is_first => break,
            '\\' => chars.next().ok_or(UNCLOSED)?,
            c => c,
        };
        is_first = false;
        let mut ahead = chars.clone();
        let high = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(high)) if high != ']' => {
                chars = ahead;
                if high == '\\' { chars.next().ok_or(UNCLOSED)? } else { high }
            }
            _ => low,
        };
        if low > high {
            return Err("invalid range: its end is before its beginning");
        }
        push_escaped(low, expression);
        expression.push('-');
        push_escaped(high, expression);
    }
    expression.push(']');
    Ok(chars.as_str())
}

fn push_escaped(c: char, expression: &mut String) {
    expression.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 10] = [
        "#a",
        "a b ",
        "a.txt",
        "b.md",
        "sub/!x",
        "sub/a.txt",
        "sub/deep/a.txt",
        "sub/deep/sub/c",
        "{x}",
        "é.txt",
    ];

    /// The files of which the globs make documents, as the walk asks for them.
    fn taken(given: &[&str]) -> Vec<&'static str> {
        let globs = Globs::new(&given.iter().map(|&glob| glob.to_owned()).collect::<Vec<_>>()).unwrap();
        let mut used = GlobUse::default();
        let folders = |file: &'static str| file.match_indices('/').map(move |(slash, _)| &file[..slash]);
        let mut takes = |file: &&'static str| {
            !folders(file).any(|folder| globs.leaves_out_folder(folder.as_bytes(), &mut used))
                && globs.takes_file(file.as_bytes(), &mut used)
        };
        FILES.into_iter().filter(|file| takes(file)).collect()
    }

    #[test]
    fn globs_are_globs() {
        let texts = ["a.txt", "sub/a.txt", "sub/deep/a.txt", "é.txt"];
        let beneath = ["sub/!x", "sub/a.txt", "sub/deep/a.txt", "sub/deep/sub/c"];
        let cases: [(&[&str], &[&str]); 43] = [
            (&["#*"], &["#a"]),
            (&["\\#*"], &["#a"]),
            (&["a b "], &["a b "]),
            (&["a b"], &[]),
            (&["*.txt"], &texts),
            (&["**"], &FILES),
            (&["**/*"], &FILES),
            (&["./a.txt"], &["a.txt"]),
            (&["/a.txt"], &["a.txt"]),
            (&["sub//a.txt"], &["sub/a.txt"]),
            (&["*/a.txt"], &["sub/a.txt"]),
            (&["**/a.txt"], &["a.txt", "sub/a.txt", "sub/deep/a.txt"]),
            (&["sub"], &[]),
            (&["sub/"], &beneath),
            (&["/sub/"], &beneath),
            (&["./sub/"], &beneath),
            (&["sub/**"], &beneath),
            (&["deep/"], &["sub/deep/a.txt", "sub/deep/sub/c"]),
            (&["/deep/"], &[]),
            (&["a.txt/"], &[]),
            (&["{a,b}.{txt,md}"], &["a.txt", "b.md", "sub/a.txt", "sub/deep/a.txt"]),
            (&["b{,.md}"], &["b.md"]),
            (&["\\{x\\}"], &["{x}"]),
            (&["[{]x[}]"], &["{x}"]),
            (&["\\!x"], &["sub/!x"]),
            (
                &["!!x"],
                &[
                    "#a",
                    "a b ",
                    "a.txt",
                    "b.md",
                    "sub/a.txt",
                    "sub/deep/a.txt",
                    "sub/deep/sub/c",
                    "{x}",
                    "é.txt",
                ],
            ),
            (&["!*.txt", "!sub"], &["#a", "a b ", "b.md", "{x}"]),
            (&["*.txt", "!sub"], &["a.txt", "é.txt"]),
            (&["*.txt", "!sub/"], &["a.txt", "é.txt"]),
            (&["*.txt", "!deep/"], &["a.txt", "sub/a.txt", "é.txt"]),
            (&["!sub", "sub/deep/a.txt"], &["sub/deep/a.txt"]),
            (
                &["*", "!sub", "sub/deep/a.txt"],
                &["#a", "a b ", "a.txt", "b.md", "sub/deep/a.txt", "{x}", "é.txt"],
            ),
            (&["!*.txt", "*.txt"], &texts),
            (&["sub/", "!*.txt"], &["sub/!x", "sub/deep/sub/c"]),
            (&["?.txt", "!/a*"], &["sub/a.txt", "sub/deep/a.txt", "é.txt"]),
            (&["[\u{e0}-\u{ef}]*"], &["é.txt"]),
            (&["[!\u{e9}b].*"], &["a.txt", "sub/a.txt", "sub/deep/a.txt"]),
            (&["[!#a]*[]}x]"], &["sub/!x", "{x}"]),
            (&["sub/**/*.txt"], &["sub/a.txt", "sub/deep/a.txt"]),
            (&["sub/**/c"], &["sub/deep/sub/c"]),
            (&["s**/a*t"], &["sub/a.txt"]),
            (&["{**/*.md,**/deep/a*}"], &["b.md", "sub/deep/a.txt"]),
            (&["{sub/{deep,x}/a,b}.*"], &["b.md", "sub/deep/a.txt"]),
        ];
        for (globs, files) in cases {
            assert_eq!(taken(globs), files, "{globs:?}");
        }
    }

    #[test]
    fn globs_that_match_nothing_are_refused() {
        for glob in [
            "", "!", "/", "./", ".", "!/", "..", "../a", "a/../b", "[a", "{a", "a\\", "!a\\/", "[b-a]", "[",
            "[]", "[a-", "[\\", "a}", "{a,{b}",
        ] {
            let error = Globs::new(&[glob.to_owned()]).err().unwrap_or_else(|| panic!("{glob}"));
            assert!(error.to_string().starts_with(&format!("glob '{glob}'")), "{error}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_matched() {
        let globs = Globs::new(&["a*.t*t".to_owned()]).unwrap();
        assert!(globs.takes_file(b"sub/a\xff.t\xfet", &mut GlobUse::default()));
    }
}
