//! The checking engine: walks a resource along a table of its elements and refuses what the table does not name (R78).
//!
//! The tables (`types/`) are FHIR R4 narrowed: no narrative, no annotations, no free-text values, no attachments, no
//! contained resources, no extensions from devices. So what reaches the EHR has a shape that was agreed on.
//! In scope: names, cardinality, primitive formats, required bindings, reference forms, times in the future.
//! Out of scope: profiles, terminology servers, invariants over several elements (each type's `rules`).
//! To add a primitive: a variant of [`Kind`], its check in [`Checker::value`].

use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;

use super::json::Json;
use super::outcome::{Issue, Refusal};

/// One element of a resource or data type.
#[derive(Debug, PartialEq, Eq)]
pub struct Element {
    /// JSON name.
    pub name: &'static str,
    /// How often.
    pub card: Card,
    /// What.
    pub kind: Kind,
}

/// Cardinality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    /// 0..1
    Optional,
    /// 1..1
    Required,
    /// 0..*
    Many,
    /// 1..*
    Some,
}

/// What an element holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A code of a required binding.
    Code(&'static [&'static str]),
    /// Any code or token without white space.
    Token,
    /// A label of at most so many characters, one line.
    Label(usize),
    /// An absolute URI.
    Uri,
    /// `true` or `false`.
    Boolean,
    /// 32-bit integer of at least this.
    Integer(i32),
    /// FHIR decimal.
    Decimal,
    /// FHIR instant.
    Instant,
    /// FHIR dateTime.
    DateTime,
    /// FHIR time.
    Time,
    /// Numbers of a SampledData.
    Samples,
    /// A reference to one of these types.
    Reference(&'static [&'static str]),
    /// A reference to the device that sends this, by its identifier.
    OwnDevice,
    /// A data type or backbone element.
    Group(&'static [Element]),
}

/// An element, for tables that read like the specification's.
pub const fn element(name: &'static str, card: Card, kind: Kind) -> Element {
    Element { name, card, kind }
}

/// What the checks need to know beside the resource.
#[derive(Debug, Clone, Copy)]
pub struct Checker<'a> {
    /// Who sends it.
    pub device: DeviceId,
    /// Receive time.
    pub now: Timestamp,
    /// `fullUrl`s of the same transaction, which references may name.
    pub full_urls: &'a [&'a str],
}

/// Clocks of devices may be ahead by this (clinical.md §4: explicit allowance).
const CLOCK_SKEW_SECONDS: i64 = 60;
/// Most entries of one list; components of a monitor's observation are about 30.
const MAX_LIST: usize = 256;

/// A broken rule; the path is collected on the way out.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    issue: Issue,
    code: &'static str,
    rule: &'static str,
    path: Vec<String>,
}

impl Fault {
    /// A broken rule at the current element.
    pub fn new(issue: Issue, code: &'static str, rule: &'static str) -> Fault {
        Fault { issue, code, rule, path: Vec::new() }
    }

    /// The same, seen from the element above.
    pub fn below(mut self, step: impl Into<String>) -> Fault {
        self.path.push(step.into());
        self
    }

    /// As the device sees it.
    pub fn refusal(mut self) -> Refusal {
        self.path.reverse();
        let expression = self.path.join(".").replace(".[", "[");
        let refusal = Refusal::new(422, self.issue, self.code, self.rule);
        if expression.is_empty() { refusal } else { refusal.at(expression) }
    }
}

