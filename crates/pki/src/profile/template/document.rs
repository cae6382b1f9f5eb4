//! The text of a template as keys with places: TOML is read, keys and types are checked, nothing is judged yet.
//!
//! To add a key: its line in [`KEYS`], its paragraph in `docs/pki-profiles.md`, its use in [`super::compile`], and a rule
//! for its values in [`super::rules`].

use toml::de::{DeTable, DeValue};

use super::draft::{At, Draft, Value};
use super::problem::Report;
use super::rules::{
    file_size, known_key, list_size, no_person, required_key, text_size, toml_syntax, value_type,
};

/// A template is a page; more is another file.
pub(super) const MAX_BYTES: usize = 64 * 1024;
/// More classes, purposes or domains than this are several templates.
pub(super) const MOST_ITEMS: usize = 32;
/// As long as a description in a record.
pub(super) const MOST_CHARACTERS: usize = 256;

/// What stands behind a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    List,
    Flag,
    Number,
}

/// Every key there is.
pub(super) const KEYS: [(&str, Shape); 30] = [
    ("name", Shape::Text),
    ("description", Shape::Text),
    ("subject", Shape::Text),
    ("classes", Shape::List),
    ("key.types", Shape::List),
    ("key.post_quantum", Shape::Flag),
    ("key.key_encipherment", Shape::Flag),
    ("key.server_generated", Shape::Flag),
    ("names.subject", Shape::Text),
    ("names.alternative", Shape::List),
    ("names.permanent_identifier_assigner", Shape::Text),
    ("names.hardware_module_type", Shape::Text),
    ("usage.purposes", Shape::List),
    ("validity.default", Shape::Text),
    ("validity.longest", Shape::Text),
    ("validity.renew_at", Shape::Number),
    ("validity.critical.default", Shape::Text),
    ("validity.critical.longest", Shape::Text),
    ("validity.high.default", Shape::Text),
    ("validity.high.longest", Shape::Text),
    ("validity.standard.default", Shape::Text),
    ("validity.standard.longest", Shape::Text),
    ("validity.low.default", Shape::Text),
    ("validity.low.longest", Shape::Text),
    ("revocation.mode", Shape::Text),
    ("enrollment.label", Shape::Text),
    ("enrollment.est_base64", Shape::Text),
    ("convention.device_name", Shape::Text),
    ("convention.ae_title", Shape::Text),
    ("convention.dns_suffixes", Shape::List),
];

/// Keys without a default.
const REQUIRED: [&str; 4] = ["name", "description", "subject", "usage.purposes"];

/// Words in keys that people try in order to put a contact into certificates.
const PERSONAL: [&str; 6] = ["contact", "owner", "email", "mail", "person", "user"];

/// Reads a text; `None` when there is nothing to judge.
pub(super) fn read(text: &str, report: &mut Report<'_>) -> Option<Draft> {
    if text.len() > MAX_BYTES {
        let help = format!("the file has {} bytes, at most {MAX_BYTES} are read", text.len());
        report.breach_at(&file_size::RULE, "", 0, help);
        return None;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        report.breach_at(&toml_syntax::RULE, "", at, error.message());
    }
    // What could be recovered is not what was meant: judging it would blame the wrong lines.
    if !errors.is_empty() {
        return None;
    }
    let mut draft = Draft::default();
    walk(table.get_ref(), "", &mut draft, report);
    for key in REQUIRED {
        if !draft.has(key) {
            let help = "this key has no default and must be given";
            report.breach_at(&required_key::RULE, key, draft.place(key), help);
        }
    }
    Some(draft)
}

