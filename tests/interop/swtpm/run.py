"""The real agent on swtpm, and tpm2-tools against our verifier. README.md says what this proves."""

import base64
import http.client
import json
import secrets
import shutil
import ssl
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import (Hospital, Missing, Suite, agent_config, b64, binary, check,  # noqa: E402
                     lanyard, observation, refusal, run, same, until)
import by_acme  # noqa: E402
import by_list  # noqa: E402
from tpm import EventLog, Swtpm, credential_file, replayed, tpmt  # noqa: E402

suite = Suite("swtpm")
VENDOR, MODEL = "Acme Medical", "Infusion X"
BASELINE = [0, 2, 4, 7, 9]
GOLDEN = EventLog.of()
TAMPERED = EventLog.of(kernel=b"kernel 6.1 with a little extra")
REFUSED, USAGE, UNREACHABLE = 1, 2, 3


class Scene:
    """A hospital without EHR, a golden device, and a pump. Their chips are swtpm, each with its own maker's CA."""

    def __init__(self, folder, processes):
        self.folder, self.processes = folder, processes
        self.hospital = Hospital(folder, processes, enroll={})
        self.golden = Swtpm(folder, processes, "golden")
        self.golden.boot(GOLDEN)
        self.release, self.record = self.hospital.approve_firmware(VENDOR, MODEL, "4.2.0", self.golden.event_log)
        self.chip, self.device, self.agent = self.pump("pump")
        if "needs a build that talks to TPMs" in run(binary(), "agent", "attest", *self.agent, ok=None).err:
            raise Missing(f"`{binary()}` is built without the feature tpm: run `cargo xtask test`, or "
                          "`cargo build -p lanyard-cli --features tpm`")
        self.chip.boot(GOLDEN)
        # Two chips of one maker's CA that is registered, and a device that waits for one of them.
        self.x, self.y = Swtpm(folder, processes, "chip-x"), Swtpm(folder, processes, "chip-y")
        for chip in (self.x, self.y):
            self.hospital.endorse(chip.endorsement)
        self.waiting = self.hospital.register(VENDOR, MODEL, "SN-waiting")

    def pump(self, name):
        """A registered, approved device on a chip of its own; nothing is booted yet."""
        chip = Swtpm(self.folder, self.processes, name)
        device = self.hospital.register(VENDOR, MODEL, f"SN-{name}")
        config = agent_config(self.hospital, chip.folder, VENDOR, MODEL, f"SN-{name}", chip.event_log)
        return chip, device, ("--config", config, "--tcti", chip.tcti)

    golden_log = GOLDEN

    def ek_pem(self, chip):
        """The chip's EK certificate, as it reads out of the TPM, as PEM."""
        out = chip.file("ek.pem")
        certificate, _ = chip.endorsement_key()
        out.write_text(ssl.DER_cert_to_PEM_cert(certificate))
        return out

    def attest(self):
        return lanyard("agent", "attest", *self.agent)

    def send(self):
        file = self.folder / "send.json"
        file.write_text(json.dumps(observation(self.device)))
        return lanyard("agent", "send", *self.agent, file)

    def passes_the_gateway(self):
        refusal(UNREACHABLE, "the gateway answered 503", self.send)

    def names(self, device=None):
        return [event["event"] for event in self.hospital.events(device or self.device)]

    def last_appraisal(self):
        return [e for e in self.hospital.events(self.device) if e["event"] == "evidence_appraised"][-1]

    def alarms(self, device=None):
        return [e["code"] for e in self.hospital.events(device or self.device) if e["event"] == "alarm_raised"]


def codes(standing):
    return [reason["code"] for reason in standing["reasons"]]


def example(name, *arguments, ok=True):
    """One of the example programs of lanyard-attest."""
    return run("cargo", "run", "--quiet", "--locked", "-p", "lanyard-attest", "--example", name, "--", *arguments,
               ok=ok, timeout=900)


