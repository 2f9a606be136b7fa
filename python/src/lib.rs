//! `bowline._native`: the engine and the readers of outputs, for the Python package `bowline`.
//!
//! Each concept has a file of its own, and its classes and functions are listed here. What Python can do as well is Python: see
//! python/bowline. Nothing here installs a signal handler, starts a process, or keeps a thread after a call.

mod arrow;
mod counts;
mod output;
mod pickles;
mod texts;

use pyo3::prelude::*;

/// The native part of the package `bowline`. Use the package's own names.
#[pymodule]
mod _native {
    use super::{Bound, PyModule, PyModuleMethods as _, PyResult};

    #[pymodule_export]
    use super::output::{OutputFiles, Table};

    #[pymodule_export]
    use super::counts::{Analysis, Counts, Transformer};

    #[pymodule_export]
    use super::texts::{TextError, Unsupported, available_threads};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
