"""Runs the built program for the system tests: always with a time limit, and ended by its process id."""

import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import fcntl
import unittest
from pathlib import Path

LIMIT_S = 60  # only ends what hangs; nothing is measured against it

TROUPE = os.environ.get("TROUPE_PROGRAM", "build/troupe")
SHARED = Path(os.environ.get("TROUPE_SHARED", "../shared"))
STORIES = SHARED / "data/models/stories260K"
MODEL = str(STORIES / "stories260Ktok512.gguf")

needs_model = unittest.skipUnless(Path(MODEL).exists(), f"no test data at {MODEL}")


def environment(**extra):
    env = {k: v for k, v in os.environ.items() if k not in ("XDG_STATE_HOME", "EDITRC")}
    env.setdefault("TERM", "xterm")
    env.update(extra)
    return env


def run(*arguments, stdin=b"", **options):
    """The finished process, with stdout and stderr as bytes."""
    if isinstance(stdin, bytes):
        options["input"] = stdin
    else:
        options["stdin"] = stdin
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([TROUPE, *arguments], stderr=subprocess.PIPE, timeout=LIMIT_S, env=environment(), **options)


def cpu_seconds(pid):
    """That the process has used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ended_when_asked(test, process, number):
    """Checks that a signal ends what has computed for a while, that nothing is on its standard output, and that the
    status says so."""
    try:
        while process.poll() is None and cpu_seconds(process.pid) < 0.5:
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=LIMIT_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    test.assertEqual((process.returncode, out, err), (128 + number, b"", b""))


class Terminal:
    """The program on a pseudo-terminal of its own, with its session and state folder."""

    def __init__(self, *arguments, columns=80, rows=24, term="xterm", prepare=None):
        """`prepare` may fill the state folder, whose path it is given."""
        self.state = tempfile.TemporaryDirectory()
        if prepare:
            prepare(self.state.name)
        self.seen = ""  # everything so far
        self.mark = 0   # expect() searches from here
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execve(TROUPE, [TROUPE, *arguments],
                      environment(TERM=term, HOME=self.state.name, XDG_STATE_HOME=self.state.name))
        self.status = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
        self.state.cleanup()

    def send(self, text):
        os.write(self.fd, text.encode())

    def _read(self, deadline):
        ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise AssertionError(f"nothing more came; so far: {self.seen[-2000:]!r}")
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # Linux: the other side is closed
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern):
        """Waits for a match behind the last one."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            match = re.compile(pattern, re.S).search(self.seen, self.mark)
            if match:
                self.mark = match.end()
                return match
            if not self._read(deadline):
                raise AssertionError(f"ended without {pattern!r}; it wrote {self.seen[-2000:]!r}")

    def finish(self):
        """Waits for the end; the exit status, negative for a signal."""
        deadline = time.monotonic() + LIMIT_S
        while self._read(deadline):
            pass
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status


def main():
    """Exit status 77 tells Meson that everything was skipped."""
    result = unittest.main(module="__main__", argv=[sys.argv[0]], verbosity=2, exit=False).result
    skipped = result.testsRun > 0 and len(result.skipped) == result.testsRun
    sys.exit(1 if not result.wasSuccessful() else 77 if skipped else 0)
