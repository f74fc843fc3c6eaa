#!/usr/bin/env python3
"""The program on pipes: those that do not wait, and those that nothing comes from."""

import os
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from program import LIMIT_S, MODEL, TROUPE, Terminal, environment, main, needs_model, run

needs_chat = unittest.skipIf(os.environ.get("TROUPE_CHAT") == "0", "built without troupe chat")
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


@needs_model
class Waiting(unittest.TestCase):
    """For what nobody writes: a signal ends it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.fifo = os.path.join(folder.name, "fifo")
        os.mkfifo(self.fifo)

    def ended_by(self, number, *arguments, **options):
        process = start(*arguments, **options)
        time.sleep(0.5)  # until it waits
        self.assertIsNone(process.poll())
        process.send_signal(number)
        out, error, status = finish(process)
        self.assertEqual((out, status), (b"", 128 + number), error)

    def test_a_signal_ends_waiting_for_a_chat_template_or_a_text(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self.ended_by(number, "generate", MODEL, "--chat", "--chat-template", self.fifo, "-p", "Hello")
            self.ended_by(number, "perplexity", MODEL, self.fifo)
            self.ended_by(number, "perplexity", MODEL, "-", stdin=subprocess.PIPE)

    def test_a_signal_ends_waiting_in_the_middle_of_a_fifo(self):
        process = start("perplexity", MODEL, self.fifo)
        with open(self.fifo, "wb", buffering=0) as fifo:
            fifo.write(b"Once upon a time")
            time.sleep(0.2)
            process.terminate()
            self.assertEqual(finish(process), (b"", b"", 128 + signal.SIGTERM))

    def test_a_fifo_is_read_to_its_end(self):
        expected = run("tokenize", MODEL, "--file", "-", stdin=STORY.encode()).stdout
        for late in (False, True):
            process = start("tokenize", MODEL, "--file", self.fifo)
            time.sleep(0.2 if late else 0)
            Path(self.fifo).write_text(STORY)
            self.assertEqual(finish(process), (expected, b"", 0))

    @needs_chat
    def test_a_signal_ends_a_chat_that_loads_from_a_fifo(self):
        with open(self.fifo + ".in", "w+b") as lines:
            lines.write(f"/load {self.fifo}\n".encode())
            lines.flush()
            for number in (signal.SIGINT, signal.SIGTERM):
                lines.seek(0)
                self.ended_by(number, "chat", MODEL, stdin=lines)

    @needs_chat
    def test_a_fifo_is_no_place_for_a_conversation(self):
        done = run("chat", MODEL, stdin=f"/save {self.fifo}\n".encode())
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"exists and is no transcript", done.stderr)

    @needs_chat
    def test_ctrl_c_gives_up_loading_and_the_chat_goes_on(self):
        with Terminal("chat", MODEL, "-n", "3", "--temperature", "0") as terminal:
            terminal.expect("> ")
            terminal.send(f"/load {self.fifo}\r")
            terminal.expect("load.*\n")
            time.sleep(0.3)
            terminal.send("\x03")
            terminal.expect("cannot read")
            terminal.expect("> ")
            terminal.send("/quit\r")
            self.assertEqual(terminal.finish(), 0)


if __name__ == "__main__":
    main()
