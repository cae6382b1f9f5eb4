//! The TCG PC Client event log: what firmware measured, in order (Platform Firmware Profile, 10).
//!
//! [`log`] parses both forms (SHA-1 and crypto-agile), [`replay`] folds events into PCR values, [`build`]
//! writes synthetic logs for software TPMs. The digest of an event is covered by the quote; its data is
//! not, unless the digest happens to be the hash of the data. Nothing here interprets event data.
//! To add an event type's name: one line in [`event_name`].

pub mod build;
pub mod log;
pub mod replay;
#[cfg(test)]
mod tests;

pub use log::{Event, EventLog};
pub use replay::{Replay, replay};

/// Real logs have 15 to 80 KiB; 4 MiB leaves room for UKI systems with large boot variables.
pub const MAX_LOG: usize = 4 * 1024 * 1024;
/// A SHA-1 record has at least 32 bytes, so 4 MiB cannot hold more than 131,072; real logs have 26 to 158.
pub const MAX_EVENTS: usize = 100_000;
/// Banks in the header: SHA-1, SHA-256, SHA-384, SHA-512, SM3 and three to come.
pub const MAX_BANKS: usize = 8;
/// PCRs of the PC profile are 0 to 23.
pub const PCRS: usize = 24;

/// The PCR into which AI models are measured. Not 16 or 23, which can be reset; 12 is for what the operating
/// system loads beside the kernel.
pub const MODEL_PCR: u8 = 12;
/// The PCRs that a firmware release fixes: firmware, option ROMs, boot manager, Secure Boot policy, kernel.
/// 1, 3, 5 and 6 vary with each machine's own settings.
pub const BASELINE_PCRS: [u8; 5] = [0, 2, 4, 7, 9];
/// What our agent quotes: the baseline and the model.
pub const QUOTED_PCRS: [u8; 6] = [0, 2, 4, 7, 9, 12];
/// In front of the model's name in the data of a model event. The digest is the manifest's, not the data's.
pub const MODEL_EVENT_PREFIX: &[u8] = b"lanyard.model\0";

/// Never extended.
pub const EV_NO_ACTION: u32 = 0x03;
/// Ends a phase.
pub const EV_SEPARATOR: u32 = 0x04;
/// Version of the static root of trust.
pub const EV_S_CRTM_VERSION: u32 = 0x08;
/// A digest of something whose description is the data.
pub const EV_COMPACT_HASH: u32 = 0x0C;
/// Loaded by the boot loader.
pub const EV_IPL: u32 = 0x0D;
/// A Secure Boot variable.
pub const EV_EFI_VARIABLE_DRIVER_CONFIG: u32 = 0x8000_0001;
/// A boot application.
pub const EV_EFI_BOOT_SERVICES_APPLICATION: u32 = 0x8000_0003;
/// A firmware volume.
pub const EV_EFI_PLATFORM_FIRMWARE_BLOB: u32 = 0x8000_0008;

/// The name of an event type, or its number.
pub fn event_name(kind: u32) -> String {
    let name = match kind {
        0x01 => "POST code",
        EV_NO_ACTION => "no action",
        EV_SEPARATOR => "separator",
        0x05 => "action",
        0x07 => "firmware root contents",
        EV_S_CRTM_VERSION => "firmware root version",
        EV_COMPACT_HASH => "compact hash",
        EV_IPL => "boot loader item",
        EV_EFI_VARIABLE_DRIVER_CONFIG => "Secure Boot variable",
        0x8000_0002 => "boot variable",
        EV_EFI_BOOT_SERVICES_APPLICATION => "boot application",
        0x8000_0004 => "boot driver",
        0x8000_0005 => "runtime driver",
        0x8000_0006 => "partition table",
        0x8000_0007 => "firmware action",
        EV_EFI_PLATFORM_FIRMWARE_BLOB | 0x8000_000A => "firmware volume",
        0x8000_00E0 => "Secure Boot authority",
        _ => return format!("event type {kind:#x}"),
    };
    name.to_owned()
}
