//! Notices about words and terms: stop words and terms that nothing can equal, a vocabulary that no document knows, terms
//! without an idf. Returns lines for the user; prints nothing and changes no result.

use crate::coordinator::{Finish, RunError};
use crate::error::{ErrorKind, Fault};
use crate::event::{Notice, NoticeKind};
use crate::model::Model;
use crate::never_equal::NeverEqual;
use crate::output::Counts;
use crate::settings::{Dtype, NgramSizes, Settings, StopWordList, Text, TokenizerKind, WeightKind};
use anyhow::Result;
use bowline_workers::analyzer::stop_words;
use bowline_workers::lexicon::TermFilter;
use std::borrow::Cow;
use std::path::Path;

/// Notices of stop words and terms that no token can equal, as scikit-learn warns of them. Built-in lists hold words for other
/// settings, too: they are noticed only if most of their words are in vain.
///
/// # Errors
/// If the settings are wrong.
pub fn never_equal(
    settings: &Settings,
    model: Option<&Model>,
    term_filter: &TermFilter,
) -> Result<Vec<Notice>> {
    let (text, mut notices) = (&settings.text, Vec::new());
    match &text.stop_words {
        Some(StopWordList::Given { words: list }) if list.is_empty() => {
            notices.push(Notice::plain("the list of stop words is empty: no word is dropped".to_owned()));
        }
        Some(StopWordList::Given { words: list }) => {
            let list = list.iter().map(String::as_str);
            let never = NeverEqual::among(list, &by_words(text), &TermFilter::default())?;
            if never.count > 0 {
                let named = never.named();
                notices.push(Notice::plain(format!(
                    "stop words that no word can equal under these settings: {named} (case, accents and the token pattern decide)"
                )));
            }
        }
        Some(StopWordList::Language(language)) => {
            if Path::new(language).exists() {
                let text = format!("stop words {language} are the built-in list; ./{language} is the file");
                notices.push(Notice::plain(text));
            }
            let (count, all) = built_in_in_vain(language, text)?;
            if 2 * count > all {
                let unicode = Text { tokenizer: TokenizerKind::Unicode, ..text.clone() };
                let kind = match built_in_in_vain(language, &unicode)? {
                    (count, all) if 2 * count > all => NoticeKind::Plain,
                    _ => NoticeKind::NeedsUnicodeTokenizer,
                };
                let text = format!(
                    "{count} of the {all} stop words for {language} can't equal a word under these settings"
                );
                notices.push(Notice::new(kind, text));
            }
        }
        None => {}
    }
    let list = model.filter(|model| model.earlier.is_none()).and_then(|model| model.vocabulary.as_ref());
    if let Some(list) = list {
        let terms = list.terms().iter().filter_map(|term| std::str::from_utf8(term).ok());
        let never = NeverEqual::among(terms, text, term_filter)?;
        if never.count > 0 {
            let named = never.named();
            notices.push(Notice::plain(format!(
                "terms of the vocabulary that no term of a document can equal under these settings: {named} (case, accents, n-grams, stop words, stems and the token pattern decide)"
            )));
        }
    }
    Ok(notices)
}

/// The same settings for single words.
fn by_words(text: &Text) -> Text {
    Text { ngrams: NgramSizes { min: 1, max: 1 }, ..text.clone() }
}

/// How many words of a built-in list no word of a text can equal, and how many there are.
fn built_in_in_vain(language: &str, text: &Text) -> Result<(usize, usize)> {
    let settings = text.analysis()?;
    let list = stop_words::list_of(language).into_iter().flatten();
    let list: Vec<String> = list.map(|word| settings.normalised(word)).collect();
    let words = list.iter().map(String::as_str);
    Ok((NeverEqual::among(words, &by_words(text), &TermFilter::default())?.count, list.len()))
}

/// Notices that the counts give rise to, a line each.
pub fn after_run(
    settings: &Settings,
    model: Option<&Model>,
    counts: &Counts,
    finish: &Finish,
) -> Vec<Notice> {
    let notices = [nothing_known(settings, counts), terms_without_idf(settings, model, finish)];
    notices.into_iter().flatten().collect()
}

/// A notice if a vocabulary was given and no document has any of its terms.
fn nothing_known(settings: &Settings, counts: &Counts) -> Option<Notice> {
    let is_given = settings.columns.fixed_vocabulary;
    let (tokens, is_empty) = (counts.tokens, counts.nonzeros == 0);
    (is_given && tokens > 0 && is_empty).then(|| {
        Notice::plain(format!(
            "no document has a term of the vocabulary: the matrix is empty, and all {tokens} tokens are unknown"
        ))
    })
}

/// A notice of the terms of a list that occur in no document and so have no idf, by some formulas.
fn terms_without_idf(settings: &Settings, model: Option<&Model>, finish: &Finish) -> Option<Notice> {
    let model = model.filter(|model| model.earlier.is_none())?;
    let terms = model.vocabulary.iter().flat_map(|vocabulary| vocabulary.terms());
    let mut without = terms.zip(finish.idf()).filter(|(_, idf)| !idf.is_finite()).map(|(term, _)| term);
    let first = String::from_utf8_lossy(without.next()?).into_owned();
    let text = format!(
        "terms of the vocabulary that occur in no document: {}, the first is `{first}`; they have no idf, so this output can't embed a later document with such a term",
        1 + without.count(),
    );
    let is_bm25 = settings.values.weight == WeightKind::Bm25;
    Some(Notice::new(NoticeKind::NoIdf { is_bm25 }, text))
}

/// An error about a value that is not finite, with its document, its term and the option that helps.
pub fn explained(
    error: RunError,
    settings: &Settings,
    model: Option<&Model>,
    finish: &Finish,
) -> anyhow::Error {
    let RunError::NotFinite { row, column } = error else { return error.into() };
    let given = model.and_then(|model| model.vocabulary.as_ref());
    let given = given.and_then(|vocabulary| vocabulary.terms().get(column as usize));
    let what = match finish.term(column).or(given.map(|term| Cow::Borrowed(&**term))) {
        Some(term) => format!("the term `{}`", String::from_utf8_lossy(&term)),
        None => format!("a term of bucket {column}"),
    };
    let has_idf = finish.idf().nth(column as usize).is_none_or(f64::is_finite);
    let is_earlier = model.is_some_and(|model| model.earlier.is_some());
    let values = &settings.values;
    let is_bm25 = values.weight == WeightKind::Bm25;
    let (kind, why) = match (has_idf, values.dtype) {
        (false, _) if is_earlier => {
            (ErrorKind::NoIdf { is_bm25 }, "has no idf, since no document of the earlier output has it")
        }
        (false, _) => (ErrorKind::NoIdf { is_bm25 }, "has no finite idf"),
        (true, Dtype::F32) => (ErrorKind::BeyondF32, "has a value beyond the largest f32"),
        (true, _) => (ErrorKind::NotFinite, "has a value that is not finite"),
    };
    Fault::new(kind, format!("{}: {what} {why}", finish.name(row as usize))).into()
}
