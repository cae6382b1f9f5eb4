"""OpenSSL against our certificates and our gateway. README.md says what this proves."""

import json
import re
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import (Hospital, Suite, agent_config, check, lanyard,  # noqa: E402
                     run, same)

suite = Suite("openssl")
VENDOR, MODEL, SERIAL = "Acme Medical", "Infusion X", "OSSL-1"
# RFC 8446 6, as OpenSSL prints them.
ALERTS = {"certificate_required": 116, "certificate_expired": 45, "certificate_unknown": 46, "unknown_ca": 48, "access_denied": 49,
          "handshake_failure": 40}
REQUEST = b"GET /fhir/Observation?_id=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Scene:
    """A hospital, one enrolled device on a software TPM, and what a thief of certificates would have."""

    def __init__(self, folder, processes):
        self.folder = folder
        # No EHR: nothing of this suite may get that far.
        self.hospital = Hospital(folder, processes)
        device = folder / "device"
        made = lanyard("agent", "simulate", device, "--maker", folder / "maker", "--vendor", VENDOR, "--model",
                       MODEL, "--serial", SERIAL)
        self.hospital.endorse(made["endorsement"])
        self.device = self.hospital.register(VENDOR, MODEL, SERIAL)
        self.hospital.approve_firmware(VENDOR, MODEL, "1.0.0", made["event_log"])
        config = agent_config(self.hospital, device, VENDOR, MODEL, SERIAL, made["event_log"])
        lanyard("agent", "enroll", "--config", config, "--tpm-dir", made["tpm_dir"])
        chain = json.loads((device / "state/identity.json").read_text())
        pems = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?",
                          json.dumps(chain).replace("\\n", "\n"), re.S)
        check(len(pems) >= 2, f"the device's state holds no chain: {chain}")
        self.leaf, self.issuing = folder / "leaf.pem", folder / "issuing.pem"
        self.leaf.write_text(pems[0])
        self.issuing.write_text(pems[1])
        # The thief's key, and a request for a certificate with it.
        self.key, self.csr = folder / "thief.key", folder / "thief.csr"
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key)
        run("openssl", "req", "-new", "-key", self.key, "-subj", "/CN=thief", "-outform", "DER", "-out", self.csr)
        self.other_root, self.foreign = self.foreign_ca("foreign", "/O=Other Hospital/CN=Other Root")
        # An authority that calls itself as ours does.
        ours = run("openssl", "x509", "-in", self.issuing, "-noout", "-subject", "-nameopt", "compat").out
        self.namesake_root, self.namesake = self.foreign_ca("namesake", ours.split("=", 1)[1].strip())

    def foreign_ca(self, name, subject):
        """An authority made by OpenSSL, and its certificate for our device's id with all that ours have."""
        root, key, leaf = (self.folder / f"{name}{end}" for end in ("-root.pem", "-root.key", ".pem"))
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-utf8",
            "-keyout", key, "-out", root, "-days", "30", "-subj", subject,
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        extensions = self.folder / "device.ext"
        # 2.5.29.56 is noRevAvail (RFC 9608).
        extensions.write_text(
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n"
            f"subjectAltName=URI:urn:uuid:{self.device},DNS:{self.device}.device.interop.example\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n2.5.29.56=DER:0500\n")
        run("openssl", "x509", "-req", "-in", self.csr, "-inform", "DER", "-CA", root, "-CAkey", key,
            "-days", "1", "-extfile", extensions, "-out", leaf)
        return root, leaf

    def issue(self, name, seconds_ago, *lifetime, device=None):
        """A certificate signed with the installation's own CA key, which the ledger knows nothing of: what somebody
        could make who has the sealed keys and their passphrase."""
        file = self.folder / f"{name}.pem"
        done = run("cargo", "run", "--quiet", "--locked", "-p", "lanyard-pki", "--example", "issue_as_of", "--",
                   self.hospital.data / "keys", self.hospital.passphrase, self.issuing, self.csr,
                   device or self.device, "Interop Hospital", "interop.example", str(int(time.time()) - seconds_ago),
                   *lifetime, timeout=900)
        file.write_text(done.out)
        return file

    def verify(self, certificate, purpose, anchors=None, ok=True):
        return run("openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile",
                   anchors or self.hospital.anchors, "-untrusted", self.issuing, certificate, ok=ok)

    def connect(self, *arguments, to=None, ok=None):
        """`openssl s_client` that sends one request and reads to the end."""
        return run("openssl", "s_client", "-connect", (to or self.hospital.gateway).replace("localhost", "127.0.0.1"),
                   "-servername", "localhost", "-verify_return_error", "-ign_eof", *arguments, stdin=REQUEST, ok=ok,
                   timeout=60)

    def shown(self, certificate):
        """The thief shows a certificate and its issuing CA to the gateway."""
        return self.connect("-CAfile", self.hospital.anchors, "-cert", certificate, "-key", self.key, "-cert_chain",
                            self.issuing)


def ended_by(done, alert):
    """The gateway sent this alert, and no byte of an HTTP answer."""
    text = done.out + done.err
    check(f"SSL alert number {ALERTS[alert]}" in text, f"expected the alert {alert}:\n{text}")
    check("HTTP/1.1" not in done.out, f"an HTTP answer came through:\n{done.out}")


