//! The growth of a vocabulary: how many terms a corpus has of which a sample is known.
//!
//! A sample's document frequencies give the expected number of terms in any part of the sample (rarefaction, by the
//! hypergeometric distribution; Hurlbert 1971). So the curve is known up to the sample's size, without reading it again.
//! Beyond it, Heaps' law (V = K n^beta) holds with an exponent that falls slowly. It begins as the exponent of the
//! sample's last doubling.

use std::collections::BTreeMap;

/// Factor of the exponent from one doubling to the next, at the lower end. At the upper end it does not fall.
const LOWER_FALL: f64 = 0.86;

/// The least and the largest such factor of the estimate itself: of all terms, and of those in two documents or more.
const FALL: [[f64; 2]; 2] = [[0.93, 0.97], [0.95, 0.99]];

/// What is added to the exponent of terms in two documents or more, at the upper end. A corpus may have near-duplicates of
/// which a sample has one each.
const DUPLICATES: f64 = 0.12;

/// Documents of the sample that a term must be expected in for its share of documents to be taken from the sample.
const ENOUGH: f64 = 4.0;

/// The largest number of documents for which the growth is computed.
const MOST: u64 = 16;

/// A number, and where it lies with about 95 % confidence.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Guess {
    pub low: f64,
    pub value: f64,
    pub high: f64,
}

impl Guess {
    /// A number that is known.
    pub fn exact(value: f64) -> Self {
        Guess { low: value, value, high: value }
    }

    /// A number with a relative error on either side.
    pub fn about(value: f64, error: f64) -> Self {
        Guess { low: value * (1.0 - error).max(0.0), value, high: value * (1.0 + error) }
    }

    /// Both numbers, with the errors of both.
    pub fn times(self, other: Guess) -> Self {
        Guess { low: self.low * other.low, value: self.value * other.value, high: self.high * other.high }
    }

    /// The sum.
    pub fn plus(self, other: Guess) -> Self {
        Guess { low: self.low + other.low, value: self.value + other.value, high: self.high + other.high }
    }

    /// The result of an increasing function.
    pub fn map(self, function: impl Fn(f64) -> f64) -> Self {
        Guess { low: function(self.low), value: function(self.value), high: function(self.high) }
    }
}

/// The terms of a sample by their document frequencies.
pub(super) struct Spectrum {
    /// How many terms occur in each number of documents.
    terms: BTreeMap<u64, u64>,
    /// Documents of the sample, and of the corpus.
    documents: u64,
    corpus: f64,
    /// What is added to the exponent, of the estimate itself and at the upper end, because documents of the sample are more
    /// alike than those of the corpus.
    alike: [f64; 2],
    /// Logarithms of factorials.
    factorials: Vec<f64>,
}

impl Spectrum {
    /// The terms of a sample of `documents` documents out of `corpus`. The exponent of their growth is larger by `alike`: by
    /// the first number, and at the upper end by the second one.
    pub fn new(frequencies: impl Iterator<Item = u64>, documents: u64, corpus: f64, alike: [f64; 2]) -> Self {
        let mut terms = BTreeMap::new();
        frequencies.for_each(|df| *terms.entry(df.min(documents)).or_default() += 1);
        let mut factorials = vec![0.0];
        for number in 1..=documents {
            factorials.push(factorials[number as usize - 1] + (number as f64).ln());
        }
        Spectrum { terms, documents, corpus: corpus.max(documents as f64), alike, factorials }
    }

    /// The share of the corpus's documents that the sample has.
    fn share(&self) -> f64 {
        self.documents as f64 / self.corpus
    }

    /// The relative error of terms that comes from the choice of documents. Words of a topic occur together, so it depends on
    /// the number of documents, and the factor is measured.
    fn noise(&self) -> f64 {
        (1.3 / (self.documents.max(1) as f64).sqrt()).min(0.5)
    }

    /// The number of terms and of cells in the sample whose terms occur in `df` documents or more. Between two numbers, in
    /// proportion.
    fn in_sample(&self, df: f64) -> (f64, f64) {
        let from = |least: u64| {
            self.terms.range(least..).fold((0.0, 0.0), |(terms, cells), (&df, &count)| {
                (terms + count as f64, cells + (df * count) as f64)
            })
        };
        let (one, other, part) = (from(df.floor() as u64), from(df.ceil() as u64), df.fract());
        (one.0 + (other.0 - one.0) * part, one.1 + (other.1 - one.1) * part)
    }

