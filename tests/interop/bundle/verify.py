#!/usr/bin/env python3
"""Independent verifier of Lanyard evidence bundles.

Written from docs/evidence-bundle.md and docs/event-catalogue.md alone.

Usage: verify.py [--structure-only] [--log-vkey VKEY]... [--witness VKEY]... [--quorum N] FILE...

Prints one JSON object per file: {"file", "outcome", "part", "where", "rule"}; the last three are null unless
the outcome is "contradicted". `--structure-only` leaves chapter 9 (meaning) out. Exit code 0 if no file is
contradicted, 1 if one is, 2 for wrong usage.
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
from datetime import datetime, timezone

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

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


# --- section 7, the claim ---

def check_claim(claim, leaves, named):
    """Step 10: the closing leaf holds the claim's digest, and its stream runs without a gap up to it. Returns it."""
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
    return closing


# --- section 9: meaning ---

SYSTEM, DEVICE, RELEASE, OPERATOR, GATEWAY, APPLICATION = range(6)
CLAIM = ["format", "origin", "device", "at", "as_of_pos", "state", "reading"]
STATE = ["vendor", "model", "serial", "stage", "verdict", "strength", "reasons", "firmware", "ai_model",
         "evidence_pos", "evidence_sha256", "certificates"]
READING = ["gateway", "location", "decision", "decided_at", "allowed", "verdict", "certificate_sha256",
           "request_sha256", "forwarded_sha256", "response_sha256", "status"]
WORSE = ["trusted", "degraded", "untrusted"]
# code: event, then its members (event catalogue)
KINDS = {
    1: "device_registered record statement",
    2: "device_approved role statement",
    3: "identity_bound ek_sha256 ek_certificate_sha256 endorsement_sha256 ak_public ak_name_sha256 grade",
    4: "issuance_intended issuance protocol profile serial spki_sha256 tbs_sha256 evidence_sha256",
    5: "certificate_issued issuance serial certificate certificate_sha256 spki_sha256 not_before not_after",
    6: "issuance_abandoned issuance why",
    7: "certificate_revoked serial reason",
    8: "evidence_appraised appraisal evidence_sha256 purpose nonce channel checkpoint_size "
         "checkpoint_root boot firmware model findings verdict reasons fresh_until untrusted_after",
    9: "device_validated",
    10: "device_in_service",
    11: "trust_changed from to reasons",
    12: "device_quarantined reasons statement",
    13: "quarantine_released statement",
    14: "retirement_begun statement",
    15: "refusal_probed probes",
    16: "device_retired",
    17: "alarm_raised code detail",
    18: "token_granted token_sha256 certificate_sha256 scopes expires",
    19: "evidence_exported claim_sha256 statement",
    20: "maker_key_bound format key_sha256 certificate_sha256 endorsement_sha256 grade",
    21: "soft_key_accepted secret",
    22: "enrollment_secret_issued secret expires statement",
    23: "enrollment_secret_used secret spki_sha256",
    24: "revocation_ordered reason serials statement",
    25: "certificate_seen serial",
    26: "late_renewal_allowed until statement",
    27: "acme_account_bound account_sha256 jwk",
    28: "acme_account_ended account_sha256 successor",
    29: "maker_certificates_shown endorsement_sha256 certificates lists",
    30: "maker_revocation_found list_sha256 issuer_sha256 serial revoked_at reason",
    32: "request_file_handed_in request_sha256 proof expires statement",
    40: "release_proposed record statement",
    41: "release_approved statement",
    42: "release_withdrawn statement",
    60: "operator_added name roles public_key statement",
    61: "operator_removed statement",
    62: "operator_key_replaced public_key statement",
    80: "gateway_added site vkey spki_sha256 names statement",
    81: "gateway_certified serial certificate certificate_sha256 not_after",
    82: "gateway_checkpoint_anchored gateway size note note_sha256 vkey",
    83: "gateway_removed reason statement",
    90: "application_registered record statement",
    91: "application_approved statement",
    92: "application_removed statement",
    94: "server_watched record statement",
    95: "server_unwatched address statement",
    96: "server_seen address certificate",
    97: "watch_alarm_raised address alarm certificate_sha256 detail",
    100: "ledger_started origin vkey policy",
    101: "authority_created name certificate certificate_sha256 keys",
    102: "endorsement_added certificate certificate_sha256 grade uses statement",
    103: "payload_erased pos legal_basis statement",
    104: "epoch_sealed size map_root time_source",
    105: "log_idle",
    106: "server_certified issuance serial certificate certificate_sha256 not_after",
    107: "authority_planned name purpose site keys under statement",
    108: "authority_activated name statement",
    109: "authority_retired name statement",
    110: "profile_proposed name text statement",
    111: "profile_approved name text_sha256 statement",
    112: "responder_certified issuance authority serial certificate certificate_sha256 not_after",
    113: "ra_certified issuance authority serial certificate certificate_sha256 not_after",
    114: "authority_imported name certificate certificate_sha256 above statement",
    115: "maker_list_taken authority_sha256 issuers list_sha256 number this_update next_update statement",
    116: "authority_compromise_declared name successor plan statement",
    117: "authority_compromise_confirmed name successor plan statement",
    118: "authority_revoked name serial",
    119: "maintenance_set site windows statement",
    120: "access_decided decision gateway device certificate_sha256 path interaction allowed verdict "
         "reasons policy evidence_pos evidence_sha256 firmware model heard_pos request_sha256 "
         "forwarded_sha256",
    121: "access_completed decision status location response_sha256",
}
AUDIT_ONLY = (15, 17, 18, 19)
ENDINGS = (109, 117, 118)


