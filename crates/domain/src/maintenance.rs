//! Maintenance windows: when a site wants its devices' certificates to be replaced (R44).
//!
//! Weekly or daily, at a fixed offset from UTC: a site that keeps summer time writes its window so that both clocks fit. A window
//! is a wish: a certificate that ends before the next one is renewed in time all the same.
//! In scope: windows, and which of them a certificate is renewed in. Out of scope: whom it is told (`control::steering`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::FieldError;
use crate::time::Timestamp;

/// One for each day, and one more.
pub const MOST_WINDOWS: usize = 8;
/// Half an hour: an agent renews within a few minutes of a time, and a device that is being moved tries again.
const SHORTEST_MINUTES: u16 = 30;
/// Half a day: more is no window.
const LONGEST_MINUTES: u16 = 720;
const DAY_MINUTES: i64 = 1_440;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A window that comes again each week or each day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// 0 is Monday; each day without.
    day: Option<u8>,
    start_minute: u16,
    minutes: u16,
    /// Ahead of UTC.
    offset_minutes: i16,
}

/// A stretch of time, its end left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// From.
    pub start: Timestamp,
    /// To.
    pub end: Timestamp,
}

impl Window {
    /// Those that begin from `from` on and before `to`, in order.
    fn beginning(self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = Stretch> {
        let local = |at: Timestamp| at.as_seconds() / 60 + i64::from(self.offset_minutes);
        let (first, last) = (local(from).div_euclid(DAY_MINUTES), local(to).div_euclid(DAY_MINUTES));
        (first..=last)
            // 1970-01-01 was a Thursday.
            .filter(move |day| self.day.is_none_or(|wanted| (day + 3).rem_euclid(7) == i64::from(wanted)))
            .map(move |day| {
                let minute =
                    day * DAY_MINUTES + i64::from(self.start_minute) - i64::from(self.offset_minutes);
                let start = Timestamp::from_seconds(minute * 60);
                Stretch { start, end: start.plus_seconds(i64::from(self.minutes) * 60) }
            })
            .filter(move |stretch| stretch.start >= from && stretch.start < to)
    }
}

/// The window in which a certificate of this validity is best renewed: the first one after two thirds of its life, if there is
/// one before four fifths; else the last one in the second third; else the first after four fifths, with a little left for a
/// second try. None where none begins in these bounds: then the renewal is urgent, and comes at its usual time.
pub fn renewal_window(windows: &[Window], not_before: Timestamp, not_after: Timestamp) -> Option<Stretch> {
    let life = not_after.seconds_since(not_before).max(0);
    let at = |part: i64, of: i64| not_before.plus_seconds(life / of * part + life % of * part / of);
    let between = |from, to| {
        let mut found: Vec<Stretch> = windows.iter().flat_map(|w| w.beginning(from, to)).collect();
        found.sort_unstable_by_key(|s| s.start);
        found
    };
    let (early, due, late, last) = (at(1, 3), at(2, 3), at(4, 5), at(23, 24));
    let chosen = between(due, late).first().copied();
    let chosen = chosen.or_else(|| between(early, due).last().copied());
    let chosen = chosen.or_else(|| between(late, last).first().copied());
    chosen.map(|stretch| Stretch { end: stretch.end.min(last), ..stretch })
}

fn error(text: &str) -> FieldError {
    let rule = "must be a day (mon to sun, or daily), a time of 30 minutes to 12 hours and an offset from UTC, such as \
                `sat 02:00-05:00 +01:00` or `daily 22:30-04:00 Z`";
    FieldError::new("window", rule, text)
}

fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |part: &str| (part.len() == 2).then(|| part.parse::<u16>().ok()).flatten();
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

/// UTC-12:00 to UTC+14:00 are in use.
fn offset(text: &str) -> Option<i16> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, rest) = text.split_at_checked(1)?;
    let minutes = i16::try_from(minute(rest)?).ok()?;
    let signed = match sign {
        "+" => minutes,
        "-" => -minutes,
        _ => return None,
    };
    (-720..=840).contains(&signed).then_some(signed)
}

