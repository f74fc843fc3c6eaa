#!/usr/bin/env python3
"""The program on pipes: those that do not wait, and those that nothing comes from."""

import os
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from program import LIMIT_S, MODEL, TROUPE, environment, main, needs_model, run

STORY = "Once upon a time there was a cat.\n" * 2000


def start(*arguments, **options):
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([TROUPE, *arguments], env=environment(), **options)


def finish(process):
    """Its standard output, standard error and exit status; it is ended if it does not end."""
    try:
        out, error = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return out, error, process.returncode


@needs_model
class NonBlocking(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.story = os.path.join(folder.name, "story")
        Path(self.story).write_text(STORY)

    def test_all_of_the_output_reaches_a_slow_reader(self):
        arguments = ("tokenize", MODEL, "--file", self.story)
        expected = run(*arguments).stdout
        self.assertGreater(len(expected), 1 << 18)  # no pipe holds that
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        process = start(*arguments, stdout=writer)
        os.close(writer)
        time.sleep(0.3)  # until the pipe is full
        with open(reader, "rb") as pipe:
            self.assertEqual(pipe.read(), expected)
        self.assertEqual(finish(process)[1:], (b"", 0))

    def test_input_that_has_not_come_yet_is_waited_for(self):
        for arguments in (("tokenize", MODEL, "--file", "-"), ("generate", MODEL, "-n", "3", "--prompts", "-"),
                          ("chat", MODEL, "-n", "3", "--temperature", "0")):
            if arguments[0] == "chat" and os.environ.get("TROUPE_CHAT") == "0":
                continue
            with self.subTest(arguments):
                expected = run(*arguments, stdin=b"Once upon\na time\n").stdout
                reader, writer = os.pipe()
                os.set_blocking(reader, False)
                process = start(*arguments, stdin=reader)
                os.close(reader)
                for text in (b"Once up", b"on\na time\n"):
                    time.sleep(0.2)
                    os.write(writer, text)
                os.close(writer)
                self.assertEqual(finish(process), (expected, b"", 0))


if __name__ == "__main__":
    main()
