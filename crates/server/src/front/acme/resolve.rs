//! TXT records from the configured resolvers, for dns-01 (RFC 8555 8.4).
//!
//! They are asked in order, and the next only when one gives no answer. A CNAME is followed only into the zones that the
//! configuration names: whoever holds the zone that it leads to can prove the name.

use std::net::SocketAddr;
use std::time::Duration;

use lanyard_control::digest::random;
use lanyard_enroll::acme::dns_wire::{self, Answer, DnsError, MAX_ANSWER, MAX_CNAMES};
use lanyard_enroll::acme::{Failure, FailureKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::look::failure;

/// A resolver of the hospital answers in milliseconds, one that has to ask around in a second or two; two of them fit into
/// the patience of a look.
const PATIENCE: Duration = Duration::from_secs(4);

/// Whom to ask, and where an alias may lead.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    servers: Vec<SocketAddr>,
    delegates: Vec<String>,
    patience: Duration,
}

impl Resolver {
    pub(crate) const fn new(servers: Vec<SocketAddr>, delegates: Vec<String>) -> Self {
        Self { servers, delegates, patience: PATIENCE }
    }

    /// The TXT records of a name.
    pub(super) async fn texts(&self, name: &str) -> Result<Vec<Vec<u8>>, Failure> {
        let mut owner = name.to_owned();
        let mut links = 0;
        loop {
            let found = self.ask(&owner).await?;
            for alias in &found.aliases {
                self.may_lead_to(name, alias)?;
            }
            links += found.aliases.len();
            match found.aliases.into_iter().next_back() {
                // A resolver that gives the alias and not what it leads to (RFC 1034 4.3.2): ask on.
                Some(alias) if found.texts.is_empty() && links <= MAX_CNAMES => owner = alias,
                _ => return Ok(found.texts),
            }
        }
    }

    fn may_lead_to(&self, name: &str, alias: &str) -> Result<(), Failure> {
        let alias = alias.to_ascii_lowercase();
        let within = |zone: &String| {
            alias == *zone || alias.strip_suffix(zone.as_str()).is_some_and(|host| host.ends_with('.'))
        };
        if self.delegates.iter().any(within) {
            return Ok(());
        }
        Err(failure(
            FailureKind::Dns,
            format!("`{name}` is an alias of `{alias}`, which is in no zone of `enroll.dns01_delegates`"),
        ))
    }

    async fn ask(&self, name: &str) -> Result<Answer, Failure> {
        let mut why = "no DNS server is configured".to_owned();
        for server in &self.servers {
            match timeout(self.patience, exchange(*server, name)).await {
                Ok(Ok(answer)) => return Ok(answer),
                // An answer, and it is no.
                Ok(Err(Asked::Answered(error @ (DnsError::NoSuchName | DnsError::Name(_))))) => {
                    return Err(failure(FailureKind::Dns, format!("`{name}`: {error}")));
                }
                Ok(Err(Asked::Answered(error))) => why = error.to_string(),
                Ok(Err(Asked::Lost(error))) => why = format!("no answer: {error}"),
                Err(_) => why = format!("no answer within {:?}", self.patience),
            }
            tracing::info!(%server, name, %why, "a DNS server gave no answer");
        }
        Err(failure(FailureKind::Dns, format!("`{name}`: {why}")))
    }
}

enum Asked {
    Answered(DnsError),
    Lost(std::io::Error),
}

impl From<DnsError> for Asked {
    fn from(error: DnsError) -> Self {
        Asked::Answered(error)
    }
}

impl From<std::io::Error> for Asked {
    fn from(error: std::io::Error) -> Self {
        Asked::Lost(error)
    }
}

