//! ARCHITECTURE.md names functions; each must exist where it says, so that a walkthrough does not lead astray.

use std::path::{Path, PathBuf};

/// `crate/path::function` in backticks.
fn steps(text: &str) -> Vec<(PathBuf, String)> {
    let named = text.split('`').skip(1).step_by(2);
    let step = |name: &str| {
        let (file, function) = name.split_once("::")?;
        let (krate, rest) = file.split_once('/')?;
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(krate)
            .join("src")
            .join(format!("{rest}.rs"));
        Some((path, function.to_owned()))
    };
    named.filter_map(step).collect()
}

#[test]
fn every_step_of_a_walkthrough_is_a_function_that_exists() {
    let text = include_str!("../../../../ARCHITECTURE.md");
    let (_, walkthroughs) = text.split_once("## Walkthrough 1").unwrap();
    let steps = steps(walkthroughs);
    assert!(steps.len() >= 30, "{} steps found", steps.len());
    let mut missing = Vec::new();
    for (path, function) in steps {
        let source = std::fs::read_to_string(&path).unwrap_or_default();
        let exists = ["(", "<"].iter().any(|open| source.contains(&format!("fn {function}{open}")));
        if !exists {
            missing.push(format!("{}::{function}", path.display()));
        }
    }
    assert!(missing.is_empty(), "not there: {missing:#?}");
}
