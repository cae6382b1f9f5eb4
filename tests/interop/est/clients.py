"""Steps: clients that others wrote: strongSwan's `pki` and Bouncy Castle."""

import re
from pathlib import Path

from harness import check, same, until
from peers import strongswan
from scene import suite


def swan_request(device, name):
    """Key and request by strongSwan itself; what it writes to standard output goes to files."""
    key, csr = device.folder / f"{name}.key", device.folder / f"{name}.csr"
    key.write_bytes(strongswan("--gen", "--type", "ecdsa", "--size", "256", "--outform", "pem").stdout)
    csr.write_bytes(strongswan("--req", "--type", "priv", "--in", key, "--dn", "CN=pump 7", "--outform", "der").stdout)
    return key, csr


def swan_est(s, csr, *arguments, ok=True, label=""):
    return strongswan("--est", "--url", f"https://{s.hospital.enroll}{label}", "--in", csr, *trusted(s), "--outform",
                      "pem", *arguments, ok=ok)


def trusted(s):
    """It reads one certificate of a file."""
    return [part for file in (s.hospital.anchors, *s.issuers) for part in ("--cacert", file)]


def kept(device, done, name):
    path = device.folder / f"{name}.pem"
    path.write_bytes(done.stdout)
    return path


# R36, R42
@suite.step
def strongswan_gets_authorities_enrolls_and_renews(s):
    ca = s.folder / "swan-ca.pem"
    strongswan("--estca", "--url", f"https://{s.hospital.enroll}", "--cacert", s.hospital.anchors, "--caout", ca,
               "--outform", "pem", "--force")
    written = "".join(path.read_text() for path in s.folder.glob("swan-ca*.pem"))
    same(written.count("BEGIN CERTIFICATE"), s.authorities, "authorities that strongSwan wrote")
    device = s.device("swan").approved()
    key, csr = swan_request(device, "first")
    done = swan_est(s, csr, "--userpass", f"pump:{device.give_secret()}")
    device.has(kept(device, done, "first"), key)
    check("Issued certificate is trusted" in done.err, done.err)
    # By label, which it can name only before the well-known part.
    device.give_secret()
    key, csr = swan_request(device, "labelled")
    done = swan_est(s, csr, "--userpass", f"pump:{device.secret}", label="/device_ldevid")
    device.has(kept(device, done, "labelled"), key)
    for name in ("second", "third"):
        new, csr = swan_request(device, name)
        done = swan_est(s, csr, "--cert", device.certificate, "--key", device.key)
        device.has(kept(device, done, name), new)


# I1
@suite.step
def strongswan_waits_for_the_approvals(s):
    device = s.device("swan-waits")
    key, csr = swan_request(device, "first")
    device.give_secret()
    # It sleeps as long as Retry-After says; at three hundred times the pace that is a second.
    s.processes.start(
        "swan", "faketime", "-f", "+0 x300", "pki", "--est", "--url", f"https://{s.hospital.enroll}", "--in", csr,
        *trusted(s), "--userpass", f"pump:{device.secret}", "--maxpolltime",
        "86400", "--outform", "pem")
    log = s.processes.folder / "swan.err"
    until("strongSwan waits", lambda: "going to sleep for 300 seconds" in log.read_text())
    s.hospital.approve(device.id)
    until("strongSwan has its certificate",
          lambda: "END CERTIFICATE" in s.processes.output("swan"), seconds=60)
    s.processes.stop("swan")
    path = device.folder / "first.pem"
    path.write_text(s.processes.output("swan"))
    device.has(path, key)


# R49
@suite.step
def strongswan_is_refused(s):
    device = s.device("swan-refused").approved()
    key, csr = swan_request(device, "first")
    device.give_secret()
    done = swan_est(s, csr, "--userpass", "pump:hunter2", ok=False)
    check("403" in done.err, done.err)
    done = swan_est(s, csr, ok=False)
    check("401" in done.err, done.err)
    device.has(kept(device, swan_est(s, csr, "--userpass", f"pump:{device.secret}"), "first"), key)
    _, other = swan_request(device, "other")
    check("403" in swan_est(s, other, "--userpass", f"pump:{device.secret}", ok=False).err, "a spent secret")
    s.hospital.as_("ben", "device", "revoke", device.id, "--because", "lost", "--reason", "drill")
    done = swan_est(s, other, "--cert", device.certificate, "--key", key, ok=False)
    check("403" in done.err, done.err)
    same(device.alarms(), ["revoked_certificate_used"], "alarms")


# R36, R42, R47
@suite.step
def bouncy_castle_gets_authorities_attributes_enrolls_and_renews(s):
    same(s.java("cacerts").out.count("ca "), s.authorities, "authorities")
    attributes = s.java("csrattrs").out
    for oid in ("1.2.840.10045.2.1", "1.2.840.10045.4.3.2"):
        check(f"attribute {oid}" in attributes, attributes)
    device = s.device("castle").approved()
    enroll(s, device)
    renew(s, device, "second")
    renew(s, device, "third")


def enroll(s, device):
    key, certificate = device.folder / "first.key", device.folder / "first.pem"
    done = s.java("enroll", device.give_secret(), key, certificate)
    check(done.out.endswith("issued\n"), done.out)
    device.has(certificate, key)


def renew(s, device, name, ok=True):
    key, certificate = device.folder / f"{name}.key", device.folder / f"{name}.pem"
    done = s.java("reenroll", device.key, device.chain, key, certificate, ok=ok)
    if ok:
        device.has(certificate, key)
    return done


# I1
@suite.step
def bouncy_castle_waits_for_the_approvals(s):
    device = s.device("castle-waits")
    key, certificate = device.folder / "first.key", device.folder / "first.pem"
    s.processes.start("castle", *s.java.command, "enroll", device.give_secret(), key, certificate)
    until("Bouncy Castle waits", lambda: "pending" in s.processes.output("castle"))
    seconds = int(re.search(r"pending (\d+)", s.processes.output("castle"))[1])
    check(1 <= seconds <= 3600, f"it understood Retry-After as {seconds} s")
    s.hospital.approve(device.id)
    until("Bouncy Castle has its certificate", lambda: "issued" in s.processes.output("castle"))
    s.processes.stop("castle")
    device.has(Path(certificate), key)


# R49
@suite.step
def bouncy_castle_is_refused_with_the_reason(s):
    device = s.device("castle-refused").approved()
    done = s.java("enroll", "hunter2", device.folder / "x.key", device.folder / "x.pem", ok=False)
    check("403" in done.out and "(secret_unknown)" in done.out, done.out + done.err)
    enroll(s, device)
    s.hospital.as_("ben", "device", "revoke", device.id, "--because", "lost", "--reason", "drill")
    done = renew(s, device, "second", ok=False)
    check("403" in done.out and "(certificate_not_current)" in done.out, done.out + done.err)
