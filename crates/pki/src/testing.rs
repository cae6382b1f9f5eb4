//! An installation for unit tests: an authority over memory keys, good certificates, and forged ones.

use std::sync::Arc;

use lanyard_domain::id::{ApplicationId, DeviceId, GatewayId};
use lanyard_domain::time::Timestamp;

use crate::authority::{self, Authority, Generation, Issuer};
use crate::certificate::Certificate;
use crate::csr::{self, VerifiedCsr};
use crate::issue::{self, Lifetime, Prepared};
use crate::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};
use crate::name::Naming;
use crate::oid;
use crate::profile::template::Template;
use crate::profile::{Addresses, Profile, ProfileName, RevocationUris, SubjectFacts};
use crate::serial::Serial;
use crate::spki::PublicKey;
use crate::tbs::{self, Tbs};
use crate::write::{self, Critical};

/// 2026-11-22T12:00:00Z
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_348_800);

pub(crate) fn serial(n: u8) -> Serial {
    Serial::from_random([n; 16])
}

pub(crate) fn random_serial() -> Serial {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    Serial::from_random(bytes)
}

pub(crate) struct Installation {
    pub naming: Naming,
    pub keys: Arc<MemoryKeys>,
    pub authority: Authority,
}

pub(crate) struct Issued {
    pub certificate: Certificate,
    pub label: KeyLabel,
}

impl Installation {
    pub(crate) fn new() -> Self {
        Self::at(NOW)
    }

    /// With authorities of these kinds, each made as a later generation is: prepared, then signed.
    pub(crate) fn of_kinds(root: KeyKind, issuing: KeyKind) -> Self {
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let keys = Arc::new(MemoryKeys::default());
        let generation = |label: &str, kind, n| {
            let label: KeyLabel = label.parse().unwrap();
            keys.generate(&label, kind).unwrap();
            Generation { number: 1, label, serial: serial(n) }
        };
        let (root, issuing) = (generation("root-g1", root, 1), generation("issuing-g1", issuing, 2));
        let prepared = authority::prepare_root(&naming, &root, &*keys, NOW).unwrap();
        let root = Issuer::new(prepared.sign(&*keys).unwrap(), root.label, &*keys).unwrap();
        let prepared = authority::prepare_issuing(&naming, &issuing, &root, None, &*keys, NOW).unwrap();
        let issuing = Issuer::new(prepared.sign(&*keys).unwrap(), issuing.label, &*keys).unwrap();
        Self { naming, keys, authority: Authority { root, issuing } }
    }

    pub(crate) fn at(now: Timestamp) -> Self {
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let keys = Arc::new(MemoryKeys::default());
        let generation =
            |label: &str, n| Generation { number: 1, label: label.parse().unwrap(), serial: serial(n) };
        let authority =
            Authority::create(&naming, &*keys, &generation("root-g1", 1), &generation("issuing-g1", 2), now)
                .unwrap();
        Self { naming, keys, authority }
    }

    /// A fresh key and a request for it.
    pub(crate) fn csr(&self) -> (KeyLabel, VerifiedCsr) {
        self.csr_of(KeyKind::P256)
    }

    pub(crate) fn csr_of(&self, kind: KeyKind) -> (KeyLabel, VerifiedCsr) {
        let label: KeyLabel = format!("k{}", random_serial()).parse().unwrap();
        let spki = self.keys.generate(&label, kind).unwrap();
        let der = csr::build(&spki, "test", |m| self.keys.sign(&label, m)).unwrap();
        (label, csr::verify(&der).unwrap())
    }

    pub(crate) fn prepare(&self, profile: ProfileName, subject: &SubjectFacts) -> (KeyLabel, Prepared) {
        let (label, csr) = self.csr();
        let profile = Profile::new(profile, self.naming.clone());
        let issuer = &self.authority.issuing;
        let prepared =
            issue::prepare(&profile, &csr, subject, issuer, Lifetime::Default, random_serial(), NOW).unwrap();
        (label, prepared)
    }

    /// A certificate by any profile, for a new P-256 key.
    pub(crate) fn issue_by(&self, profile: &Profile, subject: &SubjectFacts) -> Issued {
        let (label, csr) = self.csr();
        let issuer = &self.authority.issuing;
        let prepared =
            issue::prepare(profile, &csr, subject, issuer, Lifetime::Default, random_serial(), NOW).unwrap();
        Issued { certificate: prepared.sign(&*self.keys).unwrap(), label }
    }

