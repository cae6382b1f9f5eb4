//! `lanyard simulate`: a fleet of real agents by every protocol, and its report beside the ledger.

use crate::house::lanyard;

// R34, R36, R44
#[test]
fn a_mixed_fleet_enrolls_and_renews_and_the_ledger_has_what_it_counts() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["-o", "json", "simulate", "--devices", "8", "--protocol", "mixed", "--renewals", "2"];
    let report = lanyard(dir.path(), &arguments).code(0).json();
    let lines = report["protocols"].as_array().unwrap();
    assert_eq!(lines.len(), 4, "{report}");
    for (line, protocol) in lines.iter().zip(["native", "est", "acme", "cmp"]) {
        assert_eq!(line["protocol"], protocol, "{report}");
        let counts = ["devices", "enrolled", "renewed", "refused", "failed", "recorded"]
            .map(|field| line[field].as_u64().unwrap());
        assert_eq!(counts, [2, 2, 4, 0, 0, 6], "{report}");
    }
    assert_eq!(report["errors"].as_array().unwrap().len(), 0, "{report}");
}