    /// The expected number of terms that occur in `df` documents or more out of `documents` of the sample's.
    fn expected(&self, df: u64, documents: u64) -> f64 {
        let ln = |number: u64| self.factorials[number as usize];
        let choose = |of: u64, number: u64| ln(of) - ln(number) - ln(of - number);
        let all = self.documents;
        let ways = choose(all, documents);
        let mut sum = 0.0;
        for (&frequency, &terms) in self.terms.range(df..) {
            let chance = |hits: u64| match hits <= documents && documents - hits <= all - frequency {
                true => (choose(frequency, hits) + choose(all - frequency, documents - hits) - ways).exp(),
                false => 0.0,
            };
            let fewer: f64 = (0..df).map(chance).sum();
            sum += terms as f64 * (1.0 - fewer).max(0.0);
        }
        sum
    }

    /// The number of terms of the corpus that occur in `df` documents or more.
    pub fn at_least(&self, df: f64) -> Guess {
        let df = df.max(1.0);
        let in_sample = df * self.share();
        if in_sample >= ENOUGH || self.share() >= 1.0 {
            let (terms, _) = self.in_sample(in_sample);
            return Guess::about(terms, 0.04 + 2.0 / terms.max(1.0).sqrt() + self.noise());
        }
        let whole = df.ceil() as u64;
        if whole <= MOST {
            return self.grown(whole);
        }
        // In between, the number falls as a power of the frequency.
        let enough = ENOUGH / self.share();
        let (few, many) = (self.grown(MOST), self.at_least(enough));
        let place = (df / MOST as f64).ln() / (enough / MOST as f64).ln();
        let between = |few: f64, many: f64| few.max(1.0).powf(1.0 - place) * many.max(1.0).powf(place);
        Guess {
            low: 0.9 * between(few.low, many.low),
            value: between(few.value, many.value),
            high: 1.1 * between(few.high, many.high),
        }
    }

    /// The same, where the sample has too few of them.
    fn grown(&self, df: u64) -> Guess {
        let [now, half, quarter] =
            [1, 2, 4].map(|part| self.expected(df, (self.documents / part).max(1).min(self.documents)));
        if now < 1.0 || half <= 0.0 {
            let (terms, _) = self.in_sample(1.0);
            return Guess { low: 0.0, value: now, high: terms / self.share() };
        }
        let last = (now / half).log2();
        let before = (half / quarter.max(f64::MIN_POSITIVE)).log2();
        let [least, most] = FALL[usize::from(df > 1)];
        let fall = (last / before).clamp(least, most);
        let doublings = (self.corpus / self.documents as f64).log2();
        // Each doubling has the exponent of the one before it times `fall`.
        let grown = |fall: f64| {
            let sum = (1..=doublings as u32 + 1).map(|number| {
                let part = (doublings - f64::from(number - 1)).min(1.0);
                last * fall.powi(number as i32) * part
            });
            now * sum.sum::<f64>().exp2()
        };
        let noise = 2.0 / now.sqrt() + self.noise();
        let duplicates = if df > 1 { DUPLICATES } else { 0.0 };
        let more = |exponent: f64| (doublings * exponent).exp2();
        Guess {
            low: (grown(LOWER_FALL) * (1.0 - noise)).max(0.0),
            value: grown(fall) * more(self.alike[0]),
            high: grown(1.0) * more(self.alike[1] + duplicates) * (1.0 + noise),
        }
    }

    /// The cells of all terms that occur in `df` documents or more, as a share of all cells.
    pub fn cells_at_least(&self, df: f64) -> Guess {
        let df = df.max(1.0);
        let (_, all) = self.in_sample(1.0);
        let in_sample = df * self.share();
        if all == 0.0 {
            return Guess::exact(1.0);
        }
        if in_sample >= ENOUGH || self.share() >= 1.0 {
            let (terms, cells) = self.in_sample(in_sample);
            return Guess::about(cells / all, 0.01 + 1.0 / terms.max(1.0).sqrt());
        }
        let corpus = all / self.share();
        let few = df.ceil().min(MOST as f64) as u64;
        // A term with k documents has k cells: what is dropped is the sum of the terms in at least 1, 2, ... documents,
        // without those that stay.
        let numbers: Vec<Guess> = (1..=few).map(|df| self.grown(df)).collect();
        let kept = |of: fn(&Guess) -> f64, stays: fn(&Guess) -> f64| {
            let last = &numbers[numbers.len() - 1];
            let dropped: f64 = numbers[..numbers.len() - 1].iter().map(|one| of(one) - stays(last)).sum();
            (1.0 - dropped.max(0.0) / corpus).clamp(0.0, 1.0)
        };
        let (value, other) = (kept(|one| one.value, |one| one.value), kept(|one| one.high, |one| one.high));
        let error = (value - other).abs().max(0.1 * (1.0 - value));
        let few = Guess { low: (value - error).max(0.0), value, high: (value + error).min(1.0) };
        if df <= MOST as f64 {
            return few;
        }
        let enough = ENOUGH / self.share();
        let many = self.cells_at_least(enough);
        let place = (df / MOST as f64).ln() / (enough / MOST as f64).ln();
        let between = |few: f64, many: f64| few + (many - few) * place;
        Guess {
            low: 0.95 * between(few.low, many.low),
            value: between(few.value, many.value),
            high: (1.05 * between(few.high, many.high)).min(1.0),
        }
    }

