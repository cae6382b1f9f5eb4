"""Others' certificates, watched on nginx by the command line. README.md says what this proves."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import Hospital, Suite, check, free_port, listens, refusal, run, same, until  # noqa: E402

suite = Suite("watch")
REFUSED, USAGE = 1, 2


class Nginx:
    """A server with a certificate of somebody else's CA."""

    def __init__(self, folder, processes):
        self.folder, self.processes, self.port = folder / "nginx", processes, free_port()
        self.folder.mkdir()
        self.address = f"127.0.0.1:{self.port}"

    def show(self, name, days):
        key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
            "-out", certificate, "-subj", f"/O=Vendor/CN={name}", "-days", days)
        if "nginx" in self.processes.running:
            self.processes.stop("nginx")
        config = self.folder / "nginx.conf"
        config.write_text(f"""daemon off; pid {self.folder}/pid; error_log stderr; events {{}}
http {{ access_log off; client_body_temp_path {self.folder}/t; proxy_temp_path {self.folder}/p;
  fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
  server {{ listen {self.address} ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; }} }}
""")
        self.processes.start("nginx", "nginx", "-p", self.folder, "-c", config)
        until("nginx listens", lambda: listens(self.port))


class Scene:
    def __init__(self, folder, processes):
        self.folder, self.processes = folder, processes
        self.nginx = Nginx(folder, processes)
        self.nginx.show("pacs", 100)
        self.hospital = Hospital(folder, processes)

    def allow(self, networks):
        text = self.hospital.toml.read_text().split("[watch]")[0]
        self.hospital.toml.write_text(f"{text}[watch]\nnetworks = {networks}\nports = [{self.nginx.port}]\n")
        self.hospital.restart()

    def add(self, address, owner="imaging"):
        return self.hospital.as_("anna", "watch", "add", address, "--owner", owner, "--site", "north", "--purpose",
                                 "images of the north")

    def line(self):
        lines = self.hospital.as_("anna", "watch", "list")
        return lines[0] if lines else None


# R35: nothing is looked at that the configuration does not name.
@suite.step
def without_a_network_nothing_is_looked_at(s):
    s.add(s.nginx.address)
    line = until("it was to be looked at", lambda: s.line()["fault"] and s.line())
    check("watch." in line["fault"] and line["certificate"] is None, line)
    refusal(USAGE, "must read host:port", lambda: s.add("https://pacs"))
    refusal(REFUSED, "one of these roles", lambda: s.hospital.as_(
        "ben", "watch", "remove", s.nginx.address, "--reason", "x"))


# R43, R45, R48, R51
@suite.step
def nginx_is_seen_and_stands_in_the_inventory(s):
    s.allow('["127.0.0.0/8"]')
    line = until("it was looked at", lambda: s.line()["certificate"] and s.line())
    same((line["standing"], line["fault"], line["alarms"]), ("in order", None, []), "the server")
    shown = run("openssl", "x509", "-in", s.nginx.folder / "certificate.pem", "-noout", "-serial", "-fingerprint",
                "-sha256").out.replace(":", "").lower()
    check(line["certificate"]["sha256"] in shown and line["certificate"]["serial"].lstrip("0") in shown, (line, shown))
    inventory = [c for c in s.hospital.as_("anna", "cert", "ls") if c["kind"] == "watched"]
    same([(c["name"], c["owner"]) for c in inventory], [(s.nginx.address, "imaging")], "inventory")
    check(inventory[0]["effect"].startswith("images of the north"), inventory)


# A restart looks anew: another certificate, a hundred days before the end of the one before.
@suite.step
def another_certificate_is_told(s):
    s.nginx.show("somebody else", 300)
    s.hospital.restart()
    line = until("it has changed", lambda: s.line()["alarms"] and s.line())
    same((line["alarms"], line["standing"]), (["changed"], "changed"), "the server")
    check("Changed" in (s.folder / "up.err").read_text(), "no warning in the log")


@suite.step
def the_owner_is_the_present_one_and_the_list_ends(s):
    s.add(s.nginx.address, owner="new team")
    same(s.line()["record"]["owner"], "new team", "owner")
    s.hospital.as_("anna", "watch", "remove", s.nginx.address, "--reason", "replaced")
    same(s.line(), None, "the list")
    check(all(c["kind"] != "watched" for c in s.hospital.as_("anna", "cert", "ls")), "still in the inventory")
    s.hospital.check_ledger()


if __name__ == "__main__":
    suite.run(Scene, peers=("nginx", "openssl"))
