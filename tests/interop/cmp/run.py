"""CMP by `openssl cmp`, against `lanyard up`. README.md says what this proves."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from scene import Scene, suite  # noqa: E402

# Their steps are in the order of these lines.
import enroll  # noqa: E402,F401
import waiting  # noqa: E402,F401
import refused  # noqa: E402,F401
import revoke  # noqa: E402,F401
import messages  # noqa: E402,F401
import by_agent  # noqa: E402,F401
import documents  # noqa: E402,F401
import ends  # noqa: E402,F401

if __name__ == "__main__":
    suite.run(Scene, peers=("faketime", "openssl"))
