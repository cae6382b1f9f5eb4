"""The commands of a page of docs, run as they stand there, so that the page cannot rot.

A block is ```sh. All blocks of a page go, in order, to one bash with `set -eu -o pipefail` in an empty folder; where a
command fails, its block fails and the shell ends. A ```text block right behind it is what it prints, line by
line; `...` stands for any characters, a line of `...` alone for any lines. What is an example in the page and not here
(ports, host names, secrets) is replaced word by word, by the caller. `sleep` is short: people and servers are quick here.

In scope: one page, one shell. Out of scope: which page, and what must hold after a block; that stands in the suites.
"""

import os
import re
import subprocess
import textwrap
import time

from harness import PATIENCE, check

MARK = "--- block ended with "


class Block:
    """Commands, the heading that they stand under, and what they print where the page says so."""

    def __init__(self, heading, commands):
        self.heading, self.commands, self.printed = heading, commands, None


def blocks(page):
    """The ```sh blocks of a page, those within lists too."""
    found, heading, lines, language, behind = [], "", [], None, False
    for line in page.read_text().splitlines():
        fence = re.match(r"\s*```(\w*)\s*$", line)
        if language is None and fence:
            language, lines = fence[1], []
        elif fence:
            text = textwrap.dedent("\n".join(lines)) + "\n"
            if language == "sh":
                found.append(Block(heading, text))
            elif language == "text" and behind:
                found[-1].printed = text
            behind, language = language == "sh", None
        elif language is not None:
            lines.append(line)
        elif line.startswith("#"):
            heading, behind = line.lstrip("# "), False
        elif line.strip():
            behind = False
    check(found, f"{page.name} has no ```sh block")
    return found


def prints(expected, found):
    """Whether a ```text block fits what was printed."""
    parts = []
    for line in expected.strip().splitlines():
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append("".join(".*" if part == "..." else re.escape(part)
                                 for part in re.split(r"(\.\.\.)", line.strip())) + r"[ \t]*\n")
    lines = [line.strip() for line in found.strip().splitlines()]
    return re.fullmatch("".join(parts), "\n".join(lines) + "\n") is not None


class Group(subprocess.Popen):
    """A process with all that it started: a page leaves things running."""

    def send_signal(self, how):
        try:
            os.killpg(self.pid, how)
        except ProcessLookupError:
            pass


class Shell:
    """One bash for a page."""

    def __init__(self, name, folder, processes, path=(), replace=None):
        """`path` has folders of programs, `replace` what stands in the page and what stands here."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.replace = folder, replace or {}
        search = ":".join([*map(str, path), os.environ["PATH"]])
        self.script = processes.folder / f"{name}.sh"
        # Written at its end always, and read by a handle of its own: the two share no position.
        place = processes.folder / f"{name}.out"
        place.write_bytes(b"")
        with open(place, "ab") as out:
            self.process = Group(
                ["bash", "--noprofile", "--norc"], cwd=folder, stdin=subprocess.PIPE, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, "PATH": search, "HOME": str(folder), "LC_ALL": "C.UTF-8"})
        self.log = open(place, encoding="utf-8")
        processes.running[name] = self.process
        self.write("set -eu -o pipefail; sleep() { command sleep 0.6; }")

    def write(self, text):
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()

    def run(self, block, seconds=PATIENCE):
        """Runs one block; what it printed."""
        text = block.commands
        for example, here in self.replace.items():
            text = text.replace(example, here)
        self.log.seek(0, os.SEEK_END)
        begin = self.log.tell()
        # From a file: a program of the page that reads its standard input would read the page.
        self.script.write_text(text)
        self.write(f"source '{self.script}' < /dev/null; printf '\\n{MARK}%s\\n' $?")
        end = time.monotonic() + seconds
        while True:
            self.log.seek(begin)
            printed = self.log.read()
            if f"\n{MARK}0\n" in printed:
                printed = printed.split(f"\n{MARK}")[0]
                break
            check(self.process.poll() is None and time.monotonic() < end,
                  f"the block under `{block.heading}` failed:\n{text}\nIt printed:\n{printed}")
            time.sleep(0.05)
        if block.printed is not None:
            expected = block.printed
            for example, here in self.replace.items():
                expected = expected.replace(example, here)
            check(prints(expected, printed),
                  f"under `{block.heading}` the page says\n{expected}\nand this was printed:\n{printed}")
        return printed
