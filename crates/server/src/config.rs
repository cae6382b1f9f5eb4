//! `lanyard.toml`: what the control plane and the gateway beside it are told. `docs/lanyard.toml` has every key with its
//! default and its danger, and a test keeps the two together.
//!
//! A wrong key or value is refused with line and column: every rule is checked while the file is read, so that the
//! reader's error points at the place. Absent keys take the defaults of the reference.
//! To add a key: a field here with its check, its paragraph in `docs/lanyard.toml`, its name in [`KEYS`].

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use lanyard_control::generation::FirstKeys;
use lanyard_domain::authority::KeyStore;
use lanyard_domain::text::check_slug;
use lanyard_enroll::scep::Algorithms;
use lanyard_pki::name::{DnsName, Organization};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::hardware::Pkcs11;
use crate::start::{Config, Enroll, KeyPlaces};
use crate::watch::{Bounds, Network};

/// A configuration is a page or two; more is another file.
const MAX_FILE: usize = 256 << 10;
/// As many names as a certificate of ours carries.
const MAX_NAMES: usize = 16;

/// Every key there is, as it stands in the reference.
pub const KEYS: [&str; 37] = [
    "listen",
    "names",
    "organization",
    "domain",
    "origin",
    "anchor_dir",
    "log",
    "enroll.listen",
    "enroll.http_listen",
    "enroll.names",
    "enroll.http_url",
    "enroll.delta_entries",
    "enroll.acme_challenges",
    "enroll.http01_port",
    "enroll.tls_alpn01_port",
    "enroll.dns_servers",
    "enroll.dns01_delegates",
    "enroll.scep_algorithms",
    "keys.root",
    "keys.issuing",
    "keys.pkcs11.module",
    "keys.pkcs11.token",
    "keys.pkcs11.serial",
    "keys.pkcs11.pin_file",
    "keys.pkcs11.sessions",
    "keys.pkcs11.timeout_seconds",
    "watch.networks",
    "watch.ports",
    "gateway.site",
    "gateway.listen",
    "gateway.names",
    "gateway.upstream",
    "gateway.upstream_ca",
    "gateway.upstream_token_file",
    "gateway.upstream_timeout_seconds",
    "gateway.dir",
    "gateway.anchor_dir",
];

/// What is wrong with a configuration file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value that breaks a rule; names line and column.
    #[error("`{path}`: {text}; docs/lanyard.toml has every key with its default")]
    Refused {
        /// Which file.
        path: PathBuf,
        /// Line, column, rule.
        text: String,
    },
}

/// A whole configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where the control plane listens.
    pub listen: SocketAddr,
    /// Names and addresses that clients dial.
    #[serde(deserialize_with = "names")]
    pub names: Vec<String>,
    /// Organisation in certificates.
    #[serde(deserialize_with = "checked::<_, Organization>")]
    pub organization: String,
    /// Domain under which machine names are made.
    #[serde(deserialize_with = "checked::<_, DnsName>")]
    pub domain: String,
    /// Name of the log.
    #[serde(deserialize_with = "origin")]
    pub origin: String,
    /// Where signed checkpoints are anchored.
    pub anchor_dir: Option<PathBuf>,
    /// What is logged.
    #[serde(deserialize_with = "log_filter")]
    pub log: String,
    /// Enrollment protocols and revocation.
    pub enroll: EnrollSettings,
    /// Where keys of authorities are.
    pub keys: KeySettings,
    /// Others' servers whose certificates are watched.
    pub watch: WatchSettings,
    /// The gateway beside it.
    pub gateway: GatewaySettings,
}

