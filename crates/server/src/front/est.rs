//! EST (RFC 7030) over TLS: the engine's requests to the use case, its outcomes back.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::any;
use lanyard_control::authority::Issuers;
use lanyard_control::certify::no_such_profile;
use lanyard_enroll::est::{self, Base64Style, Credential, CsrTemplate, Incoming, Request, Wish, render};
use lanyard_enroll::{Authentication, Outcome};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::spki::PublicKeyKind;

use super::{Shown, certify, prove_secret, reply, text};
use crate::state::State;

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
    if let Some(label) = label.as_ref().filter(|label| !state.control.authority.offers(label.as_str())) {
        return text(StatusCode::NOT_FOUND, &no_such_profile(label.as_str()).to_string());
    }
    match wish {
        Wish::CaCertificates => reply(ca_certificates(&state.control.authority.issuers(), style)),
        Wish::CsrAttributes => reply(render::csr_attributes(Some(&expected()), style)),
        Wish::Enroll(enroll) => {
            let authentication = match authentication(state, &enroll.credential) {
                Ok(authentication) => authentication,
                Err(refused) => return reply(render::outcome(&refused, style)),
            };
            let outcome = certify(state, enroll.into_request(label.as_ref(), authentication)).await;
            reply(render::outcome(&outcome, style))
        }
        // I10: a key that the server makes has been outside of the device. No profile allows it yet.
        Wish::ServerKeygen(_) => reply(render::outcome(&keygen_off(), style)),
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
    let certificates: Vec<&[u8]> = issuers
        .issuing()
        .iter()
        .map(|i| i.issuer.certificate())
        .chain(issuers.roots())
        .map(|c: &Certificate| c.der().as_ref())
        .collect();
    render::ca_certificates(&certificates, style)
}

fn keygen_off() -> Outcome {
    Outcome::Refused {
        code: "server_keygen_off".to_owned(),
        why: "no profile here lets the server make a key: make it on the device, and use simpleenroll"
            .to_owned(),
    }
}

/// What the device profile wants of a request: any name, this kind of key.
fn expected() -> CsrTemplate {
    CsrTemplate { key: Some(PublicKeyKind::P256), extended_key_usages: vec![lanyard_pki::oid::CLIENT_AUTH] }
}
