//! `bowline generate`: writes a corpus with natural word frequencies, for measurements without a real corpus.
//!
//! Terms follow Zipf's law (G. K. Zipf, Human Behavior and the Principle of Least Effort, 1949) and lengths a
//! log-normal distribution, as in real collections. A document depends on the seed and its own number only: a larger
//! corpus of the same seed begins with the smaller one.

use crate::arguments::GenerateArgs;
use anyhow::{Context as _, Result, bail};
use bowline::cancel;
use bowline::corpus::display_path;
use indicatif::{ProgressBar, ProgressStyle};
use rand_distr::{Distribution as _, LogNormal, Zipf};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::AtomicUsize;

/// Files in a folder.
const FOLDER: u64 = 1000;

/// Exponent of Zipf's law: a little more than 1 in natural text.
const ZIPF: f64 = 1.07;

/// Number of words in a language.
const WORDS: f64 = 300_000.0;

/// Median of a document's words.
const MEDIAN_WORDS: f64 = 400.0;

/// Standard deviation of the logarithm of a document's words.
const SPREAD: f64 = 1.0;

/// The most words of a document.
const MAX_WORDS: f64 = 200_000.0;

/// A script and its words. A word consists of syllables, each a consonant and a vowel, or of ideographs.
struct Script {
    /// Percentage of documents that are written in it.
    share: u64,
    consonants: &'static str,
    vowels: &'static str,
    /// Between words, and at the end of a sentence.
    space: &'static str,
    stop: &'static str,
}

const SCRIPTS: [Script; 5] = [
    Script { share: 70, consonants: "tnsrhdlcmfpgwybvk", vowels: "eaoiu", space: " ", stop: ". " },
    Script { share: 10, consonants: "dnrstlmpcvgbfç", vowels: "eéaèiouüöä", space: " ", stop: ". " },
    Script {
        share: 10, consonants: "нтсврлкмдпгзбчйхжшцф", vowels: "оеаиуыя", space: " ", stop: ". "
    },
    Script {
        share: 5, consonants: "τνσρκπμλθγδχφβξ", vowels: "αοιεηυω", space: " ", stop: ". "
    },
    // No spaces, as in Chinese. The "consonants" are ideographs, and a word is one or more of them.
    Script {
        share: 5,
        consonants: "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长",
        vowels: "",
        space: "",
        stop: "。",
    },
];

