"""Runs the `sh` blocks of a page, word for word but for the ports, as somebody would who has bearerd and nothing else.

Conventions:

- All blocks of a page run in order in one directory that is empty at first; `bearerd` is in PATH. Each is a shell of its own
  (`bash -eu -o pipefail`), so what goes on from one to the next is files and servers, not variables.
- A block marked `server` stays up until the page ends. The next one begins when it serves.
- Nothing listens on the ports of the page. 8080 to 8089, 9000 to 9009 and 9180 to 9189 become free ones, each group in a row;
  in what a block prints they are turned back. A bearerd whose configuration names no `listen` gets its two usual ports by
  BEARERD_LISTEN and BEARERD_ADMIN_LISTEN. Another port behind `localhost:` is a mistake of the page.
- `toml file=NAME` writes the block into the directory, at its place in the page.
"""

import contextlib
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import tempfile
import threading

import surface

GROUPS = (8080, 9000, 9180)
IN_A_GROUP = 10
# Below the ports that the system gives to outgoing connections.
FREE = range(15000, 32000)
LOCAL_PORT = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\]):(\d+)")
PATIENCE = 90
# What a server says when it serves.
SERVES = re.compile(r"admin listening|Ctrl-C ends it")


class Ports:
    """Free ports in place of the page's."""

    def __init__(self):
        self.bases = {}
        for group in GROUPS:
            self.bases[group] = free_row(self.bases.values())

    def there(self, text):
        return self._replace(text, self.bases)

    def back(self, text):
        return self._replace(text, {mine: theirs for theirs, mine in self.bases.items()})

    @staticmethod
    def _replace(text, bases):
        moved = {str(old + i): str(new + i) for old, new in bases.items() for i in range(IN_A_GROUP)}
        return re.sub(r"\b\d{4,5}\b", lambda match: moved.get(match.group(), match.group()), text)


def free_row(taken):
    for _ in range(200):
        base = random.randrange(FREE.start, FREE.stop, IN_A_GROUP)
        if base not in taken and all(is_free(base + i) for i in range(IN_A_GROUP)):
            return base
    raise RuntimeError("no ten free ports in a row")


def is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def mistakes(page, binary, pending=frozenset()):
    """Runs the page, but for blocks with a verb of PENDING; what did not succeed, or printed something else than the page says."""
    blocks = list(_runnable(page.blocks, pending))
    if not any(b.language == "sh" for b in blocks):
        return []
    for block in blocks:
        for port in LOCAL_PORT.findall(block.text) if block.language == "sh" else ():
            if not any(group <= int(port) < group + IN_A_GROUP for group in GROUPS):
                return [f"{block.where}: port {port} is in none of the groups of tests/docs/shell.py"]
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as servers:
        return list(_run(blocks, pathlib.Path(name), binary, servers))


def _runnable(blocks, pending):
    """All but what is skipped, and what that would have printed."""
    left_out = False
    for block in blocks:
        if block.language == "sh":
            verbs = {words[0] for words in surface.commands(block.text) if words}
            left_out = bool(block.value("skip")) or not verbs.isdisjoint(pending)
        if not left_out or block.language == "toml":
            yield block


def _run(blocks, directory, binary, servers):
    ports, printed = Ports(), ""
    environment = {"PATH": f"{pathlib.Path(binary).parent}:/usr/local/bin:/usr/bin:/bin", "HOME": str(directory)}
    environment |= {"LANG": "C.UTF-8", "TERM": "dumb"}
    written = "".join(block.text for block in blocks if block.language in ("sh", "toml"))
    if not re.search(r"^\s*listen\s*=", written, re.M):
        environment["BEARERD_LISTEN"] = ports.there("localhost:8080")
        environment["BEARERD_ADMIN_LISTEN"] = ports.there("localhost:9180")
    for block in blocks:
        if block.language == "toml" and block.value("file"):
            (directory / block.value("file")).write_text(ports.there(block.text))
        elif block.language == "text" and "output" in block.words:
            yield from missing_lines(block, printed)
        elif block.language == "sh":
            command = ["bash", "-eu", "-o", "pipefail", "-c", ports.there(block.text)]
            if "server" in block.words:
                told = servers.enter_context(server(command, directory, environment))
                if told is not None:
                    yield f"{block.where}: does not serve:\n{told}"
                    return
                continue
            code, told = run(command, directory, environment)
            printed = ports.back(told)
            if code != 0:
                yield f"{block.where}: ended with {code}:\n{printed}"
                return


def missing_lines(block, printed):
    """Lines of an `output` block that were not printed, in this order."""
    rest = printed.splitlines()
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        wanted = re.compile(re.escape(line.strip()).replace("…", ".*"))
        place = next((i for i, have in enumerate(rest) if wanted.fullmatch(have.strip())), None)
        if place is None:
            yield f"{block.page}:{number}: not printed: {line}\nbut:\n{printed}"
            return
        rest = rest[place + 1 :]


def run(command, directory, environment):
    """The exit code, or why there is none, and what was printed."""
    process = subprocess.Popen(
        command, cwd=directory, env=environment, start_new_session=True, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        printed, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, printed
    except subprocess.TimeoutExpired as late:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        return f"nothing after {PATIENCE} s", (late.stdout or b"").decode(errors="replace")


@contextlib.contextmanager
def server(command, directory, environment):
    """Runs it in the background. None once it serves, else what it printed."""
    process = subprocess.Popen(
        command, cwd=directory, env=environment, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    printed, decided = bytearray(), threading.Event()
    reader = threading.Thread(target=_read, args=(process.stdout, printed, decided))
    reader.start()
    try:
        decided.wait(PATIENCE)
        text = printed.decode(errors="replace")
        yield None if SERVES.search(text) else text
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()
        process.stdout.close()


def _read(stream, printed, decided):
    """Reads to the end, so that the server never waits for a reader; `decided` once it serves, or ends."""
    while piece := os.read(stream.fileno(), 65536):
        printed += piece
        if not decided.is_set() and SERVES.search(printed.decode(errors="replace")):
            decided.set()
    decided.set()
