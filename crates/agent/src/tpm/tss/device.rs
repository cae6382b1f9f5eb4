//! The connection to one TPM: parents, handles, sessions, commands.
//!
//! Object slots are scarce: swtpm and many chips have three and no resource manager. At most two objects stay
//! loaded (the attestation key and the TLS key used last); a parent is loaded for the moment it is needed and
//! flushed again. Keys have empty auth values: what protects them is that they cannot leave the chip.

use std::path::PathBuf;
use std::str::FromStr;

use lanyard_attest::tpm::structures::{self, Body};
use tss_esapi::Context;
use tss_esapi::abstraction::nv;
use tss_esapi::handles::{KeyHandle, NvIndexTpmHandle, PcrHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::NvAuth;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    Data, Digest, DigestValues, EncryptedSecret, HashcheckTicket, IdObject, PcrSelectionList,
    PcrSelectionListBuilder, PcrSlot, Private, Public, Signature, SignatureScheme,
};
use tss_esapi::tcti_ldr::TctiNameConf;
use tss_esapi::traits::{Marshall, UnMarshall};
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;

use super::errors::{failed, is_failure, is_foreign_blob};
use super::parents::{Endorsement, endorsement_public, handles, with_ek, with_srk};
use super::{AkHandle, Certified, KeySlot, PcrValue, Quote, TpmError};
use crate::tpm::container::{self, Kind};
use crate::tpm::{der, pcr_digest, templates};

/// What the blob of the attestation key is called, in files and errors.
const AK: &str = "ak";
/// TPM2_PCR_Read returns at most this many values (TPML_DIGEST).
const PCRS_PER_READ: usize = 8;
/// A PCR may move between read and quote; a boot in progress settles within a few tries.
const QUOTE_TRIES: usize = 5;
/// TCG EK credential profile 2.2.1.4 and the 24 indices from 2.2.1.2 on for the intermediate certificates.
const EK_CHAIN_FIRST: u32 = 0x01c0_0100;
const EK_CHAIN_LAST: u32 = 0x01c0_01ff;

/// A wrapped key as it lies on disk.
struct Blob {
    public: Vec<u8>,
    private: Vec<u8>,
    endorsement: Endorsement,
}

pub(super) struct Device {
    tcti: TctiNameConf,
    state_dir: PathBuf,
    context: Option<Context>,
    endorsement: Option<(Endorsement, Vec<u8>)>,
    ak: Option<KeyHandle>,
    tls: Option<(KeySlot, KeyHandle)>,
}

impl Device {
    pub(super) fn new(tcti: &str, state_dir: PathBuf) -> Result<Self, TpmError> {
        let tcti = TctiNameConf::from_str(tcti).map_err(|_| {
            TpmError::malformed(
                "tcti",
                format!("`{tcti}` is not like `device:/dev/tpmrm0` or `swtpm:host=H,port=N`"),
            )
        })?;
        Ok(Self { tcti, state_dir, context: None, endorsement: None, ak: None, tls: None })
    }

    /// After trouble with the TPM itself the next command starts on a fresh connection: the TPM may have been
    /// reset, and all its handles with it.
    pub(super) fn after(&mut self, error: &TpmError) {
        if matches!(error, TpmError::Unavailable(_) | TpmError::Locked(_) | TpmError::Refused { .. }) {
            self.ak = None;
            self.tls = None;
            self.context = None;
        }
    }

    pub(super) fn ek_public(&mut self) -> Result<Vec<u8>, TpmError> {
        Ok(self.endorsement()?.1)
    }

    pub(super) fn ek_certificate_chain(&mut self) -> Result<Vec<Vec<u8>>, TpmError> {
        let index = self.endorsement()?.0.certificate_index();
        let context = self.context()?;
        let mut chain = Vec::new();
        let mut wanted = handles(context, index)?;
        wanted.retain(|found| *found == index);
        if wanted.is_empty() {
            return Ok(chain);
        }
        let parts = handles(context, EK_CHAIN_FIRST)?;
        wanted.extend(parts.into_iter().filter(|h| (EK_CHAIN_FIRST..=EK_CHAIN_LAST).contains(h)));
        for index in wanted {
            let handle = NvIndexTpmHandle::new(index).map_err(failed("nv_read"))?;
            let bytes = context
                .execute_with_session(Some(AuthSession::Password), |c| {
                    nv::read_full(c, NvAuth::Owner, handle)
                })
                .map_err(failed("nv_read"))?;
            chain.extend(der::certificates(&bytes));
        }
        Ok(chain)
    }