/// RFC 7766: one question, one answer, each behind its length.
async fn exchange(server: SocketAddr, name: &str) -> Result<Answer, Asked> {
    let id = random().map(u16::from_be_bytes).map_err(std::io::Error::other)?;
    let question = dns_wire::query(name, id)?;
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question.as_slice()].concat()).await?;
    let length = usize::from(stream.read_u16().await?);
    if length > MAX_ANSWER {
        return Err(DnsError::Malformed("it is too long").into());
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    Ok(dns_wire::read(&answer, name, id)?)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const NAME: &str = "_acme-challenge.pacs.example";

    /// An answer, made from the question.
    type Says = fn(&[u8]) -> Vec<u8>;

    /// A DNS server that gives each connection the next of these answers, made from the question; without one it is silent.
    async fn server(answers: Vec<Says>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut answers = answers.into_iter();
            let mut open = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let length = usize::from(stream.read_u16().await.unwrap());
                let mut question = vec![0; length];
                stream.read_exact(&mut question).await.unwrap();
                match answers.next() {
                    Some(answer) => stream.write_all(&answer(&question)).await.unwrap(),
                    None => open.push(stream),
                }
            }
        });
        address
    }

    fn framed(answer: Vec<u8>) -> Vec<u8> {
        [&u16::try_from(answer.len()).unwrap().to_be_bytes(), answer.as_slice()].concat()
    }

    /// The question as a response with so many records, which are these bytes.
    fn response(question: &[u8], code: u8, count: u8, records: &[u8]) -> Vec<u8> {
        let mut out = question.to_vec();
        (out[2], out[3], out[7]) = (0x81, 0x80 | code, count);
        out.extend_from_slice(records);
        framed(out)
    }

    const RIGHT: &[u8] = &[0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, 3, 2, b'o', b'k'];
    /// CNAME to `x.acme.example`.
    const ALIAS: &[u8] = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x00\x00\x10\x01x\x04acme\x07example\x00";

    async fn texts(servers: Vec<SocketAddr>, delegates: &[&str]) -> Result<Vec<Vec<u8>>, Failure> {
        let delegates = delegates.iter().map(|d| (*d).to_owned()).collect();
        let patience = Duration::from_millis(300);
        Resolver { servers, delegates, patience }.texts(NAME).await
    }

    #[tokio::test]
    async fn records_are_read_from_the_first_server_that_answers() {
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let failing = server(vec![|q| response(q, 2, 0, &[])]).await;
        let good = server(vec![|q| response(q, 0, 1, RIGHT)]).await;
        assert_eq!(texts(vec![dead, failing, good], &[]).await.unwrap(), [b"ok"]);
    }

    // I12: what a lying or broken server says is no answer, and the next one is asked.
    #[tokio::test]
    async fn a_lying_server_is_passed_over_and_nothing_of_it_taken() {
        let lies: Vec<Says> = vec![
            |q| {
                let mut lie = response(q, 0, 1, RIGHT);
                lie[2] ^= 1;
                lie
            },
            |q| {
                response(
                    &dns_wire::query("_acme-challenge.other.example", u16::from_be_bytes([q[0], q[1]]))
                        .unwrap(),
                    0,
                    1,
                    RIGHT,
                )
            },
            |q| response(q, 0, 9, RIGHT),
            |_| vec![0xff, 0xff, 0, 0],
            |_| vec![0, 3, 1, 2, 3],
            |_| Vec::new(),
        ];
        for lie in lies {
            let (liar, good) = (server(vec![lie]).await, server(vec![|q| response(q, 0, 1, RIGHT)]).await);
            assert_eq!(texts(vec![liar, good], &[]).await.unwrap(), [b"ok"]);
        }
        let liar = server(vec![|q| response(q, 0, 9, RIGHT)]).await;
        assert_eq!(texts(vec![liar], &[]).await.unwrap_err().kind, FailureKind::Dns);
    }

    #[tokio::test]
    async fn a_name_that_is_not_there_is_an_answer() {
        let none = server(vec![|q| response(q, 3, 0, &[])]).await;
        let other = server(vec![|q| response(q, 0, 1, RIGHT)]).await;
        let refused = texts(vec![none, other], &[]).await.unwrap_err();
        assert!(refused.detail.contains("NXDOMAIN"), "{}", refused.detail);
    }

    #[tokio::test]
    async fn a_silent_server_costs_no_more_than_its_patience() {
        let (silent, good) = (server(vec![]).await, server(vec![|q| response(q, 0, 1, RIGHT)]).await);
        assert_eq!(texts(vec![silent, good], &[]).await.unwrap(), [b"ok"]);
        let silent = server(vec![]).await;
        assert!(texts(vec![silent], &[]).await.unwrap_err().detail.contains("no answer within"));
    }

    #[tokio::test]
    async fn an_alias_is_followed_into_the_named_zones_only() {
        let answers: Says = |q| response(q, 0, 1, ALIAS);
        let followed = server(vec![answers, |q| response(q, 0, 1, RIGHT)]).await;
        assert_eq!(texts(vec![followed], &["acme.example"]).await.unwrap(), [b"ok"]);
        for zones in [&[][..], &["me.example"], &["other.example"], &["x.acme.example.org"]] {
            let refused = texts(vec![server(vec![answers]).await], zones).await.unwrap_err();
            assert!(refused.detail.contains("dns01_delegates"), "{zones:?}: {}", refused.detail);
        }
        // One that leads to itself for ever.
        let looping = server(vec![answers; 20]).await;
        let refused = texts(vec![looping], &["acme.example"]).await.unwrap_err();
        assert!(refused.detail.contains("loop"), "{}", refused.detail);
    }
}
