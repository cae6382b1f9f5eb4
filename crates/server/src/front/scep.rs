//! SCEP (RFC 8894) over plain HTTP: the engine's wishes to the use case, its outcomes back.
//!
//! `/scep/<authority>` and `/scep/<authority>/<profile>`; `/scep` alone while one legacy authority is active. In scope: routes,
//! how many messages a second are opened, what waits for a person. Out of scope: messages (`lanyard-enroll`), the RA
//! (`control::scep`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, State as Shared};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::any;
use lanyard_api::listen::Peer;
use lanyard_control::digest::random;
use lanyard_control::plane::ControlError;
use lanyard_control::scep::Ra;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::EnrollmentRequest;
use lanyard_enroll::scep::{
    Algorithms, Answer, Asked, Done, Fresh, Incoming, Received, Responder, Transactions, Wish,
};

use lanyard_control::certify::Circumstances;

use super::{certify_with, prove_secret, reply, text};
use crate::state::State;

/// Messages to one authority that are opened and answered in a second. Each costs two private operations of RSA-3072, some 3 ms of
/// one core: 50 a second renew 10,000 devices in four minutes.
const MOST_MESSAGES: u32 = 50;
/// To all authorities: strangers can take a third of one core.
const MOST_OF_ALL: u32 = 100;
/// From one address, which may be a whole site behind one router: half of what an authority answers.
const MOST_OF_ONE: u32 = 25;

/// What was answered in this second. What is no message is not counted: it costs its reading.
#[derive(Default)]
struct Budget {
    second: i64,
    all: u32,
    authorities: HashMap<String, u32>,
    sources: HashMap<IpAddr, u32>,
}

impl Budget {
    fn spend(&mut self, authority: &str, source: IpAddr, now: Timestamp) -> bool {
        if self.second != now.as_seconds() {
            *self = Self { second: now.as_seconds(), ..Self::default() };
        }
        // Refused ones are not counted, nor kept: a flood cannot make this grow.
        let of_authority = self.authorities.get(authority).copied().unwrap_or_default();
        let of_source = self.sources.get(&source).copied().unwrap_or_default();
        if self.all >= MOST_OF_ALL || of_authority >= MOST_MESSAGES || of_source >= MOST_OF_ONE {
            return false;
        }
        self.all += 1;
        self.authorities.insert(authority.to_owned(), of_authority + 1);
        self.sources.insert(source, of_source + 1);
        true
    }
}

/// What lasts between messages; see [`Transactions`] for what is lost with it.
pub(crate) struct Desk {
    algorithms: Algorithms,
    waiting: Mutex<HashMap<String, Arc<RwLock<Transactions>>>>,
    budget: Mutex<Budget>,
    /// One certificate for an RA is made at a time.
    making: tokio::sync::Mutex<()>,
}

impl Desk {
    pub(crate) fn new(algorithms: Algorithms) -> Self {
        let (waiting, budget) = (Mutex::default(), Mutex::default());
        Self { algorithms, waiting, budget, making: tokio::sync::Mutex::new(()) }
    }

    fn waiting(&self, authority: &str) -> Arc<RwLock<Transactions>> {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(authority.to_owned()).or_default())
    }

    fn may_open(&self, authority: &str, source: IpAddr, now: Timestamp) -> bool {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).spend(authority, source, now)
    }
}

/// The RA of an authority, with a certificate that is good: made now if there is none, renewed when `renew` and due.
pub(crate) async fn ra(state: &State, authority: &str, renew: bool) -> Result<Option<Ra>, ControlError> {
    let now = || state.clock.now();
    let is_good = |ra: &Option<Ra>| ra.as_ref().is_some_and(|ra| !renew || now() < ra.certificate.renew_at());
    let ra = state.control.ra(authority, now())?;
    if is_good(&ra) {
        return Ok(ra);
    }
    let _one = state.scep.making.lock().await;
    if !is_good(&state.control.ra(authority, now())?) {
        state.control.certify_ra(authority, now()).await?;
    }
    state.control.ra(authority, now())
}

pub(super) fn routes() -> Router<State> {
    Router::new().route("/scep", any(answer)).route("/scep/", any(answer)).route("/scep/{*rest}", any(answer))
}