def no_duplicates(pairs):
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a member occurs twice")
    return dict(pairs)


def read_json(data):
    return json.loads(data, object_pairs_hook=no_duplicates)


def identifier(text):
    return bytes.fromhex(text.replace("-", ""))


def micros(text):
    match = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?Z", text)
    if not match:
        raise ValueError(f"not a time: {text}")
    *whole, fraction = match.groups()
    time = datetime(*map(int, whole), tzinfo=timezone.utc)
    return int(time.timestamp()) * 1_000_000 + int((fraction or "0").ljust(6, "0"))


@dataclass
class Line:
    leaf: Opened
    event: dict | None

    def __getattr__(self, name):
        return getattr(self.leaf, name)

    def named(self, *names):
        return self.event is not None and self.event["event"] in names

    def of(self, kind, stream):
        return self.stream[1:] == (kind, stream)


def home(kind):
    for first, last, stream in ((1, 30, DEVICE), (32, 32, DEVICE), (90, 92, APPLICATION), (40, 42, RELEASE), (60, 62, OPERATOR), (80, 83, GATEWAY),
                                (94, 97, SYSTEM), (100, 119, SYSTEM), (120, 121, DEVICE)):
        if first <= kind <= last:
            return stream
    return None


def read_events(leaves):
    """9.1"""
    lines = []
    for leaf in leaves:
        event = None
        if leaf.payload is not None:
            try:
                event = read_json(leaf.payload)
                name, *members = KINDS.get(leaf.kind, "?").split()
                if event["event"] != name:
                    raise ValueError("another event than its header says")
                if not set(event) <= {"event", *members}:
                    raise ValueError("a member that this event does not have")
            except (ValueError, KeyError, TypeError) as error:
                raise Flaw("events", leaf.where, str(error))
        at_home = leaf.stream[1] == home(leaf.kind) or (leaf.kind in (4, 6) and leaf.stream[1] in (SYSTEM, GATEWAY)) or (
            leaf.kind in (4, 5, 6, 7, 22, 23, 24, 27, 28) and leaf.stream[1] == APPLICATION) or (
            leaf.kind == 7 and leaf.stream[1] == GATEWAY) or (
            leaf.kind == 17 and leaf.stream[1] in (GATEWAY, APPLICATION))
        if not at_home or (leaf.log == 0) != (leaf.kind < 120) or leaf.log > 1:
            raise Flaw("events", leaf.where, "an event that does not belong here")
        lines.append(Line(leaf, event))
    return lines


class Case:
    """The claim, and what the opened leaves say about it."""

    def __init__(self, bundle, log_keys, checkpoints, lines, closing):
        self.bundle, self.log_keys, self.checkpoints, self.closing = bundle, log_keys, checkpoints, closing
        try:
            self.claim = read_json(bundle.claim)
            self.state, self.reading = self.claim["state"], self.claim["reading"]
            shape = (list(self.claim), list(self.state), list(self.reading or dict.fromkeys(READING)))
            if [sorted(s) for s in shape] != [sorted(s) for s in (CLAIM, STATE, READING)]:
                raise ValueError("its members are not those of the format")
            if self.claim["format"] != "lanyard-claim/1":
                raise ValueError("another format")
            self.device = identifier(self.claim["device"])
            self.at = micros(self.claim["at"])
        except (ValueError, KeyError, TypeError) as error:
            raise Flaw("claim", "claim", str(error))
        self.main = [line for line in lines if line.log == 0]
        self.gateway = [line for line in lines if line.log == 1]
        self.chain = [line for line in self.main if line.of(DEVICE, self.device)]
        self.decision = self.find_decision()

    def find_decision(self):
        if self.reading is None:
            return None
        for line in self.gateway:
            if line.named("access_decided") and line.event["decision"] == self.reading["decision"]:
                return line
        raise Flaw("reading", "log 1", "the decision is not in the gateway's log here")

    def counts(self, line):
        """9.3: whether a leaf of the main log lies within the horizon."""
        if self.decision:
            return line.pos <= self.decision.event["heard_pos"]
        return line.time_micros <= self.at

    def state_is_erased(self):
        return any(line.event is None and self.counts(line) and
                   (line.stream[1] == RELEASE or line.kind in ENDINGS or
                    (line in self.chain and line.kind not in AUDIT_ONLY))
                   for line in self.main)


