"""A small ACME client (RFC 8555) that attests, and a maker of devices. It says what it does on the wire and nothing about what
should come of it; that stands in the steps."""

import base64
import datetime
import json

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def jwk(key):
    """RFC 7638: members in order."""
    numbers = key.public_key().public_numbers()
    return {"crv": "P-256", "kty": "EC", "x": b64u(numbers.x.to_bytes(32, "big")),
            "y": b64u(numbers.y.to_bytes(32, "big"))}


def text(value):
    return json.dumps(value, separators=(",", ":")).encode()


def thumbprint(key):
    digest = hashes.Hash(hashes.SHA256())
    digest.update(text(jwk(key)))
    return b64u(digest.finalize())


def jws(key, header, payload):
    """A flattened JWS by ES256; the payload is bytes."""
    protected = b64u(text({"alg": "ES256", **header}))
    signed = f"{protected}.{b64u(payload)}".encode()
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return {"protected": protected, "payload": b64u(payload), "signature": b64u(signature)}


class Client:
    """One account."""

    def __init__(self, directory, root, key=None):
        self.http = requests.Session()
        # Not what the environment says of proxies and roots.
        self.http.trust_env, self.http.verify = False, str(root)
        self.urls = self.http.get(directory).json()
        self.key, self.kid = key or new_key(), None

    def nonce(self):
        return self.http.head(self.urls["newNonce"]).headers["replay-nonce"]

    def post(self, url, payload=None, key=None):
        """POST, or POST-as-GET without a payload; by `key` (as `jwk`) or by the account."""
        body = b"" if payload is None else text(payload)
        who = {"kid": self.kid} if key is None else {"jwk": jwk(key)}
        message = jws(key or self.key, {"nonce": self.nonce(), "url": url, **who}, body)
        return self.http.post(url, data=text(message), headers={"content-type": "application/jose+json"})

    def register(self, kid=None, secret=None, **more):
        wish = {"termsOfServiceAgreed": True, **more}
        if secret:
            protected = b64u(text({"alg": "HS256", "kid": kid, "url": self.urls["newAccount"]}))
            payload = b64u(text(jwk(self.key)))
            mac = hmac.HMAC(secret.encode(), hashes.SHA256())
            mac.update(f"{protected}.{payload}".encode())
            wish["externalAccountBinding"] = {"protected": protected, "payload": payload,
                                              "signature": b64u(mac.finalize())}
        answer = self.post(self.urls["newAccount"], wish, self.key)
        self.kid = answer.headers.get("location")
        return answer

    def change_key(self, new):
        inner = jws(new, {"jwk": jwk(new), "url": self.urls["keyChange"]},
                    text({"account": self.kid, "oldKey": jwk(self.key)}))
        answer = self.post(self.urls["keyChange"], inner)
        if answer.ok:
            self.key = new
        return answer

    def order(self, *identifiers, **more):
        wish = {"identifiers": [{"type": kind, "value": value} for kind, value in identifiers], **more}
        return self.post(self.urls["newOrder"], wish)

    def challenges(self, order):
        """The challenges of the first authorization, by type."""
        answer = self.post(order.json()["authorizations"][0])
        return {c["type"]: c for c in answer.json()["challenges"]}

    def attest(self, order, device):
        challenge = self.challenges(order)["device-attest-01"]
        authorization = f"{challenge['token']}.{thumbprint(self.key)}"
        return self.post(challenge["url"], {"attObj": b64u(device.statement(authorization.encode()))})

    def finalize(self, order, key, names=()):
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        if names:
            request = request.add_extension(x509.SubjectAlternativeName(names), False)
        der = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
        return self.post(order.json()["finalize"], {"csr": b64u(der)})

    def certificate(self, order):
        """The chain of a valid order."""
        answer = self.post(order.json()["certificate"])
        return x509.load_pem_x509_certificates(answer.content)

    def revoke(self, certificate, key=None, **more):
        der = certificate.public_bytes(serialization.Encoding.DER)
        return self.post(self.urls["revokeCert"], {"certificate": b64u(der), **more}, key)

    def renewal(self, certificate):
        """RFC 9773 4.1."""
        issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        serial = certificate.serial_number
        octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
        return self.http.get(f"{self.urls['renewalInfo']}/{b64u(issuer.key_identifier)}.{b64u(octets)}")


# -- CBOR (RFC 8949), as far as statements need it ---------------------------------------------------------------------

def head(kind, number):
    for code, size in ((24, 1), (25, 2), (26, 4)):
        if number < 24:
            return bytes([kind << 5 | number])
        if number < 1 << 8 * size:
            return bytes([kind << 5 | code]) + number.to_bytes(size, "big")
    raise ValueError(number)


def cbor(value):
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


# -- a maker -----------------------------------------------------------------------------------------------------------

def named(common):
    parts = [(NameOID.COUNTRY_NAME, "CH"), (NameOID.ORGANIZATION_NAME, "Acme Medical"),
             (NameOID.ORGANIZATIONAL_UNIT_NAME, "Authenticator Attestation"), (NameOID.COMMON_NAME, common)]
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])


class Maker:
    """A maker's authority that certifies the keys of its devices."""

    def __init__(self, name, folder):
        self.key, self.name = new_key(), named(name)
        self.certificate = self.sign(self.name, self.key.public_key(), True, [])
        self.file = folder / f"{name.replace(' ', '-')}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def sign(self, subject, public, authority, extensions):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public)
                   .serial_number(x509.random_serial_number()).not_valid_before(now - DAY)
                   .not_valid_after(now + 3650 * DAY)
                   .add_extension(x509.BasicConstraints(ca=authority, path_length=None), True))
        for extension in extensions:
            builder = builder.add_extension(extension, False)
        return builder.sign(self.key, hashes.SHA256())

    def device(self, serial):
        return Device(self, serial)


class Device:
    """A device whose key its maker certified."""

    def __init__(self, maker, serial):
        self.key = new_key()
        octets = serial.encode()
        number = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.2"),
                                            bytes([4, len(octets)]) + octets)
        certificate = maker.sign(named("Pump"), self.key.public_key(), False, [number])
        self.certificate = certificate.public_bytes(serialization.Encoding.DER)

    def statement(self, signed):
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        return cbor({"fmt": "packed", "attStmt": {"alg": -7, "sig": signature, "x5c": [self.certificate]}})