async fn answer(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let active = state.control.scep_authorities();
    let (authority, path) = match place(uri.path(), &active) {
        Ok(place) => place,
        Err(why) => return text(StatusCode::NOT_FOUND, &why),
    };
    let query = uri.query().unwrap_or_default().to_owned();
    let station = match Station::open(&state, authority).await {
        Ok(station) => Arc::new(station),
        Err(why) => {
            tracing::error!(%why, "SCEP cannot be answered now");
            return later(text(StatusCode::SERVICE_UNAVAILABLE, "SCEP cannot be answered now"), "60");
        }
    };
    let incoming = (method, path, query, body);
    let done = match station.exchange(&state, incoming, peer.remote.ip()).await {
        Ok(Some(done)) => done,
        Ok(None) => {
            return later(
                text(StatusCode::SERVICE_UNAVAILABLE, "too many SCEP messages in this second"),
                "1",
            );
        }
        Err(why) => {
            tracing::error!(%why, "a SCEP message died; please report it");
            return text(StatusCode::INTERNAL_SERVER_ERROR, "internal fault; the server's log has it");
        }
    };
    if let Some(refusal) = &done.refusal {
        tracing::info!(authority = %station.authority, %refusal, "a SCEP message was refused");
    }
    reply(done.reply)
}

/// An RA and its engine, for one message.
struct Station {
    authority: String,
    ra: Ra,
    responder: Responder,
    waiting: Arc<RwLock<Transactions>>,
}

impl Station {
    async fn open(state: &State, authority: String) -> Result<Self, String> {
        let ra = ra(state, &authority, false).await.map_err(|e| e.to_string())?;
        let ra = ra.ok_or_else(|| format!("the RA of `{authority}` has no certificate"))?;
        let der = |certificate: &lanyard_pki::certificate::Certificate| certificate.der().to_vec();
        // With the roots: certmonger trusts an answer only if it gets a whole chain (RFC 8894 4.2.1.2).
        let issuers = state.control.authority.issuers();
        let above: Vec<Vec<u8>> =
            std::iter::once(&ra.issuer).chain(&ra.above).chain(issuers.roots()).map(der).collect();
        let responder = Responder::new(&der(&ra.certificate), &above, state.scep.algorithms);
        let responder = responder.and_then(|r| r.with_former(&ra.former)).and_then(|r| match &ra.next {
            Some(next) => r.with_next(vec![der(next)]),
            None => Ok(r),
        });
        let responder = responder.map_err(|e| e.to_string())?;
        let waiting = state.scep.waiting(&authority);
        Ok(Self { authority, ra, responder, waiting })
    }

    /// One message and its reply; none when too many are answered in this second. Private operations run where they may block.
    async fn exchange(
        self: &Arc<Self>,
        state: &State,
        (method, path, query, body): (Method, String, String, Bytes),
        source: IpAddr,
    ) -> Result<Option<Done>, String> {
        let (now, fresh, station, desk) =
            (state.clock.now(), fresh()?, Arc::clone(self), Arc::clone(&state.scep));
        let received = blocking(move || {
            let incoming = Incoming { method: method.as_str(), path: &path, query: &query, body: &body };
            let waiting = station.waiting.read().unwrap_or_else(PoisonError::into_inner);
            let (decrypt, sign) = (|c: &[u8]| station.ra.decrypt(c), |m: &[u8]| station.ra.sign(m));
            let admit = || desk.may_open(&station.authority, source, now);
            station.responder.receive(&incoming, decrypt, sign, admit, (&waiting, now, &fresh))
        })
        .await?;
        let Asked { wish, exchange } = match received {
            Received::Later => return Ok(None),
            Received::Done(done) => return Ok(Some(done)),
            Received::Asked(asked) => *asked,
        };
        let answer = match wish {
            Wish::Decide(request) => self.decide(state, request).await,
            Wish::Enroll(enrollment) => match prove_secret(state, enrollment.challenge()) {
                Some(proven) => self.decide(state, enrollment.proven(proven)).await,
                None => Answer::WrongChallenge,
            },
        };
        let (now, fresh, station) = (state.clock.now(), self::fresh()?, Arc::clone(self));
        blocking(move || {
            let mut waiting = station.waiting.write().unwrap_or_else(PoisonError::into_inner);
            let sign = |m: &[u8]| station.ra.sign(m);
            station.responder.answer(&exchange, answer, sign, &mut waiting, now, &fresh)
        })
        .await
        .map(Some)
    }

