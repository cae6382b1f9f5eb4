//! From the response codes of the TPM (Library specification part 2, 6.6) to [`TpmError`].

use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;

use super::TpmError;

/// The general meaning of a failed command. What it means for one particular key is the caller's to add.
pub(super) fn failed(command: &'static str) -> impl Fn(tss_esapi::Error) -> TpmError {
    move |error| match kind(error) {
        Some(Kind::Lockout) => TpmError::Locked(format!("`{command}`: dictionary-attack lockout")),
        Some(
            Kind::Retry
            | Kind::Testing
            | Kind::Yielded
            | Kind::NvRate
            | Kind::NvUnavailable
            | Kind::Initialize
            | Kind::Failure
            | Kind::ObjectMemory
            | Kind::SessionMemory
            | Kind::Memory
            | Kind::ContextGap
            | Kind::ObjectHandles
            | Kind::SessionHandles
            | Kind::Reboot
            | Kind::Canceled,
        )
        | None => TpmError::Unavailable(format!("`{command}`: {error}")),
        Some(_) => TpmError::Refused { command, why: error.to_string() },
    }
}

/// Whether the TPM says that a blob is not one of its own: the integrity check fails, or (a blob of a TPM
/// with another kind of parent) it cannot even be unwrapped.
pub(super) fn is_foreign_blob(error: tss_esapi::Error) -> bool {
    matches!(
        kind(error),
        Some(
            Kind::Integrity
                | Kind::Size
                | Kind::Binding
                | Kind::Type
                | Kind::Value
                | Kind::EccPoint
                | Kind::Key
        )
    )
}

/// TPM_RC_FAILURE.
pub(super) fn is_failure(error: tss_esapi::Error) -> bool {
    kind(error) == Some(Kind::Failure)
}

fn kind(error: tss_esapi::Error) -> Option<Kind> {
    match error {
        tss_esapi::Error::Tss2Error(code) => code.kind(),
        // Ours or the wrapper's mistake: not the TPM's word.
        tss_esapi::Error::WrapperError(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapper_error_is_not_taken_for_the_word_of_the_tpm() {
        let error = tss_esapi::Error::WrapperError(tss_esapi::WrapperErrorKind::InvalidParam);
        assert!(!is_foreign_blob(error));
        assert!(matches!(failed("quote")(error), TpmError::Unavailable(_)));
    }
}
