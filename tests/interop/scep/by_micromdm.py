"""Steps: micromdm's scepclient, which knows SHA-1 and DES only; and what a restart leaves."""

from harness import check, run, same
from scene import suite


def scepclient(s, device, *arguments, ok=True):
    url = f"http://{s.at}/scep/legacy-north"
    # Else it encrypts to every certificate that it gets, and fails at the root's, whose key is not RSA.
    print_ = run("openssl", "x509", "-in", s.ra("legacy-north"), "-noout", "-fingerprint", "-sha256").out
    ra = print_.strip().split("=")[1].replace(":", "").lower()
    return run("env", "-C", device.folder, "scepclient", "-server-url", url, "-private-key", "key.pem",
               "-ca-fingerprint", ra, *arguments, ok=ok)


# R36
@suite.step
def micromdm_is_refused_where_old_algorithms_are_not_allowed(s):
    device = s.device("mdm-refused").approved()
    done = scepclient(s, device, "-challenge", device.give_secret(), ok=False)
    check("badAlg" in done.out + done.err, done.out + done.err)
    check("enrollment_secret_used" not in device.names(), device.names())


# R56: clients keep the RA's certificate.
@suite.step
def after_a_restart_the_ra_is_the_same(s):
    before = s.ra("legacy-north").read_text()
    s.use("legacy")
    same(s.ra("legacy-north").read_text(), before, "the RA's certificate")
    words = s.get("/scep/legacy-north?operation=GetCACaps").text.split()
    check({"DES3", "SHA-1", "AES", "SHA-256"} <= set(words), words)


# R36, R42
@suite.step
def micromdm_enrolls_and_renews_where_they_are(s):
    device = s.device("mdm").approved()
    scepclient(s, device, "-challenge", device.give_secret())
    client, key = device.folder / "client.pem", device.folder / "key.pem"
    first = device.folder / "first.pem"
    first.write_text(client.read_text())
    device.has(first, key)
    scepclient(s, device)
    check(client.read_text() != first.read_text(), "it was not renewed")
    device.has(client, key)
    wrong = s.device("mdm-wrong").approved()
    done = scepclient(s, wrong, "-challenge", "guessed", ok=False)
    check("badRequest" in done.out + done.err, done.out + done.err)
