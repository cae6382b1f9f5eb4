//! A server's address as written in configuration: `host:port`, `[v6]:port`, or `https://host[:port]`.

use std::fmt;
use std::str::FromStr;

use rustls_pki_types::ServerName;

/// HTTPS.
const DEFAULT_PORT: u16 = 443;

/// One server that can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// DNS name or address to connect to, an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name that its certificate must carry.
    pub name: ServerName<'static>,
}

/// Why a text is not a server's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a server's address: write host:port, for example lanyard.hospital.example:8443")]
pub struct BadServer(String);

impl Server {
    /// The same address, whose certificate must carry `name` instead.
    pub fn with_name(mut self, name: ServerName<'static>) -> Self {
        self.name = name;
        self
    }
}

impl FromStr for Server {
    type Err = BadServer;
    fn from_str(text: &str) -> Result<Self, BadServer> {
        let bad = || BadServer(text.chars().take(300).collect());
        let rest = text.strip_prefix("https://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']').ok_or_else(bad)?;
                (
                    host,
                    port.strip_prefix(':')
                        .or(if port.is_empty() { Some("443") } else { None })
                        .ok_or_else(bad)?,
                )
            }
            None => rest.split_once(':').unwrap_or((rest, "443")),
        };
        let port = if port == "443" { DEFAULT_PORT } else { port.parse().map_err(|_| bad())? };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| bad())?;
        if port == 0 {
            return Err(bad());
        }
        Ok(Self { host: host.to_owned(), port, name })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_written() {
        for (text, expected) in [
            ("lanyard.example:8443", "lanyard.example:8443"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]:8443", "[::1]:8443"),
            ("https://lanyard.example", "lanyard.example:443"),
            ("https://[::1]/", "[::1]:443"),
        ] {
            assert_eq!(text.parse::<Server>().map(|s| s.to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_address() {
        for text in [
            "",
            ":1",
            "host:",
            "host:0",
            "host:65536",
            "http://host",
            "a b:1",
            "[::1",
            "[::1]x",
            "::1:443",
            "host:1/x",
        ] {
            assert!(text.parse::<Server>().is_err(), "{text}");
        }
    }
}
