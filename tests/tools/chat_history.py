#!/usr/bin/env python3
"""The history that troupe chat keeps from one session to the next."""

import os
import re
import tempfile
import unittest
from pathlib import Path

from program import MODEL, Terminal, main, needs_model

PROMPT = r"> \Z"  # nothing behind it: the program waits for us


def leave(terminal):
    terminal.expect(PROMPT)
    terminal.send("\x04")
    return terminal.finish()


def set_top_k(terminal, value):
    terminal.expect(PROMPT)
    terminal.send(f"/set top-k {value}\r")
    terminal.expect(rf"top-k = {value}\r\n")


@needs_model
class History(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.history = Path(self.folder, "history")

    def chat(self, *arguments):
        """A chat whose folder for state is ours."""
        return Terminal("chat", MODEL, *arguments, prepare=lambda state: os.symlink(self.folder, Path(state, "troupe")))

    def test_chats_at_the_same_time_keep_each_others_lines(self):
        with self.chat() as one, self.chat() as other:
            for value in (1, 2, 3):
                set_top_k(one, value)
                set_top_k(other, value + 10)
            self.assertEqual((leave(one), leave(other)), (0, 0))
        self.assertEqual(re.findall(r"top-k\\040(\d+)\n", self.history.read_text()), ["1", "11", "2", "12", "3", "13"])
        with self.chat() as later:
            later.expect(PROMPT)
            later.send("\x1b[A" * 6 + "\r")
            later.expect(r"top-k = 1\r\n")
            self.assertEqual(leave(later), 0)

    def test_lines_are_there_when_the_session_is_killed(self):
        with self.chat() as killed:
            set_top_k(killed, 7)
            killed.expect(PROMPT)
        self.assertIn("top-k", self.history.read_text())
        self.assertEqual(os.stat(self.history).st_mode & 0o777, 0o600)

    def test_a_file_of_something_else_is_left_alone_and_that_is_said_once(self):
        self.history.write_text("not ours\n")
        with self.chat() as terminal:
            set_top_k(terminal, 7)
            set_top_k(terminal, 8)
            self.assertEqual(leave(terminal), 0)
            self.assertEqual(terminal.seen.count("is no history of chat's"), 1)
        self.assertEqual(self.history.read_text(), "not ours\n")

    def test_a_history_that_leads_to_a_device_keeps_nothing_and_changes_nothing(self):
        fifo = Path(self.folder, "fifo")
        os.mkfifo(fifo, 0o644)
        self.history.symlink_to(fifo)
        with self.chat() as terminal:
            set_top_k(terminal, 7)
            self.assertEqual(leave(terminal), 0)
        self.assertEqual(os.stat(fifo).st_mode & 0o777, 0o644)

    def test_a_history_that_cannot_be_written_is_said_once(self):
        with Terminal("chat", MODEL, prepare=lambda state: Path(state, "troupe").write_text("")) as terminal:
            for _ in range(3):
                terminal.expect(PROMPT)
                terminal.send("/stats\r")
                terminal.expect("no answer yet")
            terminal.expect(PROMPT)
            terminal.send("\x04")
            self.assertEqual(terminal.finish(), 0)
            self.assertEqual(terminal.seen.count("the history cannot be written"), 1)

    def test_no_history_is_written_when_it_is_not_wanted(self):
        with Terminal("chat", MODEL, "--no-history") as terminal:
            terminal.expect(PROMPT)
            terminal.send("/show\r")
            terminal.expect("next seed")
            terminal.expect(PROMPT)
            terminal.send("\x04")
            terminal.finish()
            self.assertEqual(os.listdir(terminal.state.name), [])


if __name__ == "__main__":
    main()