impl Checker<'_> {
    /// Checks that `value` is an object with exactly the elements of the table; `also` are names checked by the caller.
    pub fn group(&self, value: &Json<'_>, table: &'static [Element], also: &[&str]) -> Result<(), Fault> {
        let members = value.as_object().ok_or_else(|| {
            Fault::new(Issue::Structure, "not_an_object", "This element must be a JSON object.")
        })?;
        if members.is_empty() {
            // R4 2.6.2: objects are never empty.
            return Err(Fault::new(Issue::Structure, "empty_element", "An element must not be empty."));
        }
        for (name, member) in members {
            if also.contains(&name.as_ref()) {
                continue;
            }
            let Some(element) = table.iter().find(|e| e.name == name) else {
                return Err(unknown(name));
            };
            self.element(element, member).map_err(|fault| fault.below(element.name))?;
        }
        let missing = table
            .iter()
            .filter(|e| matches!(e.card, Card::Required | Card::Some))
            .find(|e| !members.iter().any(|(name, _)| name == e.name));
        match missing {
            None => Ok(()),
            Some(element) => Err(Fault::new(
                Issue::Required,
                "element_missing",
                "A required element is missing; `expression` names it.",
            )
            .below(element.name)),
        }
    }

    fn element(&self, element: &Element, value: &Json<'_>) -> Result<(), Fault> {
        if matches!(element.card, Card::Optional | Card::Required) {
            return self.value(element.kind, value);
        }
        let list = value.as_list().ok_or_else(|| {
            Fault::new(Issue::Structure, "not_a_list", "This element repeats: it must be a JSON array.")
        })?;
        if list.is_empty() || list.len() > MAX_LIST {
            return Err(Fault::new(
                Issue::Structure,
                "list_size",
                "A list must have between 1 and 256 entries.",
            ));
        }
        for (i, entry) in list.iter().enumerate() {
            self.value(element.kind, entry).map_err(|fault| fault.below(format!("[{i}]")))?;
        }
        Ok(())
    }

    fn value(&self, kind: Kind, value: &Json<'_>) -> Result<(), Fault> {
        let fits = match kind {
            Kind::Group(table) => return self.group(value, table, &[]),
            Kind::Reference(types) => return self.reference(value, types),
            Kind::OwnDevice => return self.own_device(value),
            Kind::Instant | Kind::DateTime => return self.date_time(kind, value),
            Kind::Code(codes) => {
                return match value.as_text() {
                    Some(text) if codes.contains(&text) => Ok(()),
                    _ => Err(Fault::new(
                        Issue::CodeInvalid,
                        "code_not_in_value_set",
                        "This code is not in the value set that FHIR R4 requires for the element.",
                    )),
                };
            }
            Kind::Boolean => matches!(value, Json::Bool(_)),
            Kind::Decimal => matches!(value, Json::Number(n) if is_decimal(n)),
            Kind::Integer(least) => {
                matches!(value, Json::Number(n) if n.parse().is_ok_and(|i: i32| i >= least))
            }
            Kind::Token => value.as_text().is_some_and(is_token),
            Kind::Label(most) => value.as_text().is_some_and(|text| is_label(text, most)),
            Kind::Uri => value.as_text().is_some_and(is_absolute_uri),
            Kind::Time => value.as_text().is_some_and(is_time),
            Kind::Samples => value.as_text().is_some_and(is_samples),
        };
        if fits {
            return Ok(());
        }
        Err(Fault::new(
            Issue::Value,
            "value_malformed",
            "The value has not the type, form or length that the element must have.",
        ))
    }

    /// R4 2.3.0: one literal `Type/id` or an entry of the same transaction; absolute URLs would let a device point the
    /// EHR to a server of its choice, `display` is free text.
    fn reference(&self, value: &Json<'_>, types: &[&str]) -> Result<(), Fault> {
        let fault = || {
            Fault::new(
                Issue::Value,
                "reference_malformed",
                "A reference must be {\"reference\": \"Type/id\"} with a type that the element may name, or name an \
                 entry of the same transaction.",
            )
        };
        let [(name, target)] = value.as_object().ok_or_else(fault)? else { return Err(fault()) };
        let target = target.as_text().filter(|_| name == "reference").ok_or_else(fault)?;
        if target.starts_with("urn:") {
            return if self.full_urls.contains(&target) { Ok(()) } else { Err(fault()) };
        }
        let (kind, id) = target.split_once('/').ok_or_else(fault)?;
        if types.contains(&kind) && super::request::logical_id(id).is_ok() { Ok(()) } else { Err(fault()) }
    }

    fn own_device(&self, value: &Json<'_>) -> Result<(), Fault> {
        let identifier = value.as_object().filter(|members| members.len() == 1);
        let identifier = identifier.and(value.get("identifier"));
        let text = |name: &str| identifier.and_then(|i| i.get(name)).and_then(Json::as_text);
        let members = identifier.and_then(Json::as_object).map_or(0, <[_]>::len);
        let own = members == 2
            && text("system") == Some("urn:ietf:rfc:3986")
            && text("value").and_then(|v| v.strip_prefix("urn:uuid:")).and_then(|v| v.parse().ok())
                == Some(self.device);
        if own {
            return Ok(());
        }
        Err(Fault::new(
            Issue::BusinessRule,
            "device_is_not_the_sender",
            "`device` must be the sender, as {\"identifier\": {\"system\": \"urn:ietf:rfc:3986\", \"value\": \
             \"urn:uuid:<device id>\"}}; or leave it out.",
        ))
    }

    fn date_time(&self, kind: Kind, value: &Json<'_>) -> Result<(), Fault> {
        let moment = value
            .as_text()
            .and_then(parse_date_time)
            .filter(|m| kind == Kind::DateTime || matches!(m, Moment::Exact(_)));
        let fault = || Fault::new(Issue::Value, "time_malformed", "The value is not a FHIR date or time.");
        match moment.ok_or_else(fault)? {
            Moment::Exact(time) if time > self.now.plus_seconds(CLOCK_SKEW_SECONDS) => Err(Fault::new(
                Issue::BusinessRule,
                "time_in_the_future",
                "The time is more than a minute ahead of the gateway's clock; check the device's clock.",
            )),
            _ => Ok(()),
        }
    }
}

