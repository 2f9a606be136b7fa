//! Any manifest: it is refused, or what is written of it is read as the same.

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