    /// The document frequency that about `most` terms reach.
    pub fn df_of_most_frequent(&self, most: f64) -> f64 {
        let (mut low, mut high) = (1.0, self.corpus);
        for _ in 0..40 {
            let middle = f64::sqrt(low * high);
            match self.at_least(middle).value > most {
                true => low = middle,
                false => high = middle,
            }
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The terms of documents of 50 words, whose frequencies follow Zipf's law; fixed.
    fn documents(number: usize) -> Vec<Vec<u32>> {
        let mut state = 42u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let document = |_| {
            let mut terms: Vec<u32> = (0..50).map(|_| (1.0 / (next() + 1e-6)).powf(1.2) as u32).collect();
            terms.sort_unstable();
            terms.dedup();
            terms
        };
        (0..number).map(document).collect()
    }

    fn frequencies(documents: &[Vec<u32>]) -> Vec<u64> {
        let mut counts = BTreeMap::new();
        documents.iter().flatten().for_each(|&term| *counts.entry(term).or_insert(0) += 1);
        counts.into_values().collect()
    }

    #[test]
    fn a_part_of_the_sample_has_as_many_terms_as_expected() {
        let documents = documents(2000);
        let spectrum = Spectrum::new(frequencies(&documents).into_iter(), 2000, 2000.0, [0.0; 2]);
        for df in [1, 2, 5] {
            let half = frequencies(&documents[..1000]).iter().filter(|&&one| one >= df).count() as f64;
            let expected = spectrum.expected(df, 1000);
            assert!((expected / half - 1.0).abs() < 0.05, "{df}: {expected} {half}");
        }
        assert_eq!(spectrum.expected(1, 2000).round() as usize, frequencies(&documents).len());
    }

    #[test]
    fn growth_holds_the_truth_of_heaps_law() {
        let documents = documents(20_000);
        let all = frequencies(&documents);
        let cells: u64 = all.iter().sum();
        for number in [1000, 2000, 5000] {
            let sample = frequencies(&documents[..number]);
            let spectrum = Spectrum::new(sample.into_iter(), number as u64, 20_000.0, [0.0; 2]);
            for df in [1, 2, 5, 20, 100, 1000] {
                let kept = all.iter().filter(|&&one| one >= df);
                let (truth, truth_cells) = (kept.clone().count() as f64, kept.sum::<u64>() as f64);
                let Guess { low, high, .. } = spectrum.at_least(df as f64);
                assert!((low..=high).contains(&truth), "{number} {df}: {truth} in {low} to {high}");
                let share = truth_cells / cells as f64;
                let Guess { low, high, .. } = spectrum.cells_at_least(df as f64);
                assert!((low - 0.02..=high + 0.02).contains(&share), "{df}: {share} in {low} to {high}");
            }
        }
    }

    #[test]
    fn the_most_frequent_terms() {
        let frequencies = (1..=1000).map(|rank| 1000 / rank);
        let spectrum = Spectrum::new(frequencies, 1000, 1000.0, [0.0; 2]);
        let df = spectrum.df_of_most_frequent(10.0);
        assert!((90.0..=120.0).contains(&df), "{df}");
    }

    #[test]
    fn samples_without_terms() {
        for documents in [0, 1, 3] {
            let spectrum = Spectrum::new(std::iter::empty(), documents, 100.0, [0.0; 2]);
            assert!(spectrum.at_least(1.0).value.is_finite());
            assert_eq!(spectrum.cells_at_least(2.0).value, 1.0);
            assert!(spectrum.df_of_most_frequent(5.0).is_finite());
        }
    }
}
