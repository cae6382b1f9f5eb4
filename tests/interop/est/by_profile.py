"""Steps: a hospital's own profiles, in force for classes of devices, asked for by label."""

import base64
import email
import re

from harness import check, refusal, run, same
from peers import certificates_in, new_key, request, same_keys
from scene import suite

PROFILE = """name = "{name}"
description = "{name} of the interop suite"
subject = "device"
classes = ["{name}"]
[key]
types = {types}
server_generated = {made_here}
[names]
alternative = ["uri-id", "machine-dns"]
[usage]
purposes = ["clientAuth"]
[validity]
default = "48h"
longest = "7d"
[enrollment]
label = "{label}"
est_base64 = "{style}"
"""


def profile(s, name, types, label, made_here="false", style="as-request"):
    s.hospital.profile(name, PROFILE.format(name=name, types=types, label=label, made_here=made_here, style=style))


def csrattrs(answer):
    der = run("openssl", "base64", "-d", "-A", stdin=answer.body.replace(b"\n", b"")).stdout
    return run("openssl", "asn1parse", "-inform", "DER", stdin=der).out


# R47
@suite.step
def a_profile_says_by_its_label_what_it_wants_and_gives_it_to_its_class_alone(s):
    before = s.get("csrattrs").status
    profile(s, "syringe-driver", '["p384"]', "syringes", style="wrapped")
    same((before, s.get("csrattrs").status), (200, 204), "without a label, before and after there is a profile")
    check("secp384r1" in csrattrs(s.get("syringes/csrattrs")), "the profile's kind of key is not asked for")
    check("prime256v1" in csrattrs(s.get("device_ldevid/csrattrs")), "the built-in profile's kind of key")
    lines = s.get("syringes/cacerts").body.split(b"\n")
    same(max(map(len, lines)), 76, "width of lines")

    device = s.device("syringe", kind="syringe-driver").approved()
    device.give_secret()
    device.by_secret(device.new_key("weak")).refused(403, "certifies no p256 key")
    same([n for n in device.names() if n.startswith("issuance")], [], "issuance for the wrong kind of key")
    key = device.new_key("first", "P-384")
    der = request(key)
    answer = s.post("syringes/simpleenroll", der, "-u", f"x:{device.secret}")
    check(b"\n" in answer.body, "one line")
    device.takes(answer, key, "syringe-driver")
    dates = run("openssl", "x509", "-in", device.certificate, "-noout", "-checkend", str(47 * 3600))
    same(dates.returncode, 0, "48 hours")
    # Its class says the profile without a label; and another class has no use for the label.
    device.takes(device.by_certificate(key), key, "syringe-driver")
    other = s.device("no-syringe").approved()
    other.give_secret()
    s.post("syringes/simpleenroll", request(other.new_key("first", "P-384")), "-u", f"x:{other.secret}").refused(
        403, r"\(profile_unknown\)$")
    same(s.hospital.certificates(other.id), [], "certificates of the other device")


# R47: two people put a profile in force.
@suite.step
def a_profile_that_nobody_approved_is_none(s):
    file = s.file("proposed.toml", PROFILE.format(
        name="proposed", types='["p256"]', label="proposed", made_here="true", style="as-request"))
    s.hospital.as_("sara", "profile", "propose", file)
    s.get("proposed/cacerts").refused(404, "profile")
    refusal(1, "another person", lambda: s.hospital.as_("sara", "profile", "approve", "proposed", file))


# R54, I10
@suite.step
def where_a_profile_lets_it_the_server_makes_the_key_and_keeps_none(s):
    profile(s, "old-scale", '["p256"]', "scales", made_here="true")
    waiting = s.device("scale-waits", kind="old-scale")
    device = s.device("scale", kind="old-scale").approved()
    pump = s.device("scale-not").approved()
    body = request(new_key(s.folder / "any.key"))

    def keygen(of, label="scales/"):
        return s.post(f"{label}serverkeygen", body, "-u", f"x:{of.give_secret()}")

    keygen(waiting).refused(202, "not yet approved")
    keygen(pump).refused(403, r"\(profile_unknown\)$")
    keygen(pump, "").refused(403, r"\(server_keygen_off\)$")
    s.post("scales/serverkeygen", body).refused(401, "who asks")
    s.post("scales/serverkeygen", body, "-u", "x:hunter2").refused(403, "secret_unknown")
    answer = keygen(device)
    same((answer.status, answer.headers["cache-control"]), (200, "no-store"), f"{answer}")
    message = email.message_from_bytes(
        f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode() + answer.body)
    parts = {part.get_content_type(): part.get_payload() for part in message.get_payload()}
    same(set(parts), {"application/pkcs8", "application/pkcs7-mime"}, "parts")
    pkcs8 = base64.b64decode(parts["application/pkcs8"])
    key = device.folder / "made.key"
    key.write_bytes(run("openssl", "pkey", "-inform", "DER", stdin=pkcs8).stdout)
    [pem] = certificates_in(parts["application/pkcs7-mime"])
    certificate = s.file("made.pem", pem)
    same_keys(certificate, key)
    device.has(certificate, key, "old-scale")
    check(not re.search("BEGIN|PRIVATE", answer.body.decode()), "PEM in the answer")
    # The scalar of the key, wherever the server writes.
    scalar = re.search(r"priv:\n((?:\s+[0-9a-f:]+\n)+)", run("openssl", "pkey", "-in", key, "-noout", "-text").out)[1]
    scalar = bytes.fromhex(re.sub(r"[\s:]", "", scalar))[-32:]
    for path in [*s.hospital.data.rglob("*"), s.folder / "up.err"]:
        if path.is_file():
            check(scalar not in path.read_bytes(), f"{path.name} holds the key")
    # A secret is good once here too, and the same request does not bring the key back.
    s.post("scales/serverkeygen", body, "-u", f"x:{device.secret}").refused(403, r"\(secret_used\)$")
    # It renews like any other.
    device.takes(device.by_certificate(device.key), device.key, "old-scale")
