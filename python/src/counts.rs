//! The engine's counts and transformers, as Python classes.
//!
//! No object shares state with another. Each call has its own threads, which end with it, and works without Python's lock.

use crate::pickles::{Buffers, Pickled, damaged};
use crate::texts::{Reader, Surrogates, Unsupported, raised};
use arrow_array::LargeStringArray;
use arrow_array::builder::LargeStringBuilder;
use bowline_workers::analyzer::accents::StripAccents;
use bowline_workers::analyzer::decode::DecodeError;
use bowline_workers::analyzer::pattern::TokenPattern;
use bowline_workers::analyzer::stop_words::StopWords;
use bowline_workers::analyzer::unicode::UnicodeVersion;
use bowline_workers::analyzer::{Grams, TextSettings, Tokenizer};
use bowline_workers::cells::Element;
use bowline_workers::count::{CountSettings, Features};
use bowline_workers::hashing::{Buckets, MAX_FEATURES};
use bowline_workers::lexicon::{FixedVocabulary, TermFilter};
use bowline_workers::matrix_plan::{Bm25Tf, Dtype, NO_COLUMN, Norm, ValueSettings, Weight};
use bowline_workers::texts::{self, AnyCsr, Csr, TextsError, Values};
use numpy::{IntoPyArray as _, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use std::sync::{Arc, Mutex, PoisonError};

/// Terms that are converted with Python's lock before signals are looked at.
const TERMS: usize = 1 << 14;

/// Calls `each` for all terms. Looks at signals in between.
fn for_each_term<T>(
    py: Python<'_>,
    terms: impl Iterator<Item = T>,
    mut each: impl FnMut(usize, T) -> PyResult<()>,
) -> PyResult<()> {
    for (number, term) in terms.enumerate() {
        if number % TERMS == 0 {
            py.check_signals()?;
        }
        each(number, term)?;
    }
    Ok(())
}

/// How texts become terms.
#[pyclass(frozen, module = "bowline._native")]
pub struct Analysis {
    text: TextSettings,
    term_filter: TermFilter,
    surrogates: Surrogates,
    /// The arguments that it was made of.
    arguments: Py<PyDict>,
}

#[pymethods]
impl Analysis {
    #[new]
    #[pyo3(signature = (*, analyzer, ngram_range, lowercase, strip_accents, token_pattern, stop_words, encoding="utf-8",
        decode_error="strict", unicode_version=None))]
    #[expect(clippy::too_many_arguments, reason = "they are Python's keywords")]
    fn new(
        py: Python<'_>,
        analyzer: &str,
        ngram_range: (usize, usize),
        lowercase: bool,
        strip_accents: Option<&str>,
        token_pattern: Option<&str>,
        stop_words: Option<Bound<'_, PyAny>>,
        encoding: &str,
        decode_error: &str,
        unicode_version: Option<String>,
    ) -> PyResult<Self> {
        let unsupported = |what: &str| Unsupported::new_err(what.to_owned());
        let number = match unicode_version {
            Some(number) => number,
            None => py.import("unicodedata")?.getattr("unidata_version")?.extract()?,
        };
        let unicode = UnicodeVersion::of(&number).filter(|&version| version != UnicodeVersion::Newest);
        let unicode = unicode.ok_or_else(|| unsupported("unicode_version"))?;
        if !["utf-8", "utf8", "utf_8"].contains(&encoding.to_lowercase().as_str()) {
            return Err(unsupported("encoding"));
        }
        let (low, high) = ngram_range;
        if low < 1 || high < low {
            return Err(PyValueError::new_err("ngram_range"));
        }
        let sizes = low..=high;
        let mut surrogates = Surrogates::Refuse;
        let grams = match analyzer {
            "word" => {
                let tokenizer = match token_pattern {
                    Some(pattern) if !TokenPattern::is_default(pattern) => {
                        let pattern = TokenPattern::of_version(pattern, unicode);
                        let pattern = pattern.map_err(|error| Unsupported::new_err(error.to_string()))?;
                        Tokenizer::Pattern(Arc::new(pattern))
                    }
                    _ => {
                        surrogates = Surrogates::Separate;
                        Tokenizer::Words
                    }
                };
                Grams::Words { tokenizer, sizes }
            }
            "char" => Grams::Chars { sizes },
            "char_wb" => Grams::WordChars { sizes },
            _ => return Err(PyValueError::new_err("analyzer")),
        };
        let accents = match strip_accents {
            None => None,
            Some("ascii") => Some(StripAccents::Ascii),
            Some("unicode") => Some(StripAccents::Unicode),
            Some(_) => return Err(PyValueError::new_err("strip_accents")),
        };
        let on_error = match decode_error {
            "strict" => DecodeError::Strict,
            "replace" => DecodeError::Replace,
            "ignore" => DecodeError::Ignore,
            _ => return Err(PyValueError::new_err("decode_error")),
        };
        let arguments = PyDict::new(py);
        let mut words = None;
        if let Some(list) = &stop_words {
            // A word with a lone surrogate equals no token.
            let list = list.try_iter()?.collect::<PyResult<Vec<_>>>()?;
            let strings = list.iter().filter_map(|word| word.cast::<PyString>().ok());
            let strings: Vec<_> = strings.filter(|word| word.encode_utf8().is_ok()).cloned().collect();
            let known = strings.iter().map(|word| word.to_string()).collect::<Vec<_>>();
            words = Some(Arc::new(known.iter().map(String::as_str).collect::<StopWords>()));
            arguments.set_item("stop_words", PyList::new(py, strings)?)?;
        } else {
            arguments.set_item("stop_words", py.None())?;
        }
        arguments.set_item("analyzer", analyzer)?;
        arguments.set_item("ngram_range", ngram_range)?;
        arguments.set_item("lowercase", lowercase)?;
        arguments.set_item("strip_accents", strip_accents)?;
        arguments.set_item("token_pattern", token_pattern)?;
        arguments.set_item("decode_error", decode_error)?;
        let is_word = matches!(grams, Grams::Words { .. });
        Ok(Analysis {
            text: TextSettings { lowercase, decode_error: on_error, strip_accents: accents, grams, unicode },
            term_filter: TermFilter { stop_words: words.filter(|_| is_word), stemmer: None },
            surrogates,
            arguments: arguments.unbind(),
        })
    }

    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> (Bound<'py, PyTuple>, Bound<'py, PyDict>) {
        (PyTuple::empty(py), self.arguments.bind(py).clone())
    }
}

