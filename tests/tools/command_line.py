#!/usr/bin/env python3
"""The program from outside: help, wrong command lines, and the subcommands that need no engine."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from program import MODEL, SHARED, STORIES, TROUPE, ended_when_asked, main, needs_model, run

HAS_CHAT = os.environ.get("TROUPE_CHAT") != "0"  # the build found libedit
SUBCOMMANDS = (*(["chat"] if HAS_CHAT else []), "generate", "tokenize", "inspect", "convert", "logits", "perplexity", "bench",
               "bench-model", "train")


class CommandLine(unittest.TestCase):
    def usage_error(self, *arguments):
        done = run(*arguments)
        self.assertEqual(done.returncode, 2, (arguments, done.stderr))
        self.assertEqual(done.stdout, b"")
        text = done.stderr.decode()
        self.assertEqual(text.count("\n"), 1, text)
        self.assertIn("--help", text)
        return text

    def test_help_and_version_go_to_standard_output(self):
        done = run("--help")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        for name in SUBCOMMANDS:
            self.assertIn(name, done.stdout.decode())
            sub = run(name, "--help")
            self.assertEqual((sub.returncode, sub.stderr), (0, b""))
            self.assertTrue(sub.stdout.startswith(f"Usage: troupe {name} ".encode()), sub.stdout)
            self.assertLessEqual(max(map(len, sub.stdout.decode().splitlines())), 100)
        self.assertRegex(run("--version").stdout, rb"^troupe \d+\.\d+\.\d+\n$")

    def test_unknown_names_are_named(self):
        self.assertIn("--frobnicate", self.usage_error("--frobnicate"))
        self.assertIn("frobnicate", self.usage_error("frobnicate"))
        for name in SUBCOMMANDS:
            self.assertIn("'--frobnicate'", self.usage_error(name, "model.gguf", "--frobnicate"))
        self.assertIn("did you mean --temperature?",
                      self.usage_error("generate", "model.gguf", "-p", "x", "--temperatur", "1"))
        self.usage_error()
        self.assertIn("did you mean generate?", self.usage_error("genrate"))
        self.assertIn("did you mean chat?", self.usage_error("help", "chatt"))

    def test_help_may_be_asked_for_as_a_subcommand(self):
        self.assertEqual(run("help").stdout, run("--help").stdout)
        for word in ("help", "--help", "-h"):
            done = run("help", word)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, run("--help").stdout, b""))
        for name in SUBCOMMANDS:
            done = run("help", name)
            self.assertEqual((done.returncode, done.stdout), (0, run(name, "--help").stdout))

    def test_arguments_that_would_be_ignored_are_refused(self):
        self.assertIn("'extra'", self.usage_error("--version", "extra"))
        self.assertIn("'extra'", self.usage_error("help", "chat", "extra"))
        self.assertIn("--add-special", self.usage_error("tokenize", "--decode", "1", "--add-special"))
        self.assertIn("--file must not be empty", self.usage_error("tokenize", "--file", ""))

    def test_subcommands_that_do_not_exist_yet_are_refused(self):
        for name in ("serve", "node", "perplexity", "template"):
            self.usage_error(name)

    def test_without_a_model_the_bundled_one_is_used(self):
        done = run("generate", "-p", "Once upon a time", "-n", "8", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(json.loads(done.stdout)["tokens"]), 8)
        self.assertIn(b"troupe-stories", run("inspect").stdout)
        ids = json.loads(run("tokenize", "Once upon a time", "--json").stdout)["tokens"]
        text = run("tokenize", "--decode", ",".join(map(str, ids))).stdout
        self.assertEqual(text, b"Once upon a time\n")
        self.assertEqual(run("logits", "--tokens", "1", "--json").returncode, 0)

    def test_a_program_far_from_its_bundled_model_says_where_it_looked(self):
        with tempfile.TemporaryDirectory() as folder:
            lonely = shutil.copy(TROUPE, folder)
            done = subprocess.run([lonely, "generate", "-p", "x"], capture_output=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("name a MODEL file", done.stderr.decode())
            self.assertEqual(done.stderr.count(b"\n"), 1)
            os.makedirs(f"{folder}/prefix/bin")
            os.makedirs(f"{folder}/prefix/share/troupe")
            installed = shutil.copy(TROUPE, f"{folder}/prefix/bin")
            shutil.copy(os.path.join(os.path.dirname(TROUPE), "troupe-stories.gguf"), f"{folder}/prefix/share/troupe")
            done = subprocess.run([installed, "generate", "-p", "x", "-n", "2"], capture_output=True, timeout=60,
                                  check=False)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_tokenize_needs_something_to_do(self):
        self.assertIn("nothing to do", self.usage_error("tokenize"))
        self.assertIn("nothing to do: 'no-such-file.gguf' was taken for the MODEL; give TEXT",
                      self.usage_error("tokenize", "no-such-file.gguf"))
        with tempfile.TemporaryDirectory() as folder:
            self.assertIn(f"'{folder}' was taken for the MODEL, because there is a file or folder of that name; give TEXT",
                          self.usage_error("tokenize", folder))

    def test_values_out_of_range_name_flag_value_and_range(self):
        cases = {
            ("--temperature", "-1"): "--temperature must be a number from 0 to 100, not '-1'",
            ("--top-p", "0"): "--top-p must be a number above 0 and at most 1, not '0'",
            ("--min-p", "1.5"): "--min-p must be a number from 0 to 1, not '1.5'",
            ("--top-p", "1e-300"): "--top-p must be a number above 0 and at most 1, not '1e-300', which is rounded to 0",
            ("--repeat-penalty", "1e-300"): "--repeat-penalty must be a number above 0",
            ("--top-k", "many"): "--top-k must be a whole number from 0 to 2147483647, not 'many'",
            ("--temperature", "1e30"): "--temperature must be a number from 0 to 100, not '1e30'",
            ("--repeat-penalty", "101"): "--repeat-penalty must be a number above 0 and at most 100, not '101'",
            ("--repeat-last-n", "1000001"): "--repeat-last-n must be a whole number from 0 to 1000000, not",
            ("--context", "16777217"): "--context must be a whole number from 1 to 16777216, not",
            ("--tokenizer", ""): "--tokenizer must not be empty",
            ("--prompts", ""): "--prompts must not be empty",
            ("--max-tokens", "x"): "--max-tokens must be a whole number",
            ("-n", "-1"): "-n must be a whole number from 0 to 2147483647, not '-1'",
            ("--parallel", "0"): "--parallel must be a whole number from 1 to 1024, not '0'",
            ("--kv-type", "q8"): "--kv-type must be f32, f16 or q8_0, not 'q8'",
            ("--stop", ""): "--stop must not be empty",
        }
        for (flag, value), message in cases.items():
            self.assertIn(message, self.usage_error("generate", "model.gguf", "-p", "x", flag, value))
        self.assertIn(" -p needs a value", self.usage_error("generate", "model.gguf", "-p"))
        self.assertIn("--top-k was given twice, as '1' and as '2'",
                      self.usage_error("generate", "model.gguf", "-p", "x", "--top-k", "1", "--top-k=2"))
        self.assertIn("--prompts was given twice",
                      self.usage_error("generate", "model.gguf", "--prompts", "a", "--prompts", "b"))
        help_text = " ".join(run("generate", "--help").stdout.decode().split())
        for text in ("how freely to choose, 0 to 100;", "prompts in flight at once, 1 to 1024;", "1 to 16777216;"):
            self.assertIn(text, help_text)

    def test_contradictions_are_usage_errors(self):
        self.assertIn("no prompt", self.usage_error("generate", "model.gguf"))
        self.assertIn("a prompt goes behind -p", self.usage_error("generate", "model.gguf", "Once upon a time"))
        self.usage_error("logits", "model.gguf")
        self.usage_error("perplexity")
        for name in ("model.gguf", "model.bin", "model.smnd"):
            self.assertIn(f"'{name}' was taken for the MODEL; give the FILE with the text",
                          self.usage_error("perplexity", name))
        self.usage_error("logits", "model.gguf", "-p", "x", "--tokens", "1")
        self.usage_error("tokenize", "model.gguf")
        self.usage_error("tokenize", "model.gguf", "x", "--decode", "1")
        self.assertIn("unexpected argument 'y'", self.usage_error("tokenize", "model.gguf", "x", "y"))
        self.assertIn("unexpected argument '--json'", self.usage_error("tokenize", "model.gguf", "x", "--", "--json"))

    def test_contradictions_of_training_name_their_options(self):
        cases = {
            ("--width", "33", "--heads", "2"): "--width is 33, no multiple of --heads, 2",
            ("--heads", "4", "--kv-heads", "3"): "--kv-heads is 3, which does not divide --heads, 4",
            ("--style", "gpt2", "--kv-heads", "1"): "--kv-heads is 1; with --style gpt2",
            ("--width", "33", "--heads", "11"): "gives heads of 3 elements",
            ("--steps", "5", "--warmup", "6"): "--warmup is 6, but",
            ("--learning-rate-min", "1"): "--learning-rate-min is 1, but",
            ("--vocab", "words"): "--vocab",
        }
        for arguments, message in cases.items():
            self.assertIn(message, self.usage_error("train", "--data", "none.txt", "--out", "none.gguf", *arguments))
        # Few steps need no --warmup: what is wrong here is the file.
        done = run("train", "--data", "none.txt", "--out", "none.gguf", "--steps", "5")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"none.txt", done.stderr)

    @unittest.skipIf(HAS_CHAT, "this build has chat")
    def test_chat_says_what_it_lacks(self):
        done = run("chat")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"libedit", done.stderr)

    def test_an_empty_model_argument_is_not_the_bundled_model(self):
        for arguments in (("generate", "", "-p", "x"), ("tokenize", "", "x"), ("tokenize", "", "--decode", "1"),
                          ("template", "", "--messages", "m.json"), ("inspect", ""), ("logits", "", "-p", "x"),
                          ("perplexity", "", "text.txt"), ("bench", ""), ("bench-model", ""),
                          *([("chat", "")] if HAS_CHAT else [])):
            self.assertIn("MODEL is empty", self.usage_error(*arguments))
        done = run("tokenize", "")  # a text
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
        self.assertIn("give the FILE", self.usage_error("perplexity", ""))

    def test_a_missing_file_is_named(self):
        for arguments in (("generate", "no-such.gguf", "-p", "x"), *([("chat", "no-such.gguf")] if HAS_CHAT else []),
                          ("tokenize", "no-such.gguf", "x"), ("inspect", "no-such.gguf"),
                          ("logits", "no-such.gguf", "-p", "x")):
            done = run(*arguments)
            self.assertEqual((done.returncode, done.stdout), (1, b""), arguments)
            self.assertIn(b"no-such.gguf", done.stderr)
            self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)

    def test_a_file_that_is_no_model_is_refused_in_one_line(self):
        with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
            file.write(b"GGUF\x03\x00\x00\x00" + b"\xff" * 64)
            file.flush()
            for name in ("tokenize", "inspect", "logits", "generate"):
                more = {"tokenize": ["x"], "inspect": [], "logits": ["-p", "x"], "generate": ["-p", "x"]}[name]
                done = run(name, file.name, *more)
                self.assertEqual((done.returncode, done.stdout), (1, b""), name)
                self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)

    def test_help_to_a_full_disk_fails(self):
        with open("/dev/full", "wb") as full:
            for arguments in (("--help",), ("generate", "--help"), ("--version",)):
                done = run(*arguments, stdout=full)
                self.assertEqual(done.returncode, 1)
                self.assertIn(b"cannot write to standard output", done.stderr)

    def test_a_closed_standard_output_fails_with_a_message(self):
        done = run("--version", stdout=None, preexec_fn=lambda: os.close(1))
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cannot write to standard output", done.stderr)


@needs_model
class Tokenize(unittest.TestCase):
    def ids(self, *arguments, **options):
        done = run("tokenize", MODEL, "--json", *arguments, **options)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(done.stdout.count(b"\n"), 1)
        return json.loads(done.stdout)["tokens"]

    def test_ids_are_those_of_the_reference(self):
        for result in json.loads((STORIES / "reference_greedy.json").read_text())["results"]:
            if result["prompt"]:
                self.assertEqual(self.ids(result["prompt"], "--add-special"), result["prompt_tokens"])
                self.assertEqual(self.ids(result["prompt"]), result["prompt_tokens"][1:])

    def test_an_empty_text_has_no_tokens(self):
        self.assertEqual(self.ids(""), [])
        self.assertEqual(run("tokenize", MODEL, "").stdout, b"")

    def test_text_may_come_from_a_file_or_standard_input(self):
        expected = self.ids("Once upon\na time")
        self.assertEqual(self.ids("--file", "-", stdin=b"Once upon\na time"), expected)
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"Once upon\na time")
            file.flush()
            self.assertEqual(self.ids("--file", file.name), expected)

    def test_text_that_looks_like_something_else_is_text(self):
        for text in ("generate", "[a]", "{}", "a=b"):
            self.assertEqual(json.loads(run("tokenize", MODEL, "--decode", ",".join(map(str, self.ids(text))),
                                            "--json").stdout)["text"], text)
        self.assertEqual(self.ids("--", "--help"), self.ids("--file", "-", stdin=b"--help"))

    def test_decode_is_the_inverse_of_encode(self):
        ids = ",".join(map(str, self.ids("Once upon a time")))
        self.assertEqual(run("tokenize", MODEL, "--decode", ids).stdout, b"Once upon a time\n")

    def test_invalid_utf8_is_tokenized_byte_by_byte(self):
        ids = self.ids("--file", "-", stdin=b"\xff\xc3")
        done = run("tokenize", MODEL, "--decode", ",".join(map(str, ids)))
        self.assertEqual(done.stdout, b"\xff\xc3\n")
        json.loads(run("tokenize", MODEL, "--decode", ",".join(map(str, ids)), "--json").stdout.decode())

    def test_ids_outside_the_vocabulary_are_refused(self):
        done = run("tokenize", MODEL, "--decode", "1,512")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"token id 512 is outside the vocabulary, which ends at 511", done.stderr)

    def test_a_vocabulary_without_weights_is_enough(self):
        path = SHARED / "data/vocab/ggml-vocab-llama-spm.gguf"
        self.assertEqual(json.loads(run("tokenize", str(path), "Hello world", "--json").stdout)["tokens"], [15043, 3186])

    def test_the_list_for_people_has_a_line_per_token(self):
        done = run("tokenize", MODEL, "Once upon a time", "--add-special")
        lines = done.stdout.decode().splitlines()
        self.assertEqual(lines[0], "  1  <s>")
        self.assertEqual([int(line.split()[0]) for line in lines], self.ids("Once upon a time", "--add-special"))


@needs_model
class Inspect(unittest.TestCase):
    def test_what_a_file_holds_is_printed(self):
        for path in (MODEL, str(STORIES / "stories260K.bin")):
            done = run("inspect", path)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertIn(b"llama", done.stdout)
            self.assertNotIn(b"blk.0.attn_q.weight", done.stdout)
            self.assertIn(b"blk.0.attn_q.weight", run("inspect", path, "--tensors").stdout)

    def test_a_llama2c_checkpoint_without_its_tokenizer_can_be_inspected_and_evaluated(self):
        with tempfile.TemporaryDirectory() as folder:
            lonely = shutil.copy(STORIES / "stories260K.bin", os.path.join(folder, "lonely.bin"))
            done = run("inspect", lonely)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertIn(b"llama2.c", done.stdout)
            whole = run("logits", str(STORIES / "stories260K.bin"), "--tokens", "1,403,407")
            done = run("logits", lonely, "--tokens", "1,403,407")
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, whole.stdout, b""))
            for arguments in (("generate", lonely, "-p", "x"), ("tokenize", lonely, "x"), ("logits", lonely, "-p", "x")):
                done = run(*arguments)
                self.assertEqual((done.returncode, done.stdout), (1, b""), arguments)
                self.assertIn(b"--tokenizer FILE", done.stderr)

    def test_perplexity_of_a_file_and_of_standard_input(self):
        text = b"Once upon a time there was a little girl. She liked to play in the park. " * 40
        with tempfile.NamedTemporaryFile(suffix=".txt") as file:
            file.write(text)
            file.flush()
            done = run("perplexity", MODEL, file.name, "--context", "64", "--windows", "3", "--json")
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            result = json.loads(done.stdout)
            self.assertEqual((result["windows"], result["context"], result["scored"]), (3, 64, 93))
            self.assertTrue(1 < result["perplexity"] < 30, result)
            self.assertEqual(run("perplexity", MODEL, "-", "--context", "64", "--windows", "3", "--json", stdin=text).stdout,
                             done.stdout)
            plain = run("perplexity", MODEL, file.name, "--context", "64").stdout.decode()
            self.assertRegex(plain, r"^perplexity \d+\.\d{4} ± \d+\.\d{4}, \d+ tokens scored in \d+ windows of 64\n$")
            bundled = run("perplexity", file.name, "--windows", "1")
            self.assertEqual((bundled.returncode, bundled.stderr), (0, b""))
            short = run("perplexity", MODEL, file.name, "--context", "60000")
            self.assertEqual((short.returncode, short.stdout), (1, b""))
            self.assertIn(b"less than a window of 60000", short.stderr)

    def test_a_long_prompt_of_logits_can_be_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            # Some 10^9 products of a query and a key: longer than the test may wait.
            process = subprocess.Popen([TROUPE, "logits", MODEL, "--tokens", ",".join("9" * 60000), "--context",
                                        "60000", "--threads", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            ended_when_asked(self, process, number)

    def test_json_is_one_object(self):
        done = run("inspect", MODEL, "--tensors", "--json")
        self.assertEqual(len(json.loads(done.stdout)["tensors"]), 48)
        self.assertTrue(done.stdout.endswith(b"}\n"))


class BenchModel(unittest.TestCase):
    def test_json_has_a_row_per_test_and_a_number_per_repeat(self):
        done = run("bench-model", "--prefill", "20", "--decode", "4", "--batch", "1,3", "--repeat", "2", "--threads", "1",
                   "--json")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        rows = json.loads(done.stdout)
        self.assertEqual([(row["test"], row["tokens"], row["batch"], row["threads"]) for row in rows],
                         [("prefill", 20, 1, 1), ("decode", 4, 1, 1), ("decode", 4, 3, 1)])
        for row in rows:
            self.assertEqual(len(row["tokens_per_s"]), 2)
            self.assertGreater(min(row["tokens_per_s"]), 0)

    def test_kernels_of_another_instruction_set_are_measured_on_request(self):
        refused = run("bench-model", "--kernels", "none").stderr.decode()
        targets = refused[refused.index("(") + 1:refused.index(")")].split(", ")
        done = run("bench-model", "--kernels", targets[-1], "--prefill", "20", "--decode", "0", "--repeat", "1")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"kernels " + targets[-1].encode() + b",", done.stdout)

    def test_a_long_prompt_can_be_interrupted(self):
        process = subprocess.Popen([TROUPE, "bench-model", "--prefill", "1000000", "--decode", "0"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        try:
            time.sleep(1)  # it takes hours
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        self.assertEqual((process.returncode, out), (130, b""))

    def test_what_cannot_be_measured_is_refused(self):
        for arguments, named in ((("--prefill", "0", "--decode", "0"), b"--prefill 0"), (("--batch", "1,,2"), b"--batch"),
                                 (("--batch", "0"), b"--batch"), (("--repeat", "0"), b"--repeat"),
                                 (("--kernels", "MMX"), b"MMX")):
            done = run("bench-model", *arguments)
            self.assertEqual((done.returncode, done.stdout), (2, b""), arguments)
            self.assertIn(named, done.stderr)


if __name__ == "__main__":
    main()
