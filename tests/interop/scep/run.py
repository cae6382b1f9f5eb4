"""SCEP by strongSwan, certmonger and micromdm's scepclient, against `lanyard up`. README.md says what this proves."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from scene import Scene, suite  # noqa: E402

# Their steps are in the order of these lines.
import by_strongswan  # noqa: E402,F401
import malformed  # noqa: E402,F401
import sites  # noqa: E402,F401
import by_certmonger  # noqa: E402,F401
import by_micromdm  # noqa: E402,F401
import hardware  # noqa: E402,F401
import ends  # noqa: E402,F401

if __name__ == "__main__":
    suite.run(Scene, peers=("curl", "dbus-run-session", "getcert", "openssl", "pki", "scepclient", "softhsm2-util", "faketime"))
