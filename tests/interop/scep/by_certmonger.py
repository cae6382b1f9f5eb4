"""Steps: certmonger, a daemon on a message bus of its own, that asks again by itself and renews."""

from harness import check, run, until
from scene import suite

WAIT = """
state() { for i in $(seq 240); do getcert list -s -i one | grep -q "status: $1" && return 0; sleep 0.5; done
  getcert list -s; return 1; }
known() { for i in $(seq 240); do getcert list-cas -s -c lanyard | grep -q thumbprint && return 0; sleep 0.5; done
  getcert list-cas -s; return 1; }
told() { touch $HOME/$1; for i in $(seq 240); do test -e $HOME/$2 && return 0; sleep 0.5; done; return 1; }
set -e
"""


def session(s, device, script):
    """Starts a script on a bus, with the CA `lanyard` known to its daemon."""
    add = f"getcert add-scep-ca -s -c lanyard -u http://{s.at}/scep/legacy-north\nknown\n"
    s.processes.start(device.name, "env", "-u", "XDG_CONFIG_HOME", "dbus-run-session", "--", "bash", "-c",
                      WAIT + add + script, env={"HOME": str(device.folder)})


def ended(s, device):
    """It came to its end."""
    process = s.processes.running[device.name]
    until("certmonger's session ends", lambda: process.poll() is not None, seconds=180)
    code, text = process.returncode, s.processes.output(device.name)
    s.processes.stop(device.name)
    check(code == 0, f"certmonger's session ended with {code}:\n{text}")
    return text


def request(device, challenge):
    return (f"getcert request -s -c lanyard -k $HOME/key.pem -f $HOME/cert.pem -N CN={device.id} -L {challenge} "
            "-I one\n")


# R36, R42, R45
@suite.step
def certmonger_waits_for_approval_enrolls_and_renews(s):
    device = s.device("monger")
    session(s, device, request(device, device.give_secret()) + """state CA_WORKING
told waits approved
getcert resubmit -s -i one
state MONITORING
cp $HOME/cert.pem $HOME/first.pem
getcert resubmit -s -i one
for i in $(seq 240); do cmp -s $HOME/first.pem $HOME/cert.pem || break; sleep 0.5; done
cp $HOME/cert.pem $HOME/second.pem
cp $HOME/key.pem $HOME/old.pem
getcert rekey -s -i one
for i in $(seq 240); do cmp -s $HOME/second.pem $HOME/cert.pem || exit 0; sleep 0.5; done
getcert list -s; exit 1
""")
    until("certmonger waits", lambda: (device.folder / "waits").exists(), seconds=120)
    check("issuance_intended" not in device.names(), device.names())
    s.hospital.approve(device.id)
    (device.folder / "approved").touch()
    ended(s, device)
    device.has(device.folder / "first.pem", device.folder / "old.pem")
    device.has(device.folder / "second.pem", device.folder / "old.pem")
    device.has(device.folder / "cert.pem", device.folder / "key.pem")


# R36
@suite.step
def certmonger_with_a_wrong_secret_is_rejected(s):
    device = s.device("monger-wrong").approved()
    session(s, device, request(device, "guessed") + "state CA_REJECTED\ngetcert list -s -i one\n")
    text = ended(s, device)
    check("not permitted" in text, text)
    check("issuance_intended" not in device.names(), device.names())
