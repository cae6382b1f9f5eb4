#!/usr/bin/env python3
"""Independent verifier of Lanyard evidence bundles, written from docs/evidence-bundle.md alone.

Usage: verify.py [--log-vkey VKEY]... [--witness VKEY]... [--quorum N] FILE...

Prints one JSON object per file: {"file", "outcome", "part", "where", "rule"}; the last three are null unless
the outcome is "contradicted". Exit code 0 if no file is contradicted, 1 if one is, 2 for wrong usage.
Section numbers in comments are those of the page. Needs Python 3.11 and the package `cryptography`.
"""

import argparse
import base64
import binascii
import hashlib
import json
import re
import struct
import sys
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MIB = 1 << 20
FORMAT = "lanyard-evidence/1"
LOG_KEY, WITNESS_KEY = 0x01, 0x04


class Flaw(Exception):
    """A part of the bundle does not hold."""

    def __init__(self, part, where, rule):
        super().__init__(rule)
        self.part, self.where, self.rule = part, where, rule


def sha256(data):
    return hashlib.sha256(data).digest()


def unbase64(text):
    """Canonical RFC 4648 base64, or None."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None


# --- section 2: CBOR, only what a bundle needs; anything not in shortest form is refused while reading ---

class Cbor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def fail(self, rule, at=None):
        raise Flaw("structure", f"byte {self.at if at is None else at}", rule)

    def take(self, count):
        if count > len(self.data) - self.at:
            self.fail("the file ends inside an item")
        piece = self.data[self.at:self.at + count]
        self.at += count
        return piece

    def head(self, major):
        start = self.at
        first = self.take(1)[0]
        if first >> 5 != major:
            self.fail(f"major type {major} expected", start)
        info = first & 31
        if info < 24:
            return info
        if info > 27:
            self.fail("indefinite or reserved length", start)
        value = int.from_bytes(self.take(1 << (info - 24)), "big")
        if value < (24, 1 << 8, 1 << 16, 1 << 32)[info - 24]:
            self.fail("head is not in its shortest form", start)
        return value

    def uint(self):
        return self.head(0)

    def bytes(self, most, exact=False):
        start = self.at
        count = self.head(2)
        if count > most or (exact and count != most):
            self.fail(f"byte string of {count} bytes", start)
        return self.take(count)

    def text(self, most):
        start = self.at
        count = self.head(3)
        if count > most:
            self.fail(f"text of {count} bytes", start)
        try:
            return self.take(count).decode("utf-8")
        except UnicodeDecodeError:
            self.fail("text is not UTF-8", start)

    def array(self, least, most, item):
        start = self.at
        count = self.head(4)
        if not least <= count <= most:
            self.fail(f"array of {count} items", start)
        return [item() for _ in range(count)]

    def map(self, *fields):
        start = self.at
        if self.head(5) != len(fields):
            self.fail(f"map has not exactly the keys 1 to {len(fields)}", start)
        values = []
        for key, field in enumerate(fields, 1):
            if self.uint() != key:
                self.fail(f"key {key} expected")
            values.append(field())
        return values

    def nullable(self, field):
        if self.data[self.at:self.at + 1] == b"\xf6":
            self.at += 1
            return None
        return field()


@dataclass
class Log:
    vkey: str
    note: str


@dataclass
class Leaf:
    log: int
    entry: bytes
    salt: bytes | None
    payload: bytes | None
    proof: list | None


@dataclass
class Bundle:
    claim: bytes
    logs: list
    leaves: list
    attachments: list
    witnesses: list


def decode(data):
    """Step 1."""
    if len(data) > 64 * MIB:
        raise Flaw("structure", f"byte {64 * MIB}", "larger than 64 MiB")
    cbor = Cbor(data)

    def the_format():
        start = cbor.at
        if cbor.text(len(FORMAT)) != FORMAT:
            cbor.fail(f"format is not {FORMAT}", start)

    def log():
        return Log(*cbor.map(lambda: cbor.text(1024), lambda: cbor.text(64 << 10)))

    def hash32():
        return cbor.bytes(32, exact=True)

    def leaf():
        found = Leaf(*cbor.map(
            cbor.uint,
            lambda: cbor.bytes(65535),
            lambda: cbor.nullable(hash32),
            lambda: cbor.nullable(lambda: cbor.bytes(MIB)),
            lambda: cbor.nullable(lambda: cbor.array(0, 64, hash32)),
        ))
        if (found.salt is None) != (found.payload is None):
            cbor.fail("salt and payload are not both present or both null")
        return found

    _, *rest = cbor.map(
        the_format,
        lambda: cbor.bytes(MIB),
        lambda: cbor.array(1, 64, log),
        lambda: cbor.array(1, 65536, leaf),
        lambda: cbor.array(0, 4096, lambda: cbor.bytes(64 * MIB)),
        lambda: cbor.array(0, 32, lambda: cbor.text(1024)),
    )
    if cbor.at != len(data):
        cbor.fail("bytes after the bundle")
    bundle = Bundle(*rest)
    for found in bundle.leaves:
        if found.log >= len(bundle.logs):
            cbor.fail("a leaf names a log that is not there")
    return bundle


# --- section 3: verifier keys ---

@dataclass
class Key:
    vkey: str
    name: str
    id: bytes
    public: bytes

    def signed(self, signature, message):
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
            return True
        except (InvalidSignature, ValueError):
            return False


def parse_key(vkey, kind, where):
    def fail(rule):
        raise Flaw("key", where, rule)

    if not re.fullmatch(r'[!#-\[\]-~]*', vkey):
        fail("a character that a key must not have")
    parts = vkey.split("+", 2)
    if len(parts) != 3:
        fail("not NAME+ID+KEY")
    name, ident, material = parts
    if not 1 <= len(name) <= 255:
        fail("name has not 1 to 255 characters")
    raw = unbase64(material)
    if raw is None or len(raw) != 33 or raw[0] != kind:
        fail("key material is not canonical base64 of the type and 32 bytes")
    digest = sha256(name.encode() + b"\n" + raw)[:4]
    if ident != digest.hex():
        fail("ID does not fit NAME and KEY")
    return Key(vkey, name, digest, raw[1:])


def parse_keys(bundle):
    """Step 2."""
    logs, witnesses, seen = [], [], set()

    def admit(vkey, kind, where):
        key = parse_key(vkey, kind, where)
        if key.public in seen:
            raise Flaw("key", where, "public key occurs twice")
        seen.add(key.public)
        return key

    for index, log in enumerate(bundle.logs):
        logs.append(admit(log.vkey, LOG_KEY, f"log {index}"))
    for index, vkey in enumerate(bundle.witnesses):
        if index and bundle.witnesses[index - 1].encode() >= vkey.encode():
            raise Flaw("key", f"witness {index}", "witness keys do not ascend")
        witnesses.append(admit(vkey, WITNESS_KEY, f"witness {index}"))
    return logs, witnesses


# --- section 4: checkpoints ---

@dataclass
class Checkpoint:
    text: str
    size: int
    root: bytes
    lines: list  # (name, id, signature)


def parse_note(note, key, where):
    def fail(rule):
        raise Flaw("checkpoint", where, rule)

    if not note.endswith("\n"):
        fail("no final newline")
    if not re.fullmatch(r"(?:\u2014?[ -~]*\n)*", note):
        fail("a character that a note must not have")
    text, found, signatures = note.rpartition("\n\n")
    if not found:
        fail("no empty line before the signatures")
    text += "\n"
    lines = []
    for line in signatures.split("\n")[:-1]:
        match = re.fullmatch(r"\u2014 ([^ +]{1,255}) ([^ ]+)", line)
        raw = match and unbase64(match[2])
        if not raw or len(raw) < 5:
            fail("a signature line has not the form of one")
        lines.append((match[1], raw[:4], raw[4:]))
    if not 1 <= len(lines) <= 64:
        fail("a note has 1 to 64 signature lines")
    body = text[:-1].split("\n")
    if len(body) != 3:
        fail("the text has not exactly three lines")
    origin, size, root = body[0], body[1], unbase64(body[2])
    if not re.fullmatch(r"0|[1-9][0-9]{0,19}", size) or int(size) >= 1 << 64:
        fail("size is not a decimal number below 2^64")
    if root is None or len(root) != 32:
        fail("root is not canonical base64 of 32 bytes")
    if origin != key.name:
        fail("origin is not the name of the log's key")
    return Checkpoint(text, int(size), root, lines)


def check_signatures(index, checkpoint, log_key, witnesses):
    """Every line is by a listed key, once, and right. Returns the witnesses that signed."""
    done = []
    for number, (name, ident, signature) in enumerate(checkpoint.lines):
        where = f"log {index}, line {number}"
        key = next((k for k in [log_key, *witnesses] if (k.name, k.id) == (name, ident)), None)
        if key is None:
            raise Flaw("signature", where, f"no key of the bundle made the line of {name}")
        if key in done:
            raise Flaw("signature", where, f"{name} signed twice")
        if key is log_key:
            message = checkpoint.text
        else:
            if len(signature) != 72 or signature[0] & 0x80:
                raise Flaw("signature", where, "a cosignature has a time below 2^63 and 64 bytes")
            (time,), signature = struct.unpack(">Q", signature[:8]), signature[8:]
            message = f"cosignature/v1\ntime {time}\n{checkpoint.text}"
        if len(signature) != 64 or not key.signed(signature, message.encode()):
            raise Flaw("signature", where, f"the signature of {name} is wrong")
        done.append(key)
    if log_key not in done:
        raise Flaw("signature", f"log {index}", "the log's own signature is missing")
    return [key for key in done if key is not log_key]


def check_checkpoints(bundle, log_keys, witnesses):
    """Step 4."""
    pairs = zip(bundle.logs, log_keys)
    checkpoints = [parse_note(log.note, key, f"log {i}") for i, (log, key) in enumerate(pairs)]
    signers = [check_signatures(i, c, k, witnesses) for i, (c, k) in enumerate(zip(checkpoints, log_keys))]
    for index, witness in enumerate(witnesses):
        if not any(witness in some for some in signers):
            raise Flaw("key", f"witness {index}", "this witness signed nothing")
    return checkpoints, signers[0]


# --- section 5: leaves ---

@dataclass
class Opened:
    log: int
    kind: int
    pos: int
    time_micros: int
    stream: tuple
    seq: int
    prev: tuple | None
    actor: bytes
    policy: bytes
    hash: bytes
    payload: bytes | None
    proof: list | None

    @property
    def where(self):
        return f"log {self.log}, position {self.pos}"


def open_leaf(leaf, index, checkpoints):
    entry = leaf.entry
    if len(entry) != 164 or entry[0] != 1:
        raise Flaw("leaf", f"entry {index}", "not an entry of version 1 with 164 bytes")
    (_, kind, pos, time, stream_kind, stream, seq, prev_pos, prev_leaf, actor, policy, commitment) = struct.unpack(
        ">BHQqB16sQQ32s16s32s32s", entry)
    no_prev = prev_pos == (1 << 64) - 1 and prev_leaf == bytes(32)
    if not (no_prev if seq == 0 else prev_pos < pos):
        raise Flaw("leaf", f"entry {index}", "prev does not fit seq and pos")
    prev = None if seq == 0 else (prev_pos, prev_leaf)
    opened = Opened(leaf.log, kind, pos, time, (leaf.log, stream_kind, stream), seq, prev, actor, policy,
                    sha256(b"\0" + entry), leaf.payload, leaf.proof)
    if pos >= checkpoints[leaf.log].size:
        raise Flaw("leaf", opened.where, "the checkpoint does not cover this position")
    if leaf.salt is not None and sha256(b"lanyard c1" + leaf.salt + leaf.payload) != commitment:
        raise Flaw("commitment", opened.where, "salt and payload do not open the commitment")
    return opened


def open_leaves(bundle, checkpoints):
    """Step 5."""
    opened = []
    for index, leaf in enumerate(bundle.leaves):
        found = open_leaf(leaf, index, checkpoints)
        if opened and (opened[-1].log, opened[-1].pos) >= (found.log, found.pos):
            raise Flaw("leaf", found.where, "leaves do not ascend by (log, position)")
        opened.append(found)
    return opened


# --- section 6: chains and proofs ---

def check_chains(leaves):
    """Step 6. Returns the leaves that a later one names, by (log, position)."""
    named, places, latest = set(), {}, {}
    for leaf in leaves:
        def fail(rule):
            raise Flaw("chain", leaf.where, rule)

        before = latest.get(leaf.stream)
        target = leaf.prev and places.get((leaf.log, leaf.prev[0]))
        if target:
            if target is not before:
                fail("names a leaf that is not the one before it in its stream")
            if before.hash != leaf.prev[1]:
                fail("names the leaf before it by another hash")
            if leaf.seq != before.seq + 1:
                fail("does not follow the leaf before it by one")
            named.add((before.log, before.pos))
        elif before:
            if not leaf.prev or leaf.prev[0] <= before.pos or leaf.seq <= before.seq + 1:
                fail("contradicts the leaf before it in its stream")
        places[leaf.log, leaf.pos] = latest[leaf.stream] = leaf
    return named


def included(leaf, checkpoint):
    position, last, node = leaf.pos, checkpoint.size - 1, leaf.hash
    for sibling in leaf.proof:
        if last == 0:
            return False
        if position % 2 == 1 or position == last:
            node = sha256(b"\1" + sibling + node)
            while position % 2 == 0 and position != 0:
                position, last = position >> 1, last >> 1
        else:
            node = sha256(b"\1" + node + sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and node == checkpoint.root


def check_proofs(leaves, named, checkpoints):
    """Step 7."""
    for leaf in leaves:
        if (leaf.log, leaf.pos) in named:
            if leaf.proof is not None:
                raise Flaw("proof", leaf.where, "a later leaf names this one, so it has no proof of its own")
        elif leaf.proof is None:
            raise Flaw("proof", leaf.where, "no later leaf names this one, so it needs a proof")
        elif not included(leaf, checkpoints[leaf.log]):
            raise Flaw("proof", leaf.where, "does not lead to the root of the checkpoint")


# --- section 7: what opened payloads name ---

def holders(leaves, needle, main_only=True):
    return [leaf for leaf in leaves
            if leaf.payload is not None and (leaf.log == 0 or not main_only) and needle in leaf.payload]


def member(name, value):
    return f'"{name}":"{value}"'.encode()


def check_anchors(bundle, leaves):
    """Step 8."""
    for index, log in list(enumerate(bundle.logs))[1:]:
        where = f"log {index}"
        keys = holders(leaves, member("vkey", log.vkey))
        notes = holders(leaves, member("note_sha256", sha256(log.note.encode()).hex()))
        if not keys or not notes:
            raise Flaw("anchor", where, "the main log does not name its key and its checkpoint")
        if keys[0].pos > notes[0].pos:
            raise Flaw("anchor", where, "the main log names its key only after its checkpoint")
        if not any(leaf.log == index for leaf in leaves):
            raise Flaw("anchor", where, "no leaf of it is in the bundle")


def check_attachments(bundle, leaves):
    """Step 9."""
    last = b""
    for index, file in enumerate(bundle.attachments):
        digest = sha256(file)
        if digest <= last:
            raise Flaw("attachment", f"attachment {index}", "attachments do not ascend by SHA-256")
        if not holders(leaves, f'"{digest.hex()}"'.encode(), main_only=False):
            raise Flaw("attachment", f"attachment {index}", "no opened payload names it")
        last = digest


# --- section 9: meaning ---

def semantics(claim, leaves, named):
    """Step 10 and what stands above it: what the claim says, on opened leaves only. Returns the closing segment.

    The closing leaf holds the claim's digest, and the stream of the claimed device runs without a gap from the first
    leaf here, which establishes the claimed state, to the closing leaf. The event catalogue adds its rules at the end.
    """
    found = holders(leaves, member("claim_sha256", sha256(claim).hex()))
    if not found:
        raise Flaw("claim", "claim", "no opened leaf of the main log holds its digest")
    closing = found[-1]
    segment = [leaf for leaf in leaves if leaf.stream == closing.stream]
    if segment[-1] is not closing:
        raise Flaw("chain", closing.where, "a leaf of the closing leaf's stream follows it")
    for leaf in segment[:-1]:
        if (leaf.log, leaf.pos) not in named:
            raise Flaw("chain", closing.where, f"leaves are missing after position {leaf.pos} of its stream")
    return segment


# --- section 8 ---

def verify(data, pinned=None, trusted=(), quorum=0):
    """Returns the outcome in words, or raises a Flaw."""
    bundle = decode(data)
    log_keys, witnesses = parse_keys(bundle)
    if pinned is not None and log_keys[0].vkey not in pinned:
        raise Flaw("pin", "log 0", "the main log's key is not a pinned one")
    checkpoints, cosigners = check_checkpoints(bundle, log_keys, witnesses)
    leaves = open_leaves(bundle, checkpoints)
    named = check_chains(leaves)
    check_proofs(leaves, named, checkpoints)
    check_anchors(bundle, leaves)
    check_attachments(bundle, leaves)
    semantics(bundle.claim, leaves, named)
    if any(leaf.payload is None for leaf in leaves):
        return "payload erased"
    count = sum(key.vkey in trusted for key in cosigners)
    return "proved" if count >= max(1, quorum) else "proved but unwitnessed"


def main():
    parser = argparse.ArgumentParser(description="verify Lanyard evidence bundles")
    parser.add_argument("--log-vkey", action="append", help="a key that the main log may have (default: any)")
    parser.add_argument("--witness", action="append", default=[], help="verifier key of a trusted witness")
    parser.add_argument("--quorum", type=int, default=0)
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    bad = False
    for path in args.files:
        with open(path, "rb") as file:
            data = file.read(64 * MIB + 1)
        answer = {"file": path, "outcome": "contradicted", "part": None, "where": None, "rule": None}
        try:
            answer["outcome"] = verify(data, args.log_vkey, args.witness, args.quorum)
        except Flaw as flaw:
            answer.update(part=flaw.part, where=flaw.where, rule=flaw.rule)
            bad = True
        print(json.dumps(answer))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
