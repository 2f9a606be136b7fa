//! Reads a list of files and vectorizes them with vtext; prints seconds and shape as one line of JSON.
//!
//! Usage: `vtext-peer hashed|counts|counts-two-pass JOBS LIST`, LIST being paths that each end in NUL. The time is that of
//! reading and vectorizing; start and end of the process are not in it, and the matrix is not written. The tokenizer is
//! vtext's `RegexpTokenizer` with its default, scikit-learn's pattern; JOBS goes for reading and for `n_jobs`.

use std::error::Error;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;
use vtext::tokenize::RegexpTokenizer;
use vtext::vectorize::{CountVectorizerParams, HashingVectorizerParams};

/// The text of a file; a document that can't be read or is not UTF-8 is empty.
fn text(path: &&Path) -> String {
    std::fs::read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, jobs, list] = arguments.as_slice() else {
        return Err("usage: vtext-peer hashed|counts|counts-two-pass JOBS LIST".into());
    };
    let jobs: usize = jobs.parse()?;
    let list = std::fs::read(list)?;
    let paths: Vec<&Path> = list
        .split(|&byte| byte == 0)
        .filter(|path| !path.is_empty())
        .map(|path| Path::new(OsStr::from_bytes(path)))
        .collect();
    rayon::ThreadPoolBuilder::new().num_threads(jobs).build_global()?;
    let tokenizer = RegexpTokenizer::default();

    let start = Instant::now();
    let texts: Vec<String> =
        if jobs == 1 { paths.iter().map(text).collect() } else { paths.par_iter().map(text).collect() };
    let matrix = match kind.as_str() {
        "hashed" => {
            let mut params = HashingVectorizerParams::<RegexpTokenizer>::default();
            params.tokenizer(tokenizer).n_jobs(jobs).build()?.fit_transform(&texts)
        }
        "counts" | "counts-two-pass" => {
            let mut params = CountVectorizerParams::<RegexpTokenizer>::default();
            let mut vectorizer = params.tokenizer(tokenizer).n_jobs(jobs).build()?;
            if kind == "counts" {
                vectorizer.fit_transform(&texts) // one job, whatever `n_jobs`
            } else {
                vectorizer.fit(&texts);
                vectorizer.transform(&texts)
            }
        }
        _ => return Err(format!("unknown kind {kind}").into()),
    };
    let seconds = start.elapsed().as_secs_f64();

    println!(
        "{{\"seconds\": {seconds}, \"documents\": {}, \"columns\": {}, \"nonzeros\": {}}}",
        matrix.rows(),
        matrix.cols(),
        matrix.nnz()
    );
    Ok(())
}
