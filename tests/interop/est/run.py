"""EST by curl and OpenSSL, strongSwan and Bouncy Castle, against `lanyard up`. README.md says what this proves."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from scene import Scene, suite  # noqa: E402

# Their steps are in the order of these lines.
import by_secret  # noqa: E402,F401
import by_certificate  # noqa: E402,F401
import by_maker  # noqa: E402,F401
import malformed  # noqa: E402,F401
import clients  # noqa: E402,F401
import documents  # noqa: E402,F401
import by_profile  # noqa: E402,F401
import by_agent  # noqa: E402,F401
import ends  # noqa: E402,F401

if __name__ == "__main__":
    suite.run(Scene, peers=("curl", "faketime", "java", "javac", "openssl", "pki"))