class Control:
    """The control plane's enrollment over one TLS connection, spoken by hand: what a forger would write."""

    def __init__(self, scene):
        self.server = http.client.HTTPSConnection(
            scene.hospital.server, timeout=60, context=ssl.create_default_context(cafile=scene.hospital.anchors))

    def post(self, path, body):
        self.server.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = self.server.getresponse()
        return answer.status, json.loads(answer.read())

    def begin(self, ek, ak_public, serial="SN-waiting"):
        certificate, ek_public = ek
        self.begun = {"vendor": VENDOR, "model": MODEL, "serial": serial, "ek_certificates": [b64(certificate)],
                      "ek_public": b64(ek_public), "ak_public": b64(ak_public)}
        return self.post("/v1/enroll/begin", self.begun)

    def challenge(self, path, ek, ak_public):
        """Begins, and leaves the credential as a file for tpm2-tools."""
        status, self.asked = self.begin(ek, ak_public)
        same(status, 200, f"status of the challenge {self.asked}")
        return credential_file(path, *(base64.b64decode(self.asked[f]) for f in ("credential_blob", "encrypted_secret")))

    def finish(self, secret):
        """Ends with this secret and proofs that prove nothing: the code of the refusal."""
        proof = {"checkpoint_size": self.asked["checkpoint"]["size"]}
        proof.update({name: b64(b"nothing") for name in
                      ("tls_public", "certify", "certify_signature", "csr", "evidence")})
        status, answer = self.post("/v1/enroll/finish", {
            "begin": self.begun, "expires": self.asked["expires"], "secret": b64(secret), "proof": proof})
        check(status >= 400, f"enrolled with proofs of nothing: {answer}")
        return answer["type"].rsplit(":", 1)[-1]


# R63, R58
@suite.step
def a_release_measured_by_us_has_the_pcrs_that_the_golden_tpm_has(s):
    measured = {entry["pcr"]: entry["value"] for entry in s.record["content"]["pcrs"]}
    same(sorted(measured), BASELINE, "PCRs of the release")
    same(measured, s.golden.pcrs(BASELINE), "ours and the TPM's")
    oracle = replayed(s.golden.event_log)
    same(measured, {pcr: oracle[pcr] for pcr in BASELINE}, "ours and tpm2_eventlog's")


# R35, I5
@suite.step
def hardware_of_a_maker_that_nobody_accepted_is_refused(s):
    text = refusal(REFUSED, "no accepted maker vouches for this endorsement key", lambda: lanyard("agent", "enroll", *s.agent))
    check("certificate_issued" not in s.names(), f"issued all the same: {text}")


# R34, R36, R57
@suite.step
def the_agent_enrolls_with_swtpms_ek_certificate(s):
    s.hospital.endorse(s.chip.endorsement)
    standing = lanyard("agent", "enroll", *s.agent)
    same((standing["verdict"], codes(standing)), ("trusted", []), "after enrollment")
    detail = s.hospital.detail(s.device)
    same(detail["firmware"]["release"], s.release, "release")
    check(detail["strength"] in ("measured", "evaluated") and len(detail["certificates"]) == 1, detail)
    kept = {path.name for path in (s.chip.folder / "state").rglob("*") if path.is_file()}
    check("ak.lyrt" in kept and "identity.json" in kept, kept)


# R60
@suite.step
def it_attests_again_and_again(s):
    positions = [standing["pos"] for standing in (s.attest(), s.attest()) if standing["verdict"] == "trusted"]
    check(len(positions) == 2 and positions[0] < positions[1], positions)


# R53
@suite.step
def the_gateway_takes_its_data_by_the_key_in_the_tpm(s):
    s.passes_the_gateway()