def check_log(case):
    """9.2: log, order, closing, successor."""
    origin = case.claim["origin"]
    if origin != case.log_keys[0].name:
        raise Flaw("log", "claim", "the claim is about another log")
    first = case.main[0]
    if first.pos != 0 or not first.named("ledger_started"):
        raise Flaw("log", "position 0", "the log's first event is not shown")
    if (first.event["origin"], first.event["vkey"]) != (origin, case.log_keys[0].vkey):
        raise Flaw("log", "position 0", "the log's first event names another log or key")
    for lines in (case.main, case.gateway):
        for before, after in zip(lines, lines[1:]):
            if after.time_micros < before.time_micros:
                raise Flaw("order", after.where, "the log's time goes back")
    closing = next(line for line in case.main if line.pos == case.closing.pos)
    if not closing.named("evidence_exported") or closing not in case.chain:
        raise Flaw("closing", closing.where, "not an export about this device")
    if case.chain[0].seq != 0:
        raise Flaw("successor", case.chain[0].where, "the chain is not shown from its first event")
    counted = [line for line in case.chain if case.counts(line)]
    if not counted or counted[-1].pos != case.claim["as_of_pos"]:
        raise Flaw("successor", "claim", "the claim does not stop at the last event that counts")
    if case.counts(closing):
        raise Flaw("successor", "claim", "the claim speaks of a time after its own export")


def releases(case):
    """Release id -> [record, state], within the horizon."""
    found = {}
    for line in case.main:
        if line.stream[1] == RELEASE and line.event and case.counts(line):
            if line.named("release_proposed"):
                found[line.stream[2]] = [line.event["record"], "proposed"]
            elif line.stream[2] in found:
                found[line.stream[2]][1] = line.event["event"].removeprefix("release_")
    return found


def element(der, at):
    """Where the content of the DER element at this place begins and ends."""
    begin, size = at + 2, der[at + 1]
    if size & 0x80:
        begin, size = begin + (size & 0x7F), int.from_bytes(der[begin:begin + (size & 0x7F)], "big")
    if begin + size > len(der):
        raise ValueError("a certificate ends early")
    return begin, begin + size


def names_in(certificate):
    """Issuer and subject of a certificate (base64), as they stand there."""
    der = base64.b64decode(certificate)
    at, fields = element(der, element(der, 0)[0])[0], []
    for _ in ("version", "serial", "algorithm", "issuer", "validity", "subject"):
        end = element(der, at)[1]
        fields.append(der[at:end])
        at = end
    return fields[3], fields[5]


def ended(case):
    """9.4: a function that says whether a certificate stands below an authority that has ended within the horizon."""
    gone = {line.event["name"] for line in case.main if line.event and line.kind in ENDINGS and case.counts(line)
            and (line.kind != 117 or line.event["plan"]["mode"] == "distrust_now")}
    known = {}
    for line in case.main:
        if gone and line.named("authority_created", "authority_imported"):
            issuer, subject = names_in(line.event["certificate"])
            known[subject] = (line.event["name"], issuer)

    def says(certificate):
        above = names_in(certificate)[0] if gone else None
        for _ in known:
            if above not in known:
                return False
            name, above = known[above]
            if name in gone:
                return True
        return False

    return says


def fold(case, at):
    """9.4: the state that the chain gives, as far as this verifier recomputes it."""
    stage, resume, given, stated, record, bound, shown = None, None, 0, "untrusted", None, None, None
    certificates = {}
    for line in case.chain:
        if not line.event or not case.counts(line):
            continue
        event, name = line.event, line.event["event"]
        if name == "device_registered":
            record, stage = event["record"], "registered"
        elif name == "device_approved":
            given += 1
            stage = "approved" if stage == "registered" and given == 2 else stage
        elif name in ("identity_bound", "maker_key_bound", "soft_key_accepted"):
            bound = event
        elif name == "revocation_ordered" and not event["serials"]:
            if stage in ("approved", "enrolled", "validated", "in-service"):
                stage, resume = "quarantined", stage
        elif name == "certificate_issued":
            certificates[event["serial"]] = event
            stage = "enrolled" if stage == "approved" else stage
        elif name == "certificate_revoked":
            certificates.pop(event["serial"], None)
        elif name == "evidence_appraised":
            shown, stated = line, event["verdict"]
        elif name == "trust_changed":
            stated = event["to"]
        elif name == "device_validated":
            stage = "validated"
        elif name == "device_in_service":
            stage = "in-service"
        elif name == "device_quarantined":
            if stage in ("approved", "enrolled", "validated", "in-service"):
                stage, resume = "quarantined", stage
        elif name == "quarantine_released":
            stage = resume if stage == "quarantined" else stage
        elif name == "retirement_begun":
            stage = "retiring"
        elif name == "device_retired":
            stage, certificates = "retired", {}
    over = ended(case)
    valid = [c["certificate_sha256"] for c in certificates.values()
             if micros(c["not_before"]) <= at <= micros(c["not_after"]) and not over(c["certificate"])]
    known, event = releases(case), shown.event if shown else None
    verdict, strength, fresh = stated, "inventoried" if bound is None else "hardware_key", False
    if bound and bound["event"] == "soft_key_accepted":
        strength = "soft_key"
    release = {"firmware": None, "model": None}
    if event:
        fresh = at <= micros(event["fresh_until"])
        limit = "trusted" if fresh else "degraded" if at <= micros(event["untrusted_after"]) else "untrusted"
        verdict = max(verdict, limit, key=WORSE.index)
        for name in release:
            if event[name] is not None:
                found = known.get(identifier(event[name]))
                release[name] = found and {"id": event[name], "version": found[0]["version"]}
                if not found or found[1] != "approved":
                    verdict = "untrusted"
        if bound and bound["event"] == "identity_bound" and fresh and event["appraisal"] != "contraindicated" and event["firmware"]:
            covered = event["model"] or not record.get("ai")
            strength = "evaluated" if bound["grade"] is not None and covered else "measured"
    else:
        verdict = "untrusted"
    if not valid:
        verdict = "untrusted"
    return {
        "vendor": record and record["vendor"], "model": record and record["model"],
        "serial": record and record["serial"], "stage": stage, "verdict": verdict, "strength": strength,
        "firmware": release["firmware"], "ai_model": release["model"],
        "evidence_pos": shown.pos if shown else None, "evidence_sha256": event["evidence_sha256"] if event else None,
        "certificates": valid,
    }


