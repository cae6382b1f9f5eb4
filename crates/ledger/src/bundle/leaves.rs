//! Leaves: entry, order, commitment, chain of the stream, inclusion proof.

use std::collections::HashMap;

use super::flaw::{Flaw, Part};
use super::format::Leaf;
use super::verified::{LogHead, OpenedLeaf, Segment};
use crate::checkpoint::Checkpoint;
use crate::leaf::{self, LeafHeader};
use crate::tree;

/// A stream within the bundle.
type Stream = (usize, u8, [u8; 16]);

fn stream_of(leaf: &OpenedLeaf<'_>) -> Stream {
    (leaf.log, leaf.header.stream_kind, leaf.header.stream)
}

/// Step 5: every entry is a leaf of its log, in order, and what is opened opens its commitment.
pub(super) fn open<'a>(leaves: &[Leaf<'a>], logs: &[LogHead<'_>]) -> Result<Vec<OpenedLeaf<'a>>, Flaw> {
    let mut opened: Vec<OpenedLeaf<'a>> = Vec::with_capacity(leaves.len());
    for (index, leaf) in leaves.iter().enumerate() {
        let next = open_one(index, leaf, logs)?;
        let (log, pos) = (next.log, next.header.pos);
        if opened.last().is_some_and(|last| (last.log, last.header.pos) >= (log, pos)) {
            return Err(Flaw::new(Part::Leaf { log, pos }, "leaves do not ascend by (log, position)"));
        }
        opened.push(next);
    }
    Ok(opened)
}

fn open_one<'a>(index: usize, leaf: &Leaf<'a>, logs: &[LogHead<'_>]) -> Result<OpenedLeaf<'a>, Flaw> {
    let entry = Part::Entry { leaf: index };
    let (header, commitment) =
        leaf::decode(leaf.entry).map_err(|error| Flaw::new(entry.clone(), error.to_string()))?;
    let head = logs.get(leaf.log).ok_or_else(|| Flaw::new(entry, "log index names no log of the bundle"))?;
    let (log, pos) = (leaf.log, header.pos);
    if pos >= head.checkpoint.size {
        let rule = format!("the checkpoint of its log covers only {} leaves", head.checkpoint.size);
        return Err(Flaw::new(Part::Leaf { log, pos }, rule));
    }
    if let Some(opening) = &leaf.opening
        && leaf::commit(opening.salt, opening.payload) != commitment
    {
        let rule = "salt and payload do not open the leaf's commitment";
        return Err(Flaw::new(Part::Commitment { log, pos }, rule));
    }
    let payload = leaf.opening.map(|opening| opening.payload);
    Ok(OpenedLeaf { log, header, hash: leaf::leaf_hash(leaf.entry), payload })
}

/// Step 6: the chains. Returns for each leaf whether a later leaf names it as its predecessor.
pub(super) fn chain(leaves: &[OpenedLeaf<'_>]) -> Result<Vec<bool>, Flaw> {
    let mut named = vec![false; leaves.len()];
    let mut at: HashMap<(usize, u64), usize> = HashMap::new();
    let mut latest: HashMap<Stream, usize> = HashMap::new();
    for (index, leaf) in leaves.iter().enumerate() {
        let before =
            latest.insert(stream_of(leaf), index).and_then(|before| Some((before, leaves.get(before)?)));
        let target = leaf.header.prev.as_ref().and_then(|prev| at.get(&(leaf.log, prev.pos))).copied();
        let linked = link(&leaf.header, before, target)
            .map_err(|rule| Flaw::new(Part::Chain { log: leaf.log, pos: leaf.header.pos }, rule))?;
        if let Some(flag) = linked.and_then(|before| named.get_mut(before)) {
            *flag = true;
        }
        at.insert((leaf.log, leaf.header.pos), index);
    }
    Ok(named)
}

/// The leaf that this one names, if it is in the bundle; or the rule that the chain breaks.
fn link(
    header: &LeafHeader,
    before: Option<(usize, &OpenedLeaf<'_>)>,
    target: Option<usize>,
) -> Result<Option<usize>, &'static str> {
    match (before, target, &header.prev) {
        (Some((before, leaf)), Some(target), Some(prev)) if before == target => {
            if leaf.hash != prev.leaf {
                Err("names its predecessor by another leaf hash")
            } else if leaf.header.seq.checked_add(1) != Some(header.seq) {
                Err("does not follow its predecessor by one")
            } else {
                Ok(Some(before))
            }
        }
        (_, Some(_), _) => Err("names a leaf that is not the one before it in its stream"),
        (None, None, _) => Ok(None),
        (Some((_, leaf)), None, Some(prev))
            if prev.pos > leaf.header.pos
                && leaf.header.seq.checked_add(1).is_some_and(|n| n < header.seq) =>
        {
            Ok(None)
        }
        (Some(_), None, _) => Err("contradicts the leaf before it in its stream"),
    }
}

/// Step 7: a leaf that nothing names needs a proof; one that is named must not carry a second.
pub(super) fn prove(
    leaves: &[Leaf<'_>],
    opened: &[OpenedLeaf<'_>],
    named: &[bool],
    logs: &[LogHead<'_>],
) -> Result<(), Flaw> {
    for ((leaf, opened), named) in leaves.iter().zip(opened).zip(named) {
        let part = Part::Proof { log: opened.log, pos: opened.header.pos };
        let rule = match (&leaf.proof, named) {
            (None, true) => continue,
            (Some(_), true) => "a later leaf names this one, so it carries no proof of its own",
            (None, false) => "no later leaf names this one, so it needs an inclusion proof",
            (Some(path), false) => {
                let proven = logs.get(opened.log).is_some_and(|head| {
                    let Checkpoint { size, root, .. } = &head.checkpoint;
                    tree::verify_inclusion(&opened.hash, opened.header.pos, *size, path, root).is_ok()
                });
                if proven {
                    continue;
                }
                "does not lead to the root of the checkpoint"
            }
        };
        return Err(Flaw::new(part, rule));
    }
    Ok(())
}

/// The longest runs of each stream in which each leaf names the one before, by log and first position.
pub(super) fn segments(leaves: &[OpenedLeaf<'_>], named: &[bool]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut open: HashMap<Stream, usize> = HashMap::new();
    for (leaf, named) in leaves.iter().zip(named) {
        let stream = stream_of(leaf);
        // The flag was set by the next leaf of the stream: if it is not set, the run ends here.
        let run = if *named { open.get(&stream).copied() } else { open.remove(&stream) };
        if let Some(segment) = run.and_then(|run| segments.get_mut(run)) {
            segment.to_seq = leaf.header.seq;
            continue;
        }
        if *named {
            open.insert(stream, segments.len());
        }
        let seq = leaf.header.seq;
        let (log, stream_kind, stream) = stream;
        segments.push(Segment { log, stream_kind, stream, from_seq: seq, to_seq: seq });
    }
    segments
}
