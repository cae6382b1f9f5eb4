"""Devices without network, on swtpm and on the software TPM. README.md says what this proves."""

import json
import signal
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from scene import (CONTRADICTED, NOT_NOW, REFUSED, SOFT, USAGE, VENDOR, Scene, changed, cut, events, resigned,  # noqa: E402
                   shown, suite)
from blocks import Shell, blocks  # noqa: E402
from harness import PYTHON, ROOT, binary, check, lanyard, refusal, run, same  # noqa: E402


# R34, R36, I1: the approvals come while the files are under way.
@suite.step
def a_device_on_swtpm_waits_for_its_approvals_and_enrolls_by_file(s):
    device = s.hard
    request = device.answer(s.challenge(device, device.keys()))
    s.waiting_request = request
    refusal(NOT_NOW, "waits: .*not yet approved", lambda: s.hand_in(device, request))
    check("request_file_handed_in" not in device.names(), "a file that waits was used up")
    s.hospital.approve(device.id)
    response = s.hand_in(device, request)
    check(not (device.folder / "state/identity.json").exists(), "it has an identity before the response came")
    installed = device.accept(response)
    same(installed["device"], device.id, "device")
    detail = s.hospital.detail(device.id)
    same((detail["verdict"], detail["stage"]), ("trusted", "in-service"), "the device")
    check(detail["strength"] in ("measured", "evaluated"), detail)
    s.first = (request, response)


# R57, R115
@suite.step
def the_ledger_says_how_it_came(s):
    handed, = events(s, s.hard, "request_file_handed_in")
    same((handed["proof"], handed["request_sha256"]), ("challenge", shown(s.first[0])["request"]), "the file")
    intended, = events(s, s.hard, "issuance_intended")
    same(intended["protocol"], "file", "protocol")
    file = s.folder / "device.evidence"
    s.hospital.as_("sara", "evidence", "at", s.hard.id, "now", "-f", file)
    report = lanyard("verify", file, "--log-key", s.hospital.started["log_vkey"])
    same(report["flaw"], None, "flaw")
    line = next(c["detail"] for c in report["checks"] if c["name"] == "certificates")
    check("by a request file that answered a challenge, handed in by operator" in line, line)
    # The verifier that was written from the docs.
    other = run(PYTHON, ROOT / "tests/interop/bundle/verify.py", file)
    same(json.loads(other.out)["outcome"], "proved but unwitnessed", other.out)


# I2: single use, on both sides.
@suite.step
def nothing_is_used_twice(s):
    request, response = s.first
    before = s.serials(s.hard)
    refusal(REFUSED, "handed in before and counts once", lambda: s.hand_in(s.hard, request))
    refusal(REFUSED, "handed in before and counts once", lambda: s.hand_in(s.hard, resigned(request)))
    refusal(REFUSED, "no request of this device waits", lambda: s.hard.accept(response))
    same(s.serials(s.hard), before, "certificates")


@suite.step
def single_use_survives_kill_9(s):
    s.processes.stop("up", signal.SIGKILL)
    s.hospital.up()
    s.hospital.login()
    refusal(REFUSED, "handed in before and counts once", lambda: s.hand_in(s.hard, s.first[0]))


# A response that was lost on the way: the same certificate, nothing new.
@suite.step
def a_lost_response_is_given_again(s):
    before = s.serials(s.hard)
    again = s.hand_in(s.hard, s.first[0], "--again")
    same(s.serials(s.hard), before, "certificates")
    same(shown(again)["answers request"], shown(s.first[1])["answers request"], "request")
    # It answers a request that no longer waits.
    refusal(REFUSED, "no request of this device waits", lambda: s.hard.accept(again))


# R44, R57
@suite.step
def it_renews_by_file_with_another_key(s):
    device = s.hard
    request = device.answer(s.challenge(device))
    s.renewal = (request, s.hand_in(device, request))
    device.accept(s.renewal[1])
    same(len(s.serials(device)), 2, "certificates")
    appraised = events(s, device, "evidence_appraised")
    same([e["purpose"] for e in appraised], ["enroll", "attest"], "purposes")


# R60: on a network again, the certificate that came by file is the one it shows.
@suite.step
def on_a_network_it_attests_with_it(s):
    s.on_the_network(s.hard)
    standing = lanyard("agent", "attest", *s.hard.arguments)
    same(standing["verdict"], "trusted", standing)
    seen = events(s, s.hard, "certificate_seen")
    check(len(seen) == 1, seen)


