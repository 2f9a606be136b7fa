//! The spelling of terms: their bytes, or the words of an n-gram with a space between them.

use crate::dictionary::{Key, MergedTerm, Passages};
use crate::matrix_plan::MatrixPlan;
use std::borrow::Cow;

/// The bytes of a merged term.
pub fn spelled<'a>(plan: &'a MatrixPlan, term: &MergedTerm) -> Cow<'a, [u8]> {
    match plan.terms.key(term) {
        Key::Spelled(term) => Cow::Borrowed(term),
        Key::Packed(_) => Cow::Owned(Speller::new(plan).spell(term).to_vec()),
    }
}

/// Spells the terms of a plan one after the other, in their order. Of an n-gram, it spells the words that differ from those
/// of the one before it: in order, most n-grams begin like the one before.
pub struct Speller<'a> {
    plan: &'a MatrixPlan,
    /// The rank of each word of the n-gram, and where it ends.
    words: Vec<(u32, usize)>,
    text: Vec<u8>,
    passages: Passages,
}

impl<'a> Speller<'a> {
    /// Begins with any term of `plan`.
    pub fn new(plan: &'a MatrixPlan) -> Self {
        Speller { plan, words: Vec::new(), text: Vec::new(), passages: plan.terms.passages() }
    }

    /// Prefetches what merged term `index` is spelled with, if there is one: mostly its last word, since the words before
    /// are often those of the term before it.
    #[inline]
    pub(crate) fn expect(&self, index: usize) {
        let MatrixPlan { terms, spellings, packing: Some(packing), .. } = self.plan else { return };
        if index < terms.merged.len()
            && let Key::Packed(key) = terms.key(&terms.merged.get(index))
            && let Some(last) = packing.unpack(key).last()
        {
            spellings.expect(last as usize);
        }
    }

    /// The bytes of a merged term.
    #[inline]
    pub fn spell(&mut self, term: &MergedTerm) -> &[u8] {
        let plan = self.plan;
        let key = plan.terms.key_in_order(term, &mut self.passages);
        self.spell_key(key)
    }

    /// The bytes of the term with this key.
    #[inline]
    pub(crate) fn spell_key<'b>(&'b mut self, key: Key<'b>) -> &'b [u8] {
        match (key, self.plan.packing) {
            (Key::Spelled(term), _) => term,
            (Key::Packed(key), Some(packing)) => self.spell_ngram(packing.unpack(key)),
            (Key::Packed(_), None) => &[],
        }
    }

    fn spell_ngram(&mut self, ranks: impl Iterator<Item = u32>) -> &[u8] {
        let Speller { plan, words, text, .. } = self;
        let mut ranks = ranks.peekable();
        let known = words.iter().take_while(|&&(rank, _)| ranks.next_if_eq(&rank).is_some()).count();
        words.truncate(known);
        text.truncate(words.last().map_or(0, |&(_, end)| end));
        for rank in ranks {
            if !words.is_empty() {
                text.push(b' ');
            }
            if !plan.spellings.append(rank as usize, text)
                && let Key::Spelled(word) = plan.words.key(&plan.words.merged.get(rank as usize))
            {
                text.extend_from_slice(word);
            }
            words.push((rank, text.len()));
        }
        text
    }
}