    fn issue(&self, profile: ProfileName, subject: &SubjectFacts) -> Issued {
        let (label, prepared) = self.prepare(profile, subject);
        Issued { certificate: prepared.sign(&*self.keys).unwrap(), label }
    }

    pub(crate) fn device(&self) -> Issued {
        self.issue(ProfileName::DeviceLdevid, &SubjectFacts::Device { id: device_id() })
    }

    pub(crate) fn gateway(&self) -> Issued {
        let addresses = Addresses::new(
            vec!["gw1.hospital.example".parse().unwrap()],
            vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        )
        .unwrap();
        self.issue(ProfileName::GatewayServer, &SubjectFacts::Gateway { id: gateway_id(), addresses })
    }

    pub(crate) fn control(&self) -> Issued {
        let addresses = Addresses::new(vec!["lanyard.hospital.example".parse().unwrap()], vec![]).unwrap();
        self.issue(ProfileName::ControlServer, &SubjectFacts::Control { addresses })
    }

    pub(crate) fn ocsp_responder(&self) -> Issued {
        self.issue(ProfileName::OcspResponder, &SubjectFacts::OcspResponder)
    }

    pub(crate) fn scep_ra(&self) -> Issued {
        let label: KeyLabel = format!("k{}", random_serial()).parse().unwrap();
        self.keys.generate_to_decrypt(&label, KeyKind::Rsa2048).unwrap();
        let issuer = &self.authority.issuing;
        let prepared =
            authority::prepare_ra(&self.naming, &label, issuer, random_serial(), &*self.keys, NOW).unwrap();
        Issued { certificate: prepared.sign(&*self.keys).unwrap(), label }
    }

    /// A device certificate with whatever `edit` breaks, really signed by the issuing CA.
    pub(crate) fn forge(&self, edit: impl FnOnce(&mut Draft)) -> Issued {
        let (label, csr) = self.csr();
        let mut draft = Draft::device(self, csr.key());
        edit(&mut draft);
        let certificate = self.sign_draft(&draft, &self.authority.issuing);
        Issued { certificate, label }
    }

    /// The bytes of an edited device certificate, for what does not even parse.
    pub(crate) fn draft_der(&self, key: &PublicKey, edit: impl FnOnce(&mut Draft)) -> Vec<u8> {
        let mut draft = Draft::device(self, key);
        edit(&mut draft);
        self.sign_draft_der(&draft, &self.authority.issuing)
    }

    pub(crate) fn sign_draft(&self, draft: &Draft, issuer: &Issuer) -> Certificate {
        Certificate::parse(&self.sign_draft_der(draft, issuer)).unwrap()
    }

    fn sign_draft_der(&self, draft: &Draft, issuer: &Issuer) -> Vec<u8> {
        let kind = issuer.certificate().public_key().unwrap().kind();
        let algorithm = match kind {
            crate::spki::PublicKeyKind::P384 => oid::ECDSA_WITH_SHA384,
            _ => oid::ECDSA_WITH_SHA256,
        };
        let algorithm = tbs::algorithm_identifier(&algorithm);
        let extensions: Vec<&[u8]> = draft.extensions.iter().map(|(_, e)| e.as_slice()).collect();
        let tbs = Tbs {
            serial: &draft.serial,
            signature_algorithm: &algorithm,
            issuer: issuer.certificate().subject_der(),
            not_before: draft.not_before,
            not_after: draft.not_after,
            subject: &draft.subject,
            spki: &draft.spki,
            extensions: &extensions,
        }
        .encode();
        let signature = self.keys.sign(issuer.label(), &tbs).unwrap();
        let mut der = Vec::new();
        write::tlv(&mut der, write::SEQUENCE, |o| {
            o.extend_from_slice(&tbs);
            o.extend_from_slice(&algorithm);
            write::bit_string(o, &signature);
        });
        der
    }
}

pub(crate) fn device_id() -> DeviceId {
    DeviceId::from_random([0xd1; 16])
}

pub(crate) fn gateway_id() -> GatewayId {
    GatewayId::from_random([0x6a; 16])
}