# A restart that comes between the challenge and its request.
@suite.step
def a_challenge_is_known_again_after_a_restart(s):
    device = s.critical
    challenge = s.challenge(device, device.keys())
    s.hospital.restart()
    response = s.hand_in(device, device.answer(challenge))
    device.accept(response)
    same(s.hospital.detail(device.id)["verdict"], "trusted", "a device of tier critical")


# R66
@suite.step
def a_secret_is_enough_for_tier_standard_and_for_no_more(s):
    device = s.soft("S-secret", maker="stranger")
    text = s.hospital.secret(device.id)
    request = device.with_secret(text)
    device.accept(s.hand_in(device, request))
    same([e["proof"] for e in events(s, device, "request_file_handed_in")], ["secret"], "proof")
    detail = s.hospital.detail(device.id)
    same(detail["verdict"], "untrusted", "without evidence")
    refusal(REFUSED, "handed in before and counts once", lambda: s.hand_in(device, request))
    # Another request with a secret that was used.
    refusal(REFUSED, "secret", lambda: s.hand_in(device, device.with_secret(text)))
    # The next one, with the next secret.
    device.accept(s.hand_in(device, device.with_secret(s.hospital.secret(device.id))))
    for tier in ("high", "critical"):
        strict = s.soft(f"S-{tier}", tier=tier)
        asked = strict.with_secret(s.hospital.secret(strict.id))
        refusal(REFUSED, "challenge file .*a one-time secret is not enough", lambda: s.hand_in(strict, asked))
        check("certificate_issued" not in strict.names(), strict.names())


@suite.step
def a_wrong_secret_is_refused(s):
    device, other = s.soft("S-wrong", maker="stranger"), s.soft("S-wrong-2", maker="stranger")
    right = s.hospital.secret(device.id)
    wrong = right[:-1] + ("a" if right[-1] != "a" else "b")
    refusal(REFUSED, "not made with this one-time secret", lambda: s.hand_in(device, device.with_secret(wrong)))
    # A newer secret ends the one before.
    request = device.with_secret(right)
    s.hospital.secret(device.id)
    refusal(REFUSED, "is not, or no longer", lambda: s.hand_in(device, request))
    check("certificate_issued" not in device.names() + other.names(), "issued all the same")