fn unknown(name: &str) -> Fault {
    let readable = name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric());
    let step = if readable { name.to_owned() } else { "(unreadable name)".to_owned() };
    let free_text = matches!(name, "text" | "note" | "contained" | "extension" | "modifierExtension")
        || matches!(name, "valueString" | "conclusion" | "presentedForm" | "display");
    if free_text {
        return Fault::new(
            Issue::BusinessRule,
            "free_content_not_accepted",
            "Narrative, notes, free text, attachments, contained resources and extensions are not accepted from \
             devices; send coded values.",
        )
        .below(step);
    }
    Fault::new(
        Issue::Structure,
        "element_unknown",
        "This element is not among those that devices may send; `expression` names it.",
    )
    .below(step)
}

/// R4 `code`: no white space at all here, which is stricter than FHIR and true of every code system we map.
fn is_token(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| (0x21..0x7f).contains(&b))
}

fn is_label(text: &str, most: usize) -> bool {
    let length = text.chars().count();
    (1..=most).contains(&length) && text.trim() == text && !text.chars().any(char::is_control)
}

fn is_absolute_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    text.len() <= 256
        && !rest.is_empty()
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && rest.bytes().all(|b| (0x21..0x7f).contains(&b))
}

/// R4 2.24.0.1: at most 18 digits; an exponent of more than two digits is no measurement.
fn is_decimal(number: &str) -> bool {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    digits <= 18 && exponent.trim_start_matches(['+', '-']).len() <= 2
}

fn is_time(text: &str) -> bool {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = clock.split(':').map(two_digits);
    let (h, m, s, end) =
        (parts.next().flatten(), parts.next().flatten(), parts.next().flatten(), parts.next());
    h.is_some_and(|h| h < 24)
        && m.is_some_and(|m| m < 60)
        && s.is_some_and(|s| s < 60)
        && end.is_none()
        && (1..=9).contains(&fraction.len())
        && fraction.bytes().all(|b| b.is_ascii_digit())
}