pub(crate) fn revocation_uris() -> RevocationUris {
    let [crl, ocsp, ca] = ["crl", "ocsp", "ca"].map(|path| format!("http://pki.hospital.example/{path}"));
    RevocationUris::new(&crl, &ocsp, &ca, 128).unwrap()
}

/// The profile of a template, without a tier.
pub(crate) fn template(text: &str, uris: &RevocationUris) -> Profile {
    let naming = Naming::new("General Hospital", "hospital.example").unwrap();
    Template::parse(text).unwrap().profile(None, naming, Some(uris)).unwrap()
}

/// A SubjectPublicKeyInfo with an RSA modulus of so many octets that nobody has factors of.
pub(crate) fn rsa_spki(octets: usize) -> Vec<u8> {
    let mut key = Vec::new();
    write::tlv(&mut key, write::SEQUENCE, |o| {
        let modulus: Vec<u8> = std::iter::once(0).chain(vec![0xc1; octets]).collect();
        write::bytes(o, write::INTEGER, &modulus);
        write::bytes(o, write::INTEGER, &[1, 0, 1]);
    });
    let mut out = Vec::new();
    write::tlv(&mut out, write::SEQUENCE, |o| {
        write::tlv(o, write::SEQUENCE, |o| {
            write::oid(o, &oid::RSA_ENCRYPTION);
            o.extend_from_slice(&[5, 0]);
        });
        write::bit_string(o, &key);
    });
    out
}

pub(crate) fn application_id() -> ApplicationId {
    ApplicationId::from_random([0xa9; 16])
}

/// A certificate to be, all of it open to change.
pub(crate) struct Draft {
    pub serial: Serial,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub subject: Vec<u8>,
    pub spki: Vec<u8>,
    pub extensions: Vec<(&'static str, Vec<u8>)>,
}

impl Draft {
    fn device(installation: &Installation, key: &PublicKey) -> Self {
        let profile = Profile::new(ProfileName::DeviceLdevid, installation.naming.clone());
        let names = profile.names(&SubjectFacts::Device { id: device_id() }, key).unwrap();
        let issuer = installation.authority.issuing.certificate();
        Self {
            serial: random_serial(),
            not_before: NOW.plus_seconds(-300),
            not_after: NOW.plus_seconds(86_100),
            subject: names.subject,
            spki: key.der().to_vec(),
            extensions: vec![
                ("key_usage", key_usage(&[7, 0x80])),
                ("purposes", purposes(&[oid::CLIENT_AUTH])),
                ("no_rev_avail", tbs::no_rev_avail()),
                ("names", names.alt_names),
                ("authority_key_id", tbs::authority_key_id(issuer.facts().subject_key_id.as_ref().unwrap())),
            ],
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let before = self.extensions.len();
        self.extensions.retain(|(n, _)| *n != name);
        assert!(self.extensions.len() < before, "no extension {name}");
    }

    pub(crate) fn set(&mut self, name: &'static str, der: Vec<u8>) {
        self.extensions.retain(|(n, _)| *n != name);
        self.extensions.push((name, der));
    }
}

pub(crate) fn key_usage(bits: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::extension(&mut out, &oid::KEY_USAGE, Critical::Yes, |o| write::bytes(o, write::BIT_STRING, bits));
    out
}

pub(crate) fn purposes(usages: &[der::asn1::ObjectIdentifier]) -> Vec<u8> {
    let mut out = Vec::new();
    write::extension(&mut out, &oid::EXTENDED_KEY_USAGE, Critical::No, |o| {
        write::tlv(o, write::SEQUENCE, |o| usages.iter().for_each(|u| write::oid(o, u)));
    });
    out
}

pub(crate) fn authority(critical: Critical) -> Vec<u8> {
    let mut out = Vec::new();
    write::extension(&mut out, &oid::BASIC_CONSTRAINTS, critical, |o| {
        write::tlv(o, write::SEQUENCE, |o| write::bytes(o, write::BOOLEAN, &[0xff]));
    });
    out
}

/// subjectAltName with DNS names and URIs.
pub(crate) fn names(dns: &[&str], uris: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    write::extension(&mut out, &oid::SUBJECT_ALT_NAME, Critical::No, |o| {
        write::tlv(o, write::SEQUENCE, |o| {
            dns.iter().for_each(|n| write::bytes(o, write::context(2), n.as_bytes()));
            uris.iter().for_each(|n| write::bytes(o, write::context(6), n.as_bytes()));
        });
    });
    out
}

/// subjectAltName with the DER of one otherName after the other.
pub(crate) fn other_names(names: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    write::extension(&mut out, &oid::SUBJECT_ALT_NAME, Critical::No, |o| {
        write::tlv(o, write::SEQUENCE, |o| names.iter().for_each(|n| o.extend_from_slice(n)));
    });
    out
}

/// One otherName (RFC 5280 4.2.1.6) with a SEQUENCE as its value.
pub(crate) fn other_name(kind: &der::asn1::ObjectIdentifier, value: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write::tlv(&mut out, write::context_constructed(0), |o| {
        write::oid(o, kind);
        write::tlv(o, write::context_constructed(0), |o| write::tlv(o, write::SEQUENCE, value));
    });
    out
}

/// Any extension.
pub(crate) fn extension(id: &str, critical: Critical, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let id = der::asn1::ObjectIdentifier::new(id).unwrap();
    write::extension(&mut out, &id, critical, |o| o.extend_from_slice(value));
    out
}

/// cRLDistributionPoints with one URI.
pub(crate) fn distribution_point(uri: &str) -> Vec<u8> {
    tbs::crl_distribution_point(&uri.parse().unwrap())
}

/// A revocation list to be.
pub(crate) struct List {
    pub this_update: Timestamp,
    pub next_update: Option<Timestamp>,
    pub revoked: Vec<Serial>,
    pub extensions: Vec<Vec<u8>>,
}

impl List {
    /// A day from an hour ago on.
    pub(crate) fn of(revoked: &[&Certificate]) -> Self {
        Self {
            this_update: NOW.plus_seconds(-3_600),
            next_update: Some(NOW.plus_seconds(82_800)),
            revoked: revoked.iter().map(|c| c.serial()).collect(),
            extensions: vec![extension("2.5.29.20", Critical::No, &[write::INTEGER, 1, 7])],
        }
    }

