"""A relying party that is neither ours nor OpenSSL: pyhanko-certvalidator (asn1crypto) fetches what the certificate names, and judges.

`consumer.py ROOT ISSUER CERTIFICATE PROXY ocsp|crl` prints `good`, `revoked REASON`, or `undecided WHY`.

pyhanko-certvalidator 0.33 applies a difference to a list, and gives no verdict without it where the list names one, but it looks
for its address in the certificate alone. So the difference that the list names is loaded here and handed to it.
"""

import asyncio
import os
import sys
from pathlib import Path

import requests
from asn1crypto import crl, pem, x509
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import PathError, RevokedError
from pyhanko_certvalidator.fetchers.requests_fetchers import RequestsFetcherBackend
from pyhanko_certvalidator.policy_decl import (CertRevTrustPolicy, RevocationCheckingPolicy, RevocationCheckingRule)


def certificates(path):
    blocks = pem.unarmor(Path(path).read_bytes(), multiple=True)
    return [x509.Certificate.load(der) for _, _, der in blocks]


def addresses(points):
    return [name.native for point in points or [] for name in point["distribution_point"].chosen]


def fetched(address):
    answer = requests.get(address, timeout=30)
    answer.raise_for_status()
    return crl.CertificateList.load(answer.content)


def differences(leaf):
    """What the lists of this certificate name as changed since."""
    lists = [fetched(address) for address in addresses(leaf.crl_distribution_points_value)]
    return [fetched(address) for complete in lists for address in addresses(complete.freshest_crl_value)]


async def judge(root, issuer, certificate, rule):
    leaf = certificates(certificate)[0]
    context = ValidationContext(
        trust_roots=certificates(root), allow_fetching=True, crls=differences(leaf),
        fetcher_backend=RequestsFetcherBackend(per_request_timeout=30),
        # The root is a trust anchor; what is asked is the end entity, and its issuer by the root's own word.
        revinfo_policy=CertRevTrustPolicy(RevocationCheckingPolicy(
            ee_certificate_rule=rule, intermediate_ca_cert_rule=RevocationCheckingRule.NO_CHECK)))
    validator = CertificateValidator(leaf, intermediate_certs=certificates(issuer), validation_context=context)
    try:
        await validator.async_validate_path()
    except RevokedError as error:
        return f"revoked {error.reason.native}"
    except PathError as error:
        return f"undecided {error}"
    return "good"


def main():
    root, issuer, certificate, proxy, how = sys.argv[1:]
    # The address in the certificate is reached here as by a proxy.
    os.environ["http_proxy"] = os.environ["HTTP_PROXY"] = proxy
    rules = {"ocsp": RevocationCheckingRule.OCSP_REQUIRED, "crl": RevocationCheckingRule.CRL_REQUIRED}
    print(asyncio.run(judge(root, issuer, certificate, rules[how])))


if __name__ == "__main__":
    main()