# I12
@suite.step
def what_was_cut_changed_or_added_to_is_refused(s):
    request, response = s.renewal
    challenge = s.challenge(s.hard)
    for path, refuse in ((request, lambda f: s.hand_in(s.hard, f)), (response, s.hard.accept),
                         (challenge, s.hard.answer)):
        size = path.stat().st_size
        for length in (0, 3, 6, 100, size // 2, size - 1):
            refusal(USAGE, "damaged|first bytes", lambda: refuse(cut(path, length)))
        longer = path.with_name(f"{path.name}-longer")
        longer.write_bytes(path.read_bytes() + b"\0")
        refusal(USAGE, "bytes are left", lambda: refuse(longer))
        huge = path.with_name(f"{path.name}-huge")
        huge.write_bytes(path.read_bytes() + bytes(5 << 20))
        refusal(USAGE, "at most", lambda: refuse(huge))
        version = bytearray(path.read_bytes())
        version[4] = 2
        other = path.with_name(f"{path.name}-version")
        other.write_bytes(version)
        refusal(USAGE, "a file of version 2", lambda: refuse(other))
    refusal(USAGE, "signature does not fit|malformed|proof of possession", lambda: s.hand_in(s.hard, changed(request, 60)))
    refusal(USAGE, "signature does not fit", lambda: s.hand_in(s.hard, changed(request, request.stat().st_size - 200)))
    refusal(CONTRADICTED, "signature does not fit", lambda: s.hard.accept(changed(response, 10)))
    refusal(CONTRADICTED, "signature does not fit", lambda: s.hard.answer(changed(challenge, 40)))
    refusal(USAGE, "this is a response file, a request file is needed", lambda: s.hand_in(s.hard, response))
    refusal(USAGE, "this is a request file, a response file is needed", lambda: s.hard.accept(request))


# I2: files of another record.
@suite.step
def files_of_another_device_are_refused(s):
    one, two = s.soft("S-one"), s.soft("S-two")
    asked = one.answer(s.challenge(one, one.keys()))
    two.answer(s.challenge(two, two.keys()))
    response = s.hand_in(one, asked)
    refusal(REFUSED, "answers another request", lambda: two.accept(response))
    # A credential that only the other TPM opens.
    refusal(REFUSED, "not made for this endorsement key", lambda: two.answer(s.challenge(one, one.keys())))
    one.accept(response)
    refusal(REFUSED, f"the challenge is for device {one.id}", lambda: (s.enroll(two), two.answer(s.challenge(one)))[1])
    # An older request's response after a newer request.
    first = one.answer(s.challenge(one))
    late = s.hand_in(one, first)
    one.answer(s.challenge(one))
    refusal(REFUSED, "answers another request", lambda: one.accept(late))


# I10: another hospital's control plane.
@suite.step
def another_control_plane_is_nobody(s):
    other = s.another_hospital()
    device = s.soft("S-stray")
    keys = device.keys()
    file = device.file("foreign-challenge")
    other.enter(VENDOR, SOFT, "S-stray")
    other.endorse(s.folder / "maker/endorsement.der")
    other.as_("anna", "enroll", "challenge", keys, "--out", file)
    refusal(CONTRADICTED, "not the control plane that this device trusts", lambda: device.answer(file))
    # And a request that answers ours is not theirs.
    asked = device.answer(s.challenge(device, keys))
    refusal(REFUSED, "not made by this control plane",
            lambda: other.as_("anna", "enroll", "file", asked, "--out", device.file("foreign")))
    other.processes.stop_all()


# R35, R61, I5: evidence by file is judged as any other.
@suite.step
def unapproved_firmware_gets_nothing_by_file_either(s):
    device = s.soft("S-tampered")
    lanyard("agent", "simulate", device.folder, "--maker", s.folder / "maker", "--vendor", VENDOR, "--model", SOFT,
            "--serial", "S-tampered", "--firmware", "1.0.0", "--tamper", "kernel")
    asked = device.answer(s.challenge(device, device.keys()))
    refusal(REFUSED, "it gets no certificate and is in quarantine", lambda: s.hand_in(device, asked))
    same(s.hospital.detail(device.id)["stage"], "quarantined", "stage")
    refusal(REFUSED, "counts once", lambda: s.hand_in(device, asked))
    refusal(REFUSED, "no certificate of its key is good", lambda: s.hand_in(device, asked, "--again"))


@suite.step
def a_device_that_is_being_retired_gets_nothing(s):
    device = s.soft("S-retired")
    s.enroll(device)
    asked = device.answer(s.challenge(device))
    s.hospital.as_("ben", "device", "retire", device.id, "--reason", "worn out")
    refusal(REFUSED, "retired", lambda: s.hand_in(device, asked))


# I1: what stands in the docs.
@suite.step
def the_page_is_true(s):
    device, other = s.soft("S-1"), s.soft("S-2", maker="stranger")
    bin_folder = s.folder / "bin"
    bin_folder.mkdir()
    (bin_folder / "lanyard").symlink_to(binary())
    profile = s.folder / "anna.toml"
    shell = Shell("page", s.folder / "page", s.processes, path=[bin_folder], replace={
        "--config /etc/lanyard/agent.toml --tcti device:/dev/tpmrm0": " ".join(map(str, device.arguments)),
        "--config /etc/lanyard/agent.toml": " ".join(map(str, device.arguments[:2])),
        "--config /etc/lanyard/other.toml --tpm-dir /var/lib/lanyard/tpm": " ".join(map(str, other.arguments)),
        "lanyard enroll": f"lanyard --profile {profile} enroll",
        "lanyard -o json device": f"lanyard --profile {profile} -o json device"})
    page = blocks(ROOT / "docs/protocols/offline.md")
    check(len(page) >= 7, "the page lost its blocks")
    for block in page:
        shell.run(block)
    s.processes.stop("page")
    same(device.names().count("certificate_issued"), 2, "certificates by challenge")
    same(other.names().count("certificate_issued"), 1, "certificates by secret")


# I3
@suite.step
def the_ledger_of_all_this_checks(s):
    s.processes.stop("up")
    lanyard("ledger", "check", "--data", s.hospital.data)


if __name__ == "__main__":
    suite.run(Scene, peers=("swtpm", "swtpm_setup", "tpm2_pcrextend", "jq"))