    /// The same for what names `uri` as its distribution point only.
    pub(crate) fn shard(mut self, uri: &str) -> Self {
        let mut value = Vec::new();
        write::tlv(&mut value, write::SEQUENCE, |o| tbs::full_name(o, &uri.parse().unwrap()));
        self.extensions.push(extension("2.5.29.28", Critical::Yes, &value));
        self
    }

    pub(crate) fn sign(&self, keys: &MemoryKeys, issuer: &Issuer) -> Vec<u8> {
        self.sign_as(keys, issuer, issuer.certificate().subject_der())
    }

    /// Signed by `issuer` under a name that need not be its own.
    pub(crate) fn sign_as(&self, keys: &MemoryKeys, issuer: &Issuer, name: &[u8]) -> Vec<u8> {
        let algorithm = match issuer.certificate().public_key().unwrap().kind() {
            crate::spki::PublicKeyKind::P384 => oid::ECDSA_WITH_SHA384,
            _ => oid::ECDSA_WITH_SHA256,
        };
        let algorithm = tbs::algorithm_identifier(&algorithm);
        let mut tbs = Vec::new();
        write::tlv(&mut tbs, write::SEQUENCE, |o| {
            write::bytes(o, write::INTEGER, &[1]);
            o.extend_from_slice(&algorithm);
            o.extend_from_slice(name);
            write::time(o, self.this_update);
            if let Some(next) = self.next_update {
                write::time(o, next);
            }
            if !self.revoked.is_empty() {
                write::tlv(o, write::SEQUENCE, |o| {
                    for serial in &self.revoked {
                        write::tlv(o, write::SEQUENCE, |o| {
                            write::bytes(o, write::INTEGER, &serial.der_content());
                            write::time(o, self.this_update);
                        });
                    }
                });
            }
            write::tlv(o, write::context_constructed(0), |o| {
                write::tlv(o, write::SEQUENCE, |o| {
                    self.extensions.iter().for_each(|e| o.extend_from_slice(e))
                });
            });
        });
        let signature = keys.sign(issuer.label(), &tbs).unwrap();
        let mut der = Vec::new();
        write::tlv(&mut der, write::SEQUENCE, |o| {
            o.extend_from_slice(&tbs);
            o.extend_from_slice(&algorithm);
            write::bit_string(o, &signature);
        });
        der
    }
}
