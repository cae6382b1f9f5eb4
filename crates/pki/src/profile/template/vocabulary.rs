//! The words that stand in templates, each with the one spelling that is read.

use std::fmt;
use std::str::FromStr;

/// Why a text is none of the words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not known here: use {known}")]
pub struct BadWord {
    found: String,
    known: String,
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }
        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// As it stands in templates.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl FromStr for $name {
            type Err = BadWord;

            fn from_str(text: &str) -> Result<Self, BadWord> {
                let known = [$($text,)*];
                match text {
                    $($text => Ok($name::$variant),)*
                    _ => Err(BadWord { found: text.chars().take(80).collect(), known: known.join(", ") }),
                }
            }
        }
    )*};
}

words! {
    /// What a template certifies.
    SubjectKind {
        /// A medical device.
        Device = "device",
        /// An application of the hospital.
        Application = "application",
        /// An enforcement gateway.
        Gateway = "gateway",
    }
    /// A form of name in subjectAltName.
    AltNameForm {
        /// `urn:uuid:<id>`.
        UriId = "uri-id",
        /// `<id>.device.<domain>`.
        MachineDns = "machine-dns",
        /// The DNS names of the record.
        Dns = "dns",
        /// The IP addresses of the record.
        Ip = "ip",
        /// The maker's serial number (RFC 4043).
        PermanentIdentifier = "permanent-identifier",
        /// The serial number of the security module (RFC 4108 5).
        HardwareModuleName = "hardware-module-name",
    }
    /// What the subject has besides the organization.
    SubjectStyle {
        /// serialNumber with the id.
        SerialNumber = "serial-number",
        /// commonName with the id, or an application's first DNS name.
        CommonName = "common-name",
        /// Both.
        Both = "serial-number-and-common-name",
    }
    /// How revocation is known.
    RevocationMode {
        /// noRevAvail.
        ShortLived = "short-lived",
        /// CRL shard and OCSP responder.
        CrlOcsp = "crl-ocsp",
    }
    /// How EST answers are broken into lines.
    Base64Style {
        /// As the request's body was.
        AsRequest = "as-request",
        /// One line.
        SingleLine = "single-line",
        /// Lines of 76 characters.
        Wrapped = "wrapped",
    }
}

/// A length of time, written in whole hours or days: `24h`, `90d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lifetime(i64);

impl Lifetime {
    pub(super) const DAY: Lifetime = Lifetime(86_400);
    pub(super) const WEEK: Lifetime = Lifetime(7 * 86_400);

    /// In seconds.
    pub const fn seconds(self) -> i64 {
        self.0
    }

    pub(super) const fn days(n: i64) -> Self {
        Self(n * 86_400)
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 % 86_400 == 0 {
            write!(f, "{}d", self.0 / 86_400)
        } else {
            write!(f, "{}h", self.0 / 3_600)
        }
    }
}

/// Why a text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no length of time: write whole hours or days, such as 24h or 90d")]
pub struct BadLifetimeText(String);

impl FromStr for Lifetime {
    type Err = BadLifetimeText;

    fn from_str(text: &str) -> Result<Self, BadLifetimeText> {
        let bad = || BadLifetimeText(text.chars().take(80).collect());
        let (number, unit) = match (text.strip_suffix('h'), text.strip_suffix('d')) {
            (Some(number), _) => (number, 3_600),
            (_, Some(number)) => (number, 86_400),
            _ => return Err(bad()),
        };
        // Five digits: 99,999 days are 273 years, and no sum of ours overflows.
        let plain = (1..=5).contains(&number.len())
            && number.bytes().all(|b| b.is_ascii_digit())
            && !number.starts_with('0');
        if !plain {
            return Err(bad());
        }
        number.parse::<i64>().map(|n| Self(n * unit)).map_err(|_| bad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_whole_hours_or_days() {
        for (text, seconds) in
            [("1h", 3_600), ("36h", 129_600), ("90d", 7_776_000), ("99999d", 8_639_913_600)]
        {
            let read: Lifetime = text.parse().unwrap();
            assert_eq!((read.seconds(), read.to_string().as_str()), (seconds, text));
        }
        for text in
            ["", "h", "24", "24 h", "0h", "01h", "-1h", "+1h", "1.5h", "1w", "90m", "100000d", "٣h", "24H"]
        {
            assert!(text.parse::<Lifetime>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_word_reads_back() {
        for form in AltNameForm::ALL {
            assert_eq!(form.to_string().parse(), Ok(*form));
        }
        for text in ["", "URI-ID", "email", "uri-id "] {
            assert!(text.parse::<AltNameForm>().is_err(), "{text}");
        }
    }
}