# R36, R60
@suite.step
def the_agent_runs_and_says_how_it_stands(s):
    before = len(s.names())
    s.processes.start("agent", binary(), "agent", "run", *s.agent)
    try:
        until("the running agent has attested", lambda: "evidence_appraised" in s.names()[before:], 60)
        status = until("its status is written", lambda: lanyard("agent", "status", "--config", s.agent[1]))
        same((status["device"], status["standing"]["verdict"], status["fault"]), (s.device, "trusted", None), "status")
    finally:
        s.processes.stop("agent")


# R61, I5: the quote is the chip's own word; a state that no log explains is one that nobody approved.
@suite.step
def an_extension_that_no_log_explains_is_contraindicated(s):
    s.chip.tool("tpm2_pcrextend", f"9:sha256={secrets.token_hex(32)}")
    refusal(REFUSED, "the device is not trusted", s.attest)
    detail, appraised = s.hospital.detail(s.device), s.last_appraisal()
    same((detail["verdict"], detail["stage"], detail["firmware"]), ("untrusted", "quarantined", None), "the device")
    same((appraised["appraisal"], appraised["verdict"]), ("contraindicated", "untrusted"), "appraisal")
    found = {finding["code"]: finding["text"] for finding in appraised["findings"]}
    check("(PCR 9)" in found["event_log_mismatch"], found)
    refusal(REFUSED, "AccessDenied", s.send)


# R39, R61
@suite.step
def after_a_power_cycle_a_person_lets_it_prove_itself(s):
    s.chip.power_cycle()
    s.chip.boot(GOLDEN)
    refusal(REFUSED, "the device is not trusted", s.attest)
    s.hospital.as_("ben", "device", "release", s.device, "--reason", "plugged out and in, looked at")
    same(lanyard("agent", "enroll", *s.agent)["verdict"], "trusted", "verdict")


# R58, R61, R64
@suite.step
def tampered_firmware_is_contraindicated_and_the_event_is_named(s):
    s.chip.power_cycle()
    s.chip.boot(TAMPERED)
    text = refusal(REFUSED, "the device is not trusted", s.attest)
    detail = s.hospital.detail(s.device)
    same(detail["verdict"], "untrusted", f"verdict after: {text}")
    appraised = s.last_appraisal()
    same((appraised["appraisal"], appraised["verdict"]), ("contraindicated", "untrusted"), "appraisal")
    found = {finding["code"]: finding["text"] for finding in appraised["findings"]}
    check("firmware_unapproved" in found, found)
    expected, tampered = (log.events[-1][2].hex() for log in (GOLDEN, TAMPERED))
    for part in (f"PCR 9, event {len(GOLDEN.events) - 1}:", expected, tampered, "/boot/vmlinuz"):
        check(part in found["failing_event"], f"`{part}` is missing: {found['failing_event']}")
    check("trust_changed" in s.names(), s.names())


# R49, I6
@suite.step
def it_is_cut_from_the_gateway_and_from_renewal(s):
    refusal(REFUSED, "AccessDenied", s.send)
    count = s.names().count("certificate_issued")
    refusal(REFUSED, "it gets no certificate and is in quarantine", lambda: lanyard("agent", "enroll", *s.agent))
    same(s.names().count("certificate_issued"), count, "certificates ever issued")


# R61: contraindicated evidence needs a person.
@suite.step
def good_firmware_alone_does_not_bring_it_back(s):
    s.chip.power_cycle()
    s.chip.boot(GOLDEN)
    refusal(REFUSED, "the device is not trusted", s.attest)
    same(s.hospital.detail(s.device)["verdict"], "untrusted", "verdict")


# R39, R61
@suite.step
def a_person_and_good_firmware_bring_it_back(s):
    s.hospital.as_("sara", "device", "release", s.device, "--reason", "kernel restored, checked by hand")
    same(lanyard("agent", "enroll", *s.agent)["verdict"], "trusted", "verdict")
    s.passes_the_gateway()


