//! Any manifest: it is rejected, or it is the same after it is written and read again.

use bowline::ManifestFile;

/// Reads one manifest.
pub fn run(data: &[u8]) {
    let Ok(manifest) = ManifestFile::parse(data) else { return };
    let written = |manifest: &ManifestFile| {
        let mut bytes = Vec::new();
        manifest.write(&mut bytes).expect("a vector takes all");
        bytes
    };
    let first = written(&manifest);
    let again = ManifestFile::parse(&first).expect("what we write, we read");
    assert_eq!(first, written(&again));
}
