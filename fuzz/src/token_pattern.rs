//! Any pattern on any text: it compiles or is rejected with one line, and its tokens are parts of the text.
//!
//! An input is the pattern, a NUL, the text.

use bowline_workers::analyzer::pattern::TokenPattern;

/// Maximum characters of the text: a backtracking pattern may use all of its steps for each token.
const LONGEST: usize = 64;

/// Finds the tokens of one text.
pub fn run(data: &[u8]) {
    let Ok(data) = std::str::from_utf8(data) else { return };
    let (pattern, text) = data.split_once('\0').unwrap_or((data, ""));
    let text: String = text.chars().take(LONGEST).collect();
    let pattern = match TokenPattern::new(pattern) {
        Ok(pattern) => pattern,
        Err(error) => {
            let error = error.to_string();
            return assert!(!error.is_empty() && !error.contains('\n'), "{error:?}");
        }
    };
    let mut tokens = 0;
    // Too many steps are a valid result.
    let _ = pattern.find(&text, &mut |token| {
        assert!(text.get(token.clone()).is_some(), "{token:?} is no part of {text:?}");
        tokens += 1;
    });
    assert!(tokens <= 2 * text.chars().count() + 1, "more tokens than there can be");
}