/// The `[enroll]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnrollSettings {
    /// Where EST, ACME and CMP are served, with TLS.
    pub listen: Option<SocketAddr>,
    /// Where CMP, SCEP, OCSP and CRLs are served, without.
    pub http_listen: Option<SocketAddr>,
    /// Names and addresses that clients dial; they stand in the certificate of both TLS listeners.
    #[serde(deserialize_with = "names")]
    pub names: Vec<String>,
    /// The address of `http_listen` as relying parties reach it; it stands in certificates.
    #[serde(deserialize_with = "http_url")]
    pub http_url: Option<String>,
    /// Revocation lists with at least so many entries have differences.
    pub delta_entries: usize,
    /// Challenges of ACME that are offered.
    #[serde(deserialize_with = "challenges")]
    pub acme_challenges: Vec<String>,
    /// Where http-01 looks.
    #[serde(deserialize_with = "port")]
    pub http01_port: u16,
    /// Where tls-alpn-01 looks.
    #[serde(deserialize_with = "port")]
    pub tls_alpn01_port: u16,
    /// DNS servers that dns-01 asks.
    #[serde(deserialize_with = "dns_servers")]
    pub dns_servers: Vec<SocketAddr>,
    /// Zones that an alias at `_acme-challenge` may lead to.
    #[serde(deserialize_with = "zones")]
    pub dns01_delegates: Vec<String>,
    /// Whether SCEP reads SHA-1 and DES.
    #[serde(deserialize_with = "scep_algorithms")]
    pub scep_algorithms: Algorithms,
}

impl Default for EnrollSettings {
    fn default() -> Self {
        Self {
            listen: None,
            http_listen: None,
            names: local_names(),
            http_url: None,
            delta_entries: 1_000,
            acme_challenges: vec!["device-attest-01".to_owned()],
            http01_port: 80,
            tls_alpn01_port: 443,
            dns_servers: Vec::new(),
            dns01_delegates: Vec::new(),
            scep_algorithms: Algorithms::Current,
        }
    }
}

/// The `[keys]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeySettings {
    /// Where the first start makes the root's key.
    pub root: KeyStore,
    /// Where it makes the issuing authority's.
    pub issuing: KeyStore,
    /// The hardware module.
    pub pkcs11: Pkcs11Settings,
}

/// The `[keys.pkcs11]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pkcs11Settings {
    /// The module: a shared library.
    #[serde(deserialize_with = "module")]
    pub module: Option<PathBuf>,
    /// The token's label.
    #[serde(deserialize_with = "token_label")]
    pub token: Option<String>,
    /// The token's serial number, where two have one label.
    pub serial: Option<String>,
    /// File with the PIN.
    pub pin_file: Option<PathBuf>,
    /// Calls into the module at once.
    #[serde(deserialize_with = "sessions")]
    pub sessions: usize,
    /// Longest wait for a signature.
    #[serde(deserialize_with = "timeout")]
    pub timeout_seconds: u64,
}

impl Default for Pkcs11Settings {
    fn default() -> Self {
        Self { module: None, token: None, serial: None, pin_file: None, sessions: 4, timeout_seconds: 5 }
    }
}

impl KeySettings {
    /// What no single key shows.
    fn check(&self) -> Result<(), String> {
        match (&self.pkcs11.module, &self.pkcs11.token) {
            (Some(_), Some(_)) => Ok(()),
            (None, None) if self.root.is_sealed() && self.issuing.is_sealed() => Ok(()),
            (None, None) => {
                Err("keys.root and keys.issuing: `pkcs11` needs [keys.pkcs11] with module and token".into())
            }
            (Some(_), None) => Err("keys.pkcs11.token: must be given with keys.pkcs11.module".into()),
            (None, Some(_)) => Err("keys.pkcs11.module: must be given with keys.pkcs11.token".into()),
        }
    }

    fn places(&self) -> KeyPlaces {
        let of = &self.pkcs11;
        let module = of.module.as_ref().zip(of.token.as_ref()).map(|(module, token)| {
            let mut config = lanyard_hsm::Config::new(module.clone(), token);
            config.serial.clone_from(&of.serial);
            config.sessions = of.sessions;
            config.timeout = Duration::from_secs(of.timeout_seconds);
            Pkcs11 { config, pin_file: of.pin_file.clone() }
        });
        KeyPlaces { first: FirstKeys { root: self.root, issuing: self.issuing }, pkcs11: module }
    }
}

/// The `[watch]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchSettings {
    /// Networks into which looks may go.
    #[serde(deserialize_with = "networks")]
    pub networks: Vec<Network>,
    /// Ports that are looked at.
    #[serde(deserialize_with = "ports")]
    pub ports: Vec<u16>,
}

impl Default for WatchSettings {
    fn default() -> Self {
        // HTTPS, LDAPS, RadSec (RFC 6614), DICOM TLS (PS3.15), HTTPS of application servers.
        Self { networks: Vec::new(), ports: vec![443, 636, 2083, 2762, 8443] }
    }
}

