//! Device records from a CSV file: a purchase list, an export of an inventory.
//!
//! Each row stands for itself: a bad one is refused with its row, field and rule, the others go on (a list of 400 devices
//! must not fail for one typing error). In scope: text to checked records. Out of scope: registering them.
//! Columns: `vendor,model,serial,site,owner,department,purpose,class,tier,ai,scopes,ae_title,zone,ek_sha256`, in any order;
//! `scopes` are separated by spaces; `ai`, `ae_title` and `ek_sha256` may be empty or left out.
//! To add a column: its name in [`COLUMNS`], its line in `record`.

use std::collections::HashMap;
use std::io::Read;

use lanyard_domain::record::{DeviceRecord, Scope};
use lanyard_domain::text::{Digest, FieldError};
use lanyard_domain::tier::Tier;

/// 20 MiB at some 200 bytes a row are 100,000 devices: more than one import should be.
const MAX_BYTES: u64 = 20 << 20;

/// A heading and whether a file must have it.
const COLUMNS: [(&str, Needed); 14] = [
    ("vendor", Needed::Yes),
    ("model", Needed::Yes),
    ("serial", Needed::Yes),
    ("site", Needed::Yes),
    ("owner", Needed::Yes),
    ("department", Needed::Yes),
    ("purpose", Needed::Yes),
    ("class", Needed::Yes),
    ("tier", Needed::Yes),
    ("ai", Needed::No),
    ("scopes", Needed::Yes),
    ("ae_title", Needed::No),
    ("zone", Needed::Yes),
    ("ek_sha256", Needed::No),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needed {
    Yes,
    No,
}

/// Why a row was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row}, field `{field}`: {rule}; found `{found}`")]
pub struct RowError {
    /// Line in the file; the heading is line 1.
    pub row: usize,
    /// Heading.
    pub field: String,
    /// The rule that it breaks, with what to write instead.
    pub rule: String,
    /// The value, cut to 80 characters.
    pub found: String,
}

impl RowError {
    fn new(row: usize, error: FieldError) -> Self {
        Self { row, field: error.field, rule: error.rule, found: error.found }
    }
}

/// The good rows with their numbers, and what is wrong with the others.
pub fn parse_csv(reader: impl Read) -> (Vec<(usize, DeviceRecord)>, Vec<RowError>) {
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(reader.take(MAX_BYTES));
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    let headings = match headings(&mut reader) {
        Ok(headings) => headings,
        Err(error) => return (good, vec![RowError::new(1, error)]),
    };
    let mut labels: HashMap<(String, String, String), usize> = HashMap::new();
    let (mut records, mut line) = (reader.records(), 1);
    for record in records.by_ref() {
        let row = match record {
            Ok(row) => row,
            Err(error) => {
                let unreadable = FieldError::new(
                    "row",
                    "must be UTF-8 text of comma-separated values",
                    &error.to_string(),
                );
                bad.push(RowError::new(line + 1, unreadable));
                // After bytes that cannot be read, nobody can say where the next row begins.
                break;
            }
        };
        line = row.position().map_or(line + 1, |p| usize::try_from(p.line()).unwrap_or(usize::MAX));
        match parse_row(&headings, &row) {
            Err(error) => bad.push(RowError::new(line, error)),
            Ok(record) => {
                let label = (record.vendor.clone(), record.model.clone(), record.serial.clone());
                match labels.insert(label, line) {
                    None => good.push((line, record)),
                    Some(first) => {
                        let rule =
                            format!("must be unique within vendor and model; it stands in row {first} too");
                        bad.push(RowError::new(line, FieldError::new("serial", &rule, &record.serial)));
                    }
                }
            }
        }
    }
    if records.reader().position().byte() >= MAX_BYTES {
        let rule = format!("must have at most {MAX_BYTES} bytes; split it");
        bad.push(RowError::new(line, FieldError::new("file", &rule, "more")));
    }
    (good, bad)
}

/// Where each heading stands. An unknown one is a typing error, and would silently drop its values.
fn headings<R: Read>(reader: &mut csv::Reader<R>) -> Result<HashMap<String, usize>, FieldError> {
    let row =
        reader.headers().map_err(|e| FieldError::new("heading", "must be UTF-8 text", &e.to_string()))?;
    let mut places = HashMap::new();
    for (place, name) in row.iter().enumerate() {
        // Spreadsheets write a byte order mark in front of the first heading.
        let name = name.trim_start_matches('\u{feff}');
        if !COLUMNS.iter().any(|(known, _)| *known == name) {
            let known: Vec<&str> = COLUMNS.iter().map(|(known, _)| *known).collect();
            return Err(FieldError::new("heading", &format!("must be one of {}", known.join(", ")), name));
        }
        if places.insert(name.to_owned(), place).is_some() {
            return Err(FieldError::new("heading", "must stand there once", name));
        }
    }
    let missing = COLUMNS.iter().find(|(name, needed)| *needed == Needed::Yes && !places.contains_key(*name));
    match missing {
        None => Ok(places),
        Some((name, _)) => Err(FieldError::new("heading", &format!("`{name}` is missing"), "")),
    }
}

fn parse_row(headings: &HashMap<String, usize>, row: &csv::StringRecord) -> Result<DeviceRecord, FieldError> {
    if row.len() != headings.len() {
        let rule = format!(
            "must have {} values, as the heading; put commas inside a value between quotes",
            headings.len()
        );
        return Err(FieldError::new("row", &rule, &row.len().to_string()));
    }
    let text = |name: &str| headings.get(name).and_then(|place| row.get(*place)).unwrap_or_default();
    let optional = |name: &str| Some(text(name)).filter(|value| !value.is_empty());
    let record = DeviceRecord {
        vendor: text("vendor").to_owned(),
        model: text("model").to_owned(),
        serial: text("serial").to_owned(),
        site: text("site").to_owned(),
        owner: text("owner").to_owned(),
        department: text("department").to_owned(),
        purpose: text("purpose").to_owned(),
        class: text("class").to_owned(),
        tier: tier(text("tier"))?,
        ai: flag("ai", text("ai"))?,
        scopes: text("scopes").split_ascii_whitespace().map(str::parse).collect::<Result<Vec<Scope>, _>>()?,
        ae_title: optional("ae_title").map(str::to_owned),
        zone: text("zone").to_owned(),
        ek_sha256: optional("ek_sha256").map(digest).transpose()?,
    };
    record.check()?;
    Ok(record)
}

fn tier(text: &str) -> Result<Tier, FieldError> {
    match text {
        "critical" => Ok(Tier::Critical),
        "high" => Ok(Tier::High),
        "standard" => Ok(Tier::Standard),
        "low" => Ok(Tier::Low),
        other => Err(FieldError::new("tier", "must be critical, high, standard or low", other)),
    }
}

fn flag(field: &str, text: &str) -> Result<bool, FieldError> {
    match text {
        "true" | "yes" => Ok(true),
        "false" | "no" | "" => Ok(false),
        other => Err(FieldError::new(field, "must be true or false", other)),
    }
}

fn digest(text: &str) -> Result<Digest, FieldError> {
    text.parse().map_err(|_| FieldError::new("ek_sha256", "must be 64 lower-case hex digits", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str =
        "vendor,model,serial,site,owner,department,purpose,class,tier,ai,scopes,ae_title,zone,ek_sha256";
    const GOOD: &str = "Acme,P1,S1,north,biomed,ICU,\"Infusion, continuous\",pump,critical,false,system/Observation.c system/Patient.r,,infusion,";

    fn errors(text: &str) -> Vec<(usize, String)> {
        parse_csv(text.as_bytes()).1.into_iter().map(|e| (e.row, e.field)).collect()
    }

    // R31
    #[test]
    fn good_rows_become_records() {
        let ek = "ab".repeat(32);
        let text = format!(
            "{HEADING}\n{GOOD}\nAcme,CT,S2,north,biomed,Rad,CT,ct,high,true,system/Observation.c,CT_1,imaging,{ek}\n"
        );
        let (good, bad) = parse_csv(text.as_bytes());
        assert_eq!(bad, []);
        assert_eq!(good.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [2, 3]);
        let (pump, ct) = (&good[0].1, &good[1].1);
        assert_eq!((pump.purpose.as_str(), pump.scopes.len(), pump.ai), ("Infusion, continuous", 2, false));
        assert_eq!((ct.ae_title.as_deref(), ct.ek_sha256), (Some("CT_1"), Some(Digest([0xab; 32]))));
    }

    #[test]
    fn a_bad_row_is_refused_with_row_field_and_rule_and_the_others_go_in() {
        for (from, to, field) in [
            ("Acme", "", "vendor"),
            ("north", "North", "site"),
            ("critical", "urgent", "tier"),
            ("false", "maybe", "ai"),
            ("system/Patient.r", "system/*.r", "scopes"),
            (",,infusion", ",A\\B,infusion", "ae_title"),
            (",infusion,", ",infusion,xyz", "ek_sha256"),
            (",infusion,", ",infusion,,", "row"),
            (",infusion,", ",infusion", "row"),
        ] {
            let text = format!("{HEADING}\n{}\n{GOOD}\n", GOOD.replacen(from, to, 1).replace("S1", "S0"));
            assert_eq!(errors(&text), [(2, field.to_owned())], "{to}");
            assert_eq!(parse_csv(text.as_bytes()).0.len(), 1);
        }
    }

    #[test]
    fn a_label_that_stands_there_twice_is_taken_once() {
        let text = format!("{HEADING}\n{GOOD}\n{GOOD}\n");
        let (good, bad) = parse_csv(text.as_bytes());
        assert_eq!((good.len(), bad.len()), (1, 1));
        assert_eq!((bad[0].row, bad[0].field.as_str()), (3, "serial"));
        assert!(bad[0].rule.contains("row 2"));
    }

    #[test]
    fn headings_are_checked_and_may_stand_in_any_order() {
        let all_bad = |text: &str| {
            let (good, bad) = parse_csv(text.as_bytes());
            good.is_empty() && bad.len() == 1 && (bad[0].row, bad[0].field.as_str()) == (1, "heading")
        };
        assert!(all_bad(""));
        assert!(all_bad(&format!("{}\n{GOOD}\n", HEADING.replace("serial", "serail"))));
        assert!(all_bad(&format!("{}\n{GOOD}\n", HEADING.replace("serial", "model"))));
        assert!(all_bad(&format!("{}\n", HEADING.replace(",zone", ""))));
        let short = "\u{feff}zone,serial,vendor,model,site,owner,department,purpose,class,tier,scopes\n\
                     z,S,V,M,s,o,d,p,c,low,\n";
        assert_eq!(parse_csv(short.as_bytes()).0.len(), 1);
    }

    // I12
    #[test]
    fn any_cut_or_flip_gives_records_or_errors_and_never_both_from_one_row() {
        let text = format!("{HEADING}\n{GOOD}\n");
        for end in 0..text.len() {
            let (good, bad) = parse_csv(&text.as_bytes()[..end]);
            assert!(good.len() + bad.len() <= 1, "cut at {end}");
        }
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (good, bad) = parse_csv(flipped.as_slice());
            assert!(good.len() + bad.len() <= 2, "bit {bit}");
        }
    }
}
