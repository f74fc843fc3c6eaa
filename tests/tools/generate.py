#!/usr/bin/env python3
"""troupe generate and troupe logits on a real small model."""

import json
import os
import signal
import struct
import subprocess
import tempfile
import time
import unittest

from program import LIMIT_S, MODEL, SHARED, STORIES, TROUPE, Terminal, environment, main, needs_model, run

GREEDY = ("--temperature", "0")


def reference():
    return json.loads((STORIES / "reference_greedy.json").read_text())["results"]


def lines(done):
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


@needs_model
class Generate(unittest.TestCase):
    def ok(self, *arguments, **options):
        done = run("generate", MODEL, *arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def test_the_stories_are_those_of_the_reference(self):
        prompts = [result["prompt"] for result in reference()]
        arguments = [word for prompt in prompts for word in ("-p", prompt)]
        for model in (MODEL, str(STORIES / "stories260K.bin")):
            done = run("generate", model, *arguments, *GREEDY, "-n", "100", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            for answer, result in zip(lines(done), reference(), strict=True):
                self.assertEqual(answer["tokens"], result["greedy_tokens"])
                self.assertEqual(answer["usage"]["prompt_tokens"], len(result["prompt_tokens"]))

    def test_one_prompt_prints_its_continuation_and_a_newline(self):
        done = self.ok("-p", "Once upon a time", "-n", "20", *GREEDY)
        self.assertTrue(reference()[0]["greedy_text"].startswith(done.stdout.decode()[:-1]))
        self.assertTrue(done.stdout.endswith(b"\n"))
        self.assertEqual(done.stderr, b"")

    def test_streamed_text_and_json_text_are_the_same(self):
        for arguments in (("-p", "Once", "-n", "60"), ("-p", "One day", "-n", "200", "--stop", "Lily"),
                          ("-p", "A", "-n", "50", "--seed", "9", "--temperature", "1.5")):
            text = lines(self.ok(*arguments, "--json"))[0]["text"]
            streamed = self.ok(*arguments).stdout.decode()
            self.assertEqual(streamed.rstrip("\n"), text.rstrip("\n"))

    def test_json_has_the_documented_shape(self):
        answer, = lines(self.ok("-p", "Once", "-n", "5", "--json"))
        self.assertEqual(list(answer), ["index", "prompt", "text", "tokens", "finish_reason", "usage", "timings"])
        self.assertEqual((answer["index"], answer["prompt"], answer["finish_reason"]), (0, "Once", "length"))
        self.assertEqual(len(answer["tokens"]), 5)
        self.assertEqual(answer["usage"], {"prompt_tokens": 2, "completion_tokens": 5, "cached_tokens": 0})
        self.assertEqual(set(answer["timings"]), {"queue_ms", "ttft_ms", "total_ms"})

    def test_many_prompts_are_answered_in_order_whatever_runs_beside_them(self):
        prompts = "".join(f"Story {i}: once\n" for i in range(32)).encode()
        alone = self.ok("--prompts", "-", "-n", "24", "--json", "--parallel", "1", stdin=prompts)
        together = self.ok("--prompts", "-", "-n", "24", "--json", "--parallel", "8", stdin=prompts)
        self.assertEqual([a["index"] for a in lines(together)], list(range(32)))
        self.assertEqual([a["prompt"] for a in lines(together)], prompts.decode().splitlines())
        self.assertEqual([a["tokens"] for a in lines(alone)], [a["tokens"] for a in lines(together)])
        replicas = self.ok("--prompts", "-", "-n", "24", "--json", "--threads", "2", "--replicas", "2",
                           "--routing", "prefix-affinity", "--pool-shape", "per-request", stdin=prompts)
        self.assertEqual([a["tokens"] for a in lines(alone)], [a["tokens"] for a in lines(replicas)])

    def test_prompt_i_uses_seed_plus_i(self):
        batch = lines(self.ok("-p", "Once", "-p", "Once", "-n", "20", "--seed", "5", "--json"))
        for i, answer in enumerate(batch):
            alone, = lines(self.ok("-p", "Once", "-n", "20", "--seed", str(5 + i), "--json"))
            self.assertEqual(alone["tokens"], answer["tokens"])
        self.assertNotEqual(batch[0]["tokens"], batch[1]["tokens"])

    def test_many_prompts_have_headers(self):
        done = self.ok("-p", "Once", "-p", "A\nB", "-n", "3", *GREEDY)
        text = done.stdout.decode()
        self.assertTrue(text.startswith("==> 1: Once <==\n"), text)
        self.assertIn("\n\n==> 2: A B <==\n", text)

    def test_empty_lines_of_a_prompt_file_are_left_out_aloud(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"\r\nOnce\r\n\r\nOne day")
            file.flush()
            done = self.ok("-p", "First", "--prompts", file.name, "-n", "1", "--json")
        self.assertEqual([a["prompt"] for a in lines(done)], ["First", "Once", "One day"])
        self.assertIn(b"left out 2 empty lines", done.stderr)
        done = run("generate", MODEL, "--prompts", "-", stdin=b"\n\n")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"no prompt in standard input", done.stderr)

    def test_answers_go_out_while_prompts_still_come(self):
        process = subprocess.Popen([TROUPE, "generate", MODEL, "--prompts", "-", "-n", "8", "--seed", "5", "--json"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=environment())
        try:
            for i, prompt in enumerate((b"Once", b"One day", b"Lily")):
                process.stdin.write(b"\n" + prompt + b"\n")
                process.stdin.flush()
                answer = json.loads(process.stdout.readline())
                self.assertEqual((answer["index"], answer["prompt"]), (i, prompt.decode()))
                alone, = lines(self.ok("-p", prompt, "-n", "8", "--seed", str(5 + i), "--json"))
                self.assertEqual(alone["tokens"], answer["tokens"])
            out, err = process.communicate(timeout=LIMIT_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.assertEqual((process.returncode, out), (0, b""))
        self.assertIn(b"left out 3 empty lines of standard input", err)

    def test_prompts_without_an_end_are_not_read_at_once(self):
        process = subprocess.Popen([TROUPE, "generate", MODEL, "--prompts", "-", "-n", "1", "--json", "--parallel", "2"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=environment())
        os.set_blocking(process.stdin.fileno(), False)
        written = 0
        try:
            # Nobody reads the answers: what it takes in is bounded, or this would go on for ever.
            deadline = time.monotonic() + LIMIT_S
            idle_since = time.monotonic()
            while time.monotonic() - idle_since < 1:
                self.assertLess(time.monotonic(), deadline)
                try:
                    written += os.write(process.stdin.fileno(), b"Once upon a time there was a prompt\n" * 100)
                    idle_since = time.monotonic()
                except BlockingIOError:
                    time.sleep(0.01)
            self.assertLess(written, 16 << 20)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=LIMIT_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.assertEqual((process.returncode, err), (130, b""))
        answers = [json.loads(line) for line in out.decode().splitlines()]
        self.assertEqual([a["index"] for a in answers], list(range(len(answers))))

    def test_an_empty_prompt_is_a_prompt(self):
        answer, = lines(self.ok("-p", "", "-n", "5", "--json", *GREEDY))
        self.assertEqual(answer["tokens"], reference()[3]["greedy_tokens"][:5])
        self.assertEqual(answer["prompt"], "")

    def test_no_tokens_may_be_asked_for(self):
        self.assertEqual(self.ok("-p", "Once", "-n", "0").stdout, b"")
        answer, = lines(self.ok("-p", "Once", "-n", "0", "--json"))
        self.assertEqual((answer["text"], answer["tokens"], answer["finish_reason"]), ("", [], "length"))
        self.assertEqual(answer["usage"], {"prompt_tokens": 2, "completion_tokens": 0, "cached_tokens": 0})

    def test_invalid_utf8_gives_valid_json(self):
        done = self.ok("--prompts", "-", "-n", "3", "--json", stdin=b"a\xff\xc3\n")
        answer, = lines(done)
        self.assertEqual(answer["prompt"], "a\ufffd\ufffd")
        done = run("generate", MODEL, "-p", b"\xff\xfe", "-n", "2", "--json")
        self.assertEqual((done.returncode, lines(done)[0]["prompt"]), (0, "\ufffd\ufffd"))

    def test_a_prompt_longer_than_the_context_is_refused_with_both_counts(self):
        long_prompt = "Once upon a time there was a dog. " * 20
        done = run("generate", MODEL, "-p", long_prompt, "--context", "64")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        count = len(json.loads(run("tokenize", MODEL, long_prompt, "--add-special", "--json").stdout)["tokens"])
        self.assertIn(str(count).encode(), done.stderr)
        self.assertIn(b"64", done.stderr)
        self.assertIn(b"--context", done.stderr)
        done = run("generate", MODEL, "-p", "Once", "-p", long_prompt, "-p", "One", "-n", "2", "--context", "64", "--json")
        self.assertEqual(done.returncode, 1)
        answers = lines(done)
        self.assertEqual([a["finish_reason"] for a in answers], ["length", "error", "length"])
        self.assertEqual(answers[1]["error"]["code"], "context_exceeded")
        self.assertIn(str(count), answers[1]["error"]["message"])

    def test_an_answer_ends_where_the_context_does(self):
        answer, = lines(self.ok("-p", "Once upon a time", "--context", "20", "--ignore-eos", "--json"))
        self.assertEqual(answer["finish_reason"], "length")
        self.assertEqual(sum(answer["usage"].values()), 20)

    def test_stop_texts_end_the_answer_before_them(self):
        answer, = lines(self.ok("-p", "Once upon a time", "-n", "100", *GREEDY, "--stop", "xyz", "--stop", "named", "--json"))
        self.assertEqual(answer["finish_reason"], "stop")
        self.assertEqual(answer["text"], ", there was a little girl ")

    def test_a_forbidden_token_is_not_chosen(self):
        first = reference()[0]["greedy_tokens"][0]
        answer, = lines(self.ok("-p", "Once upon a time", "-n", "1", *GREEDY, "--logit-bias", f"{first}=-inf", "--json"))
        self.assertNotEqual(answer["tokens"], [first])
        done = run("generate", MODEL, "-p", "x", "--logit-bias", "512=1")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"512", done.stderr)

    def test_a_deadline_ends_all_answers_with_what_they_have(self):
        done = run("generate", MODEL, "-p", "Once", "--ignore-eos", "-n", "2000000", "--context", "2000000",
                   "--kv-type", "f16", "--deadline-ms", "200", "--json")
        if done.returncode == 1 and b"KV" in done.stderr:
            self.skipTest("too little memory for a long context")
        answer, = lines(done)
        self.assertEqual((done.returncode, answer["finish_reason"]), (0, "deadline"))

    def test_prompts_that_wait_beyond_the_deadline_have_that_as_their_reason(self):
        prompts = [word for i in range(4) for word in ("-p", f"Story {i}")]
        done = run("generate", MODEL, *prompts, "--ignore-eos", "-n", "100000", "--context", "100000",
                   "--parallel", "1", "--deadline-ms", "300", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        answers = lines(done)
        self.assertEqual([a["finish_reason"] for a in answers], ["deadline"] * 4)
        self.assertEqual([a["text"] for a in answers[1:]], [""] * 3)
        self.assertTrue(all(a["usage"]["prompt_tokens"] > 0 for a in answers))
        self.assertIn(b"4 answers ended because the 300 ms of --deadline-ms were over", done.stderr)

    def test_a_full_context_is_said_once(self):
        done = self.ok("-p", "Once", "-p", "One", "--context", "20", "--ignore-eos")
        self.assertEqual(done.stderr.count(b"\n"), 1)
        self.assertIn(b"2 answers ended because the context of 20 tokens is full; --context", done.stderr)
        done = self.ok("-p", "Once", "--context", "20", "--ignore-eos")
        self.assertIn(b"the answer ended because the context of 20 tokens is full", done.stderr)
        self.assertEqual(self.ok("-p", "Once", "--context", "20", "--ignore-eos", "-n", "18").stderr, b"")

    def test_hundreds_of_prompts_may_run_at_once(self):
        prompts = "".join(f"{i}\n" for i in range(300)).encode()
        done = self.ok("--prompts", "-", "-n", "2", "--json", "--parallel", "1024", "--context", "32", stdin=prompts)
        self.assertEqual(len(lines(done)), 300)

    def test_a_closed_output_ends_work_that_writes_nothing_yet(self):
        for more in (("--json",), ("-p", "Two")):
            process = subprocess.Popen(
                [TROUPE, "generate", MODEL, "-p", "Once", "-n", "400000", "--context", "400000", "--kv-type", "f16", "--ignore-eos",
                 *more],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
            process.stdout.close()
            stderr = process.stderr.read()
            self.assertEqual((process.wait(LIMIT_S), stderr), (0, b""))
            process.stderr.close()

    def test_statistics_go_to_standard_error(self):
        done = self.ok("-p", "Once", "-n", "8", *GREEDY, "--stats")
        self.assertEqual(done.stdout, self.ok("-p", "Once", "-n", "8", *GREEDY).stdout)
        self.assertIn(b"tokens/s", done.stderr)
        self.assertIn(b"forward passes", done.stderr)
        self.assertRegex(done.stderr, rb"KV pages at most [1-9]\d* of \d+ in use")
        batch = self.ok("-p", "a", "-p", "b", "-n", "8", "--stats", "--json")
        self.assertEqual(len(lines(batch)), 2)
        self.assertIn(b"2 prompts, 0 failed", batch.stderr)

    def test_a_reader_that_goes_away_ends_it_quietly(self):
        for more in ((), ("--json", "-p", "Two", "-p", "Three")):
            process = subprocess.Popen(
                [TROUPE, "generate", MODEL, "-p", "Once", "-n", "400", "--ignore-eos", *more],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
            process.stdout.read(1)
            process.stdout.close()
            stderr = process.stderr.read()
            self.assertEqual((process.wait(LIMIT_S), stderr), (0, b""))
            process.stderr.close()

    def test_a_full_disk_is_an_error(self):
        with open("/dev/full", "wb") as full:
            for more in ((), ("--json",), ("-p", "b")):
                done = run("generate", MODEL, "-p", "Once", "-n", "50", *more, stdout=full)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(b"cannot write to standard output: No space left on device", done.stderr)
                self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)

    def interrupted(self, *arguments, number=signal.SIGINT):
        process = subprocess.Popen([TROUPE, "generate", MODEL, *arguments], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        return process

    def test_ctrl_c_ends_a_stream_with_what_is_there(self):
        process = self.interrupted("-p", "Once", "-n", "8000", "--context", "8192", "--ignore-eos")
        first = os.read(process.stdout.fileno(), 1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_S)
        self.assertEqual((process.returncode, err), (130, b""))
        self.assertTrue((first + out).endswith(b"\n"))

    def test_ctrl_c_ends_a_batch_with_finish_reason_cancelled(self):
        arguments = [word for i in range(6) for word in ("-p", f"Story {i}")]
        process = self.interrupted(*arguments, "--json", "-n", "8000", "--context", "8192", "--ignore-eos",
                                   "--parallel", "2")
        time.sleep(0.5)  # so that some of it runs; the outcome is the same either way
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_S)
        self.assertEqual((process.returncode, err), (130, b""))
        answers = [json.loads(line) for line in out.decode().splitlines()]
        if answers:  # none if the signal came before the first prompt was submitted
            self.assertEqual([a["index"] for a in answers], list(range(6)))
            self.assertEqual({a["finish_reason"] for a in answers} - {"length"}, {"cancelled"})

    def test_a_terminal_that_knows_no_sequences_is_sent_none(self):
        for term in ("dumb", "", "xterm"):
            with Terminal("generate", MODEL, "-p", "Once", "-p", "One", "-n", "2", *GREEDY, term=term) as terminal:
                self.assertEqual(terminal.finish(), 0)
                self.assertEqual("\x1b" in terminal.seen, term == "xterm")

    def test_a_terminal_gets_no_control_characters_of_the_prompt(self):
        with Terminal("generate", MODEL, "-p", "a\x1b]0;t\a", "-p", "b", "-n", "2", *GREEDY) as terminal:
            self.assertEqual(terminal.finish(), 0)
        self.assertIn("==> 1: a^[]0;t^G <==", terminal.seen)
        self.assertNotIn("\x1b]0;", terminal.seen)


@needs_model
class Logits(unittest.TestCase):
    def test_logits_are_those_of_the_reference(self):
        nano = SHARED / "data/models/nano"
        tokens = ",".join((nano / "TOKENS.txt").read_text().replace(",", " ").split())
        done = run("logits", str(nano / "nano-llama.gguf"), "--tokens", tokens, "--all", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        answer = json.loads(done.stdout)
        data = (nano / "nano-llama.f32").read_bytes()
        expected = struct.unpack(f"<{len(data) // 4}f", data)
        got = [value for row in answer["logits"] for value in row]
        self.assertEqual(len(got), len(expected))
        self.assertLess(max(abs(a - b) for a, b in zip(got, expected)), 1e-3)
        last = json.loads(run("logits", str(nano / "nano-llama.gguf"), "--tokens", tokens, "--json").stdout)
        self.assertEqual(last["logits"], answer["logits"][-1:])
        self.assertEqual(last["tokens"], [int(token) for token in tokens.split(",")])

    def test_text_is_a_line_of_numbers_per_position(self):
        done = run("logits", MODEL, "-p", "Once upon a time", "--all")
        rows = [[float(number) for number in line.split()] for line in done.stdout.decode().splitlines()]
        self.assertEqual([len(row) for row in rows], [512] * 5)
        best = max(range(512), key=lambda token: rows[-1][token])
        self.assertEqual(best, reference()[0]["greedy_tokens"][0])

    def test_impossible_prompts_are_refused(self):
        for arguments, word in ((("--tokens", "512"), b"512"), (("--tokens", ""), b"token")):
            done = run("logits", MODEL, *arguments)
            self.assertEqual((done.returncode, done.stdout), (1, b""))
            self.assertIn(word, done.stderr)
        done = run("logits", MODEL, "-p", "Once upon a time", "--context", "3")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"5", done.stderr)


if __name__ == "__main__":
    main()