/// The `[gateway]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewaySettings {
    /// The site whose devices it serves.
    #[serde(deserialize_with = "slug")]
    pub site: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names and addresses that devices dial.
    #[serde(deserialize_with = "names")]
    pub names: Vec<String>,
    /// Base URL of the EHR's FHIR interface.
    #[serde(deserialize_with = "upstream")]
    pub upstream: String,
    /// The EHR's authorities, a PEM file.
    pub upstream_ca: Option<PathBuf>,
    /// The gateway's credential at the EHR, a file.
    pub upstream_token_file: Option<PathBuf>,
    /// Longest wait for the EHR.
    #[serde(deserialize_with = "timeout")]
    pub upstream_timeout_seconds: u64,
    /// Where its keys, state and decision log lie; `gateway` below the data directory without it.
    pub dir: Option<PathBuf>,
    /// Where the checkpoints of its decision log are anchored.
    pub anchor_dir: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            names: local_names(),
            organization: "Example Hospital".to_owned(),
            domain: "hospital.example".to_owned(),
            origin: "hospital.example/lanyard".to_owned(),
            anchor_dir: None,
            log: "info".to_owned(),
            enroll: EnrollSettings::default(),
            keys: KeySettings::default(),
            watch: WatchSettings::default(),
            gateway: GatewaySettings::default(),
        }
    }
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            site: "main".to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8444)),
            names: local_names(),
            upstream: "http://127.0.0.1:8080/fhir".to_owned(),
            upstream_ca: None,
            upstream_token_file: None,
            upstream_timeout_seconds: 15,
            dir: None,
            anchor_dir: None,
        }
    }
}

fn local_names() -> Vec<String> {
    ["localhost", "127.0.0.1"].map(str::to_owned).to_vec()
}

impl Settings {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Io { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        Self::parse(&text).map_err(|text| ConfigError::Refused { path: path.to_owned(), text })
    }

    /// Reads TOML text; the error names line, column and rule.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_FILE {
            return Err(format!("has {} bytes, at most {MAX_FILE} are read", text.len()));
        }
        let settings: Self = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
        settings.keys.check()?;
        let enroll = &settings.enroll;
        if enroll.acme_challenges.iter().any(|c| c == "dns-01") && enroll.dns_servers.is_empty() {
            return Err(
                "enroll.acme_challenges has dns-01, so enroll.dns_servers must name a DNS server".to_owned()
            );
        }
        Ok(settings)
    }

    /// What the control plane is started with.
    pub fn control_plane(&self, data_dir: &Path) -> Config {
        Config {
            data_dir: data_dir.to_owned(),
            anchor_dir: self.anchor_dir.clone(),
            listen: self.listen,
            enroll: Enroll {
                listen: self.enroll.listen,
                http_listen: self.enroll.http_listen,
                names: self.enroll.names.clone(),
                http_url: self.enroll.http_url.clone(),
                delta_entries: self.enroll.delta_entries,
                acme_challenges: self.enroll.acme_challenges.clone(),
                http01_port: self.enroll.http01_port,
                tls_alpn01_port: self.enroll.tls_alpn01_port,
                dns_servers: self.enroll.dns_servers.clone(),
                dns01_delegates: self.enroll.dns01_delegates.clone(),
                scep_algorithms: self.enroll.scep_algorithms,
            },
            watch: Bounds { networks: self.watch.networks.clone(), ports: self.watch.ports.clone() },
            names: self.names.clone(),
            organization: self.organization.clone(),
            domain: self.domain.clone(),
            origin: self.origin.clone(),
            keys: self.keys.places(),
        }
    }
}

/// A text that `T` accepts.
fn checked<'de, D, T>(d: D) -> Result<String, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: std::fmt::Display,
{
    let text = String::deserialize(d)?;
    T::from_str(&text).map(|_| ()).map_err(D::Error::custom)?;
    Ok(text)
}

fn names<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(d)?;
    if !(1..=MAX_NAMES).contains(&names.len()) {
        return Err(D::Error::custom(format!("must list 1 to {MAX_NAMES} names; found {}", names.len())));
    }
    for name in names.iter().filter(|n| n.parse::<IpAddr>().is_err()) {
        name.parse::<DnsName>()
            .map_err(|e| D::Error::custom(format!("`{name}` is no address and no name: {e}")))?;
    }
    Ok(names)
}