def check_state(case):
    if case.state_is_erased():
        return
    for name, value in fold(case, case.at).items():
        if case.state[name] != value:
            raise Flaw("state", "claim", f"{name}: the claim says {case.state[name]}, the chain says {value}")


def decides(line, action, roles):
    """9.5: the statement's action that an event must carry, and the roles of which its signer holds one."""
    event, stream = line.event, line.stream[2]
    own = {"device": "device", "release": "release", "operator": "operator", "gateway": "gateway",
           "application": "application"}
    both = ["security", "biomedical"]
    table = {
        "device_registered": ("register_device", "device", ["record"], ["registrar", *both]),
        "device_approved": ("approve_device", "device", ["role"], [event.get("role")]),
        "device_quarantined": ("quarantine_device", "device", [], both),
        "quarantine_released": ("release_device", "device", [], both),
        "retirement_begun": ("retire_device", "device", [], both),
        "evidence_exported": ("export_evidence", "device", ["claim_sha256"], None),
        "release_proposed": ("propose_release", "release", ["record"], ["registrar", *both]),
        "release_approved": ("approve_release", "release", [], both),
        "release_withdrawn": ("withdraw_release", "release", [], both),
        "operator_added": ("add_operator", "operator", ["name", "roles", "public_key"], ["admin"]),
        "operator_removed": ("remove_operator", "operator", [], ["admin"]),
        "operator_key_replaced": ("replace_operator_key", "operator", ["public_key"], ["admin"]),
        "gateway_added": ("add_gateway", "gateway", ["site", "vkey", "spki_sha256", "names"], ["admin"]),
        "gateway_removed": ("remove_gateway", "gateway", ["reason"], ["security", "admin"]),
        "endorsement_added": ("add_endorsement", None, ["certificate", "grade", "uses"], ["security", "admin"]),
        "maker_list_taken": ("take_maker_list", None, ["authority_sha256"], ["security", "admin"]),
        "enrollment_secret_issued": ("issue_application_secret", "application", ["secret", "expires"],
                                     ["registrar", "security", "admin"]) if line.stream[1] == APPLICATION
        else ("issue_secret", "device", ["secret", "expires"], ["registrar", *both]),
        "revocation_ordered": ("revoke_application_certificates", "application", ["serials", "reason"], ["security", "admin"])
        if line.stream[1] == APPLICATION else ("revoke_certificates", "device", ["serials", "reason"], both) if event.get("serials")
        else ("revoke_device", "device", ["reason"], both),
        "late_renewal_allowed": ("allow_late_renewal", "device", ["until"], both),
        "request_file_handed_in": ("hand_in_request", "device", ["request_sha256"], ["registrar", *both]),
        "authority_planned": ("request_authority", None, ["name", "purpose", "site", "keys", "under"], ["security", "admin"])
        if event.get("under") else ("create_authority", None, ["name", "purpose", "site", "keys"], ["security", "admin"]),
        "authority_imported": ("import_authority", None, ["name", "certificate", "above"], ["security", "admin"]),
        "authority_activated": ("activate_authority", None, ["name"], ["security", "admin"]),
        "authority_retired": ("retire_authority", None, ["name"], ["security", "admin"]),
        "authority_compromise_declared": ("declare_compromise", None, ["name", "successor", "plan"], ["security", "admin"]),
        "authority_compromise_confirmed": ("confirm_compromise", None, ["name", "successor", "plan"], ["security", "admin"]),
        "maintenance_set": ("set_maintenance", None, ["site", "windows"], ["biomedical", "admin"]),
        "application_registered": ("register_application", "application", ["record"], ["registrar", "security", "admin"]),
        "application_approved": ("approve_application", "application", [], ["security"]),
        "application_removed": ("remove_application", "application", [], ["security", "admin"]),
        "profile_proposed": ("propose_profile", None, ["text"], ["registrar", "security", "admin"]),
        "profile_approved": ("approve_profile", None, ["name", "text_sha256"], ["security"]),
        "server_watched": ("watch_server", None, ["record"], ["registrar", "security", "admin"]),
        "server_unwatched": ("unwatch_server", None, ["address"], ["registrar", "security", "admin"]),
        "payload_erased": ("erase_payload", None, ["pos", "legal_basis"], ["admin"]),
    }
    do, object_, members, needed = table[event["event"]]
    right = action["do"] == do and all(action.get(name) == event.get(name) for name in members)
    if do == "take_maker_list":
        right = right and sha256(base64.b64decode(action["list"])).hex() == event["list_sha256"]
        right = right and action.get("issuers", []) == event["issuers"]
    if object_:
        right = right and identifier(action[own[object_]]) == stream
    return right and (needed is None or any(role in needed for role in roles))


