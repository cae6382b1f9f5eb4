//! Deterministic CBOR of a bundle (RFC 8949 section 4.2.1): definite lengths, shortest heads, ascending keys.
//!
//! The encoder is written by hand because it cannot fail and the six lines of [`head`] are all it needs.

use super::format::{Bundle, FORMAT, KEYS, Leaf, Log};

const UINT: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const NULL: u8 = 0xf6;

/// The one encoding of this content.
#[must_use]
pub fn encode(bundle: &Bundle<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    head(&mut out, MAP, KEYS);
    key(&mut out, 1);
    text(&mut out, FORMAT);
    key(&mut out, 2);
    bytes(&mut out, bundle.claim);
    key(&mut out, 3);
    list(&mut out, &bundle.logs, log);
    key(&mut out, 4);
    list(&mut out, &bundle.leaves, leaf);
    key(&mut out, 5);
    list(&mut out, &bundle.attachments, |out, file| bytes(out, file));
    key(&mut out, 6);
    list(&mut out, &bundle.witnesses, |out, vkey| text(out, vkey));
    out
}

fn log(out: &mut Vec<u8>, log: &Log<'_>) {
    head(out, MAP, 2);
    key(out, 1);
    text(out, log.vkey);
    key(out, 2);
    text(out, log.note);
}

fn leaf(out: &mut Vec<u8>, leaf: &Leaf<'_>) {
    head(out, MAP, 5);
    key(out, 1);
    head(out, UINT, leaf.log as u64);
    key(out, 2);
    bytes(out, leaf.entry);
    key(out, 3);
    optional(out, leaf.opening.as_ref(), |out, opening| bytes(out, opening.salt));
    key(out, 4);
    optional(out, leaf.opening.as_ref(), |out, opening| bytes(out, opening.payload));
    key(out, 5);
    optional(out, leaf.proof.as_ref(), |out, proof| list(out, proof, |out, hash| bytes(out, &hash.0)));
}

fn list<T>(out: &mut Vec<u8>, items: &[T], item: impl Fn(&mut Vec<u8>, &T)) {
    head(out, ARRAY, items.len() as u64);
    items.iter().for_each(|it| item(out, it));
}

fn optional<T>(out: &mut Vec<u8>, value: Option<&T>, some: impl Fn(&mut Vec<u8>, &T)) {
    match value {
        Some(value) => some(out, value),
        None => out.push(NULL),
    }
}

fn key(out: &mut Vec<u8>, key: u64) {
    head(out, UINT, key);
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    head(out, BYTES, value.len() as u64);
    out.extend_from_slice(value);
}

fn text(out: &mut Vec<u8>, value: &str) {
    head(out, TEXT, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

/// RFC 8949 section 3: major type and argument, the argument in as few bytes as it fits.
fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let [.., e, f, g, h] = argument.to_be_bytes();
    match argument {
        0..=23 => out.push(major | h),
        24..=0xff => out.extend_from_slice(&[major | 24, h]),
        0x100..=0xffff => out.extend_from_slice(&[major | 25, g, h]),
        0x1_0000..=0xffff_ffff => out.extend_from_slice(&[major | 26, e, f, g, h]),
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}
