"""Steps: the page of docs, run as it stands there."""

import re
import shutil

from blocks import Shell, blocks
from harness import ROOT, binary, check, same
from scene import suite


# R36, R49, R35
@suite.step
def the_page_about_cmp_is_true(s):
    device, second = s.device("page").approved(), s.device("page-factory").approved()
    folder, programs = s.folder / "page-folder", s.folder / "programs"
    programs.mkdir()
    (programs / "lanyard").symlink_to(binary())
    here = {"https://TLSHOST": f"https://{s.hospital.enroll}", "http://HOST": f"http://{s.hospital.pki_http}",
            "DEVICE": device.id}
    shell = Shell("page", folder, s.processes, path=[programs], replace=here)
    shell.write("\n".join(f"export {name}='{value}'" for name, value in
                          {**s.hospital.env, "LANYARD_PROFILE": s.folder / "anna.toml"}.items()))
    made, idevid = s.maker.idevid("SN-page-factory")
    shutil.copy(made, folder / "idevid.key")
    shutil.copy(idevid, folder / "idevid.pem")
    page = blocks(ROOT / "docs/protocols/cmp.md")
    check(len(page) >= 9, "the page lost its blocks")
    for block in page:
        said = shell.run(block)
        if "device secret" in block.commands:
            secret = re.search(r"[a-z2-7]{8}-[a-z2-7]+", said)[0]
            (folder / "secret").write_text(secret)
            here["aeaqcaib"] = secret.split("-")[0]
    same(device.names().count("certificate_issued"), 4, "certificates")
    same(device.revoked(folder / "dev.pem"), "compromised", "the one that was given up")
    device.takes(folder / "new.pem", folder / "new.key")
    second.takes(folder / "second.pem", folder / "second.key")
    s.given |= {line["serial"] for line in s.hospital.certificates(device.id)}
    s.processes.stop("page")