# R61
@suite.step
def something_loaded_later_and_logged_honestly_is_contraindicated(s):
    longer = GOLDEN.and_then(9, b"a module", b"/boot/module.ko")
    longer.write(s.chip.event_log)
    s.chip.tool("tpm2_pcrextend", f"9:sha256={longer.events[-1][2].hex()}")
    refusal(REFUSED, "the device is not trusted", s.attest)
    appraised = s.last_appraisal()
    same(appraised["appraisal"], "contraindicated", "appraisal")
    text = {finding["code"]: finding["text"] for finding in appraised["findings"]}["failing_event"]
    check(f"PCR 9, event {len(GOLDEN.events)}:" in text and "expected nothing" in text, text)


# R38, I2
@suite.step
def a_copied_state_directory_is_worth_nothing_on_another_chip(s):
    clone = s.folder / "clone"
    shutil.copytree(s.chip.folder / "state", clone / "state")
    config = clone / "agent.toml"
    config.write_text(Path(s.agent[1]).read_text().replace(str(s.chip.folder / "state"), str(clone / "state")))
    s.x.boot(GOLDEN)
    before = len(s.names())
    for command in ("attest", "enroll"):
        refusal(USAGE, "was not made by this TPM", lambda: lanyard("agent", command, "--config", config, "--tcti", s.x.tcti))
    same(len(s.names()), before, "events of the device")


# R38, I2
@suite.step
def the_ek_of_an_enrolled_device_makes_no_second_device(s):
    name = s.chip.attestation_key()
    check(len(name) == 34, name)
    status, answer = Control(s).begin(s.chip.endorsement_key(), tpmt(s.chip.file("ak.pub")))
    same((status, answer["type"].rsplit(":", 1)[-1]), (403, "hardware_key_reused"), "refusal")
    same(s.alarms(s.waiting), ["hardware_key_reused"], "alarms of the waiting device")
    same(s.alarms()[-1], "hardware_key_reused", "last alarm of the pump")


# R34: our MakeCredential on the wire, opened by tpm2_activatecredential, and taken back by the control plane.
@suite.step
def the_control_planes_credential_opens_in_the_right_tpm(s):
    s.x.attestation_key()
    control = Control(s)
    file = control.challenge(s.x.file("wire.cred"), s.x.endorsement_key(), tpmt(s.x.file("ak.pub")))
    secret = s.x.activate(file)
    same(len(secret), 32, "length of the secret")
    # The secret was right: what is refused now is the next thing, a TLS key that is none.
    same(control.finish(secret), "malformed", "refusal")
    check("clone_suspected" not in s.alarms(s.waiting), s.alarms(s.waiting))


# R34, R38
@suite.step
def an_ak_of_one_tpm_with_the_ek_of_another_is_refused(s):
    s.y.attestation_key()
    control = Control(s)
    file = control.challenge(s.folder / "mixed.cred", s.x.endorsement_key(), tpmt(s.y.file("ak.pub")))
    # X has the endorsement key but another attestation key, Y has it the other way round.
    for chip in (s.x, s.y):
        why = chip.activate(file, ok=False)
        check("0x" in why or "ERROR" in why, why)
    same(control.finish(secrets.token_bytes(32)), "activation_failed", "refusal of a guessed secret")
    same(s.alarms(s.waiting)[-1], "clone_suspected", "alarm")
    # Nor is the secret of another attempt of any use.
    other = Control(s)
    secret = s.x.activate(other.challenge(s.folder / "other.cred", s.x.endorsement_key(), tpmt(s.x.file("ak.pub"))))
    same(control.finish(secret), "activation_failed", "refusal of a secret from another connection")
    same(s.hospital.detail(s.waiting)["certificates"], [], "certificates")


