//! A template that is read and not yet judged: values with their places. The questions that rules and compiling ask are
//! answered here once, so that what a rule judged is what is compiled.

use std::collections::BTreeMap;
use std::str::FromStr;

use lanyard_domain::tier::Tier;

use crate::profile::convention::Pattern;
use crate::profile::key_type::KeyType;
use crate::profile::purpose::KeyPurpose;

use super::vocabulary::{AltNameForm, Lifetime, RevocationMode, SubjectKind};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub value: T,
    pub field: String,
    /// Byte of the text.
    pub at: usize,
}

#[derive(Debug)]
pub(super) enum Value {
    Text(At<String>),
    List(At<Vec<At<String>>>),
    Flag(At<bool>),
    Number(At<String>),
}

#[derive(Debug, Default)]
pub(super) struct Draft {
    values: BTreeMap<&'static str, Value>,
    /// Tables that are there, with the place of their first mention.
    pub tables: Vec<(String, usize)>,
}

/// The lifetimes that hold for a tier, or without one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub default: Lifetime,
    pub longest: Lifetime,
}

impl Draft {
    pub(super) fn keep(&mut self, key: &'static str, value: Value) {
        self.values.insert(key, value);
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub(super) fn text(&self, key: &str) -> Option<&At<String>> {
        match self.values.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn number(&self, key: &str) -> Option<&At<String>> {
        match self.values.get(key) {
            Some(Value::Number(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self, key: &str) -> Option<&At<Vec<At<String>>>> {
        match self.values.get(key) {
            Some(Value::List(list)) => Some(list),
            _ => None,
        }
    }

    /// The items of a list; none when it is absent.
    pub(super) fn items(&self, key: &str) -> &[At<String>] {
        self.list(key).map(|list| list.value.as_slice()).unwrap_or_default()
    }

    /// A flag; off when it is absent.
    pub(super) fn is_on(&self, key: &str) -> bool {
        self.flag(key).is_some_and(|flag| flag.value)
    }

    pub(super) fn flag(&self, key: &str) -> Option<&At<bool>> {
        match self.values.get(key) {
            Some(Value::Flag(flag)) => Some(flag),
            _ => None,
        }
    }

    /// Where a key stands, or would have to.
    pub(super) fn place(&self, key: &str) -> usize {
        let own = match self.values.get(key) {
            Some(Value::Text(at) | Value::Number(at)) => Some(at.at),
            Some(Value::List(at)) => Some(at.at),
            Some(Value::Flag(at)) => Some(at.at),
            None => None,
        };
        let table = |name: &str| self.tables.iter().find(|(t, _)| t == name).map(|(_, at)| *at);
        let mut above = key;
        let mut found = own;
        while found.is_none() {
            let Some((parent, _)) = above.rsplit_once('.') else { break };
            found = table(parent);
            above = parent;
        }
        found.unwrap_or(0)
    }

    /// A text as a typed value; `None` when absent or when a rule says what is wrong with it.
    pub(super) fn parsed<T: FromStr>(&self, key: &str) -> Option<T> {
        self.text(key)?.value.parse().ok()
    }

    /// The items of a list as typed values, those that are.
    fn parsed_items<T: FromStr>(&self, key: &str) -> Vec<(T, &At<String>)> {
        self.items(key).iter().filter_map(|item| Some((item.value.parse().ok()?, item))).collect()
    }

    pub(super) fn subject(&self) -> Option<SubjectKind> {
        self.parsed("subject")
    }

    /// Default: the curves that every peer of today verifies.
    pub(super) fn key_types(&self) -> Vec<KeyType> {
        if !self.has("key.types") {
            return vec![KeyType::P256, KeyType::P384];
        }
        self.parsed_items("key.types").into_iter().map(|(kind, _)| kind).collect()
    }

    pub(super) fn purposes(&self) -> Vec<(KeyPurpose, &At<String>)> {
        self.parsed_items("usage.purposes")
    }

    /// Default: all that the subject's facts always have.
    pub(super) fn forms(&self) -> Vec<AltNameForm> {
        use AltNameForm::{Dns, Ip, MachineDns, UriId};
        if !self.has("names.alternative") {
            return match self.subject() {
                Some(SubjectKind::Device) | None => vec![UriId, MachineDns],
                Some(SubjectKind::Gateway | SubjectKind::Application) => vec![UriId, MachineDns, Dns, Ip],
            };
        }
        self.parsed_items("names.alternative").into_iter().map(|(form, _)| form).collect()
    }

    pub(super) fn mode(&self) -> Option<RevocationMode> {
        if self.has("revocation.mode") {
            self.parsed("revocation.mode")
        } else {
            Some(RevocationMode::ShortLived)
        }
    }

    /// The lifetimes without a tier. Default: those of the built-in device profile.
    pub(super) fn general(&self) -> Span {
        Span {
            default: self.parsed("validity.default").unwrap_or(Lifetime::DAY),
            longest: self.parsed("validity.longest").unwrap_or(Lifetime::WEEK),
        }
    }

    /// The lifetimes of a tier: its own, and where it has none the general ones.
    pub(super) fn of_tier(&self, tier: Tier) -> Span {
        let [default, longest] = tier_keys(tier);
        let general = self.general();
        Span {
            default: self.parsed(default).unwrap_or(general.default),
            longest: self.parsed(longest).unwrap_or(general.longest),
        }
    }

    pub(super) fn pattern(&self, key: &str) -> Option<Pattern> {
        self.parsed(key)
    }
}

/// The two keys of a tier.
pub(super) fn tier_keys(tier: Tier) -> [&'static str; 2] {
    match tier {
        Tier::Critical => ["validity.critical.default", "validity.critical.longest"],
        Tier::High => ["validity.high.default", "validity.high.longest"],
        Tier::Standard => ["validity.standard.default", "validity.standard.longest"],
        Tier::Low => ["validity.low.default", "validity.low.longest"],
    }
}

/// All keys that hold a lifetime.
pub(super) fn lifetime_keys() -> impl Iterator<Item = &'static str> {
    ["validity.default", "validity.longest"].into_iter().chain(Tier::ALL.into_iter().flat_map(tier_keys))
}
