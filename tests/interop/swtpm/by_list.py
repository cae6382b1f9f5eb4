"""Steps: a maker's CA run by `openssl ca` makes a chip's EK certificate (through swtpm_localca), revokes it, and publishes lists."""

import json

from harness import PYTHON, ROOT, agent_config, check, lanyard, refusal, run, same
from tpm import Swtpm

VENDOR, MODEL = "Acme Medical", "Infusion X"
REFUSED, USAGE = 1, 2


class MakersCa:
    """`openssl ca` in a folder, with a key that may sign certificates and lists."""

    def __init__(self, folder):
        self.folder = folder / "makers-ca"
        self.folder.mkdir()
        self.key, self.certificate = self.folder / "key.pem", self.folder / "ca.pem"
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.certificate,
            "-subj", "/O=Acme Silicon/CN=EK CA", "-days", "3650", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        (self.folder / "index.txt").write_text("")
        (self.folder / "crlnumber").write_text("0A\n")
        self.config = self.folder / "openssl.cnf"
        self.config.write_text(
            f"[ca]\ndefault_ca = maker\n[maker]\ndatabase = {self.folder}/index.txt\ncrlnumber = {self.folder}/crlnumber\n"
            f"certificate = {self.certificate}\nprivate_key = {self.key}\ndefault_md = sha256\ncrl_extensions = list\n"
            "[list]\nauthorityKeyIdentifier = keyid\n")

    def for_swtpm(self, folder):
        """What swtpm_localca signs with."""
        (folder / "signkey.pem").write_bytes(self.key.read_bytes())
        (folder / "issuercert.pem").write_bytes(self.certificate.read_bytes())
        (folder / "certserial").write_text("4711\n")

    def revoke(self, certificate, reason):
        run("openssl", "ca", "-config", self.config, "-revoke", certificate, "-crl_reason", reason)

    def list(self, name):
        out = self.folder / name
        run("openssl", "ca", "-config", self.config, "-gencrl", "-crldays", "7", "-out", out)
        return out

    def number(self, file):
        return int(run("openssl", "crl", "-in", file, "-noout", "-crlnumber").out.strip().split("=")[1], 16)


def take(s, authority, *arguments):
    return s.hospital.as_("sara", "endorsement", "revocations", authority, *arguments)


def ours(s):
    return [line for line in s.hospital.as_("anna", "endorsement", "list") if "Acme Silicon" in line["maker"]]


def by_person(s, event, device):
    return [e for e in s.hospital.events(device) if e["event"] == event]


def add(suite):
    """Appends the steps."""

    # R35, R49
    @suite.step
    def a_list_of_openssls_ca_is_taken_and_asked_when_a_chip_of_it_enrolls(s):
        s.ca = MakersCa(s.folder)
        s.listed = Swtpm(s.folder, s.processes, "listed", s.ca.for_swtpm)
        s.listed_id = s.hospital.register(VENDOR, MODEL, "SN-listed")
        config = agent_config(s.hospital, s.listed.folder, VENDOR, MODEL, "SN-listed", s.listed.event_log)
        s.listed_agent = ("--config", config, "--tcti", s.listed.tcti)
        s.listed.boot(s.golden_log)
        s.hospital.endorse(s.ca.certificate)
        s.first_list = s.ca.list("first.crl")
        taken = take(s, "Acme Silicon", "--crl", s.first_list)
        check("0 revoked certificates" in taken["outcome"], taken)
        same(lanyard("agent", "enroll", *s.listed_agent)["verdict"], "trusted", "verdict")
        shown, = by_person(s, "maker_certificates_shown", s.listed_id)
        serial = run("openssl", "x509", "-in", s.ek_pem(s.listed), "-noout", "-serial").out.strip().split("=")[1]
        same(int(shown["certificates"][0]["serial"], 16), int(serial, 16), "serial number, ours and OpenSSL's")
        same(len(shown["lists"]), 1, "lists that were asked")
        line, = ours(s)
        same((int(line["list"]["number"], 16), line["list"]["standing"]), (s.ca.number(s.first_list), "current"), "the list")

    # R34, R49, I6
    @suite.step
    def the_chip_that_openssl_revokes_is_cut_off_and_cannot_enroll_again(s):
        s.ca.revoke(s.ek_pem(s.listed), "keyCompromise")
        s.second_list = s.ca.list("second.crl")
        taken = take(s, "Acme Silicon", "--crl", s.second_list)
        check("1 enrolled devices are newly named" in taken["outcome"], taken)
        detail = s.hospital.detail(s.listed_id)
        same((detail["verdict"], detail["stage"], detail["certificates"]), ("untrusted", "quarantined", []), "the device")
        found, = by_person(s, "maker_revocation_found", s.listed_id)
        same(found["reason"], "key_compromise", "reason")
        same(s.alarms(s.listed_id), ["maker_revoked"], "alarms")
        refusal(REFUSED, "names this hardware's certificate .* as revoked .*key_compromise",
                lambda: lanyard("agent", "enroll", *s.listed_agent))
        refusal(REFUSED, "nobody can vouch for it in the maker's place",
                lambda: s.hospital.as_("sara", "device", "release", s.listed_id, "--reason", "it is needed"))
        line, = ours(s)
        same((line["list"]["entries"], line["list"]["named"], line["list"]["open"]), (1, 1, 0), "the list")

    # R49, I12
    @suite.step
    def older_and_foreign_lists_are_refused(s):
        refusal(REFUSED, "was taken already", lambda: take(s, "Acme Silicon", "--crl", s.second_list))
        refusal(REFUSED, "a list's number and time never go back", lambda: take(s, "Acme Silicon", "--crl", s.first_list))
        digest = [line["sha256"] for line in s.hospital.as_("anna", "endorsement", "list") if "Acme" not in line["maker"]][0]
        refusal(REFUSED, "list is not by", lambda: take(s, digest, "--crl", s.second_list))
        refusal(USAGE, "holds no revocation list", lambda: take(s, "Acme Silicon", "--crl", s.ca.certificate))

    # R114, R115: both verifiers, from the file alone.
    @suite.step
    def the_evidence_file_says_why(s):
        file = s.folder / "listed.evidence"
        s.hospital.as_("sara", "evidence", "at", s.listed_id, "now", "-f", file)
        report = lanyard("verify", file, "--log-key", s.hospital.started["log_vkey"])
        same(report["flaw"], None, "flaw")
        line = next(c["detail"] for c in report["checks"] if c["name"] == "makers")
        check("1 revocations by the maker" in line, line)
        other = run(PYTHON, ROOT / "tests/interop/bundle/verify.py", file)
        same(json.loads(other.out)["outcome"], "proved but unwitnessed", other.out)