impl Analysis {
    fn settings(&self, features: Features) -> CountSettings {
        CountSettings {
            term_filter: self.term_filter.clone(),
            ..CountSettings::new(self.text.clone(), features)
        }
    }

    fn reader(&self, texts: &Bound<'_, PyAny>) -> PyResult<Reader> {
        Reader::new(texts, self.surrogates, self.text.decode_error == DecodeError::Strict)
    }
}

/// The features of the keywords `vocabulary`, `n_features` and `alternate_sign`.
fn features(
    py: Python<'_>,
    vocabulary: Option<Vec<String>>,
    n_features: Option<u32>,
    alternate_sign: bool,
) -> PyResult<Features> {
    match (vocabulary, n_features) {
        (Some(_), Some(_)) => Err(PyTypeError::new_err("vocabulary and n_features exclude each other")),
        (Some(terms), None) => {
            let mut fixed = FixedVocabulary::with_capacity(terms.len());
            for_each_term(py, terms.into_iter(), |index, term| {
                let pushed = fixed.push(term.into_bytes().into_boxed_slice());
                pushed.map_err(|_| PyValueError::new_err(format!("term {index} is in the vocabulary twice")))
            })?;
            Ok(Features::Fixed(Arc::new(fixed)))
        }
        (None, Some(n_features)) if (1..=MAX_FEATURES).contains(&n_features) => {
            Ok(Features::Hashed(Buckets { n_features, alternate_sign }))
        }
        (None, Some(_)) => Err(PyValueError::new_err("n_features")),
        (None, None) => Ok(Features::Vocabulary),
    }
}

