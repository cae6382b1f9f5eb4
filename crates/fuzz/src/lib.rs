//! Fuzz targets: every parser of foreign bytes as a function of bytes, with seeds made by code (I12); those few that
//! another tool made, or that were recorded, are files in `seeds/` and beside the parser's own tests.
//!
//! The same functions run in two ways: `cargo xtask fuzz-smoke` (stable Rust, in the gate, [`smoke`]) and
//! libFuzzer with coverage guidance (nightly, the `fuzz/` workspace). A target must not panic, and checks what
//! its parser promises: what it accepts encodes to the same bytes.
//! In scope: bytes from devices, operators, files and other logs. Out of scope: bytes that we wrote and sealed.
//!
//! To add a target: a function and a line in the `TARGETS` list of its area's module, and
//! `fuzz/fuzz_targets/<name>.rs`; a test here holds the two lists together.

pub mod acme;
pub mod attest;
pub mod cmp;
pub mod domain;
pub mod est;
pub mod gateway;
pub mod ledger;
pub mod mutate;
pub mod offline;
pub mod pki;
pub mod revocation;
pub mod scep;
pub mod smoke;

/// One entry point.
pub struct Target {
    /// Its name, also of the libFuzzer binary.
    pub name: &'static str,
    /// Takes any bytes; a panic is a finding.
    pub run: fn(&[u8]),
    /// Well-formed inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets, area by area.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    [
        ledger::TARGETS,
        attest::TARGETS,
        pki::TARGETS,
        revocation::TARGETS,
        gateway::TARGETS,
        domain::TARGETS,
        est::TARGETS,
        cmp::TARGETS,
        acme::TARGETS,
        scep::TARGETS,
        offline::TARGETS,
    ]
    .into_iter()
    .flatten()
}

/// Runs one target by name; for the libFuzzer binaries.
pub fn run(name: &str, data: &[u8]) {
    let target = targets().find(|target| target.name == name);
    assert!(target.is_some(), "no target is called `{name}`");
    if let Some(target) = target {
        (target.run)(data);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    // I12
    #[test]
    fn every_target_has_seeds_that_it_survives_and_a_libfuzzer_binary() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/fuzz_targets");
        let binaries: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        let names: BTreeSet<String> = targets().map(|target| target.name.to_owned()).collect();
        assert_eq!(names, binaries);
        assert_eq!(names.len(), targets().count(), "two targets have one name");
        for target in targets() {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{}", target.name);
            for seed in seeds {
                (target.run)(&seed);
            }
        }
    }

    // I12
    #[test]
    fn a_short_hunt_finds_nothing() {
        for target in targets() {
            let report = smoke::hunt(target, 1, std::time::Duration::ZERO, 300);
            assert_eq!(report.crash, None, "{}", target.name);
            assert!(report.runs >= 300);
        }
    }
}