# R34
@suite.step
def our_make_credential_opens_with_an_rsa_and_an_ecc_endorsement_key(s):
    s.y.tool("tpm2_createek", "-G", "ecc", "-c", s.y.file("ecc.ctx"), "-u", s.y.file("ecc.pub"))
    s.y.endorsement_key()
    for public, parent in ((s.y.file("ek.pub"), "0x81010001"), (s.y.file("ecc.pub"), s.y.file("ecc.ctx"))):
        name, secret, file = s.y.attestation_key(parent), secrets.token_bytes(32), s.y.file("ours.cred")
        example("make_credential", public, name.hex(), secret.hex(), file)
        same(s.y.activate(file, parent), secret, f"secret under {parent}")
        other = bytearray(name)
        other[-1] ^= 1
        example("make_credential", public, other.hex(), secret.hex(), file)
        s.y.activate(file, parent, ok=False)


# R57, R60
@suite.step
def our_verifier_accepts_a_quote_of_tpm2_tools_and_nothing_else(s):
    chip, nonce, pcrs = s.golden, secrets.token_hex(32), [0, 2, 4, 7, 9, 12]
    chip.attestation_key()
    message, signature = chip.file("q.msg"), chip.file("q.sig")
    chip.tool("tpm2_quote", "-c", chip.file("ak.ctx"), "-l", "sha256:" + ",".join(map(str, pcrs)), "-q", nonce,
              "-m", message, "-s", signature, "-g", "sha256")
    values = [f"{pcr}={value}" for pcr, value in sorted(chip.pcrs(pcrs).items())]
    good = example("verify_quote", chip.file("ak.pub"), message, signature, nonce, *values).out
    check("FAILED" not in good and good.count("holds") >= 6, good)

    flipped = chip.file("flipped.msg")
    raw = bytearray(message.read_bytes())
    raw[-1] ^= 1
    flipped.write_bytes(raw)
    wrong_value = [*values[:-1], f"12={'11' * 32}"]
    for failing, arguments in (
            ("QuoteSignature", (chip.file("ak.pub"), flipped, signature, nonce, *values)),
            ("QuoteSignature", (s.y.file("ak.pub"), message, signature, nonce, *values)),
            ("Freshness", (chip.file("ak.pub"), message, signature, secrets.token_hex(32), *values)),
            ("PcrSelection", (chip.file("ak.pub"), message, signature, nonce, *values[:-1])),
            ("PcrDigest", (chip.file("ak.pub"), message, signature, nonce, *wrong_value))):
        text = example("verify_quote", *arguments, ok=False).out
        check(f"{failing}: FAILED" in text, f"expected {failing} to fail:\n{text}")


# R36: what README's walk does, on swtpm.
@suite.step
def a_simulated_boot_on_swtpm_enrolls(s):
    chip, device, agent = s.pump("walk")
    lanyard("agent", "simulate", chip.folder, "--tcti", chip.tcti, "--vendor", VENDOR, "--model", MODEL, "--serial",
            "SN-walk", "--firmware", "5.0.0")
    s.hospital.endorse(chip.endorsement)
    refusal(REFUSED, "it gets no certificate and is in quarantine", lambda: lanyard("agent", "enroll", *agent))
    check("certificate_issued" not in s.names(device), "a release that nobody approved was enough")
    release, record = s.hospital.approve_firmware(VENDOR, MODEL, "5.0.0", chip.event_log)
    same({entry["pcr"]: entry["value"] for entry in record["content"]["pcrs"]}, chip.pcrs(BASELINE),
         "the log's replay and the TPM's PCRs")
    s.hospital.as_("sara", "device", "release", device, "--reason", "the release is approved now")
    same(lanyard("agent", "enroll", *agent)["verdict"], "trusted", "verdict")
    same(s.hospital.detail(device)["firmware"]["release"], release, "release")


by_acme.add(suite)
by_list.add(suite)


# I3
@suite.step
def the_ledger_of_all_this_checks(s):
    s.processes.stop("up")
    lanyard("ledger", "check", "--data", s.hospital.data)


if __name__ == "__main__":
    suite.run(Scene, peers=("openssl", "swtpm", "swtpm_setup", "tpm2_quote", "tpm2_eventlog", "tpm2_activatecredential"))