    pub(super) fn ensure_ak(&mut self) -> Result<AkHandle, TpmError> {
        if self.read_blob(AK)?.is_none() {
            let (endorsement, _) = self.endorsement()?;
            let context = self.context()?;
            let template = template(&templates::attestation_key())?;
            let made = with_ek(context, endorsement, |context, ek, policy| {
                context.execute_with_session(Some(policy), |c| c.create(ek, template, None, None, None, None))
            })
            .map_err(failed("create"))?;
            let public = made.out_public.marshall().map_err(failed("create"))?;
            self.write_blob(AK, &Blob { public, private: made.out_private.to_vec(), endorsement })?;
        }
        self.ak()?;
        let blob = self.read_blob(AK)?.ok_or_else(|| TpmError::NotFound(AK.to_owned()))?;
        let name = parse_public(AK, &blob.public)?.name();
        Ok(AkHandle { public: blob.public, name })
    }

    pub(super) fn create_tls_key(&mut self, slot: KeySlot) -> Result<Vec<u8>, TpmError> {
        let (endorsement, _) = self.endorsement()?;
        self.unload_tls()?;
        let context = self.context()?;
        let template = template(&templates::tls_key())?;
        let made = with_srk(context, |context, srk| {
            context.execute_with_session(Some(AuthSession::Password), |c| {
                c.create(srk, template, None, None, None, None)
            })
        })
        .map_err(failed("create"))?;
        let public = made.out_public.marshall().map_err(failed("create"))?;
        let blob = Blob { public, private: made.out_private.to_vec(), endorsement };
        self.write_blob(&slot.to_string(), &blob)?;
        Ok(blob.public)
    }

    pub(super) fn load_tls_key(&mut self, slot: KeySlot) -> Result<Vec<u8>, TpmError> {
        let blob = self.tls_blob(slot)?;
        self.tls(slot)?;
        Ok(blob.public)
    }

