//! Failures of files: the errors and signals of the system by their names, and the fields of records.

use super::Failure;
use crate::records::RecordSettings;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::{fmt, io};

/// System errors that may be temporary.
const PASSING: [Errno; 16] = [
    Errno::EIO,
    Errno::EREMOTEIO,
    Errno::EINTR,
    Errno::EAGAIN,
    Errno::EBUSY,
    // Descriptors and locks: other processes may release some.
    Errno::EMFILE,
    Errno::ENFILE,
    Errno::ENOLCK,
    Errno::ENOBUFS,
    // Network file systems.
    Errno::ESTALE,
    Errno::ETIMEDOUT,
    Errno::ECONNRESET,
    Errno::ECONNABORTED,
    Errno::ENOTCONN,
    Errno::ENETUNREACH,
    Errno::EHOSTUNREACH,
];

/// The description of an error number.
pub(super) fn error(errno: i32) -> String {
    Errno::from_raw(errno).desc().to_owned()
}

/// The name of a signal.
pub(super) fn signal(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |signal| signal.to_string())
}

impl Failure {
    /// Whether the next attempt may succeed: the file was being written, or the system lacked a resource for a moment.
    /// A disk or a server that failed once (EIO, ESTALE) may succeed the second time.
    pub(crate) fn may_pass(self) -> bool {
        match self {
            Failure::Changed | Failure::OutOfMemory => true,
            Failure::System(errno) => PASSING.contains(&Errno::from_raw(errno)),
            _ => false,
        }
    }
}

impl Failure {
    /// The wording of the failure, with the names that `settings` gives the fields of records.
    pub fn with_fields(self, settings: &RecordSettings) -> impl fmt::Display {
        WithFields { failure: self, settings }
    }

    /// The number of the field that the failure is about, if there is one.
    fn field(self) -> Option<u32> {
        match self {
            Failure::NoField(field) | Failure::NullField(field) | Failure::NotText(field) => Some(field),
            _ => None,
        }
    }
}

/// A failure in messages, with the names of fields.
struct WithFields<'s> {
    failure: Failure,
    settings: &'s RecordSettings,
}

impl fmt::Display for WithFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WithFields { failure, settings } = *self;
        let Some(name) = failure.field().and_then(|field| settings.field_name(field)) else {
            return failure.fmt(f);
        };
        match failure {
            Failure::NoField(_) => write!(f, "no field \"{name}\""),
            Failure::NullField(_) => write!(f, "the field \"{name}\" is null"),
            _ => write!(f, "the field \"{name}\" is not a string"),
        }
    }
}

impl From<io::Error> for Failure {
    /// The failure that the error contains, or else that of the system's error.
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(&failure) => failure,
            None => Errno::from_raw(error.raw_os_error().unwrap_or(0)).into(),
        }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        match errno {
            // ENOTDIR: a folder in the path was replaced by a file.
            Errno::ENOENT | Errno::ENOTDIR => Failure::Vanished,
            Errno::ELOOP => Failure::Link,
            Errno::ENOMEM => Failure::OutOfMemory,
            errno => Failure::System(errno as i32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_back() {
        let kinds = (1..=33).map(|kind| Failure::decode(kind, 7).expect("as many kinds"));
        for failure in kinds {
            let (kind, detail) = failure.encode();
            assert_eq!(Failure::decode(kind, detail), Some(failure));
            assert!(!failure.to_string().is_empty());
        }
        let settings =
            RecordSettings { text_fields: vec!["title".into(), "body".into()], ..RecordSettings::default() };
        let shown = |failure: Failure| failure.with_fields(&settings).to_string();
        assert_eq!(shown(Failure::NoField(1)), "no field \"title\"");
        assert_eq!(shown(Failure::NullField(2)), "the field \"body\" is null");
        assert_eq!(shown(Failure::NotText(0)), "the identifier field is not a string");
        assert_eq!(shown(Failure::Binary), "binary");
        let settings = RecordSettings { id_field: Some("key".into()), ..RecordSettings::default() };
        assert_eq!(
            Failure::NotText(0).with_fields(&settings).to_string(),
            "the field \"key\" is not a string"
        );
        assert_eq!(Failure::decode(0, 0), None);
        assert_eq!(Failure::decode(34, 0), None);
        assert_eq!(Failure::Killed(11).to_string(), "its worker was killed by SIGSEGV");
        assert_eq!(Failure::from(io::Error::from(Failure::Corrupt(5))), Failure::Corrupt(5));
        assert_eq!(Failure::from(io::Error::from(Errno::ESTALE)), Failure::System(Errno::ESTALE as i32));
    }
}
