"""sekmet-fhir as the EHR behind our gateway. README.md says what this proves."""

import json
import re
import signal
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import (MISSING, PYTHON, Hospital, Missing, Refused, Suite, agent_config, check, free_port,  # noqa: E402
                     lanyard, observation, refusal, same, until)

try:
    import requests
except ImportError:
    requests = None

suite = Suite("sekmet")
VENDOR, MODEL, SERIAL, FIRMWARE = "Acme Medical", "Infusion X", "SEK-1", "4.2.0"
TOKEN, OTHER_TOKEN = "the-gateways-own-credential", "a-credential-that-nobody-knows"
UNREACHABLE = 3


class Ehr:
    """sekmet, and a client of it that knows nothing of Lanyard."""

    def __init__(self, folder, processes):
        self.program = Path(PYTHON).parent / "sekmet"
        if requests is None or not self.program.exists():
            raise Missing(f"sekmet-fhir and requests: not in the Python environment of {PYTHON}; {MISSING}")
        self.folder, self.processes, self.port = folder, processes, free_port()
        self.base = f"http://127.0.0.1:{self.port}/fhir"
        self.start(TOKEN)

    def start(self, token):
        settings = self.folder / "settings.yaml"
        # The default host is every interface.
        settings.write_text(json.dumps({
            "host": "127.0.0.1", "port": self.port, "base_url": self.base,
            "data_dir": str(self.folder / "ehr"), "simulator": {"enabled": False},
            "server_auth": {"types": ["bearer"], "tokens": [token]}}))
        self.token = token
        process = self.processes.start("sekmet", self.program, "serve", env={"SEKMET_CONFIG": str(settings)})

        def answers():
            check(process.poll() is None, "sekmet ended:\n" + self.processes.logs())
            try:
                return requests.get(self.base + "/metadata", timeout=5).ok
            except requests.ConnectionError:
                return False

        until("sekmet answers", answers)

    def stop(self, how=signal.SIGTERM):
        self.processes.stop("sekmet", how)

    def get(self, path, **query):
        answer = requests.get(f"{self.base}/{path}", params=query, timeout=30,
                              headers={"authorization": f"Bearer {self.token}"})
        same(answer.status_code, 200, f"GET {path} {query}")
        return answer

    def found(self, kind, **query):
        return [entry["resource"] for entry in self.get(kind, **query).json().get("entry", [])]

    def count(self, kind):
        return self.get(kind, _count="1").json()["total"]


class Scene:
    """A hospital whose EHR is sekmet, and one trusted infusion pump on a software TPM."""

    def __init__(self, folder, processes):
        self.folder, self.processes = folder, processes
        self.ehr = Ehr(folder, processes)
        token = folder / "ehr-token"
        token.touch(mode=0o600)
        token.write_text(TOKEN + "\n")
        self.hospital = Hospital(folder, processes, self.ehr.base, token)
        pump = folder / "pump"
        made = lanyard("agent", "simulate", pump, "--maker", folder / "maker", "--vendor", VENDOR, "--model", MODEL,
                       "--serial", SERIAL, "--firmware", FIRMWARE)
        self.hospital.endorse(made["endorsement"])
        self.device = self.hospital.register(VENDOR, MODEL, SERIAL)
        self.release, _ = self.hospital.approve_firmware(VENDOR, MODEL, FIRMWARE, made["event_log"])
        config = agent_config(self.hospital, pump, VENDOR, MODEL, SERIAL, made["event_log"])
        self.agent = ("--config", config, "--tpm-dir", made["tpm_dir"])
        lanyard("agent", "enroll", *self.agent)
        standing = lanyard("agent", "attest", *self.agent)
        same(standing["verdict"], "trusted", "the pump's verdict")
        self.locations = []

    def send(self, resource, *more):
        file = self.folder / "send.json"
        file.write_text(resource if isinstance(resource, str) else json.dumps(resource))
        return lanyard("agent", "send", *self.agent, file, *more)

    def counts(self):
        return self.ehr.count("Observation"), self.ehr.count("Provenance")


def key_of(location):
    """`Observation/id` in a Location header."""
    return re.search(r"Observation/[A-Za-z0-9.-]+", location).group()


