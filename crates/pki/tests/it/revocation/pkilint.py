# Lints every file of a folder with pkilint, in one process: its start costs more than all the files.
# Files are called `<what>-<name>.der` with what = cert, crl or ocsp; the lines of `pairs.txt` name issuer and subject.
# Prints `file<TAB>severity<TAB>code<TAB>message`, and a line DONE for each file and pair.
import pathlib
import sys

from pkilint import loader, pkix
from pkilint.bin import lint_pkix_signer_signee_cert_chain as chain
from pkilint.pkix import certificate, crl, extension, name, ocsp

CERTIFICATE = certificate.create_pkix_certificate_validator_container(
    certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
    [
        certificate.create_issuer_validator_container([]),
        certificate.create_validity_validator_container(),
        certificate.create_subject_validator_container([]),
        certificate.create_extensions_validator_container([]),
        certificate.create_spki_validator_container([]),
    ],
)
CRL = crl.create_pkix_crl_validator_container(
    [
        pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
        pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
    ],
    [
        crl.create_issuer_validator_container([]),
        crl.create_validity_validator_container([]),
        crl.create_extensions_validator_container([]),
    ],
)
OCSP = ocsp.create_pkix_ocsp_response_validator_container(
    [
        ocsp.create_response_decoder(),
        pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
        pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
    ],
    [],
)
KINDS = {
    "cert": (loader.load_der_certificate, CERTIFICATE),
    "crl": (loader.load_der_crl, CRL),
    "ocsp": (loader.load_der_ocsp_response, OCSP),
}

PAIR_DECODER = chain.create_decoder_validation_container()
PAIR_ISSUER = chain.create_issuer_validation_container()
PAIR_SUBJECT = chain.create_subject_validation_container()


def report(what, results):
    for result in results:
        for finding in result.finding_descriptions:
            severity = finding.finding.severity.name
            message = (finding.message or "").replace("\n", " ").replace("\t", " ")
            print(what, severity, finding.finding.code, message, sep="\t")
    print(what, "DONE", "", "", sep="\t")


folder = pathlib.Path(sys.argv[1])
for path in sorted(folder.glob("*.der")):
    load, validator = KINDS[path.name.split("-")[0]]
    report(path.stem, validator.validate(load(path.read_bytes(), path.name).root))

for line in (folder / "pairs.txt").read_text().splitlines():
    parties = {}
    for role, stem in zip(("issuer", "subject"), line.split()):
        content = (folder / f"{stem}.der").read_bytes()
        parties[role] = loader.load_der_certificate(content, stem, role, parties)
    results = PAIR_DECODER.validate(parties["issuer"].root) + PAIR_DECODER.validate(parties["subject"].root)
    results += PAIR_ISSUER.validate(parties["issuer"].root) + PAIR_SUBJECT.validate(parties["subject"].root)
    report("pair-" + line.split()[1], results)
