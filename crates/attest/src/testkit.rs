//! What the tests of this crate share: recorded vectors and the truncation walk.

/// A recorded file of a public project, or none (said out loud) where the folder is absent.
pub fn vector(path: &str) -> Option<Vec<u8>> {
    let full = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors").join(path);
    match std::fs::read(&full) {
        Ok(bytes) => Some(bytes),
        Err(e) => {
            println!("SKIPPED: recorded vector {path} is not here ({e})");
            None
        }
    }
}

/// Every proper prefix must be refused, and so must one byte too many.
pub fn truncations(bytes: &[u8], accepts: impl Fn(&[u8]) -> bool) {
    for n in 0..bytes.len() {
        assert!(!accepts(&bytes[..n]), "accepted when cut to {n} of {} bytes", bytes.len());
    }
    let longer = [bytes, &[0]].concat();
    assert!(!accepts(&longer), "accepted with one byte more");
}
