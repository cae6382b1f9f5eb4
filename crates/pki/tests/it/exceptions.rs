//! Where our path validation differs from a suite of foreign cases on purpose: read from a file, held against a run.
//!
//! A case that differs and is not in the file fails the run; so does one that is in the file and does not differ, or
//! that the suite no longer has. To add an exception: its case in a class of the file, or a new class with a reason.

use std::collections::{BTreeMap, BTreeSet};

use lanyard_pki::path::generic::Strictness;
use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Accepted,
    Refused,
    /// The case has an input that we do not have.
    NotAsked,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Class {
    name: String,
    ours: Outcome,
    expected: Outcome,
    /// Only for this profile; without it, for all.
    profile: Option<String>,
    reason: String,
    cases: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    class: Vec<Class>,
}

/// One case after its run.
pub struct Ran {
    pub id: String,
    pub expected: Outcome,
    pub ours: Outcome,
    /// What our refusal said.
    pub why: String,
}

/// The two levels of strictness, by the names that the files use.
pub const PROFILES: [(&str, Strictness); 2] =
    [("rfc5280", Strictness::Rfc5280), ("maker", Strictness::Maker)];

/// Prints the counts of one profile and fails on what the file does not say.
pub fn hold(suite: &str, profile: &str, file: &str, ran: &[Ran]) {
    let mut file: File = toml::from_str(file).unwrap();
    assert!(
        file.class.iter().flat_map(|c| &c.profile).all(|p| PROFILES.iter().any(|(name, _)| name == p)),
        "a class names a profile that there is not"
    );
    file.class.retain(|class| class.profile.as_deref().is_none_or(|only| only == profile));
    let mut classes = BTreeMap::new();
    for class in &file.class {
        assert!(class.reason.len() > 40, "class `{}`: the reason is no reason", class.name);
        assert!(class.ours != class.expected, "class `{}` is no difference", class.name);
        for case in &class.cases {
            assert!(classes.insert(case.as_str(), class).is_none(), "`{case}` stands in two classes");
        }
    }
    let mut faults = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut agree = (0, 0);
    for case in ran {
        let class = classes.remove(case.id.as_str());
        match class {
            None if case.ours == case.expected => {
                *if case.ours == Outcome::Accepted { &mut agree.0 } else { &mut agree.1 } += 1;
            }
            None => faults.push(format!(
                "{}: expected {:?}, ours {:?} {}",
                case.id, case.expected, case.ours, case.why
            )),
            Some(class) if case.ours == class.ours && case.expected == class.expected => {
                *counts.entry(class.name.as_str()).or_default() += 1;
            }
            Some(class) => faults.push(format!(
                "{}: expected {:?}, ours {:?} {}; the exception of class `{}` is stale",
                case.id, case.expected, case.ours, case.why, class.name
            )),
        }
    }
    faults
        .extend(classes.keys().map(|case| format!("{case}: an exception for a case that is not in {suite}")));
    println!(
        "{suite}, profile {profile}: {} cases, {} accepted and {} refused as expected",
        ran.len(),
        agree.0,
        agree.1
    );
    for class in &file.class {
        let n = counts.get(class.name.as_str()).copied().unwrap_or_default();
        println!("  {n:>3} {:?} where {suite} says {:?}: {}", class.ours, class.expected, class.name);
    }
    assert!(faults.is_empty(), "{suite}, profile {profile}: {} faults\n{}", faults.len(), faults.join("\n"));
}
