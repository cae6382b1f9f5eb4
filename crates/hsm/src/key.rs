//! Keys as objects of a token: found, read, proved, made.
//!
//! A key of ours is a private key object with CKA_LABEL = its label, CKA_SENSITIVE, not CKA_EXTRACTABLE, and a public
//! key object of the same label. CKA_ID of both is the SHA-256 of the SubjectPublicKeyInfo, as the rest of Lanyard names
//! a key; it is written for people and other programs, we look by label. Keys that another program made are taken when
//! they fulfil the same.

use aws_lc_rs::{digest, rand};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use lanyard_pki::key::{KeyError, KeyKind, KeyLabel, KeyUse};
use lanyard_pki::spki::PublicKey;

use crate::error::{HsmError, is_unsupported, meaning};
use crate::mechanism::{self, Recipe};
use crate::token::Known;

/// Token objects of this class and label.
fn objects(
    session: &Session,
    class: ObjectClass,
    label: Option<&KeyLabel>,
) -> Result<Vec<ObjectHandle>, HsmError> {
    let mut template = vec![Attribute::Class(class), Attribute::Token(true)];
    template.extend(label.map(|label| Attribute::Label(label.as_str().into())));
    session.find_objects(&template).map_err(|e| meaning(e, "search its objects"))
}

/// The private key under a label.
pub(crate) fn find(session: &Session, label: &KeyLabel) -> Result<Option<ObjectHandle>, HsmError> {
    match objects(session, ObjectClass::PRIVATE_KEY, Some(label))?.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        several => Err(HsmError::Refused(format!(
            "{} private keys have label `{label}`: rename all but one",
            several.len()
        ))),
    }
}