def extensions(provenance):
    """Our extensions by their last word; those that have parts as dictionaries."""
    found = {}
    for extension in provenance["extension"]:
        check(extension["url"].startswith("urn:lanyard:fhir:"), extension)
        parts = {part["url"]: part["valueString"] for part in extension.get("extension", [])}
        found[extension["url"].rsplit(":", 1)[1]] = extension.get("valueString", parts)
    return found


def provenance_of(s, key):
    """The one Provenance that the EHR finds for a resource."""
    found = s.ehr.found("Provenance", target=key)
    same(len(found), 1, f"Provenances of {key}")
    return found[0]


# R55, R77
@suite.step
def a_reading_reaches_the_ehr_with_its_digits(s):
    text = json.dumps(observation(s.device)).replace("12.5", "12.50")
    sent = s.send(text)
    same(sent["status"], 201, "status")
    s.locations.append(key_of(sent["location"]))
    answer = s.ehr.get(s.locations[0])
    stored, wrote = answer.json(), json.loads(text)
    for member, value in wrote.items():
        same(stored.get(member), value, member)
    same(stored["device"]["identifier"]["value"], f"urn:uuid:{s.device}", "device")
    same(s.counts(), (1, 1), "resources in the EHR")


# R81, I4
@suite.step
def its_provenance_names_device_firmware_attestation_and_decision(s):
    provenance, detail = provenance_of(s, s.locations[0]), s.hospital.detail(s.device)
    same([target["reference"] for target in provenance["target"]], [s.locations[0]], "target")
    author, gateway = provenance["agent"]
    same(author["type"]["coding"][0]["code"], "author", "type of the first agent")
    same(author["who"]["identifier"], {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{s.device}"}, "author")
    same(author["who"]["display"], f"{VENDOR} {MODEL} {SERIAL}", "label")
    same(gateway["type"]["coding"][0]["code"], "assembler", "type of the second agent")
    check(re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", gateway["who"]["identifier"]["value"]), gateway)
    facts = extensions(provenance)
    same(facts["firmware-release"], {"id": f"urn:uuid:{s.release}", "version": FIRMWARE}, "firmware")
    same(facts["verdict"], "trusted", "verdict")
    same(facts["approved-use"], "system/Observation.c", "approved use")
    same(facts["log-origin"], "interop.example/lanyard", "log")
    check(re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", facts["decision"]), facts)
    # The attestation: where it stands in the log, and the digest of what the device sent.
    same(facts["evidence-position"], str(detail["evidence_pos"]), "position of the attestation")
    evidence = provenance["entity"][0]["what"]["identifier"]
    same(evidence["system"], "urn:lanyard:fhir:evidence-sha256", "kind of evidence")
    appraised = [e for e in s.hospital.events(s.device) if e["event"] == "evidence_appraised"][-1]
    same(evidence["value"], appraised["evidence_sha256"], "digest of the evidence")
    same(provenance["policy"], ["urn:lanyard:policy:lanyard-access/1"], "policy")
    check("model-release" not in facts, "a pump runs no AI model")


# R79
@suite.step
def a_reading_with_a_token_beside_the_certificate_is_taken_too(s):
    sent = s.send(observation(s.device, 13), "--token")
    same(sent["status"], 201, "status")
    s.locations.append(key_of(sent["location"]))
    first, second = (extensions(provenance_of(s, key))["decision"] for key in s.locations)
    check(first != second, "two readings rest on one decision")


# R81
@suite.step
def a_transaction_of_two_readings_gets_one_provenance_for_both(s):
    entries = [{"fullUrl": f"urn:uuid:00000000-0000-4000-8000-00000000000{n}", "resource": observation(s.device, n),
                "request": {"method": "POST", "url": "Observation"}} for n in (1, 2)]
    before = s.counts()
    same(s.send({"resourceType": "Bundle", "type": "transaction", "entry": entries})["status"], 200, "status")
    same(s.counts(), (before[0] + 2, before[1] + 1), "resources in the EHR")
    newest = max(s.ehr.found("Provenance"), key=lambda p: p["meta"]["lastUpdated"])
    targets = [target["reference"] for target in newest["target"]]
    same(sorted(s.ehr.get(key).json()["valueQuantity"]["value"] for key in targets), [1, 2], "values of its targets")


# R78, R80
@suite.step
def what_the_gateway_refuses_never_reaches_the_ehr(s):
    before = s.counts()
    free_text = {**observation(s.device), "note": [{"text": "patient looks fine"}]}
    someone_else = observation("00000000-0000-4000-8000-000000000001")
    other_kind = {"resourceType": "Patient", "active": True}
    for resource, pattern in ((free_text, "422"), (someone_else, "403|422"), (other_kind, "403|404")):
        refusal(1, rf"the gateway answered ({pattern}): (?!no reason)", lambda: s.send(resource))
    same(s.counts(), before, "resources in the EHR")


# R53
@suite.step
def the_ehr_takes_nothing_without_the_gateways_credential(s):
    answer = requests.post(s.ehr.base + "/Observation", json=observation(s.device), timeout=30)
    same(answer.status_code, 401, "a write past the gateway")


# R81: from a reading in the EHR to evidence that anyone can verify.
@suite.step
def evidence_of_a_stored_reading_verifies_offline(s):
    file = s.folder / "reading.evidence"

    def exported():
        try:
            return s.hospital.as_("anna", "evidence", "for", s.locations[0], "-f", file)
        except Refused:
            return None

    # The gateway's log is anchored every few seconds; before that there is nothing to prove it with.
    until("the reading's evidence can be exported", exported, 60)
    verified = lanyard("--profile", s.folder / "anna.toml", "verify", file)
    check(s.locations[0] in json.dumps(verified) or s.device in json.dumps(verified), verified)


# R82
@suite.step
def a_stopped_ehr_is_503_and_never_a_success(s):
    s.before = s.counts()
    s.ehr.stop()
    refusal(UNREACHABLE, r"the gateway answered 503: (?!no reason)", lambda: s.send(observation(s.device, 777)))


# R82
@suite.step
def an_ehr_that_does_not_take_the_gateways_credential_is_502(s):
    s.ehr.start(OTHER_TOKEN)
    refusal(UNREACHABLE, r"the gateway answered 502: (?!no reason)", lambda: s.send(observation(s.device, 778)))
    same(s.counts(), s.before, "resources in the EHR")


# R82
@suite.step
def an_ehr_that_hangs_is_504(s):
    s.ehr.stop()
    s.ehr.start(TOKEN)
    s.processes.running["sekmet"].send_signal(signal.SIGSTOP)
    started = time.monotonic()
    try:
        refusal(UNREACHABLE, r"the gateway answered 504: (?!no reason)", lambda: s.send(observation(s.device, 779)))
        check(time.monotonic() - started >= 5, "it did not wait for upstream_timeout_seconds")
    finally:
        s.processes.running["sekmet"].send_signal(signal.SIGCONT)


# R82
@suite.step
def an_ehr_that_is_back_is_used_at_once(s):
    # 504 means that nobody knows; here it is found out, as the answer told the device to do.
    until("sekmet has caught up", lambda: requests.get(s.ehr.base + "/metadata", timeout=30).ok)
    sent = s.send(observation(s.device, 780))
    same(sent["status"], 201, "status")
    key = key_of(sent["location"])
    same(s.ehr.get(key).json()["valueQuantity"]["value"], 780, "value")
    provenance_of(s, key)
    values = [o["valueQuantity"]["value"] for o in s.ehr.found("Observation", _count="100")]
    check(777 not in values and 778 not in values, f"a reading that was refused is in the EHR: {values}")
    observations, provenances = s.counts()
    doubtful = values.count(779)
    check(doubtful <= 1, values)
    same((observations, provenances), (s.before[0] + 1 + doubtful, s.before[1] + 1 + doubtful), "resources in the EHR")


# R49, I6
@suite.step
def a_quarantined_pump_writes_nothing_more(s):
    before = s.counts()
    s.hospital.as_("sara", "device", "quarantine", s.device, "--reason", "interop test")
    refusal(1, "AccessDenied", lambda: s.send(observation(s.device, 781)))
    same(s.counts(), before, "resources in the EHR")


if __name__ == "__main__":
    suite.run(Scene)
