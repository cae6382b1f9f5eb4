//! Looking at servers whose certificates are watched: one TLS handshake each, no trust, no data.
//!
//! So that nobody makes a port scanner of it: only registered servers, only networks and ports that the configuration names,
//! every address looked up anew and checked before it is dialled, one look an hour for each, and of a failure no more is
//! told than that there was no certificate, and at which step.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lanyard_control::digest::sha256;
use lanyard_domain::time::Timestamp;
use lanyard_domain::watched::{SeenCertificate, host_and_port};
use lanyard_pki::tls::{describe, look_config};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Resolve, connect, handshake: a server of the same hospital needs none of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Dead addresses of a name before the one that answers.
const CONNECT: Duration = Duration::from_secs(3);
/// A name has one or two addresses of each family.
const MOST_ADDRESSES: usize = 4;
/// Certificates live for days at least; an hour finds a change on the day.
pub(crate) const EVERY_SECONDS: i64 = 3_600;

/// Where looks may go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Networks; none is nowhere.
    pub networks: Vec<Network>,
    /// Ports.
    pub ports: Vec<u16>,
}

/// An address and how many of its first bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!("`{text}` is no network: write address/bits, such as 10.1.0.0/16, with no bits behind")
        };
        let (address, bits) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let bits: u8 = bits.parse().map_err(|_| bad())?;
        let network = Self { address, bits };
        // One spelling; and whoever writes 10.1.2.3/8 means something else than it says.
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if bits > longest || network.masked(address) != number(address) {
            return Err(bad());
        }
        Ok(network)
    }
}

impl Network {
    /// Whether an address lies in it.
    pub fn contains(&self, other: IpAddr) -> bool {
        let other = other.to_canonical();
        self.address.is_ipv4() == other.is_ipv4() && self.masked(other) == number(self.address)
    }

    fn masked(&self, address: IpAddr) -> u128 {
        let whole: u32 = if address.is_ipv4() { 32 } else { 128 };
        let behind = whole.saturating_sub(u32::from(self.bits));
        let kept = u128::MAX.checked_shl(behind).unwrap_or(0);
        number(address) & kept
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u128::from(u32::from(four)),
        IpAddr::V6(six) => u128::from(six),
    }
}

/// What the last look at each came to; a restart looks anew.
#[derive(Debug, Default)]
pub(crate) struct Desk(Mutex<HashMap<String, LastLook>>);

/// One look.
#[derive(Debug, Clone)]
pub(crate) struct LastLook {
    pub(crate) at: Timestamp,
    /// Why there was no certificate.
    pub(crate) fault: Option<String>,
}

impl Desk {
    fn looks(&self) -> MutexGuard<'_, HashMap<String, LastLook>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn last(&self, address: &str) -> Option<LastLook> {
        self.looks().get(address).cloned()
    }

    pub(crate) fn is_due(&self, address: &str, now: Timestamp) -> bool {
        self.looks().get(address).is_none_or(|last| now.seconds_since(last.at) >= EVERY_SECONDS)
    }

    pub(crate) fn note(&self, address: &str, look: LastLook) {
        self.looks().insert(address.to_owned(), look);
    }

    /// Forgets those that are no longer watched.
    pub(crate) fn keep(&self, is_watched: impl Fn(&str) -> bool) {
        self.looks().retain(|address, _| is_watched(address));
    }
}

/// The certificate that a server shows now, or why there is none.
pub(crate) async fn look(address: &str, bounds: &Bounds) -> Result<SeenCertificate, String> {
    let within = timeout(PATIENCE, handshake(address, bounds)).await;
    within.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
}

async fn handshake(address: &str, bounds: &Bounds) -> Result<SeenCertificate, String> {
    let (host, port) = host_and_port(address).map_err(|e| e.to_string())?;
    if !bounds.ports.contains(&port) {
        return Err(format!("port {port} is not in `watch.ports`"));
    }
    let found = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => tokio::net::lookup_host((host, port))
            .await
            .map_err(|_| format!("`{host}` has no address"))?
            .take(MOST_ADDRESSES)
            .collect(),
    };
    // All of them: a name with one foot outside is somebody's way around the rule.
    if !found.iter().all(|at| bounds.networks.iter().any(|network| network.contains(at.ip()))) {
        return Err(format!("`{host}` is in no network of `watch.networks`"));
    }
    let stream = connect(&found).await.ok_or("no connection")?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is no name"))?;
    let config = look_config(&[]).map_err(|e| e.to_string())?;
    let shown = TlsConnector::from(config).connect(name, stream).await;
    let shown = shown.map_err(|_| "no TLS 1.2 or 1.3, or not without a certificate of ours")?;
    let (_, session) = shown.get_ref();
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let leaf = leaf.ok_or("it showed no certificate")?;
    let described = describe(leaf).ok_or("its certificate cannot be read")?;
    Ok(SeenCertificate {
        sha256: sha256(leaf),
        subject: described.subject,
        issuer: described.issuer,
        serial: described.serial,
        not_before: described.not_before,
        not_after: described.not_after,
    })
}

async fn connect(addresses: &[SocketAddr]) -> Option<TcpStream> {
    for address in addresses {
        if let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(address)).await {
            return Some(stream);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(networks: &[&str], ports: &[u16]) -> Bounds {
        Bounds { networks: networks.iter().map(|n| n.parse().unwrap()).collect(), ports: ports.to_vec() }
    }

    #[test]
    fn a_network_has_one_spelling_and_ends_where_it_says() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.1.2.0/23", "10.1.3.255", "10.1.4.0"),
            ("192.0.2.7/32", "192.0.2.7", "192.0.2.8"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::ffff:11.0.0.1"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
        ] {
            let network: Network = text.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{text} {outside}");
        }
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.1/8", "2001:db8::/129", "x/8", "10.0.0.0/-1"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    // I12: nothing is dialled that the configuration does not name.
    #[tokio::test]
    async fn a_look_goes_where_the_configuration_lets_it_and_nowhere_else() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let here = format!("127.0.0.1:{port}");
        let by_name = format!("localhost:{port}");
        for (address, bounds, why) in [
            (&here, bounds(&[], &[port]), "watch.networks"),
            (&here, bounds(&["10.0.0.0/8"], &[port]), "watch.networks"),
            (&by_name, bounds(&["10.0.0.0/8"], &[port]), "watch.networks"),
            (&here, bounds(&["127.0.0.0/8"], &[443]), "watch.ports"),
        ] {
            let refused = look(address, &bounds).await.unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        let dialled = timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(dialled.is_err(), "somebody was dialled");
        drop(listener);
        let refused = look(&here, &bounds(&["127.0.0.0/8"], &[port])).await.unwrap_err();
        assert_eq!(refused, "no connection");
    }

    // I12: what answers is not TLS.
    #[tokio::test]
    async fn a_server_that_speaks_something_else_is_told_so() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        });
        let found = look(&format!("127.0.0.1:{port}"), &bounds(&["127.0.0.0/8"], &[port])).await;
        assert!(found.unwrap_err().contains("no TLS 1.2 or 1.3"));
    }
}
