//! Numbers that are the same for the same seed (SplitMix64: Steele, Lea and Flood, 2014), and documents made of them.
//!
//! Words are drawn by Zipf's law: few are frequent, most are rare. Some are not ASCII.

/// A generator of numbers.
pub struct Random(u64);

/// Words with unusual characters.
const ODD: [&str; 8] = ["ΟΔΟΣ", "İstanbul", "naïve", "日本語", "Straße", "x_1", "²³", "don't"];

/// Separators of words.
const BETWEEN: [&str; 8] = [" ", " ", " ", "\n", ", ", ". ", " - ", "\u{2003}"];

impl Random {
    /// A generator for `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// One of `choices`, if there is one.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        (!choices.is_empty()).then(|| choices[self.below(choices.len())])
    }

    /// A text with this number of words.
    pub fn text(&mut self, words: usize) -> String {
        let mut text = String::new();
        for _ in 0..words {
            self.push_word(&mut text);
            text.push_str(BETWEEN[self.below(BETWEEN.len())]);
        }
        text
    }

    fn push_word(&mut self, text: &mut String) {
        if self.below(20) == 0 {
            text.push_str(ODD[self.below(ODD.len())]);
            return;
        }
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        let mut rank = 5000f64.powf(unit) as usize;
        let first = if self.below(5) == 0 { b'A' } else { b'a' };
        text.push((first + (rank % 26) as u8) as char);
        while rank > 0 {
            text.push((b'a' + (rank % 26) as u8) as char);
            rank /= 26;
        }
    }
}
