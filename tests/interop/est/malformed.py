"""Steps: what is no request, what is none of EST's, and what is not served here at all."""

import base64
import socket
import ssl

from harness import check, refusal, run, same
from peers import new_key, request, request_with_challenge
from scene import EST, suite


def wrong_bodies(good):
    """(what, body as sent, status, words)"""
    text = base64.b64encode(good)
    pem = run("openssl", "req", "-inform", "DER", stdin=good).stdout
    flipped = bytearray(good)
    flipped[-5] ^= 1
    padded = good + b"\0"
    cases = [
        ("nothing", b"", 400, "empty"),
        ("white space", b" \r\n\t", 400, "empty"),
        ("PEM", pem, 400, "BEGIN and END"),
        ("DER", good, 400, "base64"),
        ("another alphabet", b"-_" + text, 400, "not base64"),
        ("a NUL", text[:40] + b"\0" + text[40:], 400, "not base64"),
        ("half a quantum", text[:41], 400, "padding|early"),
        ("a byte too many", base64.b64encode(padded), 400, "malformed"),
        ("a flipped bit in the signature", base64.b64encode(flipped), 400, "possession|malformed"),
        ("another body's signature", base64.b64encode(good[:30] + bytes([good[30] ^ 1]) + good[31:]), 400, "."),
        ("a certificate", base64.b64encode(b"\x30\x03\x02\x01\x00"), 400, "malformed"),
        ("17 KiB of DER", base64.b64encode(b"\x30\x82\x43\xfc" + bytes(17_404)), 413, "at most"),
        ("33 KiB of base64", b"A" * (33 << 10), 413, "at most"),
        ("a body over the limit of the listener", b"A" * (129 << 10), 413, "longer than"),
    ]
    step = max(1, len(good) // 12)
    cases += [(f"the first {n} bytes", base64.b64encode(good[:n]), 400, ".") for n in range(1, len(good), step)]
    return cases


# I12
@suite.step
def what_is_no_request_gets_a_reason_and_changes_nothing(s):
    device = s.device("malformed").approved()
    secret = ("-u", f"x:{device.give_secret()}")
    key = device.new_key("first")
    good = request(key)
    before = s.ledger_size()
    for what, body, status, words in wrong_bodies(good):
        answer = s.curl.post(f"{s.est}/simpleenroll", body, *secret)
        check(answer.status == status, f"{what}: expected {status}, got {answer}")
        answer.refused(status, words)
        check(answer.headers["content-type"].startswith("text/plain"), f"{what}: {answer}")
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/pkcs10-x", ""):
        s.post("simpleenroll", good, *secret, content_type=content_type).refused(415, "application/pkcs10")
    s.post("simpleenroll", request_with_challenge(key, "x" * 256), *secret).refused(400, "1 to 255 characters")
    s.post("simpleenroll", request_with_challenge(key, "1234"), *secret).refused(403, "challenge")
    same(s.ledger_size(), before, "events")
    # What is odd and right is taken: a parameter, lines, white space.
    odd = base64.encodebytes(good).replace(b"\n", b" \r\n\t")
    answer = s.curl.post(f"{s.est}/simpleenroll", odd, *secret,
                         content_type="Application/PKCS10; charset=utf-8")
    check(answer.body.count(b"\n") > 5, f"lines were sent, one line came back: {answer}")
    device.takes(answer, key)


# I12
@suite.step
def a_body_that_ends_early_changes_nothing(s):
    device = s.device("cut-short").approved()
    device.give_secret()
    key = device.new_key("first")
    body = base64.b64encode(request(key))
    basic = base64.b64encode(f"x:{device.secret}".encode()).decode()
    before = s.ledger_size()
    context = ssl.create_default_context(cafile=s.hospital.anchors)
    host, port = s.hospital.enroll.split(":")
    for sent, claimed in ((body[:-10], len(body)), (body, len(body) + 1), (b"", len(body))):
        with socket.create_connection(("127.0.0.1", int(port)), 60) as tcp, tcp.dup() as below:
            with context.wrap_socket(tcp, server_hostname=host) as tls:
                tls.sendall(
                    f"POST {EST}/simpleenroll HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {basic}\r\n"
                    f"Content-Type: application/pkcs10\r\nContent-Length: {claimed}\r\n\r\n".encode() + sent)
                # The rest never comes.
                below.shutdown(socket.SHUT_WR)
                answer = b""
                try:
                    while chunk := tls.recv(4096):
                        answer += chunk
                except (ssl.SSLError, ConnectionError):
                    pass
        check(b" 200 " not in answer[:20], f"{answer}")
    same(s.ledger_size(), before, "events")
    device.takes(device.by_secret(key), key)


@suite.step
def other_methods_and_addresses_are_refused(s):
    der = request(new_key(s.folder / "methods.key"))
    for operation in ("simpleenroll", "simplereenroll", "serverkeygen", "fullcmc"):
        same(s.get(operation).refused(405, "POST").headers["allow"], "POST", "Allow")
    for operation in ("cacerts", "csrattrs"):
        same(s.post(operation, der).refused(405, "GET").headers["allow"], "GET", "Allow")
    for method in ("PUT", "DELETE", "PATCH"):
        s.get("simpleenroll", "-X", method).refused(405, "POST")
    same(s.get("cacerts", "-I").status, 200, "HEAD")
    s.post("fullcmc", der).refused(501, "simpleenroll")
    for path in ("", "/", "/cacerts/", "/nothing", "/CACERTS", "/a/b/cacerts", "/cacerts/cacerts", "/%2e%2e/cacerts",
                 f"/{'a' * 65}/cacerts", "/a%2fb/cacerts"):
        answer = s.curl(f"{s.est}{path}", "--path-as-is")
        check(answer.status == 404, f"{path}: {answer}")


# R47
@suite.step
def a_label_that_is_no_profile_is_refused(s):
    device = s.device("label").approved()
    device.give_secret()
    key = device.new_key("first")
    before = s.ledger_size()
    for path in (f"{EST}/gateway_server", f"{EST}/control_server", f"{EST}/device", f"/pumps{EST}"):
        for operation in ("cacerts", "csrattrs"):
            s.curl(f"https://{s.hospital.enroll}{path}/{operation}").refused(404, "profile|nothing at")
        s.curl.post(f"https://{s.hospital.enroll}{path}/simpleenroll", base64.b64encode(request(key)), "-u",
                    f"x:{device.secret}").refused(404, "profile")
    same(s.ledger_size(), before, "events")
    device.takes(s.post("device_ldevid/simpleenroll", request(key), "-u", f"x:{device.secret}"), key)


# I10: a key that the server makes has been outside of the device.
@suite.step
def the_server_makes_no_keys(s):
    device = s.device("keygen").approved()
    device.give_secret()
    s.post("serverkeygen", request(device.new_key("first")), "-u", f"x:{device.secret}").refused(
        403, r"\(server_keygen_off\)$")
    same(s.hospital.certificates(device.id), [], "certificates")


@suite.step
def operators_calls_are_not_served_to_device_networks_nor_est_to_operators(s):
    for path in ("/v1/devices", "/v1/certificates", "/v1/authorities", "/v1/operators", "/v1/log/checkpoint", "/"):
        for address in (f"https://{s.hospital.enroll}", f"http://{s.hospital.pki_http}"):
            s.curl(f"{address}{path}").refused(404, "no such call")
            s.curl(f"{address}{path}", "-X", "POST", "-d", "{}").refused(404, "no such call")
    # A person with a right signature stands there before a wall.
    profile = (s.folder / "anna.toml").read_text()
    same(profile.count(s.hospital.server), 1, "server in the profile")
    lost = s.file("lost.toml", profile.replace(s.hospital.server, s.hospital.enroll))
    s.hospital.folder.joinpath("lost.key").write_bytes((s.folder / "anna.key").read_bytes())
    refusal(1, "404|no such call", lambda: s.hospital.as_("lost", "device", "list"))
    check(lost.exists(), "profile")
    for operation in ("cacerts", "csrattrs", "simpleenroll"):
        same(s.curl(f"https://{s.hospital.server}{EST}/{operation}").status, 404, f"{operation} on the main listener")
        same(s.curl(f"http://{s.hospital.pki_http}{EST}/{operation}").status, 404, f"{operation} without TLS")


@suite.step
def without_tls_or_with_an_old_one_there_is_no_answer(s):
    plain = run("curl", "-sS", "--max-time", "20", "--http0.9", f"http://{s.hospital.enroll}{EST}/cacerts", ok=None)
    check(b"MII" not in plain.stdout, f"certificates without TLS: {plain.out}")
    old = run("curl", "-sS", "--cacert", s.hospital.anchors, "--tls-max", "1.1", "--tlsv1.0", "--ciphers",
              "ALL:@SECLEVEL=0", f"{s.est}/cacerts", ok=False)
    check("alert" in old.err or "protocol" in old.err, old.err)
    # No anchor, no trust.
    unknown = run("curl", "-sS", f"{s.est}/cacerts", ok=False)
    check("certificate" in unknown.err, unknown.err)


# I12: one that works again after all of this.
@suite.step
def a_key_never_used_before_still_enrolls(s):
    device = s.device("after-all").enrolled()
    check(new_key(device.folder / "x.key").exists() and device.certificate, "certificate")