/// Whether any key object has this label, ours or not.
pub(crate) fn is_taken(session: &Session, label: &KeyLabel) -> Result<bool, HsmError> {
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY, ObjectClass::SECRET_KEY] {
        if !objects(session, class, Some(label))?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The labels of all private keys that are labels of ours, in order, each once.
pub(crate) fn labels(session: &Session) -> Result<Vec<KeyLabel>, HsmError> {
    let mut labels = Vec::new();
    for handle in objects(session, ObjectClass::PRIVATE_KEY, None)? {
        for attribute in attributes(session, handle, &[AttributeType::Label])? {
            if let Attribute::Label(label) = attribute {
                labels.extend(String::from_utf8(label).ok().and_then(|l| l.parse::<KeyLabel>().ok()));
            }
        }
    }
    labels.sort();
    labels.dedup();
    Ok(labels)
}

/// The objects that claim to be the public key of a label.
pub(crate) fn publics(session: &Session, label: &KeyLabel) -> Result<Vec<ObjectHandle>, HsmError> {
    objects(session, ObjectClass::PUBLIC_KEY, Some(label))
}

/// What a key is, with the one of these public parts that its private part was seen to fit.
pub(crate) fn read(
    session: &Session,
    label: &KeyLabel,
    handle: ObjectHandle,
    publics: &[ObjectHandle],
) -> Result<Known, HsmError> {
    let rights = Rights::of(session, handle)?;
    let refused = |why: &str| HsmError::Refused(format!("key `{label}` cannot be used: {why}"));
    // I10: what can leave the module is not a key that lives in it.
    if !rights.is_sensitive || rights.is_extractable {
        return Err(refused("it can be read out of the module (not sensitive, or extractable)"));
    }
    if !rights.signs {
        return Err(refused("it was not made to sign"));
    }
    if rights.asks_each_time {
        return Err(refused("it wants the PIN for each signature (CKA_ALWAYS_AUTHENTICATE)"));
    }
    let own = Facts::of(session, handle)?;
    let kind = own.kind().ok_or_else(|| refused("it is of a kind that is not accepted"))?;
    let mut candidates = Vec::new();
    for object in publics {
        candidates.push(Facts::of(session, *object)?);
    }
    // Some modules keep no public key object: the private one then says it (RSA always does, PKCS#11 3.1, 6.1.3).
    candidates.push(own);
    // One signature for all that claim to be its public key: anybody may have written such objects.
    let (message, signature) = proof(session, handle, kind)?;
    let fits = |public: &PublicKey| public.verify(&kind.signature_oid(), &message, &signature).is_ok();
    let public = candidates
        .iter()
        .filter_map(Facts::public_key)
        .find(|public| public.kind() == kind.public() && fits(public))
        .ok_or_else(|| refused("there is no public key that fits it"))?;
    // Modules give every private key the right to decrypt when nobody said no, elliptic ones too.
    let decrypts = rights.decrypts && kind.fits(KeyUse::SignAndDecrypt);
    let usage = if decrypts { KeyUse::SignAndDecrypt } else { KeyUse::Sign };
    Ok(Known { kind, usage, public })
}

/// A message and its signature. The message cannot be mistaken for anything that is signed elsewhere: certificates,
/// lists and CMS attributes are DER, which begins with 0x30 or 0x31.
fn proof(session: &Session, handle: ObjectHandle, kind: KeyKind) -> Result<(Vec<u8>, Vec<u8>), HsmError> {
    let mut nonce = [0; 16];
    rand::fill(&mut nonce).map_err(|_| HsmError::from(KeyError::Crypto("make random bytes")))?;
    let message = [b"lanyard: do these two belong together? ".as_slice(), &nonce].concat();
    let signature = sign(session, handle, kind, &message)?;
    Ok((message, signature))
}

/// A signature as X.509 has it.
pub(crate) fn sign(
    session: &Session,
    handle: ObjectHandle,
    kind: KeyKind,
    message: &[u8],
) -> Result<Vec<u8>, HsmError> {
    let (mechanism, input) =
        mechanism::signing(kind, message).ok_or_else(|| HsmError::from(KeyError::Unsupported(kind)))?;
    let signature = session.sign(&mechanism, handle, &input).map_err(|e| meaning(e, "sign"))?;
    mechanism::in_x509(kind, signature)
}

/// Makes a key pair that stays in the token. The session must be able to write.
pub(crate) fn generate(
    session: &Session,
    label: &KeyLabel,
    kind: KeyKind,
    usage: KeyUse,
) -> Result<Known, HsmError> {
    let Recipe { mechanism, mut public, mut private } =
        mechanism::recipe(kind, usage).ok_or_else(|| HsmError::from(KeyError::Unsupported(kind)))?;
    for template in [&mut public, &mut private] {
        template.extend([Attribute::Token(true), Attribute::Label(label.as_str().into())]);
    }
    public.extend([Attribute::Private(false), Attribute::Verify(true)]);
    private.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
    ]);
    let (public, private) = match session.generate_key_pair(&mechanism, &public, &private) {
        Ok(pair) => pair,
        Err(error) if is_unsupported(&error) => return Err(KeyError::Unsupported(kind).into()),
        Err(error) => {
            return Err(match meaning(error, "make a key pair") {
                // Perhaps it was made: not to be tried again by us, see `KeyBackend`.
                HsmError::Lost(why) => KeyError::Unavailable(why).into(),
                other => other,
            });
        }
    };
    let made = finish(session, label, kind, usage, public, private);
    if let Err(HsmError::Key(KeyError::Exists(_)) | HsmError::Refused(_)) = &made {
        // Ours, by its handle, and nobody has its public key yet.
        for object in [private, public] {
            session.destroy_object(object).map_err(|e| meaning(e, "remove a key pair of no use"))?;
        }
    }
    made.map_err(|error| match error {
        HsmError::Lost(why) => KeyError::Unavailable(why).into(),
        other => other,
    })
}

/// What is checked of a new pair before it counts.
fn finish(
    session: &Session,
    label: &KeyLabel,
    kind: KeyKind,
    usage: KeyUse,
    public: ObjectHandle,
    private: ObjectHandle,
) -> Result<Known, HsmError> {
    // Another process may have used the label since we looked: PKCS#11 has no lock. Who sees two steps back. Where the
    // token shows the other's key too late (replicated modules), two stay, and `find` refuses the label from then on.
    if objects(session, ObjectClass::PRIVATE_KEY, Some(label))?.len() != 1 {
        return Err(KeyError::Exists(label.clone()).into());
    }
    // The module may have ignored parts of the template: what counts is what it says afterwards.
    let known = read(session, label, private, &[public])?;
    if (known.kind, known.usage) != (kind, usage) {
        return Err(HsmError::Refused(format!("key `{label}` was made as another kind or for another use")));
    }
    let id = digest::digest(&digest::SHA256, known.public.der()).as_ref().to_vec();
    for object in [private, public] {
        // For people and other programs only; a module that does not let it be written has a key without it.
        let _ = session.update_attributes(object, &[Attribute::Id(id.clone())]);
    }
    Ok(known)
}

