#!/usr/bin/env python3
"""troupe train from outside."""

import csv
import os
import resource
import signal
import subprocess
import tempfile
import time
import unittest
import xml.dom.minidom
from pathlib import Path

from program import LIMIT_S, TROUPE, ended_when_asked, environment, main, run

TEXT = "".join(f"{i}. The hen lost {i * i % 97} eggs in May, and the fox found {i * 5 % 13}.\n" for i in range(60))
TINY = ("--layers", "1", "--width", "32", "--heads", "2", "--ffn", "48", "--context", "16", "--batch", "2",
        "--warmup", "2", "--validation-windows", "4", "--threads", "1")


def with_tiny(more):
    """`more` and those of the settings that make a run tiny which are not in it."""
    kept = [word for pair in zip(TINY[::2], TINY[1::2]) if pair[0] not in more for word in pair]
    return (*kept, *more)


class Train(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.text = self.file("text.txt", TEXT)
        self.out = self.path("model.gguf")

    def path(self, name):
        return str(Path(self.folder.name, name))

    def file(self, name, text):
        path = self.path(name)
        Path(path).write_text(text, encoding="utf-8")
        return path

    def arguments(self, *more):
        return ("train", "--data", self.text, "--out", self.out, *with_tiny(more))

    def ok(self, *more, **options):
        done = run(*self.arguments(*more), **options)
        self.assertEqual((done.returncode, done.stdout), (0, b""), done.stderr)
        return done.stderr.decode()

    def refused(self, status, *arguments):
        done = run(*arguments)
        self.assertEqual((done.returncode, done.stdout), (status, b""), done.stderr)
        text = done.stderr.decode()
        self.assertEqual(text.count("\n"), 1, text)
        return text

    def test_the_help_names_every_group(self):
        done = run("train", "--help")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        for word in (b"--data", b"--style", b"--schedule", b"--resume", b"--vocab", b"bpe:N"):
            self.assertIn(word, done.stdout)

    def test_missing_text_or_model_names_are_usage_errors(self):
        self.assertIn("give --data FILE", self.refused(2, "train", "--out", self.out))
        self.assertIn("give --out MODEL.gguf", self.refused(2, "train", "--data", self.text))

    def test_wrong_values_name_flag_and_value(self):
        cases = {
            ("--steps", "0"): "'0'", ("--steps", "many"): "'many'", ("--batch", "-1"): "'-1'",
            ("--learning-rate", "0"): "'0'", ("--learning-rate", "fast"): "'fast'",
            ("--learning-rate", "nan"): "'nan'", ("--dropout", "1"): "'1'", ("--beta2", "1"): "'1'",
            ("--validation-share", "1"): "'1'", ("--schedule", "linear"): "'linear'",
            ("--style", "bert"): "'bert'", ("--size", "huge"): "'huge'", ("--type", "q2"): "'q2'",
            ("--vocab", "bpe:12"): "bpe:12", ("--seed", "1.5"): "'1.5'",
        }
        for (flag, value), part in cases.items():
            text = self.refused(2, *self.arguments(flag, value))
            self.assertIn(flag if flag != "--vocab" else "vocabulary", text)
            self.assertIn(part, text)
        self.assertIn("--no-curve", self.refused(2, *self.arguments("--curve", "a.svg", "--no-curve")))
        self.assertFalse(os.path.exists(self.out))

    def test_dimensions_that_do_not_fit_are_refused(self):
        self.assertIn("33", self.refused(2, *self.arguments("--width", "33")))
        self.assertIn("kv-heads", self.refused(2, *self.arguments("--heads", "4", "--kv-heads", "3")))
        self.assertIn("kv-heads", self.refused(2, *self.arguments("--style", "gpt2", "--kv-heads", "1")))
        self.assertIn("warm-up", self.refused(2, *self.arguments("--steps", "5", "--warmup", "6")))
        self.assertIn("learning rate", self.refused(2, *self.arguments("--learning-rate-min", "1")))
        self.assertIn("MiB", self.refused(1, *self.arguments("--width", "65536", "--layers", "900")))

    def test_texts_that_cannot_be_used_are_named(self):
        def refused(text, *more):
            return self.refused(1, "train", "--data", text, "--out", self.out, *with_tiny(more))

        self.assertIn("no-such.txt", refused(self.path("no-such.txt")))
        self.assertIn("empty.txt", refused(self.file("empty.txt", "")))
        self.assertIn("holds no text", refused(self.file("marks.txt", "<|endoftext|>\n<|endoftext|>")))
        self.assertIn(self.folder.name, refused(self.folder.name))
        self.assertIn("a smaller --context", refused(self.file("short.txt", "Once upon")))
        self.assertIn("validation text", refused(self.file("short.txt", "Once upon a time there were two")))
        Path(self.path("bytes.txt")).write_bytes(b"ab\xff" + TEXT.encode())
        self.assertIn("UTF-8 at byte 2", refused(self.path("bytes.txt")))
        self.assertIn("at most 260 tokens", refused(self.file("abc.txt", "abc " * 30), "--vocab", "bpe:4000"))
        self.assertFalse(os.path.exists(self.out))

    def test_places_that_cannot_be_written_are_named(self):
        self.out = self.path("missing/model.gguf")
        self.assertIn("missing/model.gguf", self.refused(1, *self.arguments()))
        self.out = self.path("folder.gguf")
        os.mkdir(self.out)
        self.assertIn("folder.gguf", self.refused(1, *self.arguments()))
        self.out = self.path("model.gguf")
        done = run(*self.arguments("--log", self.path("none/log.csv")))
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"none/log.csv", done.stderr.splitlines()[-1])
        self.assertFalse(os.path.exists(self.out))
        self.assertIn("none/loss.svg", self.refused(1, *self.arguments("--curve", self.path("none/loss.svg"))))
        self.assertIn("model.gguf.state", self.refused(1, *self.arguments("--resume")))

    def test_no_file_of_a_run_is_written_over_another(self):
        held_out = self.file("held-out.txt", TEXT)
        os.symlink(self.text, self.path("link.csv"))
        os.link(held_out, self.path("hard.csv"))
        cases = [("--log", self.text, "--data"), ("--log", self.path("./text.txt"), "--data"),
                 ("--log", self.path("link.csv"), "--data"), ("--log", held_out, "--validation"),
                 ("--log", self.path("hard.csv"), "--validation"), ("--curve", held_out, "--validation"),
                 ("--log", self.out, "--out"), ("--curve", self.out, "--out"),
                 ("--log", self.out + ".state", "the state of --out"),
                 ("--curve", self.out + ".state", "the state of --out"), ("--log", self.path("model.svg"), "--curve")]
        for option, value, other in cases:
            said = self.refused(2, *self.arguments("--validation", held_out, option, value))
            for part in (option, repr(value), other, "a file of its own"):
                self.assertIn(part, said)
        both = ("--log", self.path("x"), "--curve", self.path("x"))
        self.assertIn("--curve is", self.refused(2, *self.arguments(*both)))
        self.out = self.path("text.gguf")
        os.link(self.text, self.out)
        self.assertIn("--out is", self.refused(2, *self.arguments()))
        os.remove(self.out)
        os.link(self.text, self.out + ".state")
        self.assertIn("the state of --out is", self.refused(2, *self.arguments()))
        for path in (self.text, held_out):
            self.assertEqual(Path(path).read_text(encoding="utf-8"), TEXT)
        self.assertEqual(sorted(os.listdir(self.folder.name)),
                         ["hard.csv", "held-out.txt", "link.csv", "text.gguf.state", "text.txt"])

    def test_a_model_of_another_extension_is_refused(self):
        self.out = self.path("m7")
        self.assertIn("m7'; it must end in .gguf", self.refused(2, *self.arguments("--steps", "5")))
        self.assertEqual(os.listdir(self.folder.name), ["text.txt"])

    def test_a_run_leaves_a_model_a_state_a_log_and_a_curve(self):
        for style in ("llama", "gpt2"):
            log = self.path(style + ".csv")
            said = self.ok("--steps", "6", "--validate-every", "3", "--style", style, "--vocab", "bpe:280",
                           "--log", log, "--type", "q8_0")
            self.assertIn("step 3: validation loss", said)
            self.assertIn("done: 6 steps", said)
            self.assertTrue(os.path.exists(self.out + ".state"))
            xml.dom.minidom.parse(self.path("model.svg"))
            with open(log, encoding="ascii") as file:
                rows = list(csv.DictReader(file))
            self.assertEqual([row["step"] for row in rows], ["1", "2", "3", "4", "5", "6"])
            self.assertEqual([bool(row["validation_loss"]) for row in rows], [False, False, True] * 2)
            for row in rows:
                self.assertGreater(float(row["loss"]), 0)
            done = run("generate", self.out, "-p", "The hen", "-n", "4", "--temperature", "0")
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_no_curve_and_no_validation_can_be_asked_for(self):
        said = self.ok("--steps", "2", "--no-curve", "--validation-share", "0")
        self.assertNotIn("validation loss", said)
        self.assertTrue(os.path.exists(self.out))
        self.assertFalse(os.path.exists(self.path("model.svg")))

    def stop_and_resume(self, number):
        log = self.path("log.csv")
        common = ("--log", log, "--validate-every", "1000000", "--no-curve", "--schedule", "constant")
        process = subprocess.Popen([TROUPE, *self.arguments("--steps", "1000000", *common)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline and process.poll() is None:
            if os.path.exists(log) and Path(log).read_bytes().count(b"\n") > 3:
                break
            time.sleep(0.02)
        process.send_signal(number)
        out, said = process.communicate(timeout=LIMIT_S)
        self.assertEqual((process.returncode, out), (128 + number, b""), said)
        done = int(said.decode().split("stopped after step ")[1].split(",")[0])
        self.assertGreaterEqual(done, 3)
        self.assertIn(b"--resume", said)
        self.assertTrue(os.path.exists(self.out))

        said = self.ok("--steps", str(done + 3), *common, "--resume")
        self.assertIn(f"resuming after step {done}", said)
        self.assertIn(f"done: {done + 3} steps", said)
        with open(log, encoding="ascii") as file:
            steps = [int(row["step"]) for row in csv.DictReader(file)]
        self.assertEqual(steps, list(range(1, done + 4)))
        self.assertIn("other settings", self.refused(1, *self.arguments("--steps", "9", "--resume", "--seed", "5")))
        state = Path(self.out + ".state")
        state.write_bytes(state.read_bytes()[:-100])
        self.assertIn(".state", self.refused(1, *self.arguments("--steps", "9", "--resume")))

    def test_ctrl_c_saves_and_resume_goes_on(self):
        self.stop_and_resume(signal.SIGINT)

    def test_a_request_to_end_saves_and_resume_goes_on(self):
        self.stop_and_resume(signal.SIGTERM)

    def test_threads_that_the_system_refuses_are_named_with_their_option(self):
        # A thread's stack is as large as the limit says, and there is no place for a thousand of these.
        limit = lambda: resource.setrlimit(resource.RLIMIT_STACK, (1 << 40, resource.RLIM_INFINITY))
        done = run(*self.arguments("--threads", "1024"), preexec_fn=limit)
        self.assertEqual((done.returncode, done.stdout), (1, b""), done.stderr)
        self.assertIn(b"cannot start the kernel threads; a smaller --threads needs fewer", done.stderr)

    def test_measuring_ends_when_asked_to(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            # A step takes seconds; nine make the measurement.
            process = subprocess.Popen([TROUPE, "train", "--bench", "--size", "small", "--batch", "24", "--threads", "1"],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
            ended_when_asked(self, process, number)


if __name__ == "__main__":
    main()
