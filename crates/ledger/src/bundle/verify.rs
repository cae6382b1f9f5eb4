//! The steps of verification, in the order of section 8 of `docs/evidence-bundle.md`.

use std::collections::BTreeMap;

use super::decode::decode;
use super::flaw::{Flaw, Part};
use super::format::{Bundle, Log};
use super::keys;
use super::leaves;
use super::quotes::Quotes;
use super::verified::{
    Anchor, Attachment, Cosignature, Level, LogKey, OpenedLeaf, Segment, TrustPolicy, Verified,
};
use crate::hash::{Hash, sha256};

/// Verifies a bundle. This is the entry point for fuzzing.
///
/// # Errors
/// The first [`Flaw`]: the bundle is contradicted.
pub fn verify<'a>(bytes: &'a [u8], trust: &TrustPolicy) -> Result<Verified<'a>, Flaw> {
    let bundle = decode(bytes)?;
    let keyring = keys::parse(&bundle)?;
    let log_key = pin(&bundle, trust)?;
    let (logs, cosignatures) = keys::check_notes(&bundle, &keyring, trust)?;
    let leaves = leaves::open(&bundle.leaves, &logs)?;
    let named = leaves::chain(&leaves)?;
    leaves::prove(&bundle.leaves, &leaves, &named, &logs)?;
    let quotes = read_quotes(&leaves);
    let anchors = anchors(&bundle, &leaves, &quotes)?;
    let attachments = attachments(&bundle, &quotes)?;
    let closing = closing(&bundle, &quotes)?;
    let segments = leaves::segments(&leaves, &named);
    one_closing_segment(&leaves, closing, &segments)?;
    let level = level(&cosignatures, trust.quorum);
    let mut verified = Verified {
        claim: bundle.claim,
        logs,
        leaves,
        closing,
        segments,
        attachments,
        anchors,
        cosignatures,
        level,
        log_key,
        not_proven: Vec::new(),
    };
    verified.not_proven = not_proven(&verified);
    Ok(verified)
}

/// Step 3. Without pins any key is accepted, and the answer says so.
fn pin(bundle: &Bundle<'_>, trust: &TrustPolicy) -> Result<LogKey, Flaw> {
    let vkey = bundle.logs.first().map_or("", |log| log.vkey);
    match &trust.main_log_vkeys {
        None => Ok(LogKey::SelfAsserted { fingerprint: digest(vkey.as_bytes()) }),
        Some(pinned) if pinned.iter().any(|pin| pin == vkey) => Ok(LogKey::Pinned),
        Some(_) => {
            Err(Flaw::new(Part::Pin, format!("the main log's key is `{vkey}`, which is not a pinned one")))
        }
    }
}

fn read_quotes<'a>(leaves: &[OpenedLeaf<'a>]) -> Quotes<'a> {
    let mut quotes = Quotes::default();
    for (index, leaf) in leaves.iter().enumerate() {
        let Some(payload) = leaf.payload else { continue };
        quotes.read_digests(index, payload);
        if leaf.log == 0 {
            quotes.read_members(index, payload);
        }
    }
    quotes
}

/// Step 8: the main log vouches for each sub-log's key, and then for its checkpoint.
fn anchors(bundle: &Bundle<'_>, leaves: &[OpenedLeaf<'_>], quotes: &Quotes<'_>) -> Result<Vec<Anchor>, Flaw> {
    let anchor = |(log, sub): (usize, &Log<'_>)| {
        let flaw = |rule: &str| Flaw::new(Part::Anchor { log }, rule);
        let vkey_leaf =
            quotes.vkey(sub.vkey).ok_or_else(|| flaw("no opened leaf of the main log names its `vkey`"))?;
        let note_leaf = quotes
            .note(&digest(sub.note.as_bytes()))
            .ok_or_else(|| flaw("no opened leaf of the main log holds its checkpoint's `note_sha256`"))?;
        if vkey_leaf > note_leaf {
            return Err(flaw("the main log names its key only after its checkpoint"));
        }
        if !leaves.iter().any(|leaf| leaf.log == log) {
            return Err(flaw("no leaf of it is in the bundle"));
        }
        Ok(Anchor { log, vkey_leaf, note_leaf })
    };
    bundle.logs.iter().enumerate().skip(1).map(anchor).collect()
}

