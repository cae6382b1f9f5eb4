//! The published vectors are what this code makes and accepts. `LANYARD_BLESS=1` rewrites them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use data_encoding::HEXLOWER;

use super::cases::{Case, bad, good};
use super::fixture::*;
use crate::checkpoint::Checkpoint;
use crate::hash::sha256;
use crate::leaf;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/evidence-bundle-vectors"))
}

/// Files that are all padding teach nobody and weigh a megabyte.
const LARGEST: usize = 64 << 10;

fn files() -> BTreeMap<String, Vec<u8>> {
    let small = |case: &Case| case.bytes.len() <= LARGEST;
    let cases: Vec<Case> = good().into_iter().chain(bad()).filter(small).collect();
    let mut files = BTreeMap::from([("vectors.json".to_owned(), index(&cases).into_bytes())]);
    for case in cases {
        files.insert(format!("{}.evidence", case.name), case.bytes);
    }
    files
}

fn index(cases: &[Case]) -> String {
    let ledger = Ledger::new(Story::Full);
    let quoted = |texts: &[String]| texts.iter().map(|t| format!("\"{t}\"")).collect::<Vec<_>>().join(", ");
    let outcomes = ["proved", "proved but unwitnessed", "payload erased"];
    let lines = cases.iter().map(|Case { name, expected, bytes }| {
        let verdict = if outcomes.contains(expected) {
            format!("\"outcome\": \"{expected}\"")
        } else {
            format!("\"outcome\": \"contradicted\", \"part\": \"{expected}\"")
        };
        format!("    {{\"file\": \"{name}.evidence\", \"sha256\": \"{}\", {verdict}}}", sha256(&[bytes]))
    });
    let (entry, (salt, payload)) = (&ledger.main.entries[3], &ledger.main.openings[3]);
    let checkpoint = Checkpoint::parse(ledger.main.note().text()).unwrap();
    let proof: Vec<String> = ledger.main.proof(7).iter().map(ToString::to_string).collect();
    format!(
        r#"{{
  "trust": {{
    "main_log_vkeys": [{}],
    "witness_vkeys": [{}],
    "quorum": 1
  }},
  "seeds": {{
    "main log": "{}",
    "gateway log": "{}",
    "witnesses": [{}]
  }},
  "leaf": {{
    "entry": "{}",
    "salt": "{}",
    "payload": "{}",
    "commitment": "{}",
    "leaf_hash": "{}"
  }},
  "inclusion": {{"leaf_hash": "{}", "position": 7, "size": {}, "root": "{}", "proof": [{}]}},
  "bundles": [
{}
  ]
}}
"#,
        quoted(&[ledger.main.vkey()]),
        quoted(&ledger.witness_vkeys()),
        HEXLOWER.encode(&LOG_SEED),
        HEXLOWER.encode(&GATEWAY_SEED),
        quoted(&WITNESS_SEEDS.map(|seed| HEXLOWER.encode(&seed))),
        HEXLOWER.encode(entry),
        HEXLOWER.encode(salt),
        HEXLOWER.encode(payload),
        leaf::commit(salt, payload),
        leaf::leaf_hash(entry),
        leaf::leaf_hash(&ledger.main.entries[7]),
        checkpoint.size,
        checkpoint.root,
        quoted(&proof),
        lines.collect::<Vec<_>>().join(",\n"),
    )
}

#[test]
fn published_vectors_are_what_this_code_makes() {
    let expected = files();
    if std::env::var_os("LANYARD_BLESS").is_some() {
        fs::create_dir_all(folder()).unwrap();
        for (name, bytes) in &expected {
            fs::write(folder().join(name), bytes).unwrap();
        }
    }
    let listed = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap());
    let found: BTreeMap<String, Vec<u8>> = listed
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, bytes) in &expected {
        assert!(found[name] == *bytes, "{name} differs; `LANYARD_BLESS=1` rewrites it if that is meant");
    }
}