/// Writes the corpus.
///
/// # Errors
/// If the directory is not empty, or can't be written.
pub fn generate(args: &GenerateArgs, interrupted: &AtomicUsize) -> Result<()> {
    let directory = &args.directory;
    let at = |path: &Path| display_path(path.as_os_str().as_bytes());
    fs::create_dir_all(directory).with_context(|| at(directory))?;
    if fs::read_dir(directory).with_context(|| at(directory))?.next().is_some() {
        bail!("{}: is not empty (give an empty directory or one that does not exist)", at(directory));
    }
    let style =
        ProgressStyle::with_template("generating [{bar:30}] {human_pos}/{human_len} {per_sec} (left {eta})")?;
    let bar = ProgressBar::new(args.documents).with_style(style);
    let mut text = String::new();
    for number in 0..args.documents {
        cancel::check(interrupted)?;
        let folder = directory.join(format!("{:05}", number / FOLDER));
        if number % FOLDER == 0 {
            fs::create_dir(&folder).with_context(|| at(&folder))?;
        }
        let path = folder.join(format!("{number:08}.txt"));
        document(args.seed, number, &mut text);
        // A link that another user has put there is not followed.
        let file = File::create_new(&path).with_context(|| at(&path))?;
        (&file).write_all(text.as_bytes()).with_context(|| at(&path))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Replaces `text` with a document.
fn document(seed: u64, number: u64, text: &mut String) {
    text.clear();
    // The generator's state combines both by multiples of the golden ratio, as in SplitMix64.
    let mut random = Pcg64Mcg::seed_from_u64(seed ^ (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let script = script(below(&mut random, 100));
    let letters = Letters::of(script);
    // Both parameters are in the range of their distribution.
    let (Ok(ranks), Ok(lengths)) = (Zipf::new(WORDS, ZIPF), LogNormal::new(MEDIAN_WORDS.ln(), SPREAD)) else {
        return;
    };
    let words = lengths.sample(&mut random).clamp(1.0, MAX_WORDS) as u64;
    let (mut left_of_sentence, mut left_of_paragraph) = (0, 0);
    for word in 0..words {
        let is_first = left_of_sentence == 0;
        if is_first {
            left_of_sentence = 5 + below(&mut random, 20);
            left_of_paragraph =
                if left_of_paragraph == 0 { 3 + below(&mut random, 6) } else { left_of_paragraph };
        }
        match below(&mut random, 100) {
            0 => text.push_str(&below(&mut random, 3000).to_string()),
            _ => letters.push(ranks.sample(&mut random) as u64 - 1, is_first, text),
        }
        left_of_sentence -= 1;
        if left_of_sentence > 0 && word + 1 < words {
            text.push_str(script.space);
            continue;
        }
        text.push_str(script.stop);
        left_of_paragraph -= 1;
        if left_of_paragraph == 0 || word + 1 == words {
            text.truncate(text.trim_end().len());
            text.push_str(if word + 1 == words { "\n" } else { "\n\n" });
        }
    }
}

/// The script of a document, by a number below 100.
fn script(mut share: u64) -> &'static Script {
    for script in &SCRIPTS {
        if share < script.share {
            return script;
        }
        share -= script.share;
    }
    &SCRIPTS[0]
}

/// A number below `end`, with almost uniform probability.
fn below(random: &mut Pcg64Mcg, end: u64) -> u64 {
    ((random.next_u64() as u128 * end as u128) >> 64) as u64
}

/// A script's letters, by number.
struct Letters {
    consonants: Vec<char>,
    vowels: Vec<char>,
}

impl Letters {
    fn of(script: &Script) -> Self {
        Letters { consonants: script.consonants.chars().collect(), vowels: script.vowels.chars().collect() }
    }

    /// Appends the word of a rank from 0: frequent ones are short, and no two are the same (the rank in bijective
    /// numeration, a syllable a digit).
    fn push(&self, rank: u64, is_first: bool, text: &mut String) {
        let (consonants, vowels) = (self.consonants.len() as u64, self.vowels.len() as u64);
        let syllables = consonants * vowels.max(1);
        let (mut left, mut is_capital) = (rank + 1, is_first);
        while left > 0 {
            let syllable = (left - 1) % syllables;
            let consonant = self.consonants[(syllable % consonants) as usize];
            match is_capital {
                true => text.extend(consonant.to_uppercase()),
                false => text.push(consonant),
            }
            if vowels > 0 {
                text.push(self.vowels[(syllable / consonants) as usize]);
            }
            is_capital = false;
            left = (left - 1) / syllables;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// The words of the Latin documents among the first `documents`, and how many words each has.
    fn latin(documents: u64) -> (BTreeMap<String, u64>, Vec<usize>) {
        let (mut words, mut lengths, mut text) = (BTreeMap::new(), Vec::new(), String::new());
        for number in 0..documents {
            document(7, number, &mut text);
            if text.is_ascii() {
                let found =
                    text.split_ascii_whitespace().map(|word| word.trim_end_matches('.').to_lowercase());
                let before: u64 = words.values().sum();
                found.for_each(|word| *words.entry(word).or_default() += 1);
                lengths.push((words.values().sum::<u64>() - before) as usize);
            }
        }
        (words, lengths)
    }

    #[test]
    fn words_follow_zipfs_law_and_lengths_are_log_normal() {
        let (words, mut lengths) = latin(1000);
        let mut counts: Vec<_> = words.values().copied().collect();
        counts.sort_unstable_by_key(|&count| std::cmp::Reverse(count));
        let fall = (counts[9] as f64 / counts[999] as f64).ln() / 100f64.ln();
        assert!((fall - ZIPF).abs() < 0.08, "{fall}");
        lengths.sort_unstable();
        let at = |share: f64| lengths[(lengths.len() as f64 * share) as usize] as f64;
        assert!((at(0.5) / MEDIAN_WORDS).ln().abs() < 0.15, "{}", at(0.5));
        // A standard deviation above and below the median.
        assert!(((at(0.841) / at(0.159)).ln() / 2.0 - SPREAD).abs() < 0.15, "{} {}", at(0.159), at(0.841));
    }

    #[test]
    fn no_two_ranks_are_the_same_word() {
        for script in &SCRIPTS {
            let letters = Letters::of(script);
            let word = |rank| {
                let mut text = String::new();
                letters.push(rank, false, &mut text);
                text
            };
            let mut distinct = 0..20_000;
            let words: BTreeSet<_> = distinct.by_ref().map(word).collect();
            assert_eq!(words.len(), 20_000, "{}", script.consonants);
        }
    }

    #[test]
    fn a_document_depends_on_nothing_but_seed_and_number() {
        let text = |seed, number| {
            let mut text = "left over".to_owned();
            document(seed, number, &mut text);
            text
        };
        assert_eq!(text(1, 5), text(1, 5));
        assert_ne!(text(1, 5), text(1, 6));
        assert_ne!(text(1, 5), text(2, 5));
    }
}
