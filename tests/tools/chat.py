#!/usr/bin/env python3
"""troupe chat through a pipe and on a pseudo-terminal."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from program import LIMIT_S, MODEL, STORIES, TROUPE, Terminal, environment, main, needs_model, run

GREEDY = ("--temperature", "0")
ENDLESS = ("-n", "8000", "--context", "8192", "--ignore-eos")
PROMPT = r"> \Z"  # nothing behind it: the program waits for us
THERE = r"\n(\x1b\[\?2004l)?, there\r\n"  # the first tokens of STORY
STORY = json.loads((STORIES / "reference_greedy.json").read_text())["results"][0]["greedy_text"] if \
    (STORIES / "reference_greedy.json").exists() else ""


@needs_model
class Pipe(unittest.TestCase):
    def chat(self, text, *arguments, status=0):
        greedy = () if "--temperature" in arguments else GREEDY
        done = run("chat", MODEL, *greedy, *arguments, stdin=text)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def test_only_answers_are_printed(self):
        done = self.chat(b"Once upon a time\n", "-n", "20")
        self.assertTrue(STORY.startswith(done.stdout.decode()[:-1]))
        self.assertEqual(done.stdout.count(b"\n"), 1)
        self.assertEqual(done.stderr, b"")

    def test_commands_work_and_speak_on_standard_error(self):
        done = self.chat(b"/set max-tokens 3\nOnce upon a time\n/show\n/stats\n/help\n/tokens Once upon\n")
        self.assertEqual(done.stdout, b", there was\n")
        for word in (b"max-tokens", b"last answer: 5 prompt + 3 answer tokens", b"/regen", b"2 tokens", b"[user] Once"):
            self.assertIn(word, done.stderr)

    def test_an_unknown_command_or_setting_fails_but_the_rest_goes_on(self):
        done = self.chat(b"/frobnicate\n/set frob 1\n/set top-p 7\nOnce upon a time\n", "-n", "3", status=1)
        self.assertEqual(done.stdout, b", there was\n")
        self.assertIn(b"there is no command /frobnicate", done.stderr)
        self.assertIn(b"there is no setting 'frob'", done.stderr)
        self.assertIn(b"top-p must be a number above 0 and at most 1, not '7'", done.stderr)

    def test_values_that_the_engine_would_refuse_are_refused_when_they_are_set(self):
        done = self.chat(b"/set temperature 5000\n/set logit-bias 512=1\n/set top_k 7\nOnce upon a time\n", "-n", "3",
                         status=1)
        self.assertEqual(done.stdout, b", there was\n")
        self.assertIn(b"temperature must be a number from 0 to 100, not '5000'", done.stderr)
        self.assertIn(b"logit-bias: token id 512 is outside the vocabulary, which ends at 511", done.stderr)
        self.assertIn(b"top-k = 7\n", done.stderr)
        done = run("chat", MODEL, "--logit-bias", "512=1", stdin=b"")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"--logit-bias: token id 512 is outside the vocabulary", done.stderr)

    def test_none_clears_the_settings_that_repeat(self):
        done = self.chat(b'/set stop a\n/set stop none\n/set stop "none"\n/set logit-bias 3=1\n/set logit-bias none\n')
        self.assertEqual(done.stderr.decode().splitlines(),
                         ['stop = "a"', "stop = none", 'stop = "none"', "logit-bias = 3=1", "logit-bias = none"])
        self.assertIn(b"none clears", b" ".join(self.chat(b"/help\n").stderr.split()))

    def test_commands_refuse_words_that_they_would_ignore(self):
        for command in (b"/clear all", b"/quit now", b"/show x", b"/regen 2"):
            self.assertIn(b"stands alone", self.chat(command + b"\n", status=1).stderr)

    def test_a_quoted_file_name_is_the_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a b.json")
            self.chat(f'/save "{path}"\n/load \'{path}\'\n'.encode())
            self.assertEqual(os.listdir(folder), ["a b.json"])

    def test_quit_ends_it_at_once(self):
        self.assertEqual(self.chat(b"/quit\nOnce\n").stdout, b"")
        self.assertEqual(self.chat(b"").stdout, b"")

    def test_a_message_of_many_lines_is_one_message(self):
        done = self.chat(b'"""\nOnce\n\n/upon\n"""\n/show\n', "-n", "1")
        self.assertEqual(done.stdout.count(b"\n"), 1)
        self.assertIn(b"[user] Once\n\n/upon\n", done.stderr)
        done = self.chat(b'"""\nOnce\n', status=1)
        self.assertEqual(done.stdout, b"")
        self.assertIn(b"not sent", done.stderr)

    def test_the_conversation_is_continued_as_plain_text(self):
        first = self.chat(b"Once upon a time\n", "-n", "12").stdout.decode()[:-1]
        second = self.chat(b"Once upon a time\nThe dog\n", "-n", "12").stdout.decode()[len(first) + 1:]
        whole = "Be kind.\nOnce upon a time"
        alone = run("generate", MODEL, *GREEDY, "-n", "12", "-p", f"Once upon a time{first}\nThe dog")
        self.assertEqual(alone.stdout.decode(), second)
        alone = run("generate", MODEL, *GREEDY, "-n", "12", "-p", whole)
        self.assertEqual(self.chat(b"Once upon a time\n", "-n", "12", "--system", "Be kind.").stdout, alone.stdout)

    def test_answers_are_seeded_one_by_one(self):
        arguments = ("--temperature", "1", "--seed", "3", "-n", "12")
        once = self.chat(b"Once\n/regen\n", *arguments).stdout.decode()
        again = self.chat(b"Once\n/regen\n", *arguments).stdout.decode()
        self.assertEqual(once, again)
        generated = run("generate", MODEL, "-p", "Once", "-p", "Once", *arguments, "--json").stdout.decode()
        texts = [json.loads(line)["text"] for line in generated.splitlines()]
        self.assertEqual(once, "".join(text.rstrip("\n") + "\n" for text in texts))

    def test_save_and_load_bring_the_conversation_back(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "talk.json")
            self.chat(f"Once upon a time\n/save {path}\n".encode(), "-n", "12")
            saved = json.loads(Path(path).read_text())
            self.assertEqual([m["role"] for m in saved["messages"]], ["user", "assistant"])
            resumed = self.chat(f"/load {path}\nThe dog\n".encode(), "-n", "12").stdout
            straight = self.chat(b"Once upon a time\nThe dog\n", "-n", "12").stdout
            self.assertTrue(straight.endswith(resumed))
            model = os.path.join(folder, "model.gguf")
            Path(model).write_bytes(b"GGUF")
            done = self.chat(f"/save {model}\n/load {model}\n/load {folder}/none\n/save\n".encode(), status=1)
            self.assertEqual(done.stderr.count(b"\n"), 4)
            self.assertEqual(Path(model).read_bytes(), b"GGUF")

    def test_a_conversation_that_outgrows_the_context_is_told_with_both_counts(self):
        done = self.chat(b"Once upon a time\nThe dog\n", "--context", "40", "--ignore-eos", status=1)
        self.assertRegex(done.stderr.decode(), r"context is full: 5 tokens .* 35 of answer = 40; /clear")
        refusal = done.stderr.decode().splitlines()[-1]
        self.assertRegex(refusal, r"\b4\d\b.*\b40\b.*/clear")
        self.assertNotIn(b"/clear", self.chat(b"Once upon a time\n", "--context", "3", status=1).stderr)

    def test_clear_forgets_the_conversation(self):
        done = self.chat(b"Once upon a time\n/clear\nOnce upon a time\n", "-n", "12").stdout
        self.assertEqual(done[:len(done) // 2], done[len(done) // 2:])

    def test_invalid_utf8_is_answered(self):
        self.assertEqual(self.chat(b"\xff\xc3\n", "-n", "3").stdout.count(b"\n"), 1)

    def test_a_reader_that_goes_away_ends_it_quietly(self):
        process = subprocess.Popen([TROUPE, "chat", MODEL, *ENDLESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=environment())
        process.stdin.write(b"Once\n")
        process.stdin.flush()
        process.stdout.read(1)
        process.stdout.close()
        self.assertEqual((process.stderr.read(), process.wait(LIMIT_S)), (b"", 0))
        process.stdin.close()
        process.stderr.close()

    def test_a_full_disk_is_an_error(self):
        with open("/dev/full", "wb") as full:
            done = run("chat", MODEL, stdin=b"Once\nTwice\n", stdout=full)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, b"troupe: cannot write to standard output: No space left on device\n")

    def test_signals_end_it_while_it_waits_and_while_it_answers(self):
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            for text in (b"", b"Once\n"):
                process = subprocess.Popen([TROUPE, "chat", MODEL, *ENDLESS], stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
                process.stdin.write(text)
                process.stdin.flush()
                if text:
                    process.stdout.read(1)
                else:
                    time.sleep(0.3)  # whether it loads or waits by then, the outcome is the same
                process.send_signal(number)
                self.assertEqual(process.wait(LIMIT_S), status)
                for stream in (process.stdin, process.stdout, process.stderr):
                    stream.close()


@needs_model
class Interactive(unittest.TestCase):
    def test_a_conversation(self):
        with Terminal("chat", MODEL, *GREEDY, "-n", "4") as terminal:
            terminal.expect(r"stories.*context 512 tokens.*/help lists the commands.*> ")
            terminal.send("Once upon a time\r")
            terminal.expect(r", there was a\r\n\(cut at 4 tokens; /set max-tokens N allows more\)\r\n")
            terminal.expect(PROMPT)
            terminal.send("/set max-tokens 2\r")
            terminal.expect(r"max-tokens = 2\r\n")
            terminal.send("/regen\r")
            terminal.expect(THERE)
            terminal.send("/quit\r")
            self.assertEqual(terminal.finish(), 0)

    def test_every_command_answers(self):
        expected = {
            "/help": r"/system TEXT",
            "/set": r"repeat-penalty = 1",
            "/set stop \\n": r'stop = "\\n"',
            "/set stop": r"stop = none",
            "/set ignore-eos on": r"ignore-eos = on",
            "/show": r"model +.*llama.*next seed",
            "/system Be kind.": r"system text: Be kind\.",
            "/system": r"system text: Be kind\.",
            "/system off": r"no system text",
            "/clear": r"forgotten",
            "/regen": r"no message to answer anew",
            "/save": r"needs the name of a file",
            "/load no-such-file": r"cannot read 'no-such-file': No such file",
            "/stats": r"no answer yet.*forward passes",
            "/tokens": r"the conversation has 1 token of the context's 512",
            "/tokens Once upon": r'" upon".*2 tokens',
            "/nonsense": r"there is no command /nonsense",
        }
        with Terminal("chat", MODEL) as terminal:
            for command, pattern in expected.items():
                terminal.expect(PROMPT)
                terminal.send(command + "\r")
                terminal.expect(pattern)
            terminal.expect(PROMPT)
            terminal.send("/quit\r")
            self.assertEqual(terminal.finish(), 0)

    def test_ctrl_d_leaves_only_from_an_empty_line(self):
        with Terminal("chat", MODEL, *GREEDY, "-n", "2") as terminal:
            terminal.expect(PROMPT)
            terminal.send("Once upon a time\x04\r")
            terminal.expect(THERE)
            terminal.expect(PROMPT)
            terminal.send("\x04")
            self.assertEqual(terminal.finish(), 0)

    def test_ctrl_c_stops_the_answer_and_not_the_program(self):
        with Terminal("chat", MODEL, *GREEDY, *ENDLESS) as terminal:
            terminal.expect(PROMPT)
            terminal.send("Once upon a time\r")
            terminal.expect("little girl")
            terminal.send("\x03")
            terminal.expect(r"\(stopped\)\r\n")
            terminal.expect(PROMPT)
            terminal.send("/set max-tokens 2\r")
            terminal.expect(r"max-tokens = 2\r\n")
            terminal.expect(PROMPT)
            terminal.send("/clear\r")
            terminal.expect(r"forgotten")
            terminal.expect(PROMPT)
            terminal.send("Once upon a time\r")
            terminal.expect(THERE)
            terminal.expect(PROMPT)
            terminal.send("\x04")
            self.assertEqual(terminal.finish(), 0)

    def test_ctrl_c_drops_a_line_and_at_an_empty_prompt_says_how_to_leave(self):
        with Terminal("chat", MODEL, *GREEDY, "-n", "2") as terminal:
            terminal.expect(PROMPT)
            terminal.send("\x03")
            terminal.expect(r"Ctrl-D or /quit leaves")
            terminal.expect(PROMPT)
            terminal.send("nonsense")
            terminal.expect(r"nonsense")
            terminal.send("\x03")
            terminal.expect(PROMPT)
            terminal.send('"""half a message\r')
            terminal.expect(r"\.\.\. \Z")
            terminal.send("\x03")
            terminal.expect(PROMPT)
            terminal.send("Once upon a time\r")
            terminal.expect(THERE)
            terminal.send("/show\r")
            shown = terminal.expect(r"next seed(.*)> \Z").group(1)
            self.assertNotIn("nonsense", shown)
            self.assertNotIn("half", shown)
            terminal.send("\x04")
            self.assertEqual(terminal.finish(), 0)

    def test_sigterm_leaves_an_orderly_terminal(self):
        with Terminal("chat", MODEL) as terminal:
            terminal.expect(PROMPT)
            os.kill(terminal.pid, signal.SIGTERM)
            self.assertEqual(terminal.finish(), 143)

    def test_lines_are_edited_and_come_back_with_the_arrow_key(self):
        with Terminal("chat", MODEL) as terminal:
            terminal.expect(PROMPT)
            terminal.send("/set top-k 9\x7f8\x01\x05\r")  # backspace, line begin, line end
            terminal.expect(r"top-k = 8\r\n")
            terminal.expect(PROMPT)
            terminal.send("/set top-p 0.5\r")
            terminal.expect(r"top-p = 0\.5\r\n")
            terminal.expect(PROMPT)
            terminal.send("\x1b[A\x1b[A\r")
            terminal.expect(r"top-k = 8\r\n")
            history = os.path.join(terminal.state.name, "troupe", "history")
            self.assertIn("top-k", Path(history).read_text())
            self.assertEqual(os.stat(history).st_mode & 0o777, 0o600)
            self.assertEqual(os.stat(os.path.dirname(history)).st_mode & 0o777, 0o700)
            terminal.send("\x04")
            self.assertEqual(terminal.finish(), 0)

    def test_saving_over_a_conversation_says_so(self):
        with tempfile.TemporaryDirectory() as folder, Terminal("chat", MODEL, columns=200) as terminal:
            for pattern in (r"saved 0 messages to \S+/a\.json\r\n", r"a\.json; the conversation .* is replaced\r\n"):
                terminal.expect(PROMPT)
                terminal.send(f'/save "{folder}/a.json"\r')
                terminal.expect(pattern)
            terminal.expect(PROMPT)
            terminal.send("\x04")
            self.assertEqual(terminal.finish(), 0)

    def test_several_ctrl_c_leave_one_hint_and_a_prompt(self):
        with Terminal("chat", MODEL) as terminal:
            terminal.expect(PROMPT)
            for _ in range(3):
                terminal.send("\x03")
                terminal.expect(PROMPT)
            self.assertEqual(terminal.seen.count("/quit leaves)"), 1)
            terminal.send("/set top-k 9\r")
            terminal.expect(r"top-k = 9\r\n")
            terminal.expect(PROMPT)
            terminal.send("\x03")
            terminal.expect(r"leaves\)")
            terminal.expect(PROMPT)
            terminal.send("\x04")
            self.assertEqual(terminal.finish(), 0)

    def test_characters_beyond_ascii_are_edited_whole(self):
        with Terminal("chat", MODEL) as terminal:
            terminal.expect(PROMPT)
            terminal.send("/system gr\u00fc\u00df\u20ac\x7fe\r")
            terminal.expect("system text: gr\u00fc\u00dfe\r\n")
            terminal.expect(PROMPT)
            terminal.send("\x04")
            self.assertEqual(terminal.finish(), 0)

    def test_a_pasted_text_of_many_lines_is_one_message(self):
        with Terminal("chat", MODEL, "-n", "0") as terminal:
            terminal.expect(PROMPT)
            terminal.send("\x1b[200~one\rtwo\tthree\x1b[201~")
            terminal.send("\r")
            terminal.expect(PROMPT)
            terminal.send("/show\r")
            terminal.expect(r"1 message|2 messages")
            terminal.expect(r"\[user\] one\r\ntwo\tthree\r\n")
            terminal.expect(PROMPT)
            terminal.send("\x04")
            self.assertEqual(terminal.finish(), 0)

    def test_commands_are_completed(self):
        with Terminal("chat", MODEL) as terminal:
            terminal.expect(PROMPT)
            terminal.send("/set temp\t0.5\r")
            terminal.expect(r"temperature = 0\.5\r\n")
            terminal.expect(PROMPT)
            terminal.send("\x04")
            self.assertEqual(terminal.finish(), 0)

    def test_escape_sequences_do_not_reach_the_terminal(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "talk.json")
            Path(path).write_text(json.dumps({
                "format": "troupe-transcript", "version": 1, "system": "",
                "messages": [{"role": "user", "content": "x\x1b]0;owned\x07\x9b31m"}]}))
            with Terminal("chat", MODEL, "-n", "1") as terminal:
                terminal.expect(PROMPT)
                terminal.send(f"/load {path}\r")
                terminal.expect("loaded 1 message")
                terminal.expect(PROMPT)
                terminal.send("/show\r")
                terminal.expect(re.escape("[user] x^[]0;owned^G<U+009B>31m"))
                terminal.expect(PROMPT)
                terminal.send("\x04")
                self.assertEqual(terminal.finish(), 0)
            self.assertNotIn("\x1b]0;", terminal.seen)
            self.assertNotIn("\x9b", terminal.seen)

    def test_a_narrow_terminal_gets_a_narrow_help(self):
        with Terminal("chat", MODEL, columns=40) as terminal:
            terminal.expect(PROMPT)
            terminal.send("/help\r")
            text = terminal.expect(r"this list.*line\s+that\s+is\s+being\s+typed").group(0)
            self.assertLessEqual(max(map(len, text.splitlines())), 40)
            terminal.expect(PROMPT)
            terminal.send("\x04")
            self.assertEqual(terminal.finish(), 0)


if __name__ == "__main__":
    main()