def check_statements(case):
    """9.5"""
    operators = {line.stream[2]: line for line in case.main if line.kind == 60}
    removed = {line.stream[2]: line.pos for line in case.main if line.kind == 61}
    replaced = [line for line in case.main if line.kind == 62]
    opened = [line.event for line in operators.values() if line.event]
    keys = [event["public_key"] for event in opened] + [line.event["public_key"] for line in replaced if line.event]
    if len(set(keys)) != len(keys):
        raise Flaw("signatures", "operators", "two operators have one key, or a key was given again")
    if sum(event["statement"] is None for event in opened) > 1:
        raise Flaw("signatures", "operators", "more than one operator was added without a signature")
    seen = set()
    for line in case.main:
        signed = line.event and line.event.get("statement")
        if not signed:
            continue

        def fail(rule):
            raise Flaw("signatures", line.where, rule)

        try:
            statement = read_json(signed["text"])
            by = identifier(statement["operator"])
        except (ValueError, KeyError, TypeError):
            fail("the statement cannot be read")
        added, whose = operators.get(by), operators.get(line.stream[2])
        if statement["log"] != case.claim["origin"]:
            fail("meant for another log")
        if line.actor != by:
            fail("signed by another person than the header says")
        if added is None or added.pos >= line.pos:
            fail("the signer is not shown, or was added later")
        if removed.get(by, line.pos) < line.pos:
            fail("the signer had no rights any more")
        if line.kind == 62:
            if by == line.stream[2]:
                fail("somebody replaced their own key")
            if whose is None or whose.pos >= line.pos or removed.get(line.stream[2], line.pos) < line.pos:
                fail("a key for somebody who was no operator")
        given = [other.event for other in replaced if other.stream[2] == by and other.pos < line.pos]
        if added.event:
            if not decides(line, statement["action"], added.event["roles"]):
                fail("what was signed is not what was recorded, or not for this person to decide")
            with_key = given[-1] if given else added.event
            if with_key:
                key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(with_key["public_key"]))
                try:
                    key.verify(base64.b64decode(signed["signature"]),
                               b"lanyard statement v1\n" + signed["text"].encode())
                except InvalidSignature:
                    fail("the signature is not by that person")
        if signed["text"] in seen:
            fail("carried out before")
        seen.add(signed["text"])


def check_two_people(case):
    """9.6"""
    requester, given = None, []
    erased = any(line.event is None and (line.seq == 0 or line.kind == 2) for line in case.chain)
    for before, line in zip([None, *case.chain], case.chain):
        if line.named("device_quarantined") and line.event["statement"] is None and before.event:
            if before.event.get("appraisal") != "contraindicated" and not before.named("maker_revocation_found"):
                raise Flaw("two people", line.where, "a quarantine without person or evidence")
        if line.named("device_registered"):
            requester = line.actor
        if line.named("device_approved"):
            role = line.event["role"]
            if role not in ("security", "biomedical") or line.actor == requester:
                raise Flaw("two people", line.where, "an approval that does not count")
            if any(role == r or line.actor == a for r, a in given):
                raise Flaw("two people", line.where, "the same person or role twice")
            given.append((role, line.actor))
        if line.kind in (3, 4, 5, 20, 21) and len(given) < 2 and not erased:
            raise Flaw("two people", line.where, "an identity before two approvals")
    proposed, approved = {}, set()
    for line in case.main:
        release = line.stream[2]
        if line.kind == 40:
            proposed[release] = line.actor
        if line.kind == 41:
            if proposed.get(release) in (None, line.actor):
                raise Flaw("releases", line.where, "not approved by a second person")
            approved.add(release)
    for line in case.chain:
        if line.named("evidence_appraised"):
            for release in (line.event["firmware"], line.event["model"]):
                if release and identifier(release) not in approved:
                    raise Flaw("releases", line.where, "a release that evidence matched is not shown as approved")