/// What a private key may do. What the module does not say counts as the worse.
struct Rights {
    is_sensitive: bool,
    is_extractable: bool,
    signs: bool,
    decrypts: bool,
    asks_each_time: bool,
}

impl Rights {
    fn of(session: &Session, object: ObjectHandle) -> Result<Self, HsmError> {
        let mut rights = Rights {
            is_sensitive: false,
            is_extractable: true,
            signs: false,
            decrypts: false,
            asks_each_time: false,
        };
        let wanted = [
            AttributeType::Sensitive,
            AttributeType::Extractable,
            AttributeType::Sign,
            AttributeType::Decrypt,
            AttributeType::AlwaysAuthenticate,
        ];
        for attribute in attributes(session, object, &wanted)? {
            match attribute {
                Attribute::Sensitive(value) => rights.is_sensitive = value,
                Attribute::Extractable(value) => rights.is_extractable = value,
                Attribute::Sign(value) => rights.signs = value,
                Attribute::Decrypt(value) => rights.decrypts = value,
                Attribute::AlwaysAuthenticate(value) => rights.asks_each_time = value,
                _ => {}
            }
        }
        Ok(rights)
    }
}

/// What an object says of the public key.
#[derive(Default)]
struct Facts {
    key_type: Option<KeyType>,
    curve: Option<Vec<u8>>,
    point: Option<Vec<u8>>,
    modulus: Option<Vec<u8>>,
    exponent: Option<Vec<u8>>,
}

impl Facts {
    fn of(session: &Session, object: ObjectHandle) -> Result<Self, HsmError> {
        let key_type =
            attributes(session, object, &[AttributeType::KeyType])?.into_iter().find_map(|a| match a {
                Attribute::KeyType(key_type) => Some(key_type),
                _ => None,
            });
        // Only what such an object has: some modules fail the whole question for one attribute that it has not.
        let mut wanted = vec![];
        match key_type {
            Some(KeyType::EC | KeyType::EC_EDWARDS) => {
                wanted.extend([AttributeType::EcParams, AttributeType::EcPoint]);
            }
            Some(KeyType::RSA) => wanted.extend([AttributeType::Modulus, AttributeType::PublicExponent]),
            _ => {}
        }
        let mut facts = Facts { key_type, ..Facts::default() };
        for attribute in attributes(session, object, &wanted)? {
            match attribute {
                Attribute::EcParams(bytes) => facts.curve = Some(bytes),
                Attribute::EcPoint(bytes) => facts.point = Some(bytes),
                Attribute::Modulus(bytes) => facts.modulus = Some(bytes),
                Attribute::PublicExponent(bytes) => facts.exponent = Some(bytes),
                _ => {}
            }
        }
        Ok(facts)
    }

    /// What kind of key it is, as far as its own attributes say.
    fn kind(&self) -> Option<KeyKind> {
        match self.key_type? {
            KeyType::EC | KeyType::EC_EDWARDS => mechanism::kind_of_curve(self.curve.as_deref()?),
            // A private RSA key has modulus and exponent too.
            KeyType::RSA => KeyKind::of(self.public_key()?.kind()),
            _ => None,
        }
    }

    fn public_key(&self) -> Option<PublicKey> {
        match self.key_type? {
            KeyType::EC | KeyType::EC_EDWARDS => {
                PublicKey::from_ec_point(self.kind()?.public(), self.point.as_deref()?).ok()
            }
            KeyType::RSA => PublicKey::from_rsa(self.modulus.as_deref()?, self.exponent.as_deref()?).ok(),
            _ => None,
        }
    }
}

fn attributes(
    session: &Session,
    object: ObjectHandle,
    wanted: &[AttributeType],
) -> Result<Vec<Attribute>, HsmError> {
    session.get_attributes(object, wanted).map_err(|e| meaning(e, "read a key's attributes"))
}