    pub(super) fn forget_tls_key(&mut self, slot: KeySlot) -> Result<(), TpmError> {
        if self.tls.is_some_and(|(loaded, _)| loaded == slot) {
            self.unload_tls()?;
        }
        let path = self.path(&slot.to_string());
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(TpmError::io(path)(e)),
        }
    }

    pub(super) fn certify(&mut self, slot: KeySlot, nonce: Vec<u8>) -> Result<Certified, TpmError> {
        let (tls, ak) = (self.tls(slot)?, self.ak()?);
        let nonce = Data::try_from(nonce).map_err(failed("certify"))?;
        let passwords = (Some(AuthSession::Password), Some(AuthSession::Password), None);
        let (attest, signature) = self
            .context()?
            .execute_with_sessions(passwords, |c| c.certify(tls.into(), ak, nonce, SignatureScheme::Null))
            .map_err(failed("certify"))?;
        Ok(Certified {
            attest: attest.marshall().map_err(failed("certify"))?,
            signature: signature.marshall().map_err(failed("certify"))?,
        })
    }

    pub(super) fn activate_credential(
        &mut self,
        blob: Vec<u8>,
        secret: Vec<u8>,
    ) -> Result<Vec<u8>, TpmError> {
        let id = IdObject::try_from(blob).map_err(|_| TpmError::malformed("credential blob", "too long"))?;
        let secret = EncryptedSecret::try_from(secret)
            .map_err(|_| TpmError::malformed("encrypted secret", "too long"))?;
        let (endorsement, _) = self.endorsement()?;
        let ak = self.ak()?;
        let context = self.context()?;
        with_ek(context, endorsement, |context, ek, policy| {
            context.execute_with_sessions((Some(AuthSession::Password), Some(policy), None), |c| {
                c.activate_credential(ak, ek, id, secret)
            })
        })
        .map(|credential| credential.to_vec())
        .map_err(|e| {
            // libtpms says TPM_RC_FAILURE when an RSA seed does not decrypt. A TPM that has really failed
            // does not give random numbers either (part 1, 10.4).
            if is_foreign_blob(e) || (is_failure(e) && context.get_random(8).is_ok()) {
                TpmError::CredentialMismatch
            } else {
                failed("activate_credential")(e)
            }
        })
    }

    pub(super) fn pcr_extend(&mut self, pcr: u8, sha256: [u8; 32]) -> Result<(), TpmError> {
        let handle = PcrHandle::try_from(u32::from(pcr)).map_err(failed("pcr_extend"))?;
        let mut values = DigestValues::new();
        values
            .set(HashingAlgorithm::Sha256, Digest::try_from(sha256.to_vec()).map_err(failed("pcr_extend"))?);
        self.context()?
            .execute_with_session(Some(AuthSession::Password), |c| c.pcr_extend(handle, values))
            .map_err(failed("pcr_extend"))
    }

    pub(super) fn pcr_read(&mut self, pcrs: &[u8]) -> Result<Vec<PcrValue>, TpmError> {
        let context = self.context()?;
        let mut out = Vec::with_capacity(pcrs.len());
        for part in pcrs.chunks(PCRS_PER_READ) {
            let (_, _, values) = context.pcr_read(selection(part)?).map_err(failed("pcr_read"))?;
            if values.len() != part.len() {
                let why = "the SHA-256 bank is not active; allocate it in the firmware setup".to_owned();
                return Err(TpmError::Refused { command: "pcr_read", why });
            }
            for (pcr, value) in part.iter().zip(values.value()) {
                let value = <[u8; 32]>::try_from(value.value())
                    .map_err(|_| TpmError::malformed("PCR value", "a SHA-256 digest has 32 bytes"))?;
                out.push((*pcr, value));
            }
        }
        Ok(out)
    }

    pub(super) fn quote(&mut self, nonce: Vec<u8>, pcrs: &[u8]) -> Result<Quote, TpmError> {
        let ak = self.ak()?;
        let nonce = Data::try_from(nonce).map_err(failed("quote"))?;
        for _ in 0..QUOTE_TRIES {
            let values = self.pcr_read(pcrs)?;
            let selected = selection(pcrs)?;
            let nonce = nonce.clone();
            let (attest, signature) = self
                .context()?
                .execute_with_session(Some(AuthSession::Password), |c| {
                    c.quote(ak, nonce, SignatureScheme::Null, selected)
                })
                .map_err(failed("quote"))?;
            let attest = attest.marshall().map_err(failed("quote"))?;
            let signature = signature.marshall().map_err(failed("quote"))?;
            if quoted_digest(&attest)? == pcr_digest(&values) {
                return Ok(Quote { attest, signature, pcrs: values });
            }
        }
        Err(TpmError::Unavailable("PCRs changed between each read and quote".to_owned()))
    }

    pub(super) fn sign(&mut self, slot: KeySlot, digest: Vec<u8>) -> Result<Vec<u8>, TpmError> {
        let key = self.tls(slot)?;
        let digest = Digest::try_from(digest).map_err(failed("sign"))?;
        // Part 3, 20.2: an unrestricted key takes a null ticket, TPM_ST_HASHCHECK in TPM_RH_NULL.
        let ticket = TPMT_TK_HASHCHECK { tag: 0x8024, hierarchy: 0x4000_0007, digest: Default::default() };
        let ticket = HashcheckTicket::try_from(ticket).map_err(failed("sign"))?;
        let signature = self
            .context()?
            .execute_with_session(Some(AuthSession::Password), |c| {
                c.sign(key, digest, SignatureScheme::Null, ticket)
            })
            .map_err(failed("sign"))?;
        match signature {
            Signature::EcDsa(ecdsa) => {
                Ok(der::ecdsa_signature(ecdsa.signature_r().value(), ecdsa.signature_s().value()))
            }
            other => {
                Err(TpmError::Refused { command: "sign", why: format!("scheme {:?}", other.algorithm()) })
            }
        }
    }

    fn context(&mut self) -> Result<&mut Context, TpmError> {
        let context = match self.context.take() {
            Some(context) => context,
            None => connect(&self.tcti)?,
        };
        Ok(self.context.insert(context))
    }

    /// The endorsement key to use, with its public area: that of the attestation key if there is one, else
    /// the first that the maker certified, else P-256.
    fn endorsement(&mut self) -> Result<(Endorsement, Vec<u8>), TpmError> {
        if let Some(known) = &self.endorsement {
            return Ok(known.clone());
        }
        let bound = self.read_blob(AK)?.map(|blob| blob.endorsement);
        let context = self.context()?;
        let mut choice = bound;
        for candidate in Endorsement::ALL {
            let index = candidate.certificate_index();
            if choice.is_none() && handles(context, index)?.first() == Some(&index) {
                choice = Some(candidate);
            }
        }
        let choice = choice.unwrap_or(Endorsement::P256);
        let public = endorsement_public(context, choice).map_err(failed("read_public"))?;
        Ok(self.endorsement.insert((choice, public)).clone())
    }

    fn ak(&mut self) -> Result<KeyHandle, TpmError> {
        if let Some(loaded) = self.ak {
            return Ok(loaded);
        }
        let blob = self.read_blob(AK)?.ok_or_else(|| TpmError::NotFound(AK.to_owned()))?;
        let (public, private) = halves(AK, &blob)?;
        let loaded = with_ek(self.context()?, blob.endorsement, |context, ek, policy| {
            context.execute_with_session(Some(policy), |c| c.load(ek, private, public))
        })
        .map_err(|e| load_failed(AK, e))?;
        Ok(*self.ak.insert(loaded))
    }

    fn tls(&mut self, slot: KeySlot) -> Result<KeyHandle, TpmError> {
        if let Some((_, loaded)) = self.tls.filter(|(in_slot, _)| *in_slot == slot) {
            return Ok(loaded);
        }
        let name = slot.to_string();
        let (public, private) = halves(&name, &self.tls_blob(slot)?)?;
        self.unload_tls()?;
        let loaded = with_srk(self.context()?, |context, srk| {
            context.execute_with_session(Some(AuthSession::Password), |c| c.load(srk, private, public))
        })
        .map_err(|e| load_failed(&name, e))?;
        self.tls = Some((slot, loaded));
        Ok(loaded)
    }

    fn unload_tls(&mut self) -> Result<(), TpmError> {
        match self.tls.take() {
            Some((_, loaded)) => {
                self.context()?.flush_context(loaded.into()).map_err(failed("flush_context"))
            }
            None => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.state_dir.join(format!("{name}.lyrt"))
    }

    fn tls_blob(&self, slot: KeySlot) -> Result<Blob, TpmError> {
        let name = slot.to_string();
        self.read_blob(&name)?.ok_or(TpmError::NotFound(name))
    }

    fn read_blob(&self, name: &str) -> Result<Option<Blob>, TpmError> {
        let Some(bytes) = container::read(&self.path(name))? else { return Ok(None) };
        let fields = container::decode(name, Kind::HardwareBlob, &bytes)?;
        let malformed = |why: &str| TpmError::malformed(name, why);
        let [label, endorsement, public, private] =
            <[Vec<u8>; 4]>::try_from(fields).map_err(|_| malformed("a key blob has four fields"))?;
        if label != name.as_bytes() {
            return Err(malformed("the file holds the key of another slot"));
        }
        let endorsement =
            Endorsement::from_tag(&endorsement).ok_or_else(|| malformed("unknown endorsement key type"))?;
        Ok(Some(Blob { public, private, endorsement }))
    }

    fn write_blob(&self, name: &str, blob: &Blob) -> Result<(), TpmError> {
        let fields: [&[u8]; 4] = [name.as_bytes(), &[blob.endorsement.tag()], &blob.public, &blob.private];
        container::write(&self.path(name), &container::encode(Kind::HardwareBlob, &fields))
    }
}