class Bytes:
    """Big-endian reader for TPM structures."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        piece = self.data[self.at:self.at + count]
        if len(piece) != count:
            raise ValueError("a structure ends early")
        self.at += count
        return piece

    def uint(self, size):
        return int.from_bytes(self.take(size), "big")

    def sized(self, size=2):
        return self.take(self.uint(size))

    def done(self):
        if self.at != len(self.data):
            raise ValueError("bytes after a structure")


def attestation_key(public):
    """TPMT_PUBLIC of a restricted P-256 signing key with ECDSA and SHA-256; None for another algorithm."""
    read = Bytes(public)
    kind, name_alg, attributes = read.uint(2), read.uint(2), read.uint(4)
    if (kind, name_alg) != (0x23, 0x0B):
        return None
    read.sized()
    head = [read.uint(2) for _ in range(5)]  # symmetric, scheme, its hash, curve, key derivation
    if head != [0x10, 0x18, 0x0B, 0x03, 0x10]:
        return None
    x, y = read.sized(), read.sized()
    read.done()
    # fixedTPM, fixedParent, sensitiveDataOrigin, restricted, sign; not decrypt (TPM 2.0 part 2, 8.3).
    if attributes & 0x70032 != 0x50032:
        raise ValueError("the attestation key is not a restricted key of a TPM")
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
    return numbers.public_key()


def read_evidence(data):
    read = Bytes(data)
    if read.take(6) != b"LNYE\x01\x01":
        raise ValueError("not evidence of version 1, format TPM")
    quote, signature = read.sized(), read.sized()
    pcrs = [(read.uint(1), read.take(32)) for _ in range(read.uint(1))]
    read.sized(4)
    read.done()
    return quote, signature, pcrs


def check_quote(key, event, data):
    quote, signature, pcrs = read_evidence(data)
    read = Bytes(signature)
    if (read.uint(2), read.uint(2)) != (0x18, 0x0B):
        raise ValueError("not ECDSA with SHA-256")
    r, s = (int.from_bytes(read.sized(), "big") for _ in range(2))
    read.done()
    try:
        key.verify(encode_dss_signature(r, s), quote, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise ValueError("the quote is not signed by the device's attestation key")
    read = Bytes(quote)
    if (read.uint(4), read.uint(2)) != (0xFF544347, 0x8018):
        raise ValueError("not a quote made by a TPM")
    read.sized()
    if read.sized().hex() != event["nonce"]:
        raise ValueError("the quote answers another nonce")
    boot = {"clock": read.uint(8), "reset_count": read.uint(4), "restart_count": read.uint(4),
            "safe": bool(read.uint(1))}
    read.uint(8)
    banks = [(read.uint(2), read.sized(1)) for _ in range(read.uint(4))]
    digest = read.sized()
    read.done()
    if boot != event["boot"]:
        raise ValueError("the quote tells other counters than recorded")
    if len(banks) != 1 or banks[0][0] != 0x0B:
        raise ValueError("the quote is not about the SHA-256 bank")
    selected = [8 * i + bit for i, byte in enumerate(banks[0][1]) for bit in range(8) if byte >> bit & 1]
    if selected != [index for index, _ in pcrs] or digest != sha256(b"".join(value for _, value in pcrs)):
        raise ValueError("the reported PCR values are not those quoted")
    return dict(pcrs)


def check_attestation(case):
    """9.7"""
    labels = {"attest": b"lanyard attest v1\0", "enroll": b"lanyard enroll v1\0"}
    roots, key = {}, None
    attachments = {sha256(file).hex(): file for file in case.bundle.attachments}
    for line in case.chain:
        event = line.event
        if line.named("identity_bound"):
            try:
                public = base64.b64decode(event["ak_public"])
                key = attestation_key(public)
            except ValueError as error:
                raise Flaw("identity", line.where, str(error))
            if sha256(b"\x00\x0b" + sha256(public)).hex() != event["ak_name_sha256"] and key:
                raise Flaw("identity", line.where, "the attestation key has another name")
            accepted = [other.event["grade"] for other in case.main if other.named("endorsement_added")
                        and other.event["certificate_sha256"] == event["endorsement_sha256"]
                        and "ek" in (other.event.get("uses") or ["ek"])
                        and sha256(base64.b64decode(other.event["certificate"])).hex() == event["endorsement_sha256"]
                        and other.pos < line.pos]
            if accepted[:1] != [event["grade"]]:
                raise Flaw("identity", line.where, "the maker's authority is not shown as accepted")
        if not line.named("evidence_appraised"):
            continue

        def fail(rule):
            raise Flaw("attestation", line.where, rule)

        size, root = event["checkpoint_size"], event["checkpoint_root"]
        if event["purpose"] not in labels:
            fail("unknown purpose")
        bound = (labels[event["purpose"]] + struct.pack(">Q", size) + bytes.fromhex(root) + case.device
                 + bytes.fromhex(event["channel"]))
        if sha256(bound).hex() != event["nonce"]:
            fail("the nonce does not bind purpose, checkpoint, device and channel")
        if size > line.pos or roots.setdefault(size, root) != root:
            fail("the nonce names a checkpoint that cannot be")
        file = attachments.get(event["evidence_sha256"])
        if line.pos != case.state["evidence_pos"] or file is None or key is None:
            continue
        try:
            pcrs = check_quote(key, event, file)
        except ValueError as error:
            fail(str(error))
        good = event["appraisal"] != "contraindicated"
        if good and not event["firmware"]:
            fail("nothing is approved, but it is called good")
        if event["firmware"]:
            proposed = [other.event["record"] for other in case.main if other.kind == 40 and other.event
                        and other.stream[2] == identifier(event["firmware"])]
            wanted = {pcr["pcr"]: pcr["value"] for pcr in proposed[0]["content"]["pcrs"]} if proposed else {}
            if any(pcrs.get(pcr, b"").hex() != value for pcr, value in wanted.items() if pcr != 12):
                fail("the quoted PCR values are not those of the release that it is said to match")


def issued_by(certificate, issuer):
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def issuer_digest(certificate):
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(certificate.subject.public_bytes() + sha256(key)).hex()


def crl_entries(data, issuers, authority):
    """The issuer's digest, what the list says of itself, and serial -> (revoked_at in seconds, reason)."""
    above = authority
    for one in reversed(issuers):
        if not issued_by(one, above):
            raise ValueError("an issuer was not issued by the one above it")
        above = one
    crl = x509.load_der_x509_crl(data)
    if crl.issuer != above.subject or not crl.is_signature_valid(above.public_key()):
        raise ValueError("not signed by its issuer")
    number, entries = None, {}
    for extension in crl.extensions:
        if isinstance(extension.value, x509.DeltaCRLIndicator):
            raise ValueError("a delta")
        if isinstance(extension.value, x509.CRLNumber):
            value = extension.value.crl_number
            number = "0x" + value.to_bytes(value.bit_length() // 8 + 1, "big").hex()
    for entry in crl:
        reason = "unspecified"
        for extension in entry.extensions:
            if isinstance(extension.value, x509.CRLReason):
                reason = re.sub(r"([A-Z])", r"_\1", extension.value.reason.value).lower().replace("c_a_", "ca_").replace("a_a_", "aa_")
        entries.setdefault(f"{entry.serial_number:x}", (int(entry.revocation_date_utc.timestamp()), reason))
    times = [crl.last_update_utc, crl.next_update_utc]
    return issuer_digest(above), number, [at and int(at.timestamp()) for at in times], entries


def status_entries(data):
    words = {"KEY_COMPROMISE": "key_compromise", "CA_COMPROMISE": "ca_compromise", "SUPERSEDED": "superseded",
             "SOFTWARE_FLAW": "software_flaw"}
    entries = {}
    for serial, entry in read_json(data)["entries"].items():
        reason = "certificate_hold" if entry["status"] == "SUSPENDED" else words.get(entry.get("reason"), "unspecified")
        entries[serial.lower().lstrip("0")] = (None, reason)
    return entries


def maker_list(case, line, digest):
    """9.7: the list with this digest, taken before a line: its issuer, its authority if it is a status list, its entries."""
    def fail(rule):
        raise Flaw("makers", line.where, rule)

    taken = next((other for other in case.main if other.named("maker_list_taken") and other.pos < line.pos
                  and other.event["list_sha256"] == digest), None)
    if taken is None:
        fail("a list is not shown as taken before")
    event = taken.event
    data = base64.b64decode(read_json(event["statement"]["text"])["action"]["list"])
    authority = next((base64.b64decode(other.event["certificate"]) for other in case.main
                      if other.named("endorsement_added") and other.pos < taken.pos
                      and other.event["certificate_sha256"] == event["authority_sha256"]), b"")
    if sha256(authority).hex() != event["authority_sha256"]:
        fail("the authority of a list is not shown as accepted")
    if data[:1] == b"{":
        if event["number"] is not None or event["next_update"] is not None:
            fail("a status list says no number and no times")
        return event["authority_sha256"], event["authority_sha256"], status_entries(data)
    try:
        issuers = [x509.load_der_x509_certificate(base64.b64decode(one)) for one in event["issuers"]]
        issuer, number, times, entries = crl_entries(data, issuers, x509.load_der_x509_certificate(authority))
    except (ValueError, InvalidSignature, UnsupportedAlgorithm) as error:
        fail(f"a list does not hold: {error}")
    said = [event[name] and micros(event[name]) // 1_000_000 for name in ("this_update", "next_update")]
    if number != event["number"] or times != said:
        fail("a list says otherwise than recorded about its number or times")
    return issuer, None, entries


def check_makers(case):
    """9.7"""
    for line in case.chain:
        if line.named("maker_certificates_shown"):
            for digest in line.event["lists"]:
                issuer, authority, entries = maker_list(case, line, digest)
                for one in line.event["certificates"]:
                    own = line.event["endorsement_sha256"] == authority if authority else one["issuer_sha256"] == issuer
                    if own and one["serial"] in entries:
                        raise Flaw("makers", line.where, "hardware was believed whose certificate stands on a list that was asked")
        if line.named("maker_revocation_found"):
            event = line.event
            issuer, _, entries = maker_list(case, line, event["list_sha256"])
            at = event["revoked_at"] and micros(event["revoked_at"]) // 1_000_000
            if issuer != event["issuer_sha256"] or entries.get(event["serial"]) != (at, event["reason"]):
                raise Flaw("makers", line.where, "the list does not say that of this certificate")


def check_reading(case):
    """9.9"""
    def fail(rule):
        raise Flaw("reading", "log 1", rule)

    reading, state = case.reading, case.state
    if reading is None:
        if len(case.bundle.logs) != 1:
            fail("a gateway's log, but no reading")
        return
    line, record, vkey = case.decision, case.decision.event, case.bundle.logs[1].vkey
    note = sha256(case.bundle.logs[1].note.encode()).hex()
    stream = identifier(reading["gateway"])
    added = next((a for a in case.main if a.of(GATEWAY, stream) and a.named("gateway_added")), None)
    anchor = next((a for a in case.main if a.of(GATEWAY, stream) and a.named("gateway_checkpoint_anchored")
                   and a.event["note_sha256"] == note), None)
    if added is None or added.event["vkey"] != vkey:
        fail("the gateway was not admitted with this key")
    if anchor is None or (anchor.event["gateway"], anchor.event["vkey"], anchor.event["size"]) != (
            reading["gateway"], vkey, case.checkpoints[1].size):
        fail("the gateway's checkpoint is not anchored in its stream")
    registered = case.chain[0].event
    if registered and registered["record"]["site"] != added.event["site"]:
        fail("the gateway serves another site")
    same = ("gateway", "decision", "allowed", "verdict", "certificate_sha256", "request_sha256", "forwarded_sha256")
    if any(record[name] != reading[name] for name in same) or record["device"] != case.claim["device"]:
        fail("the claim says otherwise than the gateway recorded")
    if not line.of(DEVICE, case.device) or not line.time_micros == micros(reading["decided_at"]) == case.at:
        fail("another device or time than the gateway recorded")
    if not record["allowed"] or not record["policy"] or record["verdict"] not in ("trusted", "degraded"):
        fail("it was not allowed, or not by a policy and a verdict that allow it")
    rests = (record["evidence_pos"], record["evidence_sha256"], record["firmware"], record["model"])
    ran = [release and release["id"] for release in (state["firmware"], state["ai_model"])]
    if rests != (state["evidence_pos"], state["evidence_sha256"], *ran) or rests[0] is None:
        fail("the decision rests on other evidence than the device's last")
    if record["certificate_sha256"] not in state["certificates"]:
        fail("the certificate is not one of the device's")
    if not case.state_is_erased():
        if state["verdict"] == "untrusted":
            fail("the device was untrusted")
        if record["verdict"] not in (state["verdict"], fold(case, case.at - 5_000_000)["verdict"]):
            fail("the gateway held another verdict than the chain")
    if record["heard_pos"] >= anchor.pos:
        fail("the gateway heard what came after its anchor")
    done = [c.event for c in case.gateway if c.pos > line.pos and c.named("access_completed")
            and c.event["decision"] == reading["decision"]]
    answer = ("status", "location", "response_sha256")
    if not done or any(done[0][name] != reading[name] for name in answer) or not 200 <= reading["status"] < 300:
        fail("it was not completed as claimed")


def meaning(case):
    for check in (check_log, check_state, check_statements, check_two_people, check_attestation, check_makers,
                  check_reading):
        try:
            check(case)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise Flaw("events", check.__name__, f"a payload has not the members of its kind: {error!r}")


# --- section 8 ---

def verify(data, pinned=None, trusted=(), quorum=0, structure_only=False):
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
    closing = check_claim(bundle.claim, leaves, named)
    if not structure_only:
        meaning(Case(bundle, log_keys, checkpoints, read_events(leaves), closing))
    if any(leaf.payload is None for leaf in leaves):
        return "payload erased"
    count = sum(key.vkey in trusted for key in cosigners)
    return "proved" if count >= max(1, quorum) else "proved but unwitnessed"


def main():
    parser = argparse.ArgumentParser(description="verify Lanyard evidence bundles")
    parser.add_argument("--log-vkey", action="append", help="a key that the main log may have (default: any)")
    parser.add_argument("--witness", action="append", default=[], help="verifier key of a trusted witness")
    parser.add_argument("--quorum", type=int, default=0)
    parser.add_argument("--structure-only", action="store_true", help="do not look at what events and claim mean")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    bad = False
    for path in args.files:
        with open(path, "rb") as file:
            data = file.read(64 * MIB + 1)
        answer = {"file": path, "outcome": "contradicted", "part": None, "where": None, "rule": None}
        try:
            answer["outcome"] = verify(data, args.log_vkey, args.witness, args.quorum, args.structure_only)
        except Flaw as flaw:
            answer.update(part=flaw.part, where=flaw.where, rule=flaw.rule)
            bad = True
        print(json.dumps(answer))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
