"""ACME by lego, certbot and a client that attests, against `lanyard up`. README.md says what this proves."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from scene import Scene, suite  # noqa: E402

# Their steps are in the order of these lines.
import devices  # noqa: E402,F401
import by_agent  # noqa: E402,F401
import applications  # noqa: E402,F401

if __name__ == "__main__":
    suite.run(Scene, peers=("lego", "certbot", "unshare"))
