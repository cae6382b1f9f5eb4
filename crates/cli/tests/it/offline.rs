//! `lanyard verify` on the published vectors of the bundle format: the structure is judged as the specification says.

use std::path::Path;

use serde_json::Value;

use crate::house::lanyard;

// I4
#[test]
fn a_vector_that_must_be_contradicted_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/evidence-bundle-vectors");
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "proof-of-another-root",
        "claim-changed",
        "structure-truncated",
        "signature-other-root",
        "leaf-twice",
    ] {
        let file = folder.join(format!("{name}.evidence"));
        let said = lanyard(dir.path(), &["-o", "json", "verify", file.to_str().unwrap()]).code(4);
        let report: Value = said.json();
        assert_eq!(report["outcome"], "contradicted", "{name}");
        assert!(said.err.contains("is contradicted: "), "{name}: {}", said.err);
    }
}
