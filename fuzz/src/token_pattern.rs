//! Any pattern on any text: it compiles or is refused in one line, and its tokens are parts of the text.
//!
//! The pattern, a NUL, the text.

use bowline_workers::analyzer::pattern::TokenPattern;

/// Characters of the text: a pattern that goes back and forth takes all the steps it may for each of its tokens.
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
    // That it takes too many steps is an answer.
    let _ = pattern.find(&text, &mut |token| {
        assert!(text.get(token.clone()).is_some(), "{token:?} is no part of {text:?}");
        tokens += 1;
    });
    assert!(tokens <= 2 * text.chars().count() + 1, "more tokens than there can be");
}