/// The terms of a sequence; a term with a lone surrogate is unsupported.
fn terms_of(vocabulary: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Vec<String>>> {
    let Some(vocabulary) = vocabulary else { return Ok(None) };
    let mut terms = Vec::new();
    for_each_term(vocabulary.py(), vocabulary.try_iter()?, |_, term| {
        let term = term?;
        let text = term.cast::<PyString>().map_err(|_| Unsupported::new_err("a term that is no str"))?;
        let text = text.to_cow().map_err(|_| Unsupported::new_err("a term with a lone surrogate"))?;
        terms.push(text.into_owned());
        Ok(())
    })?;
    Ok(Some(terms))
}

/// The parameters of BM25: k1, b, delta, the method, the mean length of a document.
type Bm25 = (f64, f64, f64, String, f64);

/// The conversion from counts to values that keywords say.
fn value_settings(
    dtype: &str,
    weight: &str,
    sublinear: bool,
    norm: Option<&str>,
    bm25: Option<&Bm25>,
) -> PyResult<ValueSettings> {
    let dtype = match dtype {
        "int32" => Dtype::I32,
        "int64" => Dtype::I64,
        "float32" => Dtype::F32,
        "float64" => Dtype::F64,
        _ => return Err(PyValueError::new_err("dtype")),
    };
    let norm = match norm {
        None => Norm::None,
        Some("l1") => Norm::L1,
        Some("l2") => Norm::L2,
        Some(_) => return Err(PyValueError::new_err("norm")),
    };
    let weight = match (weight, bm25) {
        ("count", _) => Weight::Count,
        ("binary", _) => Weight::Binary,
        ("tfidf", _) => Weight::TfIdf { sublinear },
        ("bm25", Some((k1, b, delta, method, _))) => {
            let tf = match method.as_str() {
                "lucene" | "robertson" => Bm25Tf::Plain { ceiling: 1.0 },
                "atire" => Bm25Tf::Plain { ceiling: k1 + 1.0 },
                "bm25+" => Bm25Tf::Plus { delta: *delta },
                "bm25l" => Bm25Tf::Long { delta: *delta },
                _ => return Err(PyValueError::new_err("bm25")),
            };
            Weight::Bm25 { k1: *k1, b: *b, tf }
        }
        _ => return Err(PyValueError::new_err("weight")),
    };
    Ok(ValueSettings { weight, norm, dtype })
}

/// `data`, `indices` and `indptr` of a matrix.
type Arrays<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

/// Makes a matrix with any type of elements.
trait MakeCsr {
    fn make<T: Element + Send>(&mut self) -> Result<AnyCsr<T>, TextsError<PyErr>>;
}

/// A matrix whose elements have the type that was asked for.
enum OfDtype {
    I32(AnyCsr<i32>),
    I64(AnyCsr<i64>),
    F32(AnyCsr<f32>),
    F64(AnyCsr<f64>),
}

impl OfDtype {
    fn make(make: &mut impl MakeCsr, dtype: Dtype) -> Result<Self, TextsError<PyErr>> {
        Ok(match dtype {
            Dtype::I32 => OfDtype::I32(make.make()?),
            Dtype::I64 => OfDtype::I64(make.make()?),
            Dtype::F32 => OfDtype::F32(make.make()?),
            Dtype::F64 => OfDtype::F64(make.make()?),
        })
    }

    fn into_arrays(self, py: Python<'_>) -> Arrays<'_> {
        fn of<I: numpy::Element, T: numpy::Element>(py: Python<'_>, matrix: Csr<I, T>) -> Arrays<'_> {
            let Csr { data, indices, indptr } = matrix;
            (
                data.into_pyarray(py).into_any(),
                indices.into_pyarray(py).into_any(),
                indptr.into_pyarray(py).into_any(),
            )
        }
        fn arrays<T: numpy::Element>(py: Python<'_>, matrix: AnyCsr<T>) -> Arrays<'_> {
            match matrix {
                AnyCsr::Narrow(matrix) => of(py, matrix),
                AnyCsr::Wide(matrix) => of(py, matrix),
            }
        }
        match self {
            OfDtype::I32(matrix) => arrays(py, matrix),
            OfDtype::I64(matrix) => arrays(py, matrix),
            OfDtype::F32(matrix) => arrays(py, matrix),
            OfDtype::F64(matrix) => arrays(py, matrix),
        }
    }
}

/// The slice of an array of idf.
fn idf_slice<'a>(idf: &'a Option<PyReadonlyArray1<'_, f64>>) -> PyResult<&'a [f64]> {
    match idf {
        Some(idf) => idf.as_slice().map_err(|_| PyValueError::new_err("idf must be contiguous")),
        None => Ok(&[]),
    }
}

/// Counts of texts, which become a matrix.
#[pyclass(frozen, module = "bowline._native")]
pub struct Counts {
    analysis: Py<Analysis>,
    counts: Mutex<texts::Counts>,
}

impl Counts {
    /// Calls `act` without Python's lock, which its host takes now and then.
    fn with<R: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut texts::Counts) -> Result<R, TextsError<PyErr>> + Send,
    ) -> PyResult<R> {
        py.detach(|| act(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))).map_err(raised)
    }

    fn features(&self, py: Python<'_>) -> PyResult<Features> {
        self.with(py, |counts| Ok(counts.settings().features.clone()))
    }
}

/// The terms in the order of columns; None for hashed features.
fn spelled(counts: &mut texts::Counts) -> Result<Option<LargeStringArray>, TextsError<PyErr>> {
    let mut terms = LargeStringBuilder::new();
    let mut append = |term: &[u8]| terms.append_value(str::from_utf8(term).unwrap_or_default());
    match counts.settings().features.clone() {
        Features::Vocabulary => {
            counts.terms(&mut Reader::nothing(), available(), |term, _, _| append(term))?;
        }
        Features::Fixed(vocabulary) => vocabulary.terms().iter().for_each(|term| append(term)),
        Features::Hashed(_) => return Ok(None),
    }
    Ok(Some(terms.finish()))
}

#[pymethods]
impl Counts {
    #[new]
    #[pyo3(signature = (analysis, *, vocabulary=None, n_features=None, alternate_sign=true))]
    fn new(
        analysis: Bound<'_, Analysis>,
        vocabulary: Option<Bound<'_, PyAny>>,
        n_features: Option<u32>,
        alternate_sign: bool,
    ) -> PyResult<Self> {
        let py = analysis.py();
        let features = features(py, terms_of(vocabulary.as_ref())?, n_features, alternate_sign)?;
        let counts = texts::Counts::new(analysis.get().settings(features));
        Ok(Counts { analysis: analysis.unbind(), counts: Mutex::new(counts) })
    }

    /// A pickle holds the settings and two Arrow tables. With protocol 5 they may stay outside of it.
    fn __reduce_ex__<'py>(
        slf: &Bound<'py, Self>,
        protocol: u32,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, this) = (slf.py(), slf.get());
        let features = this.features(py)?;
        let (n_features, alternate_sign) = match features {
            Features::Vocabulary | Features::Fixed(_) => (None, true),
            Features::Hashed(buckets) => (Some(buckets.n_features), buckets.alternate_sign),
        };
        let is_given = matches!(features, Features::Fixed(_));
        let tables = this.with(py, |counts| {
            let mut host = Reader::nothing();
            let values = value_settings("int32", "count", false, None, None).map_err(TextsError::Host)?;
            let values = Values { settings: values, idf: &[], mean_length: 0.0 };
            let (terms, rows) = (spelled(counts)?, counts.matrix(&mut host, available(), None, &values)?);
            Pickled::new(terms, &counts.lengths(), rows).map_err(TextsError::Host)
        })?;
        let arguments = (
            this.analysis.clone_ref(py),
            is_given,
            n_features,
            alternate_sign,
            tables.into_buffers(py, protocol)?,
        );
        let restore = py.get_type::<Counts>().getattr("_restore")?;
        Ok((restore, arguments.into_pyobject(py)?))
    }

    /// The counts that a pickle holds.
    #[staticmethod]
    #[pyo3(name = "_restore")]
    fn restore(
        py: Python<'_>,
        analysis: Bound<'_, Analysis>,
        is_given: bool,
        n_features: Option<u32>,
        alternate_sign: bool,
        tables: Buffers<'_>,
    ) -> PyResult<Self> {
        let pickled = Pickled::from_buffers(py, &tables)?;
        let (terms, rows) = pickled.parts()?;
        let given = is_given.then(|| terms.iter().map(|&term| term.to_owned()).collect());
        let settings = analysis.get().settings(features(py, given, n_features, alternate_sign)?);
        let terms = if is_given { &[] } else { &terms[..] };
        let host = &mut Reader::nothing();
        let counts = py.detach(|| texts::Counts::restored(host, settings, terms, &rows));
        let counts = counts.map_err(raised)?.ok_or_else(|| damaged("its tables contradict each other"))?;
        Ok(Counts { analysis: analysis.unbind(), counts: Mutex::new(counts) })
    }

    /// Adds texts; returns how many there were.
    fn add(&self, py: Python<'_>, texts: &Bound<'_, PyAny>, n_threads: usize) -> PyResult<u64> {
        let mut reader = self.analysis.get().reader(texts)?;
        self.with(py, |counts| counts.add(&mut reader, n_threads))
    }

    /// Adds the texts of other counts behind its own.
    fn merge(&self, py: Python<'_>, other: &Bound<'_, Counts>) -> PyResult<()> {
        // Two threads that merge two counts into each other must not wait for each other: one lock at a time.
        let mut copy = other.get().with(py, |counts| Ok(counts.snapshot()))?;
        self.with(py, |counts| {
            counts.merge(&mut copy);
            Ok(())
        })
    }

    /// The number of texts.
    #[getter]
    fn n_documents(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |counts| Ok(counts.rows()))
    }

    /// The number of columns.
    #[getter]
    fn n_columns(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |counts| counts.columns(&mut Reader::nothing(), available()))
    }

    /// The distinct terms, sorted by code points; with a vocabulary its terms.
    fn terms<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let terms = self.with(py, spelled)?;
        let terms = terms.ok_or_else(|| PyValueError::new_err("hashed features have no terms"))?;
        let list = PyList::empty(py);
        for_each_term(py, terms.iter().flatten(), |_, term| list.append(PyString::new(py, term)))?;
        Ok(list)
    }

    /// The number of texts that contain each term.
    fn document_frequencies<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let (documents, _) =
            self.with(py, |counts| counts.frequencies(&mut Reader::nothing(), available()))?;
        Ok(documents.into_pyarray(py))
    }

    /// The number of occurrences of each term.
    fn term_frequencies<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let (_, occurrences) =
            self.with(py, |counts| counts.frequencies(&mut Reader::nothing(), available()))?;
        Ok(occurrences.into_pyarray(py))
    }

    /// The number of tokens of each text.
    fn lengths<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let lengths = self.with(py, |counts| Ok(counts.lengths()))?;
        Ok(lengths.into_iter().map(|length| length as i64).collect::<Vec<_>>().into_pyarray(py))
    }

    /// The matrix: data, indices, indptr.
    #[pyo3(signature = (*, columns=None, n_columns=None, dtype="int64", weight="count", sublinear=false, idf=None, norm=None,
        bm25=None, n_threads=1))]
    #[expect(clippy::too_many_arguments, reason = "they are Python's keywords")]
    fn matrix<'py>(
        &self,
        py: Python<'py>,
        columns: Option<PyReadonlyArray1<'py, i64>>,
        n_columns: Option<usize>,
        dtype: &str,
        weight: &str,
        sublinear: bool,
        idf: Option<PyReadonlyArray1<'py, f64>>,
        norm: Option<&str>,
        bm25: Option<Bm25>,
        n_threads: usize,
    ) -> PyResult<Arrays<'py>> {
        struct Make<'a> {
            counts: &'a mut texts::Counts,
            threads: usize,
            columns: Option<&'a [u32]>,
            values: Values<'a>,
        }
        impl MakeCsr for Make<'_> {
            fn make<T: Element + Send>(&mut self) -> Result<AnyCsr<T>, TextsError<PyErr>> {
                self.counts.matrix(&mut Reader::nothing(), self.threads, self.columns, &self.values)
            }
        }
        let settings = value_settings(dtype, weight, sublinear, norm, bm25.as_ref())?;
        let limit = n_columns.unwrap_or(usize::MAX);
        let new_columns = columns.map(|columns| {
            let columns = columns.as_array();
            let new = columns.iter().map(|&column| match u32::try_from(column) {
                Ok(column) if (column as usize) < limit => Ok(column),
                _ if column == -1 => Ok(NO_COLUMN),
                _ => Err(PyValueError::new_err("columns")),
            });
            new.collect::<PyResult<Vec<u32>>>()
        });
        let new_columns = new_columns.transpose()?;
        let idf = idf_slice(&idf)?;
        let mean_length = bm25.as_ref().map_or(0.0, |bm25| bm25.4);
        let made = self.with(py, |counts| {
            let values = Values { settings, idf, mean_length };
            let mut make = Make { counts, threads: n_threads, columns: new_columns.as_deref(), values };
            OfDtype::make(&mut make, settings.dtype)
        })?;
        Ok(made.into_arrays(py))
    }
}

