//! One line about a recorded message, for a person who looks for what went wrong. Nothing of it is checked but its form.

use lanyard_pki::write;

use super::cert_reply::CertReply;
use super::message::{Kind, MAX_MESSAGE_BYTES, Parts};
use super::poll::{self, NotYet};
use super::status::StatusInfo;
use super::tlv::Malformed;
use super::{confirm, crmf, information, revocation};

/// What a message is, of either side. Fuzz entry point.
pub fn describe(message: &[u8]) -> Result<String, Malformed> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(Malformed("message"));
    }
    let parts = Parts::of(message)?;
    let header = parts.header()?;
    let Some(kind) = parts.kind() else { return Ok("a kind of message that is not served".into()) };
    let body = parts.body()?;
    let status = |info: StatusInfo| format!("{:?} `{}`", info.status, info.text);
    let said = match kind {
        Kind::Ir | Kind::Cr | Kind::Kur => match crmf::read(body) {
            Ok(request) => format!("for a {:?} key", request.csr.key_kind()),
            Err(refused) => refused.to_string(),
        },
        Kind::P10cr => match lanyard_pki::csr::verify(body.whole) {
            Ok(csr) => format!("for a {:?} key", csr.key_kind()),
            Err(refused) => refused.to_string(),
        },
        Kind::Ip | Kind::Cp | Kind::Kup => {
            let reply = CertReply::read(body)?;
            let what = if reply.certificate.is_some() { "with a certificate, " } else { "" };
            format!("{what}{}", status(reply.status))
        }
        Kind::Rr => match revocation::read(body) {
            Ok((certificate, reason)) => format!("{}, {reason:?}", certificate.serial),
            Err(refused) => refused.to_string(),
        },
        Kind::Rp => status(revocation::read_reply(body)?),
        Kind::CertConf => format!("{} statements", confirm::read(body)?.len()),
        Kind::PollReq => format!("about request {}", poll::read_request(body)?),
        Kind::PollRep => {
            let not_yet = NotYet::read(body)?;
            format!("again after {} seconds `{}`", not_yet.after_seconds, not_yet.why)
        }
        Kind::Genm => format!("{} questions", information::read(body)?.len()),
        Kind::Error => status(StatusInfo::read(body.fields().take(write::SEQUENCE, "error.pKIStatusInfo")?)?),
        Kind::Genp | Kind::PkiConf => String::new(),
    };
    let extra = parts.extra_certificates()?.len();
    let protected = if parts.protection.is_some() { "protected" } else { "not protected" };
    let transaction = data_encoding::HEXLOWER.encode(header.transaction.as_deref().unwrap_or_default());
    Ok(format!(
        "{kind:?} {said}; pvno {}, transaction {transaction}, {protected}, {extra} certificates",
        header.version
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_messages_are_described() {
        let messages: [(&[u8], &str); 5] = [
            (include_bytes!("server/vectors/ir-pbm-sha1.der"), "Ir for a P256 key; pvno 2, transaction"),
            (include_bytes!("server/vectors/p10cr-pbm-sha1.der"), "P10cr for a P256 key;"),
            (include_bytes!("server/vectors/rr-signed.der"), "Superseded;"),
            (include_bytes!("server/vectors/pollreq-pbm-sha1.der"), "PollReq about request 0;"),
            (include_bytes!("server/vectors/certconf-signed.der"), "protected, 2 certificates"),
        ];
        for (message, said) in messages {
            let text = describe(message).unwrap();
            assert!(text.contains(said), "{text}");
            for at in 0..message.len() {
                assert!(describe(&message[..at]).is_err(), "cut at {at}");
            }
        }
        assert!(describe(&vec![0x30; MAX_MESSAGE_BYTES + 1]).is_err());
    }
}