impl FromStr for Window {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let read = || {
            let mut parts = text.split(' ');
            let day = match parts.next()? {
                "daily" => None,
                named => Some(u8::try_from(DAYS.iter().position(|day| *day == named)?).ok()?),
            };
            let (start, end) = parts.next()?.split_once('-')?;
            let (start_minute, end) = (minute(start)?, minute(end)?);
            let offset_minutes = offset(parts.next()?)?;
            // Over midnight: it belongs to the day on which it begins.
            let over = if end > start_minute { 0 } else { 1_440 };
            let minutes = end + over - start_minute;
            let fits = parts.next().is_none() && (SHORTEST_MINUTES..=LONGEST_MINUTES).contains(&minutes);
            fits.then_some(Self { day, start_minute, minutes, offset_minutes })
        };
        read().ok_or_else(|| error(text))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = self.day.and_then(|day| DAYS.get(usize::from(day)).copied()).unwrap_or("daily");
        let end = (self.start_minute + self.minutes) % 1_440;
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        write!(f, "{day} {}-{} ", clock(self.start_minute), clock(end))?;
        if self.offset_minutes == 0 {
            return f.write_str("Z");
        }
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        write!(f, "{sign}{}", clock(self.offset_minutes.unsigned_abs()))
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(texts: &[&str]) -> Vec<Window> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_is_written_as_it_is_read() {
        for text in [
            "sat 02:00-05:00 +01:00",
            "daily 22:30-04:00 Z",
            "mon 00:00-12:00 -09:30",
            "sun 23:59-00:29 +14:00",
        ] {
            let window: Window = text.parse().unwrap();
            assert_eq!(window.to_string(), text);
            let json = serde_json::to_string(&window).unwrap();
            assert_eq!(serde_json::from_str::<Window>(&json).unwrap(), window);
        }
        for text in [
            "",
            "sat",
            "sat 02:00-05:00",
            "Sat 02:00-05:00 Z",
            "sat 2:00-05:00 Z",
            "sat 02:00-02:00 Z",
            "sat 02:00-02:29 Z",
            "sat 02:00-14:01 Z",
            "sat 24:00-05:00 Z",
            "sat 02:60-05:00 Z",
            "sat 02:00-05:00 +15:00",
            "sat 02:00-05:00 Europe/Berlin",
            "sat 02:00-05:00 Z Z",
            "sat  02:00-05:00 Z",
        ] {
            let refused = text.parse::<Window>().unwrap_err().to_string();
            assert!(refused.contains("sat 02:00-05:00 +01:00"), "{refused}");
        }
    }

    // R44: 2026-11-28 is a Saturday; at +01:00 its window begins at 01:00 UTC.
    #[test]
    fn a_certificate_is_renewed_in_a_window_before_its_end() {
        let saturday = windows(&["sat 02:00-05:00 +01:00"]);
        let month = |begins: &str| {
            let start = at(begins);
            renewal_window(&saturday, start, start.plus_seconds(30 * 86_400)).map(|s| s.start.to_string())
        };
        // Two thirds are on 12-19 (a Saturday) at 12:00, four fifths on 12-23: the one before it, on the 19th at 01:00.
        assert_eq!(month("2026-11-29T12:00:00Z").unwrap(), at("2026-12-19T01:00:00Z").to_string());
        // Two thirds on 12-17, four fifths on 12-21: the 19th is between them.
        assert_eq!(month("2026-11-27T12:00:00Z").unwrap(), at("2026-12-19T01:00:00Z").to_string());
        let week = |begins: &str| {
            let start = at(begins);
            renewal_window(&saturday, start, start.plus_seconds(7 * 86_400)).map(|s| s.start.to_string())
        };
        // From Monday on Saturday comes after two thirds and before four fifths.
        assert_eq!(week("2026-11-23T12:00:00Z"), Some(at("2026-11-28T01:00:00Z").to_string()));
        // From Sunday on it comes after four fifths: better there than in the middle of the week.
        assert_eq!(week("2026-11-22T06:00:00Z"), Some(at("2026-11-28T01:00:00Z").to_string()));
        // From Friday on: in the first third, and then after the end. Urgent.
        assert_eq!(week("2026-11-27T12:00:00Z"), None);
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let night = windows(&["sun 22:30-04:00 -05:00"]);
        let found = renewal_window(&night, at("2026-11-27T00:00:00Z"), at("2026-12-02T00:00:00Z")).unwrap();
        // Sunday the 29th, 22:30 at -05:00.
        assert_eq!((found.start, found.end), (at("2026-11-30T03:30:00Z"), at("2026-11-30T09:00:00Z")));
    }

    #[test]
    fn the_first_of_several_counts_and_nothing_overflows() {
        let several = windows(&["sat 02:00-05:00 Z", "wed 02:00-03:00 Z", "daily 23:00-01:00 Z"]);
        let found = renewal_window(&several, at("2026-11-27T00:00:00Z"), at("2026-12-27T00:00:00Z")).unwrap();
        assert_eq!(found.start, at("2026-12-17T23:00:00Z"));
        assert_eq!(renewal_window(&[], at("2026-11-27T00:00:00Z"), at("2026-12-27T00:00:00Z")), None);
        assert_eq!(renewal_window(&several, at("2026-12-27T00:00:00Z"), at("2026-11-27T00:00:00Z")), None);
        let hour = renewal_window(&several, at("2026-11-27T12:00:00Z"), at("2026-11-27T13:00:00Z"));
        assert_eq!(hour, None);
    }
}
