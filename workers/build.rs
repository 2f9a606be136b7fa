//! Writes the table of character properties that the word analyzer looks up: one `i32` for each code point, in two
//! stages. Sources: general categories from `unicode-general-category`, case mappings from the standard library, ages from
//! `analyzer/unicode/ages.rs`.
//! `analyzer/characters.rs` explains the layout and checks it against both sources in its tests.

use std::collections::HashMap;
use std::fmt::Write as _;
use unicode_general_category::{GeneralCategory as G, get_general_category};

#[path = "src/analyzer/unicode/ages.rs"]
mod ages;

/// Code points of a block of the second stage.
const BLOCK: usize = 128;

fn is_word(c: char) -> bool {
    use G::*;
    c == '_'
        || matches!(
            get_general_category(c),
            UppercaseLetter
                | LowercaseLetter
                | TitlecaseLetter
                | ModifierLetter
                | OtherLetter
                | DecimalNumber
                | LetterNumber
                | OtherNumber
        )
}

/// Whether a capital sigma that ends `text` is lowered to a final one. This shows how the standard library classifies the
/// character before it.
fn ends_final(text: String) -> bool {
    text.to_lowercase().ends_with('ς')
}

/// The number of the first Unicode version that assigns the character.
fn age(code: u32) -> u8 {
    let next = ages::AGES.partition_point(|&(first, _, _)| first <= code);
    ages::AGES[..next].last().filter(|&&(_, last, _)| code <= last).map_or(0, |&(_, _, age)| age)
}

fn entry(code: u32) -> i32 {
    let Some(c) = char::from_u32(code) else { return 0 };
    let cased = ends_final(format!("{c}Σ"));
    let ignorable = !cased && ends_final(format!("a{c}Σ"));
    // U+0130 is the only character that lowers to two. Its difference leads to the first, `i`.
    let lower = c.to_lowercase().next().expect("a lower case form is never empty");
    let delta = lower as i32 - code as i32;
    // The standard library may know capitals of a newer Unicode version than the source of categories, as U+A7D2.
    let is_word = is_word(c) || is_word(lower);
    delta << 6 | (age(code) as i32) << 3 | (ignorable as i32) << 2 | (cased as i32) << 1 | is_word as i32
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/analyzer/unicode/ages.rs");
    let mut blocks: Vec<Vec<i32>> = Vec::new();
    let mut known: HashMap<Vec<i32>, usize> = HashMap::new();
    let mut stage: Vec<usize> = Vec::new();
    for start in (0..0x11_0000).step_by(BLOCK) {
        let block: Vec<i32> = (start..start + BLOCK as u32).map(entry).collect();
        let index = *known.entry(block.clone()).or_insert_with(|| {
            blocks.push(block);
            blocks.len() - 1
        });
        stage.push(index);
    }
    let mut text = String::new();
    writeln!(text, "/// Block of each run of {BLOCK} code points.").unwrap();
    writeln!(text, "static STAGE: [u16; {}] = {stage:?};", stage.len()).unwrap();
    writeln!(text, "/// Properties of the code points of each distinct block.").unwrap();
    writeln!(text, "static BLOCKS: [[i32; {BLOCK}]; {}] = {blocks:?};", blocks.len()).unwrap();
    let directory = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(format!("{directory}/characters.rs"), text).expect("OUT_DIR is writable");
}
