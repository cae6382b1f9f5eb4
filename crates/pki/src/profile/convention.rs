//! Naming convention of a class: how device names, AE titles and DNS names of applications must look (R10).
//!
//! A pattern is plain text with placeholders, not a regular expression: who reads `{SITE}_CT{n:2}` knows what fits, and
//! matching takes one pass. Placeholders:
//!
//! | written | fits |
//! |---|---|
//! | `{site}`, `{class}` | the record's site or class, as it stands there |
//! | `{SITE}`, `{CLASS}` | the same in upper case |
//! | `{n}` | 1 to 6 digits; `{n:3}` exactly three |
//! | `{word}`, `{WORD}` | lower-case or upper-case letters and digits, at least one |
//!
//! To add a placeholder: a variant of `Part`, its spelling in `part`, its match in `Pattern::fits`.

use std::fmt;
use std::str::FromStr;

use lanyard_domain::text::FieldError;

use crate::name::DnsName;

/// A pattern of 16 parts is an AE title spelled letter by letter.
const MOST_PARTS: usize = 16;
/// Twice a slug and some: `{site}-{class}-{n}` has at most 63 + 63 + 8 characters.
const MOST_CHARACTERS: usize = 160;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Site(Case),
    Class(Case),
    /// Digits: exactly so many, or 1 to 6.
    Number(Option<usize>),
    Word(Case),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Upper,
}

/// How a name must look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    written: String,
    parts: Vec<Part>,
}

/// What the record says about the thing that is named.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// Its site slug.
    pub site: &'a str,
    /// Its class slug.
    pub class: &'a str,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no naming pattern: {rule}")]
pub struct BadPattern {
    found: String,
    rule: String,
}

impl Pattern {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The length of the shortest name that fits, with site and class of one character.
    pub fn least_length(&self) -> usize {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.chars().count(),
                Part::Number(Some(digits)) => *digits,
                Part::Site(_) | Part::Class(_) | Part::Number(None) | Part::Word(_) => 1,
            })
            .sum()
    }

    /// Whether `name` fits for a thing of this site and class.
    pub fn fits(&self, name: &str, of: Named<'_>) -> bool {
        let mut rest = name;
        for part in &self.parts {
            let after = match part {
                Part::Text(text) => rest.strip_prefix(text.as_str()),
                Part::Site(case) => rest.strip_prefix(case.of(of.site).as_str()),
                Part::Class(case) => rest.strip_prefix(case.of(of.class).as_str()),
                Part::Number(digits) => {
                    let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
                    let found = rest.len() - after.len();
                    digits.map_or((1..=6).contains(&found), |d| d == found).then_some(after)
                }
                Part::Word(case) => {
                    let after = rest.trim_start_matches(|c: char| case.is_word(c));
                    (after.len() < rest.len()).then_some(after)
                }
            };
            let Some(after) = after else { return false };
            rest = after;
        }
        rest.is_empty()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Case {
    fn of(self, text: &str) -> String {
        match self {
            Case::Lower => text.to_owned(),
            Case::Upper => text.to_ascii_uppercase(),
        }
    }

    fn is_word(self, c: char) -> bool {
        c.is_ascii_digit()
            || match self {
                Case::Lower => c.is_ascii_lowercase(),
                Case::Upper => c.is_ascii_uppercase(),
            }
    }
}

impl Part {
    /// Whether the part could eat the first character of `next`: then a name would fit in two ways, or in none.
    fn runs_into(&self, next: &Part) -> bool {
        match (self, next) {
            (Part::Number(_), Part::Text(text)) => text.starts_with(|c: char| c.is_ascii_digit()),
            (Part::Word(case), Part::Text(text)) => text.starts_with(|c: char| case.is_word(c)),
            (Part::Number(_) | Part::Word(_), _) => true,
            _ => false,
        }
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let bad = |rule: &str| BadPattern { found: text.chars().take(80).collect(), rule: rule.to_owned() };
        if text.is_empty() || text.len() > MOST_CHARACTERS {
            return Err(bad("it has 1 to 160 characters"));
        }
        if !text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\') {
            return Err(bad("it has printable ASCII characters only, and no backslash"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, opened) = match rest.split_once('{') {
                Some((literal, opened)) => (literal, Some(opened)),
                None => (rest, None),
            };
            if literal.contains('}') {
                return Err(bad("a `}` has no `{`"));
            }
            if !literal.is_empty() {
                parts.push(Part::Text(literal.to_owned()));
            }
            rest = match opened {
                None => "",
                Some(opened) => {
                    let (inside, after) = opened.split_once('}').ok_or_else(|| bad("a `{` is not closed"))?;
                    parts.push(part(inside).ok_or_else(|| {
                        bad(&format!(
                            "`{{{inside}}}` is no placeholder; there are {{site}}, {{SITE}}, {{class}}, {{CLASS}}, {{n}}, {{n:1}} to {{n:6}}, {{word}} and {{WORD}}"
                        ))
                    })?);
                    after
                }
            };
        }
        if parts.len() > MOST_PARTS {
            return Err(bad("it has more than 16 parts"));
        }
        if parts.iter().zip(parts.iter().skip(1)).any(|(a, b)| a.runs_into(b)) {
            return Err(bad(
                "after {n} or {word} put a character that cannot belong to it, or a name could be read in two ways",
            ));
        }
        if parts.iter().all(|p| matches!(p, Part::Text(_))) {
            return Err(bad("it has no placeholder, so that only one thing could have the name"));
        }
        Ok(Self { written: text.to_owned(), parts })
    }
}

fn part(inside: &str) -> Option<Part> {
    Some(match inside {
        "site" => Part::Site(Case::Lower),
        "SITE" => Part::Site(Case::Upper),
        "class" => Part::Class(Case::Lower),
        "CLASS" => Part::Class(Case::Upper),
        "n" => Part::Number(None),
        "word" => Part::Word(Case::Lower),
        "WORD" => Part::Word(Case::Upper),
        _ => {
            let digits: usize = inside.strip_prefix("n:")?.parse().ok()?;
            (1..=6).contains(&digits).then_some(Part::Number(Some(digits)))?
        }
    })
}

/// The convention of one template; what it leaves open, anything fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Convention {
    /// Names of devices.
    pub device_name: Option<Pattern>,
    /// DICOM AE titles.
    pub ae_title: Option<Pattern>,
    /// Domains under which applications may be named; empty: none.
    pub dns_suffixes: Vec<DnsName>,
}