fn walk(table: &DeTable<'_>, prefix: &str, draft: &mut Draft, report: &mut Report<'_>) {
    for (key, value) in table {
        let path = format!("{prefix}{}", key.get_ref());
        let place = key.span().start;
        let below = format!("{path}.");
        if let Some((known, shape)) = KEYS.iter().find(|(known, _)| *known == path) {
            let value = At { value: value.get_ref(), field: path, at: value.span().start };
            if let Some(value) = take(&value, *shape, report) {
                draft.keep(known, value);
            }
        } else if KEYS.iter().any(|(known, _)| known.starts_with(&below)) {
            draft.tables.push((path.clone(), place));
            match value.get_ref() {
                DeValue::Table(inner) => walk(inner, &below, draft, report),
                other => {
                    let help = format!("expected a table, found a {}", kind(other));
                    report.breach_at(&value_type::RULE, &path, value.span().start, help);
                }
            }
        } else {
            unknown(&path, prefix, key.get_ref(), place, report);
        }
    }
}

fn unknown(path: &str, prefix: &str, key: &str, place: usize, report: &mut Report<'_>) {
    // A key is as long as its author likes.
    let path: String = path.chars().take(80).collect();
    if PERSONAL.iter().any(|word| key.contains(word)) {
        let help = "certificates name no person, mailbox or department; the owner stands in the record";
        report.breach_at(&no_person::RULE, &path, place, help);
        return;
    }
    let mut known: Vec<&str> = KEYS
        .iter()
        .filter_map(|(k, _)| k.strip_prefix(prefix))
        .map(|k| k.split('.').next().unwrap_or(k))
        .collect();
    known.dedup();
    let help = format!("no such key; here are known: {}", known.join(", "));
    report.breach_at(&known_key::RULE, &path, place, help);
}

fn take(found: &At<&DeValue<'_>>, shape: Shape, report: &mut Report<'_>) -> Option<Value> {
    let at = |value| At { value, field: found.field.clone(), at: found.at };
    match (shape, found.value) {
        (Shape::Text, DeValue::String(text)) => Some(Value::Text(checked_text(
            At { value: text.to_string(), field: found.field.clone(), at: found.at },
            report,
        )?)),
        (Shape::Flag, DeValue::Boolean(flag)) => {
            Some(Value::Flag(At { value: *flag, field: found.field.clone(), at: found.at }))
        }
        (Shape::Number, DeValue::Float(number)) => Some(Value::Number(at(number.as_str().to_owned()))),
        (Shape::List, DeValue::Array(items)) => {
            if items.len() > MOST_ITEMS {
                let help = format!("{} items, at most {MOST_ITEMS} are read", items.len());
                report.breach(&list_size::RULE, found, help);
                return None;
            }
            let mut texts = Vec::with_capacity(items.len());
            for (i, item) in items.iter().enumerate() {
                let field = format!("{}[{i}]", found.field);
                let item = At { value: item.get_ref(), field, at: item.span().start };
                if let Some(Value::Text(text)) = take(&item, Shape::Text, report) {
                    texts.push(text);
                }
            }
            Some(Value::List(At { value: texts, field: found.field.clone(), at: found.at }))
        }
        (_, other) => {
            let wanted = match shape {
                Shape::Text => "text in quotes",
                Shape::List => "a list of texts",
                Shape::Flag => "true or false",
                Shape::Number => "a decimal number such as 0.75",
            };
            report.breach(&value_type::RULE, found, format!("expected {wanted}, found a {}", kind(other)));
            None
        }
    }
}

fn checked_text(text: At<String>, report: &mut Report<'_>) -> Option<At<String>> {
    let length = text.value.chars().count();
    if (1..=MOST_CHARACTERS).contains(&length) && !text.value.chars().any(char::is_control) {
        return Some(text);
    }
    let help = format!("a text has 1 to {MOST_CHARACTERS} characters and no control characters");
    report.breach(&text_size::RULE, &text, help);
    None
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "whole number",
        DeValue::Float(_) => "decimal number",
        DeValue::Boolean(_) => "truth value",
        DeValue::Datetime(_) => "date",
        DeValue::Array(_) => "list",
        DeValue::Table(_) => "table",
    }
}