# R42, R46
@suite.step
def openssl_accepts_a_device_certificate_as_client_only(s):
    s.verify(s.leaf, "sslclient")
    wrong = s.verify(s.leaf, "sslserver", ok=False)
    check("unsuitable certificate purpose" in wrong.out + wrong.err, wrong.err)
    text = run("openssl", "x509", "-in", s.leaf, "-noout", "-text").out
    for expected in (f"URI:urn:uuid:{s.device}", f"DNS:{s.device}.device.interop.example",
                     "TLS Web Client Authentication", "prime256v1"):
        check(expected in text, f"`{expected}` is missing:\n{text}")
    for absent in ("emailAddress", "CA:TRUE", "Certificate Sign", "TLS Web Server Authentication"):
        check(absent not in text, f"`{absent}` has no place in a device's certificate:\n{text}")


# R43
@suite.step
def openssl_reads_a_lifetime_of_a_day(s):
    run("openssl", "x509", "-in", s.leaf, "-noout", "-checkend", str(23 * 3600))
    run("openssl", "x509", "-in", s.leaf, "-noout", "-checkend", str(24 * 3600 + 60), ok=False)


@suite.step
def openssl_refuses_a_device_certificate_under_another_root(s):
    wrong = s.verify(s.leaf, "sslclient", anchors=s.other_root, ok=False)
    check("unable to get" in wrong.out + wrong.err and "issuer certificate" in wrong.out + wrong.err, wrong.err)


# R53
@suite.step
def openssl_accepts_gateway_and_control_plane_by_name_and_address(s):
    for address in (s.hospital.gateway, s.hospital.server):
        for name in (("-verify_hostname", "localhost"), ("-verify_ip", "127.0.0.1")):
            done = s.connect("-CAfile", s.hospital.anchors, "-x509_strict", *name, to=address)
            check("Verify return code: 0 (ok)" in done.out and "verify error" not in done.err,
                  f"{address} {name}:\n{done.out}{done.err}")


# R53: an impostor of the gateway would be one of these.
@suite.step
def openssl_refuses_the_gateway_under_another_root_or_name(s):
    for arguments, error in (
            (("-CAfile", s.other_root, "-verify_hostname", "localhost"), "unable to get local issuer certificate"),
            (("-CAfile", s.hospital.anchors, "-verify_hostname", "ehr.interop.example"), "hostname mismatch"),
            (("-CAfile", s.hospital.anchors, "-verify_ip", "127.0.0.2"), "IP address mismatch")):
        done = s.connect(*arguments, ok=False)
        check(error in (done.out + done.err), f"expected `{error}`:\n{done.out}{done.err}")


# R53, R55
@suite.step
def gateway_refuses_a_client_without_certificate(s):
    ended_by(s.connect("-CAfile", s.hospital.anchors), "certificate_required")


# R42, R53
@suite.step
def gateway_refuses_an_expired_certificate_of_our_own_authority(s):
    # The authority is minutes old and issues nothing from before its own time: ten minutes that ended a while ago.
    expired = s.issue("expired", 40 * 60, "1800")
    wrong = s.verify(expired, "sslclient", ok=False)
    check("certificate has expired" in wrong.out + wrong.err, wrong.err)
    ended_by(s.shown(expired), "certificate_expired")


# R38, R53
@suite.step
def gateway_refuses_a_foreign_authoritys_certificate_for_a_known_device(s):
    for root, leaf, under_ours in ((s.other_root, s.foreign, "unknown_ca"),
                                   # Its issuer's name fits, its signature does not.
                                   (s.namesake_root, s.namesake, "certificate_unknown")):
        run("openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", root, leaf)
        for chain, alert in (((), "unknown_ca"), (("-cert_chain", root), "unknown_ca"),
                             (("-cert_chain", s.issuing), under_ours)):
            done = s.connect("-CAfile", s.hospital.anchors, "-cert", leaf, "-key", s.key, *chain)
            ended_by(done, alert)


# R7
@suite.step
def gateway_refuses_a_valid_certificate_of_a_device_that_nobody_registered(s):
    stranger = s.issue("stranger", 20 * 60, device="00000000-0000-4000-8000-000000000001")
    s.verify(stranger, "sslclient")
    ended_by(s.shown(stranger), "access_denied")


# I3, R38: the key of the authority alone is not enough.
@suite.step
def gateway_refuses_a_valid_certificate_that_is_not_in_the_ledger(s):
    unrecorded = s.issue("unrecorded", 20 * 60)
    s.verify(unrecorded, "sslclient")
    ended_by(s.shown(unrecorded), "access_denied")


# I3: one that is minutes old gets a handshake, because the feed may be behind, and no answer but this.
@suite.step
def gateway_answers_401_to_a_fresh_certificate_that_is_not_in_the_ledger(s):
    fresh = s.issue("fresh", 0)
    s.verify(fresh, "sslclient")
    done = s.shown(fresh)
    check("HTTP/1.1 401" in done.out and "OperationOutcome" in done.out, f"{done.out}{done.err}")


@suite.step
def gateway_refuses_tls_1_1(s):
    # Security level 0: Debian's OpenSSL would not even ask.
    done = s.connect("-CAfile", s.hospital.anchors, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    ended_by(done, "handshake_failure")


@suite.step
def gateway_speaks_tls_1_2_with_the_same_rules(s):
    expired = s.folder / "expired.pem"
    for arguments, alert in (
            (("-cert", expired, "-key", s.key, "-cert_chain", s.issuing), "certificate_expired"),
            (("-cert", s.foreign, "-key", s.key), "unknown_ca")):
        ended_by(s.connect("-CAfile", s.hospital.anchors, "-tls1_2", *arguments), alert)


@suite.step
def none_of_it_left_the_device_untrusted(s):
    detail = s.hospital.detail(s.device)
    same((detail["verdict"], len(detail["certificates"])), ("trusted", 1), "verdict and certificates")


if __name__ == "__main__":
    suite.run(Scene, peers=("openssl",))