fn challenges<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let named = Vec::<String>::deserialize(d)?;
    let known = ["device-attest-01", "http-01", "dns-01", "tls-alpn-01"];
    match named.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(named),
        Some(other) => Err(D::Error::custom(format!("must be of {}; found `{other}`", known.join(", ")))),
    }
}

/// A hospital has two or three resolvers; more take longer than a look.
const MAX_DNS_SERVERS: usize = 3;
/// As many zones as somebody still has an eye on.
const MAX_ZONES: usize = 16;

fn dns_servers<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<SocketAddr>, D::Error> {
    let servers = Vec::<SocketAddr>::deserialize(d)?;
    if servers.len() <= MAX_DNS_SERVERS && servers.iter().all(|s| s.port() != 0) {
        return Ok(servers);
    }
    Err(D::Error::custom(format!(
        "must list at most {MAX_DNS_SERVERS} addresses with ports, such as 10.0.0.53:53; found {}",
        servers.len()
    )))
}

fn zones<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let zones = Vec::<String>::deserialize(d)?;
    if zones.len() > MAX_ZONES {
        return Err(D::Error::custom(format!("must list at most {MAX_ZONES} zones; found {}", zones.len())));
    }
    for zone in &zones {
        zone.parse::<DnsName>().map_err(D::Error::custom)?;
    }
    Ok(zones)
}

/// As many networks as a group has sites.
const MAX_NETWORKS: usize = 64;
/// More kinds of servers than a hospital has; fewer than a scan needs.
const MAX_PORTS: usize = 32;

fn networks<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Network>, D::Error> {
    let texts = Vec::<String>::deserialize(d)?;
    if texts.len() > MAX_NETWORKS {
        return Err(D::Error::custom(format!(
            "must list at most {MAX_NETWORKS} networks; found {}",
            texts.len()
        )));
    }
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

fn ports<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u16>, D::Error> {
    let ports = Vec::<u16>::deserialize(d)?;
    if ports.len() <= MAX_PORTS && !ports.contains(&0) {
        return Ok(ports);
    }
    Err(D::Error::custom(format!("must list at most {MAX_PORTS} ports, 1 to 65535; found {}", ports.len())))
}

fn port<'de, D: Deserializer<'de>>(d: D) -> Result<u16, D::Error> {
    match u16::deserialize(d)? {
        0 => Err(D::Error::custom("must be 1 to 65535")),
        port => Ok(port),
    }
}

/// Up to a device's own patience: after 60 s it has given up and sends again.
fn timeout<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    let seconds = u64::deserialize(d)?;
    if (1..=60).contains(&seconds) {
        return Ok(seconds);
    }
    Err(D::Error::custom(format!("must be 1 to 60 seconds; found {seconds}")))
}

/// A name without a directory would be looked up in the loader's path, which the environment decides.
fn module<'de, D: Deserializer<'de>>(d: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(d)?;
    if path.is_absolute() {
        return Ok(Some(path));
    }
    Err(D::Error::custom(format!("must be the absolute path of a library; found `{}`", path.display())))
}

/// CK_TOKEN_INFO: 32 bytes.
fn token_label<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    let label = String::deserialize(d)?;
    if (1..=32).contains(&label.len()) {
        return Ok(Some(label));
    }
    Err(D::Error::custom(format!("must be a token's label, 1 to 32 bytes; found `{label}`")))
}

fn sessions<'de, D: Deserializer<'de>>(d: D) -> Result<usize, D::Error> {
    let sessions = usize::deserialize(d)?;
    if (1..=64).contains(&sessions) {
        return Ok(sessions);
    }
    Err(D::Error::custom(format!("must be 1 to 64; found {sessions}")))
}

fn slug<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    check_slug("site", &text).map_err(D::Error::custom)?;
    Ok(text)
}

/// C2SP signed-note: a key's name has no space and no `+`; ours is also a URL without scheme.
fn origin<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    let fits = (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"+\"\\".contains(&b));
    if fits {
        return Ok(text);
    }
    let rule = "must be 1 to 255 printable ASCII characters without space, `+`, `\"` and `\\`";
    Err(D::Error::custom(format!("{rule}; found `{text}`")))
}