/// Threads of calls that have no such keyword.
fn available() -> usize {
    crate::texts::available_threads()
}

/// Converts texts to rows whose columns are known.
#[pyclass(frozen, module = "bowline._native")]
pub struct Transformer {
    analysis: Py<Analysis>,
    transformer: texts::Transformer,
}

#[pymethods]
impl Transformer {
    #[new]
    #[pyo3(signature = (analysis, *, vocabulary=None, n_features=None, alternate_sign=true))]
    fn new(
        analysis: Bound<'_, Analysis>,
        vocabulary: Option<Bound<'_, PyAny>>,
        n_features: Option<u32>,
        alternate_sign: bool,
    ) -> PyResult<Self> {
        let py = analysis.py();
        let features = features(py, terms_of(vocabulary.as_ref())?, n_features, alternate_sign)?;
        if matches!(features, Features::Vocabulary) {
            return Err(PyTypeError::new_err("a transformer has a vocabulary or n_features"));
        }
        let transformer = texts::Transformer::new(analysis.get().settings(features));
        Ok(Transformer { analysis: analysis.unbind(), transformer })
    }

    /// The matrix of the texts: data, indices, indptr.
    #[pyo3(signature = (texts, *, dtype, weight="count", sublinear=false, idf=None, norm=None, n_threads=1))]
    #[expect(clippy::too_many_arguments, reason = "they are Python's keywords")]
    fn transform<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        dtype: &str,
        weight: &str,
        sublinear: bool,
        idf: Option<PyReadonlyArray1<'py, f64>>,
        norm: Option<&str>,
        n_threads: usize,
    ) -> PyResult<Arrays<'py>> {
        struct Make<'a> {
            transformer: &'a texts::Transformer,
            reader: &'a mut Reader,
            threads: usize,
            values: Values<'a>,
        }
        impl MakeCsr for Make<'_> {
            fn make<T: Element + Send>(&mut self) -> Result<AnyCsr<T>, TextsError<PyErr>> {
                self.transformer.transform(self.reader, self.threads, &self.values)
            }
        }
        let settings = value_settings(dtype, weight, sublinear, norm, None)?;
        let mut reader = self.analysis.get().reader(texts)?;
        let values = Values { settings, idf: idf_slice(&idf)?, mean_length: 0.0 };
        let transformer = &self.transformer;
        let made = py.detach(|| {
            OfDtype::make(
                &mut Make { transformer, reader: &mut reader, threads: n_threads, values },
                settings.dtype,
            )
        });
        Ok(made.map_err(raised)?.into_arrays(py))
    }
}