impl Convention {
    /// Checks a device's name when its record is created.
    pub fn check_device_name(&self, name: &str, of: Named<'_>) -> Result<(), FieldError> {
        check("device_name", self.device_name.as_ref(), name, of)
    }

    /// Checks an AE title when its record is created.
    pub fn check_ae_title(&self, title: &str, of: Named<'_>) -> Result<(), FieldError> {
        check("ae_title", self.ae_title.as_ref(), title, of)
    }

    /// Whether a DNS name is one of the suffixes or lies below one.
    pub fn allows_dns(&self, name: &DnsName) -> bool {
        self.dns_suffixes.iter().any(|suffix| {
            let above = name.as_str().strip_suffix(suffix.as_str());
            above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
        })
    }
}

fn check(field: &str, pattern: Option<&Pattern>, name: &str, of: Named<'_>) -> Result<(), FieldError> {
    match pattern {
        Some(pattern) if !pattern.fits(name, of) => {
            let rule = format!("must look like `{pattern}` by the naming convention of its profile");
            Err(FieldError::new(field, &rule, name))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OF: Named<'_> = Named { site: "north-campus", class: "infusion-pump" };

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    // R10
    #[test]
    fn names_fit_their_pattern_or_are_refused_with_it() {
        for (written, fits, fails) in [
            (
                "{site}-{class}-{n}",
                vec!["north-campus-infusion-pump-7", "north-campus-infusion-pump-123456"],
                vec![
                    "",
                    "south-infusion-pump-7",
                    "north-campus-infusion-pump-",
                    "north-campus-infusion-pump-1234567",
                    "north-campus-infusion-pump-7x",
                    "NORTH-CAMPUS-INFUSION-PUMP-7",
                ],
            ),
            ("CT{n:2}_{WORD}", vec!["CT01_A", "CT99_RAD2"], vec!["CT1_A", "CT001_A", "CT01_", "CT01_a"]),
            ("{SITE}", vec!["NORTH-CAMPUS"], vec!["north-campus", "NORTH-CAMPUS2"]),
            ("{word}.{n}", vec!["a1.2"], vec!["A.2", ".2", "a1."]),
        ] {
            let convention = Convention { device_name: Some(pattern(written)), ..Convention::default() };
            for name in fits {
                assert_eq!(convention.check_device_name(name, OF), Ok(()), "{written} {name}");
            }
            for name in fails {
                let refused = convention.check_device_name(name, OF).unwrap_err();
                assert!(refused.rule.contains(written), "{refused}");
            }
        }
        assert_eq!(Convention::default().check_ae_title("anything", OF), Ok(()));
    }

    #[test]
    fn patterns_that_can_be_read_in_two_ways_are_refused() {
        for text in [
            "",
            "plain",
            "{",
            "}",
            "{n",
            "n}",
            "{}",
            "{serial}",
            "{n:0}",
            "{n:7}",
            "{n:}",
            "{n}{n}",
            "{n}7",
            "{word}{site}",
            "{word}a",
            "{WORD}A",
            "{word}7",
            "a\\{n}",
            "ä{n}",
            "{n}\n",
            &"{n}-".repeat(9),
            &format!("{}{{n}}", "x".repeat(160)),
        ] {
            assert!(text.parse::<Pattern>().is_err(), "{text:?}");
        }
        assert_eq!(pattern("{SITE}_CT{n:2}").least_length(), 6);
    }

    // R10
    #[test]
    fn dns_names_lie_below_a_suffix_at_a_label() {
        let suffixes = vec!["hospital.example".parse().unwrap()];
        let convention = Convention { dns_suffixes: suffixes, ..Convention::default() };
        for (name, allowed) in [
            ("hospital.example", true),
            ("pacs.hospital.example", true),
            ("evilhospital.example", false),
            ("hospital.example.evil", false),
            ("example", false),
        ] {
            assert_eq!(convention.allows_dns(&name.parse().unwrap()), allowed, "{name}");
        }
        assert!(!Convention::default().allows_dns(&"a.example".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_refused_and_no_name_makes_it_panic(
            text in "[ -~]{0,24}|(\\{(site|SITE|n|n:2|word)\\}[-_.a]?){1,4}",
            name in ".{0,24}",
        ) {
            if let Ok(pattern) = text.parse::<Pattern>() {
                let _fits = pattern.fits(&name, OF);
                prop_assert_eq!(pattern.as_str(), text);
            }
        }

        #[test]
        fn what_is_made_by_a_pattern_fits_it(number in 0u32..1_000_000, word in "[a-z0-9]{1,12}") {
            let made = format!("north-campus/{word}-{number}");
            let fits = pattern("{site}/{word}-{n}").fits(&made, OF);
            prop_assert!(fits, "{}", made);
        }
    }
}
