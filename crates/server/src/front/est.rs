//! EST (RFC 7030) over TLS: the engine's requests to the use case, its outcomes back.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::any;
use lanyard_control::authority::{Issuers, KeyOrigin};
use lanyard_control::certify::{Circumstances, no_such_profile};
use lanyard_enroll::est::keygen::{self, MadeKey, ServerKeygen};
use lanyard_enroll::est::{
    self, Base64Style, Credential, CsrTemplate, Incoming, Label, Request, Wish, render,
};
use lanyard_enroll::{Authentication, Outcome};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::key::KeyKind;
use lanyard_pki::profile::template::{Base64Style as ProfileStyle, Template};
use lanyard_pki::profile::{CsrExpectation, KeyType};
use lanyard_pki::spki::PublicKeyKind;

use super::{Shown, certify, certify_with, prove_secret, reply, text};
use crate::state::State;

/// A key that the server made.
const MADE_HERE: Circumstances<'static> = Circumstances { key: KeyOrigin::Server, authority: None };

/// The forms of RFC 7030 3.2.2, and strongSwan's, which puts its label in front.
pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/.well-known/est/{operation}", any(answer))
        .route("/.well-known/est/{label}/{operation}", any(answer))
        .route("/{label}/.well-known/est/{operation}", any(answer))
}

async fn answer(
    Shared(state): Shared<State>,
    shown: Shown,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
    let incoming = Incoming {
        method: method.as_str(),
        path: uri.path(),
        content_type: text(header::CONTENT_TYPE),
        authorization: text(header::AUTHORIZATION),
        body: &body,
        certificates: &shown.chain,
        channel_binding: shown.channel.as_ref().map(<[u8; 32]>::as_slice),
    };
    match est::parse(&incoming) {
        Ok(request) => carry_out(&state, request).await,
        Err(error) => reply(error.reply()),
    }
}

async fn carry_out(state: &State, request: Request) -> Response {
    let Request { label, style, wish } = request;
    let issuers = state.control.authority.issuers();
    let name = label.as_ref().map(Label::as_str);
    if let Some(name) = name.filter(|name| !issuers.profiles().offers_devices(name)) {
        return text(StatusCode::NOT_FOUND, &no_such_profile(name).to_string());
    }
    let style = name.and_then(|name| issuers.profiles().labelled(name)).map_or(style, |t| written(t, style));
    match wish {
        Wish::CaCertificates => reply(ca_certificates(&issuers, style)),
        Wish::CsrAttributes => {
            let template = issuers.profiles().expected(name).map(csr_template);
            reply(render::csr_attributes(template.as_ref(), style))
        }
        Wish::Enroll(enroll) => {
            let authentication = match authentication(state, &enroll.credential) {
                Ok(authentication) => authentication,
                Err(refused) => return reply(render::outcome(&refused, style)),
            };
            let outcome = certify(state, enroll.into_request(label.as_ref(), authentication)).await;
            reply(render::outcome(&outcome, style))
        }
        Wish::ServerKeygen(wish) if issuers.profiles().makes_keys(name) => {
            make_key(state, &wish, label.as_ref(), style).await
        }
        Wish::ServerKeygen(_) => reply(render::outcome(&keygen_off(), style)),
    }
}

/// A key for a device whose profile lets the server make it; whether it does is looked at again for this very device.
async fn make_key(state: &State, wish: &ServerKeygen, label: Option<&Label>, style: Base64Style) -> Response {
    let authentication = match authentication(state, &wish.credential) {
        Ok(authentication) => authentication,
        Err(refused) => return reply(render::outcome(&refused, style)),
    };
    let kind = match wish.wanted {
        Some(PublicKeyKind::P384) => KeyKind::P384,
        _ => KeyKind::P256,
    };
    let key = match MadeKey::generate(kind) {
        Ok(key) => key,
        Err(error) => {
            return reply(render::outcome(&Outcome::Unavailable { why: error.to_string() }, style));
        }
    };
    let outcome = certify_with(state, key.request(label, authentication), MADE_HERE).await;
    reply(keygen::reply(&outcome, &key, style))
}

/// As the client writes, unless the profile says how.
fn written(template: &Template, asked: Base64Style) -> Base64Style {
    match template.est_base64() {
        ProfileStyle::AsRequest => asked,
        ProfileStyle::SingleLine => Base64Style::OneLine,
        ProfileStyle::Wrapped => Base64Style::Wrapped76,
    }
}

fn authentication(state: &State, credential: &Credential) -> Result<Authentication, Outcome> {
    match credential {
        Credential::Certificate(chain) => Ok(Authentication::Certificate(chain.clone())),
        Credential::Secret(presented) => match prove_secret(state, presented.reveal()) {
            Some(proven) => Ok(Authentication::Secret(proven)),
            None => Err(Outcome::Refused {
                code: "secret_unknown".to_owned(),
                why: "the enrollment secret is wrong, has expired, or a newer one was made; \
                      `lanyard device secret` makes another"
                    .to_owned(),
            }),
        },
    }
}

/// Issuers and roots of every generation that is trusted, so that a device knows the next one before it is used.
fn ca_certificates(issuers: &Issuers, style: Base64Style) -> lanyard_enroll::Reply {
    let certificates: Vec<&[u8]> =
        issuers.trusted().into_iter().map(|c: &Certificate| c.der().as_ref()).collect();
    render::ca_certificates(&certificates, style)
}

fn keygen_off() -> Outcome {
    Outcome::Refused {
        code: "server_keygen_off".to_owned(),
        why: "no profile here lets the server make a key: make it on the device, and use simpleenroll"
            .to_owned(),
    }
}

/// What a profile expects, in EST's words: the first kind of key that EST can name.
fn csr_template(expected: CsrExpectation) -> CsrTemplate {
    let key = expected.key_types.iter().find_map(|key| match key {
        KeyType::P256 => Some(PublicKeyKind::P256),
        KeyType::P384 => Some(PublicKeyKind::P384),
        KeyType::Ed25519 => Some(PublicKeyKind::Ed25519),
        KeyType::Rsa2048 => key.least_bits().and_then(|n| usize::try_from(n).ok()).map(PublicKeyKind::Rsa),
        KeyType::MlDsa65 => None,
    });
    CsrTemplate { key, extended_key_usages: expected.purposes }
}
