//! scikit-learn's answers on the sample corpus, from `data/golden/NAME.json.gz`.
//!
//! Equal means: the same vocabulary in the same order, the same structure, equal integers, f64 within 4 ulp, and f32
//! within 1e-6 of the value. `data/README.md` describes the format.

use crate::support::{Dir, Output, repository};
use flate2::read::GzDecoder;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

/// The sets of goldens whose options the program has, in order.
const SETS: &[&str] = &["basic", "full", "look-around"];

/// The largest allowed distance of two f64, in representable numbers (ulp).
const ULPS: u64 = 4;

/// The largest allowed difference of two f32, relative to the value.
const F32_SHARE: f64 = 1e-6;

/// The right answer of one case.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    name: String,
    set: String,
    options: Vec<String>,
    documents: Vec<String>,
    tokens: Vec<u64>,
    vocabulary: Option<Vec<String>>,
    shape: [usize; 2],
    indptr: Vec<usize>,
    indices: Vec<usize>,
    data: Vec<f64>,
    dtype: String,
}

impl Golden {
    fn read(path: &Path) -> Self {
        let file = GzDecoder::new(File::open(path).expect("a golden"));
        serde_json::from_reader(file).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Runs its options from the repository's root, since they name files relative to it.
    fn embed(&self) -> Output {
        let dir = Dir::new();
        let output = dir.path("out");
        let invocation = dir.bowline(&["embed", "--no-sync", "--output"]).args(&[output]);
        invocation.args(&self.options).args(&["data/sample"]).within(&repository()).run().expect(0);
        dir.output("out")
    }

    /// The first difference of an output from the golden, if any.
    fn fault(&self, output: &Output) -> Option<String> {
        let documents = output.documents();
        if !documents.iter().map(|document| &document.path).eq(&self.documents) {
            return Some("other documents, or in another order".to_owned());
        }
        if let Some(row) = (0..documents.len()).find(|&row| documents[row].tokens != self.tokens[row]) {
            return Some(format!(
                "{} tokens in {}, not {}",
                documents[row].tokens, documents[row].path, self.tokens[row]
            ));
        }
        let terms = output.files().contains_key("vocabulary.jsonl").then(|| output.terms());
        if terms != self.vocabulary {
            let first = terms.iter().flatten().zip(self.vocabulary.iter().flatten()).find(|(a, b)| a != b);
            return Some(format!("another vocabulary; the first difference: {first:?}"));
        }
        self.fault_of_matrix(output)
    }

    fn fault_of_matrix(&self, output: &Output) -> Option<String> {
        let csr = output.csr();
        if csr.shape != self.shape {
            return Some(format!("shape {:?}, not {:?}", csr.shape, self.shape));
        }
        if csr.indptr != self.indptr || csr.indices != self.indices {
            return Some("another structure".to_owned());
        }
        if csr.data.descr[1..] != self.dtype.replace("32", "4").replace("64", "8") {
            return Some(format!("values of type {}, not {}", csr.data.descr, self.dtype));
        }
        let values = csr.data.numbers().into_iter().zip(&self.data);
        let wrong = values.enumerate().find(|(_, (value, golden))| !is_close(&self.dtype, *value, **golden));
        wrong.map(|(cell, (value, golden))| format!("cell {cell} is {value:e}, not {golden:e}"))
    }
}

fn is_close(dtype: &str, value: f64, golden: f64) -> bool {
    match dtype {
        "f64" => ulps(value, golden) <= ULPS,
        "f32" => (value - golden).abs() <= F32_SHARE * golden.abs(),
        _ => value == golden,
    }
}

/// The distance of two numbers in representable numbers (ulp).
fn ulps(a: f64, b: f64) -> u64 {
    // Negative numbers count downwards from 0, so that neighbours differ by one.
    let rank =
        |x: f64| if x.is_sign_negative() { -(x.to_bits() as i64 & i64::MAX) } else { x.to_bits() as i64 };
    rank(a).abs_diff(rank(b))
}

/// All goldens, by name.
fn goldens() -> impl Iterator<Item = Golden> {
    let entries = fs::read_dir(repository().join("data/golden")).expect("data/golden");
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(".json.gz"));
    paths.sort();
    paths.into_iter().map(|path| Golden::read(&path))
}

#[test]
fn answers_of_scikit_learn() {
    let (mut wrong, mut compared) = (Vec::new(), BTreeSet::new());
    for golden in goldens().filter(|golden| SETS.contains(&golden.set.as_str())) {
        wrong.extend(golden.fault(&golden.embed()).map(|fault| format!("{}: {fault}", golden.name)));
        compared.insert(golden.set);
    }
    assert!(compared.iter().eq(SETS), "only these sets have goldens: {compared:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Tests the comparison: it reports every changed golden.
#[test]
fn comparison_sees_every_difference() {
    let golden = goldens().find(|golden| golden.name == "count-l2").expect("count-l2");
    let output = golden.embed();
    let fault = |change: fn(&mut Golden)| {
        let mut golden = golden.clone();
        change(&mut golden);
        golden.fault(&output)
    };
    assert_eq!(fault(|_| ()), None);
    let changes: [fn(&mut Golden); 9] = [
        |golden| golden.documents.swap(0, 1),
        |golden| golden.tokens[5] += 1,
        |golden| golden.vocabulary.as_mut().unwrap().swap(2, 3),
        |golden| golden.vocabulary = None,
        |golden| golden.shape[1] += 1,
        |golden| golden.indptr[1] -= 1,
        |golden| golden.indices[7] += 1,
        |golden| golden.data[9] = f64::from_bits(golden.data[9].to_bits() + 6),
        |golden| golden.dtype = "f32".to_owned(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert!(fault(change).is_some(), "change {number} is not seen");
    }
}

#[test]
fn distances_of_numbers() {
    assert_eq!((ulps(1.0, 1.0), ulps(1.0, 1.0 + f64::EPSILON), ulps(0.0, -0.0)), (0, 1, 0));
    assert_eq!(ulps(f64::from_bits(2), -f64::from_bits(3)), 5);
    assert!(
        is_close("f32", 1.0000009, 1.0) && !is_close("f32", 1.0000011, 1.0) && !is_close("i32", 1.0, 1.1)
    );
}