fn two_digits(text: &str) -> Option<u32> {
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// R4 2.24.0.13: decimals and the letters E, U, L, separated by single spaces.
fn is_samples(text: &str) -> bool {
    !text.is_empty()
        && text.split(' ').all(|sample| {
            matches!(sample, "E" | "U" | "L")
                || (!sample.is_empty()
                    && sample.len() <= 20
                    && sample.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-'))
                    && sample.parse::<f64>().is_ok())
        })
}

/// A FHIR dateTime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Year, month or day only.
    Vague,
    /// With time and zone.
    Exact(Timestamp),
}

/// R4 2.24.0.1 `dateTime`: `YYYY[-MM[-DD[Thh:mm:ss[.f](Z|+hh:mm)]]]`.
pub fn parse_date_time(text: &str) -> Option<Moment> {
    let Some((date, clock)) = text.split_once('T') else {
        let full = match text.len() {
            4 => format!("{text}-01-01T00:00:00Z"),
            7 => format!("{text}-01T00:00:00Z"),
            10 => format!("{text}T00:00:00Z"),
            _ => return None,
        };
        return full.parse::<Timestamp>().ok().map(|_| Moment::Vague);
    };
    let (clock, offset_seconds) = match clock.strip_suffix('Z') {
        Some(clock) => (clock, 0),
        None => {
            let (clock, zone) = clock.split_at_checked(clock.len().checked_sub(6)?)?;
            let sign = if zone.starts_with('+') { 1 } else { -1 };
            let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
            let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
            if hours > 14 || minutes > 59 {
                return None;
            }
            (clock, sign * i64::from(hours * 3600 + minutes * 60))
        }
    };
    // Microseconds are what we keep; FHIR allows more digits.
    let (seconds, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    if !(1..=9).contains(&fraction.len()) || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction = fraction.get(..fraction.len().min(6))?;
    let local: Timestamp = format!("{date}T{seconds}.{fraction}Z").parse().ok()?;
    Some(Moment::Exact(local.plus_seconds(-offset_seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fhir_times_are_read_with_their_zone() {
        let exact = |text: &str| Moment::Exact(text.parse().unwrap());
        for (text, moment) in [
            ("2026", Some(Moment::Vague)),
            ("2026-11", Some(Moment::Vague)),
            ("2026-11-22", Some(Moment::Vague)),
            ("2026-11-22T10:30:00Z", Some(exact("2026-11-22T10:30:00Z"))),
            ("2026-11-22T10:30:00.123456789+01:30", Some(exact("2026-11-22T09:00:00.123456Z"))),
            ("2026-11-22T10:30:00-05:00", Some(exact("2026-11-22T15:30:00Z"))),
            ("2026-11-22T10:30Z", None),
            ("2026-11-22T10:30:00", None),
            ("2026-13", None),
            ("2026-02-30", None),
            ("2026-11-22T10:30:00+99:00", None),
            ("2026-11-22Tä0:30:00+01:00", None),
            ("20é6", None),
            ("", None),
            ("T", None),
        ] {
            assert_eq!(parse_date_time(text), moment, "{text}");
        }
    }

    #[test]
    fn decimals_samples_and_labels_are_bounded() {
        for good in ["0", "-1.50", "1e10", "123456789012345678"] {
            assert!(is_decimal(good), "{good}");
        }
        for bad in ["1e999", "1234567890123456789"] {
            assert!(!is_decimal(bad), "{bad}");
        }
        assert!(is_samples("1 -2.5 E U L"));
        for bad in ["", "1  2", "1 nan", "1 x", " 1"] {
            assert!(!is_samples(bad), "{bad}");
        }
        assert!(
            is_label("Heart rate", 128) && !is_label("two\nlines", 128) && !is_label(&"x".repeat(129), 128)
        );
        assert!(
            is_absolute_uri("http://loinc.org")
                && !is_absolute_uri("loinc")
                && !is_absolute_uri("javascript:")
        );
    }
}