/// Step 9: attachments ascend by digest, and an opened payload names each.
fn attachments<'a>(bundle: &Bundle<'a>, quotes: &Quotes<'_>) -> Result<BTreeMap<Hash, Attachment<'a>>, Flaw> {
    let mut files = BTreeMap::new();
    for (attachment, bytes) in bundle.attachments.iter().copied().enumerate() {
        let flaw = |rule: &str| Flaw::new(Part::Attachment { attachment }, rule);
        let hash = sha256(&[bytes]);
        if files.last_key_value().is_some_and(|(last, _)| *last >= hash) {
            return Err(flaw("attachments do not ascend by SHA-256"));
        }
        let named_by =
            quotes.digest(&hash.to_string()).ok_or_else(|| flaw("no opened payload names its SHA-256"))?;
        files.insert(hash, Attachment { bytes, named_by });
    }
    Ok(files)
}

/// Step 10: the last leaf that holds the claim's digest.
fn closing(bundle: &Bundle<'_>, quotes: &Quotes<'_>) -> Result<usize, Flaw> {
    let missing = || Flaw::new(Part::Claim, "no opened leaf of the main log holds its `claim_sha256`");
    quotes.claim(&digest(bundle.claim)).ok_or_else(missing)
}

/// Step 10: the closing leaf ends the one segment of its stream, so nothing happened in between.
fn one_closing_segment(leaves: &[OpenedLeaf<'_>], closing: usize, segments: &[Segment]) -> Result<(), Flaw> {
    let Some(leaf) = leaves.get(closing) else {
        return Err(Flaw::new(Part::Claim, "no leaf closes it"));
    };
    let same_stream = |segment: &&Segment| {
        (segment.log, segment.stream_kind, segment.stream)
            == (leaf.log, leaf.header.stream_kind, leaf.header.stream)
    };
    let of_stream: Vec<&Segment> = segments.iter().filter(same_stream).collect();
    let rule = match of_stream.as_slice() {
        [one] if one.to_seq == leaf.header.seq => return Ok(()),
        [_] => "a leaf of the closing leaf's stream follows it",
        _ => "leaves are missing before the closing leaf in its stream",
    };
    Err(Flaw::new(Part::Chain { log: leaf.log, pos: leaf.header.pos }, rule))
}

/// Step 4 made sure that no public key signs twice, so trusted lines are distinct witnesses.
fn level(cosignatures: &[Cosignature], quorum: usize) -> Level {
    let count = cosignatures.iter().filter(|cosignature| cosignature.trusted).count();
    if count >= quorum.max(1) { Level::Witnessed { count } } else { Level::Sealed }
}

/// Section 10 of the docs, for this bundle.
fn not_proven(verified: &Verified<'_>) -> Vec<String> {
    let mut words = vec![
        "without epoch map proofs it is not proven that the log holds nothing about the device outside the \
         streams shown here"
            .to_owned(),
        "nothing after the closing leaf is shown".to_owned(),
        "times in leaf headers are the log's own statement".to_owned(),
    ];
    if let LogKey::SelfAsserted { fingerprint } = &verified.log_key {
        words.push(format!(
            "the main log's key is only named by the bundle itself: compare its fingerprint {fingerprint} with the \
             operator's"
        ));
    }
    if verified.level == Level::Sealed {
        words.push(
            "too few trusted witnesses cosigned: the operator could have shown another history to others"
                .to_owned(),
        );
    }
    let erased = verified.leaves.iter().filter(|leaf| leaf.payload.is_none()).count();
    if erased > 0 {
        words.push(format!("the content of {erased} leaves was erased or is withheld"));
    }
    if verified.logs.len() > 1 {
        words.push("it is not proven that a gateway logged all of its decisions".to_owned());
    }
    if begins_midway(verified) {
        words.push("what happened in the closing stream before its first leaf here is not shown".to_owned());
    }
    words
}

fn begins_midway(verified: &Verified<'_>) -> bool {
    let Some(closing) = verified.leaves.get(verified.closing) else { return true };
    let first = verified.leaves.iter().find(|leaf| {
        (leaf.log, leaf.header.stream_kind, leaf.header.stream)
            == (closing.log, closing.header.stream_kind, closing.header.stream)
    });
    first.is_none_or(|leaf| leaf.header.prev.is_some())
}

fn digest(bytes: &[u8]) -> String {
    sha256(&[bytes]).to_string()
}
