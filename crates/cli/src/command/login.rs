//! `lanyard login`: the one moment of trust. The fingerprint is printed by `lanyard up` and compared by a person; what is
//! pinned comes from a second connection that is already verified against it.

use clap::Args;
use lanyard_api::client::Server;
use serde::Serialize;

use super::Desk;
use crate::exit::Failure;
use crate::output::facts;
use crate::profile::{Pinned, Profile};
use crate::{session, tls};

/// Arguments.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The control plane.
    #[arg(long, value_name = "HOST:PORT")]
    server: String,
    /// Its fingerprint as `lanyard up` printed it. Without it the fingerprint is shown and nothing is pinned.
    #[arg(long, value_name = "SHA256")]
    fingerprint: Option<String>,
}

#[derive(Serialize)]
struct LoggedIn {
    server: String,
    origin: String,
    fingerprint: String,
    log_vkey: String,
    needs_bootstrap: bool,
}

/// Pins the control plane.
pub async fn run(args: LoginArgs, desk: &Desk) -> anyhow::Result<()> {
    let server: Server = args.server.parse()?;
    let Some(expected) = args.fingerprint else {
        let (_, found) = session::shown(vec![server.clone()]).await?;
        return Err(Failure::refused(format!(
            "`{server}` shows the fingerprint\n  {found}\nNothing is pinned yet. Compare it with what `lanyard up` \
             printed on the server; if it is the same:\n  lanyard login --server {server} --fingerprint {found}"
        )));
    };
    let about = session::recognise(vec![server.clone()], &expected).await?;
    let fingerprint = tls::fingerprint(&about.anchors_pem)?;
    let pinned = Pinned {
        address: server.to_string(),
        origin: about.origin.clone(),
        log_vkey: about.log_vkey.clone(),
        anchors_pem: about.anchors_pem,
    };
    let mut profile = Profile::read(&desk.profile)?;
    if let Some(before) = profile.server.as_ref().filter(|before| before.log_vkey != pinned.log_vkey) {
        return Err(Failure::contradicted(format!(
            "profile `{}` knows the log key `{}`, the server now says `{}`: use another profile for another control plane",
            desk.profile.display(),
            before.log_vkey,
            pinned.log_vkey
        )));
    }
    profile.server = Some(pinned);
    profile.write(&desk.profile)?;
    let done = LoggedIn {
        server: server.to_string(),
        origin: about.origin,
        fingerprint,
        log_vkey: about.log_vkey,
        needs_bootstrap: about.needs_bootstrap,
    };
    desk.output.one(&done, |done| {
        let next = if done.needs_bootstrap {
            "next: lanyard operator init NAME --secret SECRET --roles admin,registrar"
        } else {
            "next: lanyard operator key NAME, and have an admin add you"
        };
        let pairs = [
            ("pinned", done.server.clone()),
            ("log", done.origin.clone()),
            ("log key", done.log_vkey.clone()),
            ("fingerprint", done.fingerprint.clone()),
        ];
        format!("{}{next}\n", facts(&pairs))
    })
}
