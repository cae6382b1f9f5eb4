//! What a module's return codes mean for us: gone, wrong PIN, or no.

use std::path::PathBuf;

use cryptoki::error::{Error, RvError};
use lanyard_pki::key::{KeyError, KeyLabel};

/// Why the module did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum HsmError {
    /// The configuration cannot be meant so.
    #[error("hardware module: {0}")]
    Config(&'static str),
    /// Not a PKCS#11 module, or one that does not load here.
    #[error("hardware module `{}` does not load: {why}", .path.display())]
    Module {
        /// The library.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// No token of that label.
    #[error("no token with label `{label}` in the hardware module, there are: {found}")]
    NoToken {
        /// The label that was looked for.
        label: String,
        /// The labels that are there.
        found: String,
    },
    /// Two tokens of one label.
    #[error("{0} tokens have label `{1}`: say in `serial` which")]
    Ambiguous(usize, String),
    /// The PIN is wrong, locked or expired. It is not tried again.
    #[error(
        "the hardware module refuses the PIN ({0}): it is not tried again, so as not to lock it; correct it and restart"
    )]
    Pin(String),
    /// The module or its token cannot be reached now.
    #[error("the hardware module is gone: {0}")]
    Lost(String),
    /// The module says no.
    #[error("the hardware module refuses: {0}")]
    Refused(String),
    /// A signature that is not by the key we know under this label.
    #[error(
        "the hardware module signed with another key than that of `{0}`: was the token restored or the key replaced?"
    )]
    WrongSignature(KeyLabel),
    /// An answer about a key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl From<HsmError> for KeyError {
    fn from(error: HsmError) -> Self {
        match error {
            HsmError::Key(key) => key,
            // Comes back by itself, or when somebody plugs it in: the caller may try again.
            HsmError::Lost(_) | HsmError::NoToken { .. } | HsmError::Ambiguous(..) => {
                KeyError::Unavailable(error.to_string())
            }
            HsmError::Config(_)
            | HsmError::Module { .. }
            | HsmError::Pin(_)
            | HsmError::Refused(_)
            | HsmError::WrongSignature(_) => KeyError::Refused(error.to_string()),
        }
    }
}

/// What a failed call means. `doing` completes "cannot".
pub(crate) fn meaning(error: Error, doing: &'static str) -> HsmError {
    // The module's word, not the sentence that cryptoki has for it: it is what one looks up in a vendor's manual.
    let word = match &error {
        Error::Pkcs11(code, function) => format!("C_{function:?} says {code:?}"),
        other => other.to_string(),
    };
    let said = format!("cannot {doing}: {word}");
    match error {
        Error::Pkcs11(code, _) if is_pin(code) => HsmError::Pin(word),
        Error::Pkcs11(code, _) if is_loss(code) => HsmError::Lost(said),
        _ => HsmError::Refused(said),
    }
}

fn is_pin(code: RvError) -> bool {
    matches!(
        code,
        RvError::PinIncorrect
            | RvError::PinInvalid
            | RvError::PinLenRange
            | RvError::PinLocked
            | RvError::PinExpired
            | RvError::UserPinNotInitialized
    )
}

/// Codes after which the session is worth nothing and another try may work. Seen: SoftHSM without its token directory
/// says OBJECT_HANDLE_INVALID, then GENERAL_ERROR; p11-kit without its server says DEVICE_ERROR for everything.
fn is_loss(code: RvError) -> bool {
    matches!(
        code,
        RvError::Cancel
            | RvError::CantLock
            | RvError::CryptokiNotInitialized
            | RvError::DeviceError
            | RvError::DeviceMemory
            | RvError::DeviceRemoved
            | RvError::FunctionCanceled
            | RvError::FunctionFailed
            | RvError::GeneralError
            | RvError::HostMemory
            | RvError::KeyHandleInvalid
            | RvError::MutexBad
            | RvError::MutexNotLocked
            | RvError::ObjectHandleInvalid
            | RvError::OperationActive
            | RvError::OperationNotInitialized
            | RvError::SessionClosed
            | RvError::SessionCount
            | RvError::SessionHandleInvalid
            | RvError::SlotIdInvalid
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::UserAnotherAlreadyLoggedIn
            | RvError::UserNotLoggedIn
            // Every vendor has its own words for a lost connection.
            | RvError::VendorDefined(_)
    )
}

/// Whether the module says that it has no such kind of key.
pub(crate) fn is_unsupported(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::CurveNotSupported
                | RvError::DomainParamsInvalid
                | RvError::FunctionNotSupported
                | RvError::KeySizeRange
                | RvError::MechanismInvalid
                | RvError::MechanismParamInvalid,
            _
        )
    )
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[test]
    fn each_code_ends_in_what_a_caller_can_do() {
        let kind = |code| KeyError::from(meaning(Error::Pkcs11(code, Function::Sign), "sign"));
        for code in [
            RvError::DeviceRemoved,
            RvError::SessionHandleInvalid,
            RvError::TokenNotPresent,
            RvError::CryptokiNotInitialized,
            RvError::VendorDefined(0x8000_0001),
        ] {
            assert!(matches!(kind(code), KeyError::Unavailable(_)), "{code:?}");
        }
        for code in [RvError::PinIncorrect, RvError::PinLocked, RvError::KeyFunctionNotPermitted] {
            assert!(matches!(kind(code), KeyError::Refused(_)), "{code:?}");
        }
        let said = kind(RvError::DeviceRemoved).to_string();
        assert!(said.ends_with("cannot sign: C_Sign says DeviceRemoved"), "{said}");
    }
}
