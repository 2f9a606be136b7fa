//! Finds terms with a version of Unicode, for tests/parity/characters.py. The argument is the version. The first line of
//! standard input is a list of settings: whether to lower, accents to strip or null, a token pattern. Each further line is a
//! text. Writes a line for each text and setting: the text after lowering and stripping, then its terms. All is JSON.

use bowline_workers::analyzer::accents::StripAccents;
use bowline_workers::analyzer::chunks::Chunk;
use bowline_workers::analyzer::decode::DecodeError;
use bowline_workers::analyzer::pattern::TokenPattern;
use bowline_workers::analyzer::unicode::UnicodeVersion;
use bowline_workers::analyzer::{Analyzer, Grams, Span, TermSink, TextSettings, Tokenizer};
use std::io::{BufRead as _, Write as _};
use std::sync::Arc;

struct Line(Vec<String>);

impl TermSink for Line {
    fn terms(&mut self, text: &[u8], spans: &[Span]) {
        let term =
            |&[start, end]: &Span| String::from_utf8_lossy(&text[start as usize..end as usize]).into_owned();
        self.0.extend(spans.iter().map(term));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number = std::env::args().nth(1).ok_or("a version of Unicode")?;
    let unicode = UnicodeVersion::of(&number).ok_or("an unknown version of Unicode")?;
    let mut lines = std::io::stdin().lock().lines();
    let settings: Vec<(bool, Option<StripAccents>, String)> =
        serde_json::from_str(&lines.next().ok_or("a line of settings")??)?;
    let mut analyzers = Vec::new();
    for (lowercase, strip_accents, pattern) in settings {
        let tokenizer = match TokenPattern::is_default(&pattern) {
            true => Tokenizer::Words,
            false => Tokenizer::Pattern(Arc::new(TokenPattern::of_version(&pattern, unicode)?)),
        };
        let grams = Grams::Words { tokenizer, sizes: 1..=1 };
        let decode_error = DecodeError::Strict;
        let settings = TextSettings { lowercase, decode_error, strip_accents, grams, unicode };
        analyzers.push((Analyzer::new(&settings), settings));
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in lines {
        let text: String = serde_json::from_str(&line?)?;
        for (analyzer, settings) in &mut analyzers {
            let mut found = Line(vec![settings.normalised(&text)]);
            let analyzed = analyzer.analyze(&mut text.clone().into_bytes(), Chunk::WHOLE, &mut found);
            analyzed.map_err(|failure| format!("{failure:?}"))?;
            writeln!(out, "{}", serde_json::to_string(&found.0)?)?;
        }
    }
    Ok(out.flush()?)
}