fn log_filter<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    let known = ["error", "warn", "info", "debug"];
    if known.contains(&text.as_str()) {
        return Ok(text);
    }
    Err(D::Error::custom(format!("must be one of {}; found `{text}`", known.join(", "))))
}

fn scep_algorithms<'de, D: Deserializer<'de>>(d: D) -> Result<Algorithms, D::Error> {
    match String::deserialize(d)?.as_str() {
        "current" => Ok(Algorithms::Current),
        "legacy" => Ok(Algorithms::Legacy),
        other => Err(D::Error::custom(format!("must be `current` or `legacy`; found `{other}`"))),
    }
}

/// RFC 5280 4.2.1.13: relying parties fetch lists by plain http; an https address would need a certificate whose state
/// must be looked up first.
fn http_url<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(d)?;
    let uri: http::Uri = text.parse().map_err(|e| D::Error::custom(format!("`{text}` is not a URL: {e}")))?;
    let fits = uri.scheme_str() == Some("http")
        && uri.host().is_some()
        && uri.query().is_none()
        && text.len() <= 200
        && !text.ends_with('/');
    if fits {
        return Ok(Some(text));
    }
    let rule =
        "must be an http address without query and without / at its end, such as http://pki.hospital.example";
    Err(D::Error::custom(format!("{rule}; found `{text}`")))
}