/// Connects, and clears what an earlier process that was killed may have left in the slots. A resource
/// manager shows each connection its own objects only, so nobody else's are touched there.
fn connect(tcti: &TctiNameConf) -> Result<Context, TpmError> {
    let mut context = Context::new(tcti.clone()).map_err(failed("connect"))?;
    for handle in
        handles(&mut context, FIRST_TRANSIENT)?.into_iter().filter(|h| h >> 24 == FIRST_TRANSIENT >> 24)
    {
        let handle = TpmHandle::try_from(handle).map_err(failed("flush_context"))?;
        let object = context.tr_from_tpm_public(handle).map_err(failed("flush_context"))?;
        context.flush_context(object).map_err(failed("flush_context"))?;
    }
    Ok(context)
}

const FIRST_TRANSIENT: u32 = 0x8000_0000;

fn load_failed(name: &str, error: tss_esapi::Error) -> TpmError {
    if is_foreign_blob(error) { TpmError::KeyNotOfThisTpm(name.to_owned()) } else { failed("load")(error) }
}

fn halves(name: &str, blob: &Blob) -> Result<(Public, Private), TpmError> {
    let malformed = |_| TpmError::malformed(name, "not a key blob of a TPM");
    Ok((
        Public::unmarshall(&blob.public).map_err(malformed)?,
        Private::try_from(blob.private.clone()).map_err(malformed)?,
    ))
}

fn template(public: &structures::Public) -> Result<Public, TpmError> {
    Public::unmarshall(&public.encode()).map_err(failed("create"))
}

fn parse_public(name: &str, bytes: &[u8]) -> Result<structures::Public, TpmError> {
    structures::Public::parse(bytes).map_err(|e| TpmError::malformed(name, e.to_string()))
}

fn selection(pcrs: &[u8]) -> Result<PcrSelectionList, TpmError> {
    let slots = pcrs
        .iter()
        .map(|pcr| PcrSlot::try_from(1u32 << (pcr % 32)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed("pcr_selection"))?;
    PcrSelectionListBuilder::new()
        .with_selection(HashingAlgorithm::Sha256, &slots)
        .build()
        .map_err(failed("pcr_selection"))
}

fn quoted_digest(attest: &[u8]) -> Result<Vec<u8>, TpmError> {
    let attest =
        structures::Attest::parse(attest).map_err(|e| TpmError::malformed("quote", e.to_string()))?;
    match attest.body {
        Body::Quote { pcr_digest, .. } => Ok(pcr_digest),
        Body::Certify { .. } => Err(TpmError::malformed("quote", "the TPM answered with something else")),
    }
}