    async fn decide(&self, state: &State, request: EnrollmentRequest) -> Answer {
        let how = Circumstances { authority: Some(&self.authority), ..Circumstances::USUAL };
        let outcome = certify_with(state, request.clone(), how).await;
        Answer::Decided { request: Box::new(request), outcome }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())
}

fn fresh() -> Result<Fresh, String> {
    random::<64>().map(Fresh::from_random).map_err(|e| e.to_string())
}

/// The authority that a path names, and the path as the engine reads it: without that name.
fn place(path: &str, active: &[String]) -> Result<(String, String), String> {
    if active.is_empty() {
        return Err("SCEP is off: no authority of purpose `legacy` is active".to_owned());
    }
    let rest = path.strip_prefix("/scep").unwrap_or_default().trim_start_matches('/');
    let (first, more) = rest.split_once('/').unwrap_or((rest, ""));
    // What old clients append by themselves is no name.
    if matches!(first, "" | "pkiclient.exe" | "cgi-bin") {
        return match active {
            [only] => Ok((only.clone(), path.to_owned())),
            _ => Err("several legacy authorities are active here: ask at /scep/<authority>".to_owned()),
        };
    }
    match active.iter().find(|name| *name == first) {
        Some(name) if more.is_empty() => Ok((name.clone(), "/scep".to_owned())),
        Some(name) => Ok((name.clone(), format!("/scep/{more}"))),
        None => Err("no active legacy authority has this name: SCEP is at /scep/<authority>".to_owned()),
    }
}

fn later(mut response: Response, seconds: &'static str) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str, active: &[&str]) -> Result<(String, String), String> {
        place(path, &active.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_path_names_its_authority_or_there_is_one() {
        let to = |authority: &str, path: &str| Ok((authority.to_owned(), path.to_owned()));
        assert_eq!(at("/scep", &["a"]), to("a", "/scep"));
        assert_eq!(at("/scep/pkiclient.exe", &["a"]), to("a", "/scep/pkiclient.exe"));
        assert_eq!(at("/scep/cgi-bin/pkiclient.exe", &["a"]), to("a", "/scep/cgi-bin/pkiclient.exe"));
        assert_eq!(at("/scep/b", &["a", "b"]), to("b", "/scep"));
        assert_eq!(at("/scep/b/", &["a", "b"]), to("b", "/scep"));
        assert_eq!(at("/scep/b/pump", &["a", "b"]), to("b", "/scep/pump"));
        assert_eq!(at("/scep/b/pkiclient.exe", &["a", "b"]), to("b", "/scep/pkiclient.exe"));
    }

    // R36: off until a site needs it.
    #[test]
    fn without_an_active_authority_or_a_clear_name_there_is_nothing() {
        assert!(at("/scep", &[]).unwrap_err().contains("off"));
        assert!(at("/scep/a", &[]).unwrap_err().contains("off"));
        assert!(at("/scep", &["a", "b"]).unwrap_err().contains("several"));
        assert!(at("/scep/c", &["a", "b"]).unwrap_err().contains("no active"));
        assert!(at("/scep/pump/a", &["a"]).is_err());
    }

    // I12

    // I12: one host fills its own share, and no authority's load is another's.
    #[test]
    fn messages_are_bounded_by_the_second_for_each_authority_and_each_address() {
        let desk = Desk::new(Algorithms::Current);
        let now = Timestamp::from_seconds(1_795_305_600);
        let from = |n: u8| IpAddr::from([10, 0, 0, n]);
        let burst = |authority, n| (0..1_000).filter(|_| desk.may_open(authority, from(n), now)).count();
        assert_eq!(burst("a", 1), 25, "a flood from one address");
        assert_eq!(burst("a", 2), 25, "another one gets through");
        assert_eq!(burst("a", 3), 0);
        assert_eq!(burst("b", 3), 25, "another authority");
        assert_eq!(burst("b", 4), 25);
        assert_eq!(burst("c", 5), 0, "all together are enough");
        assert!(desk.may_open("a", from(1), now.plus_seconds(1)));
        let sources = desk.budget.lock().unwrap().sources.len();
        assert_eq!(sources, 1, "what was refused is not kept");
    }
}