fn upstream<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    let uri: http::Uri = text.parse().map_err(|e| D::Error::custom(format!("`{text}` is not a URL: {e}")))?;
    let known =
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none();
    if known {
        return Ok(text);
    }
    let rule = "must be the base URL of a FHIR server, such as http://127.0.0.1:8080/fhir";
    Err(D::Error::custom(format!("{rule}; found `{text}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str = include_str!("../../../docs/lanyard.toml");

    fn keys_of(table: &toml::Table, prefix: &str, found: &mut Vec<String>) {
        for (key, value) in table {
            match value {
                toml::Value::Table(inner) => keys_of(inner, &format!("{prefix}{key}."), found),
                _ => found.push(format!("{prefix}{key}")),
            }
        }
    }

    /// The reference with its commented-out keys switched on.
    fn uncommented() -> String {
        let key = |line: &str| {
            line.strip_prefix("#")
                .filter(|l| l.starts_with(|c: char| c.is_ascii_lowercase()))
                .map(str::to_owned)
        };
        REFERENCE.lines().map(|l| key(l).unwrap_or_else(|| l.to_owned())).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_reference_has_every_key_with_its_default() {
        assert_eq!(
            Settings::parse(REFERENCE).unwrap(),
            Settings::default(),
            "the reference shows the defaults"
        );
        let whole = uncommented();
        let mut found = Vec::new();
        keys_of(&whole.parse().unwrap(), "", &mut found);
        found.sort();
        let mut known = KEYS.map(str::to_owned).to_vec();
        known.sort();
        assert_eq!(found, known, "KEYS and docs/lanyard.toml name the same keys");
        let settings = Settings::parse(&whole).unwrap();
        assert!(settings.anchor_dir.is_some() && settings.gateway.anchor_dir.is_some());
    }

    #[test]
    fn each_key_of_the_reference_names_its_danger() {
        let words = REFERENCE.to_lowercase();
        assert_eq!(words.matches("# default:").count(), KEYS.len());
        assert_eq!(words.matches("# danger:").count(), KEYS.len());
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Settings::parse("").unwrap(), Settings::default());
        assert_eq!(Settings::parse("[gateway]").unwrap(), Settings::default());
    }

    #[test]
    fn a_wrong_key_or_value_is_refused_with_line_and_column() {
        for (text, place, rule) in [
            ("lisen = '127.0.0.1:1'", "line 1, column 1", "unknown field `lisen`"),
            ("\n\nlisten = 'here'", "line 3, column 10", "socket address"),
            ("names = []", "line 1, column 9", "1 to 16 names"),
            ("names = ['a b']", "line 1, column 9", "`a b` is no address and no name"),
            ("domain = 'Hospital Example'", "line 1, column 10", "domain"),
            ("organization = ''", "line 1, column 16", ""),
            ("origin = 'two words'", "line 1, column 10", "printable ASCII"),
            ("log = 'loud'", "line 1, column 7", "error, warn, info, debug"),
            ("log = 3", "line 1, column 7", "expected a string"),
            ("[gateway]\nsite = 'North Campus'", "line 2, column 8", "lower-case"),
            ("[gateway]\nupstream = 'ftp://ehr'", "line 2, column 12", "FHIR server"),
            ("[gateway]\nupstrem = 'x'", "line 2, column 1", "unknown field `upstrem`"),
            ("[gateway]\nupstream_timeout_seconds = 61", "line 2, column 28", "1 to 60"),
            ("[enroll]\nhttp_url = 'https://x'", "line 2, column 12", "http address"),
            ("[enroll]\nscep_algorithms = 'md5'", "line 2, column 19", "`current` or `legacy`"),
            ("[enroll]\nlisten = 5", "line 2, column 10", ""),
            (
                "[enroll]\nacme_challenges = ['dns-02']",
                "line 2, column 19",
                "device-attest-01, http-01, dns-01",
            ),
            ("[enroll]\nacme_challenges = ['dns-01']", "", "enroll.dns_servers must name"),
            ("[enroll]\ndns_servers = ['10.0.0.53']", "line 2, column 16", "socket address"),
            ("[enroll]\ndns_servers = ['10.0.0.53:0']", "line 2, column 15", "with ports"),
            ("[enroll]\ndns01_delegates = ['*.x']", "line 2, column 19", "is not a DNS name"),
            ("[enroll]\ntls_alpn01_port = 0", "line 2, column 19", "1 to 65535"),
            ("[enroll]\nhttp01_port = 0", "line 2, column 15", "1 to 65535"),
            ("[keys]\nroot = 'paper'", "line 2, column 8", "`sealed` or `pkcs11`"),
            ("[keys.pkcs11]\nmodule = 'softhsm2.so'", "line 2, column 10", "absolute path"),
            ("[keys.pkcs11]\ntoken = ''", "line 2, column 9", "1 to 32 bytes"),
            ("[keys.pkcs11]\nsessions = 65", "line 2, column 12", "1 to 64"),
            ("[keys.pkcs11]\ntimeout_seconds = 0", "line 2, column 19", "1 to 60"),
            ("[keys.pkcs11]\npin = '1234'", "line 2, column 1", "unknown field `pin`"),
            ("[watch]\nnetworks = ['10.0.0.1/8']", "line 2, column 12", "is no network"),
            ("[watch]\nports = [0]", "line 2, column 9", "at most 32 ports"),
            ("[gatway]", "line 1, column 2", "unknown field `gatway`"),
            ("listen = ", "line 1, column 10", ""),
        ] {
            let error = Settings::parse(text).unwrap_err();
            assert!(error.contains(place), "{text}: {error}");
            assert!(error.to_lowercase().contains(&rule.to_lowercase()), "{text}: {error}");
        }
    }

    #[test]
    fn keys_that_belong_together_are_asked_for_together() {
        for (text, field) in [
            ("[keys]\nissuing = 'pkcs11'", "keys.issuing"),
            ("[keys.pkcs11]\nmodule = '/m.so'", "keys.pkcs11.token"),
            ("[keys.pkcs11]\ntoken = 't'", "keys.pkcs11.module"),
        ] {
            let error = Settings::parse(text).unwrap_err();
            assert!(error.contains(field), "{text}: {error}");
        }
        let text = "[keys]\nroot = 'pkcs11'\n[keys.pkcs11]\nmodule = '/m.so'\ntoken = 't'";
        let places = Settings::parse(text).unwrap().keys.places();
        assert_eq!((places.first.root, places.first.issuing), (KeyStore::Pkcs11, KeyStore::Sealed));
        assert_eq!(places.pkcs11.unwrap().config.token, "t");
    }

    // I12
    #[test]
    fn every_cut_of_the_reference_is_read_or_refused_without_harm() {
        let whole = uncommented();
        for cut in (0..whole.len()).filter_map(|end| whole.get(..end)) {
            let _outcome = Settings::parse(cut);
        }
        assert!(Settings::parse(&" ".repeat(MAX_FILE + 1)).unwrap_err().contains("at most"));
    }
}
