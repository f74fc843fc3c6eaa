#!/usr/bin/env python3
"""troupe convert from outside."""

import json
import os
import resource
import signal
import struct
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from program import LIMIT_S, MODEL, SHARED, STORIES, TROUPE, environment, main, run

DEMO = SHARED / "data/smnd/demo-model.smnd"
BIN = STORIES / "stories260K.bin"
needs_files = unittest.skipUnless(DEMO.exists() and BIN.exists(), f"no test data at {DEMO} and {BIN}")


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def shard(no, count):
    """A GGUF file with one tensor of one number, the shard `no` of `count`."""
    numbers = {"split.no": no, "split.count": count, "split.tensors.count": count}
    keys = b"".join(text(key) + struct.pack("<II", 4, value) for key, value in numbers.items())
    data = b"GGUF" + struct.pack("<IQQ", 3, 1, len(numbers)) + keys
    data += text(f"tensor{no}") + struct.pack("<IQIQ", 1, 1, 0, 0)
    return data + bytes(-len(data) % 32) + struct.pack("<f", no)


@needs_files
class Convert(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return str(Path(self.folder.name, name))

    def ok(self, *arguments):
        done = run("convert", *map(str, arguments))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, b"")
        return done.stderr.decode()

    def refused(self, status, *arguments):
        done = run("convert", *map(str, arguments))
        self.assertEqual((done.returncode, done.stdout), (status, b""), done.stderr)
        text = done.stderr.decode()
        self.assertEqual(text.count("\n"), 1, text)
        return text

    def logits(self, model, tokens):
        done = run("logits", str(model), "--tokens", tokens, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["logits"]

    def test_a_smallmind_checkpoint_comes_back_the_same_directly_and_through_gguf(self):
        self.ok(DEMO, self.path("a.smnd"))
        self.assertEqual(Path(self.path("a.smnd")).read_bytes(), DEMO.read_bytes())
        self.ok(DEMO, self.path("b.gguf"))
        self.ok(self.path("b.gguf"), self.path("c.smnd"))
        self.assertEqual(Path(self.path("c.smnd")).read_bytes(), DEMO.read_bytes())
        self.assertEqual(self.logits(self.path("b.gguf"), "1,2,3"), self.logits(DEMO, "1,2,3"))

    def test_an_alphabet_given_once_is_kept(self):
        alphabet = self.path("alphabet.txt")
        Path(alphabet).write_text("ABCDEFGHIJKLMNOPQRSTUVWX" + "abcdefghijklmnopqrstuvwxyz")
        said = self.ok(DEMO, self.path("plain.gguf"))
        self.assertIn("holds no vocabulary", said)
        said = self.ok(DEMO, self.path("a.smnd"), "--tokenizer", alphabet)
        self.assertNotIn("holds no vocabulary", said)
        self.ok(self.path("a.smnd"), self.path("b.gguf"), "--type", "q8_0")
        done = run("tokenize", self.path("b.gguf"), "AXaz", "--json")
        self.assertEqual(json.loads(done.stdout)["tokens"], [0, 23, 24, 49])
        done = run("tokenize", str(DEMO), "AXaz", "--tokenizer", alphabet, "--json")
        self.assertEqual(json.loads(done.stdout)["tokens"], [0, 23, 24, 49])

    def test_a_llama2c_checkpoint_becomes_gguf_of_every_type(self):
        story = ("generate", "-p", "Once upon a time", "-n", "40", "--temperature", "0")
        expected = run(story[0], MODEL, *story[1:])
        self.assertEqual(expected.returncode, 0, expected.stderr)
        sizes = []
        for kind in ("f32", "f16", "q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0", "bf16"):
            out = self.path(f"{kind}.gguf")
            said = self.ok(BIN, out, "--type", kind)
            self.assertEqual(said.count("blk.0.ffn_down.weight stays F32: its rows of 172"), kind[0] == "q")
            smaller = {"q6_k": "Q8_0", "q5_k": "Q5_1", "q4_k": "Q5_0"}.get(kind)
            self.assertEqual(said.count(f"blk.0.attn_q.weight becomes {smaller}: its rows of 64"), bool(smaller))
            if kind in ("f32", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"):
                sizes.append(os.path.getsize(out))
            done = run(story[0], out, *story[1:])
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertGreater(len(done.stdout), 20)
            if kind == "f32":
                self.assertEqual(done.stdout, expected.stdout)
        self.assertEqual(sizes, sorted(sizes, reverse=True))

    def test_quantized_weights_are_decoded_for_smnd_and_that_is_said(self):
        self.ok(DEMO, self.path("q.gguf"), "--type", "q8_0")
        said = self.ok(self.path("q.gguf"), self.path("q.smnd"))
        self.assertIn("decoded to F32", said)
        for a, b in zip(self.logits(self.path("q.smnd"), "1,2,3")[0], self.logits(DEMO, "1,2,3")[0]):
            self.assertAlmostEqual(a, b, delta=0.1)

    def test_only_logits_offers_token_ids_where_there_is_no_vocabulary(self):
        for name, more in (("generate", ()), ("tokenize", ()), ("logits", ("--tokens",))):
            done = run(name, str(DEMO), *(("text",) if name == "tokenize" else ("-p", "text")))
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"name its vocabulary with --tokenizer FILE", done.stderr)
            self.assertEqual(b"--tokens" in done.stderr, bool(more), done.stderr)

    def test_the_summary_counts_tensors_of_every_type(self):
        vocabulary = SHARED / "data/vocab/ggml-vocab-llama-spm.gguf"
        if vocabulary.exists():
            self.assertIn(" bytes, no tensors", self.ok(vocabulary, self.path("v.gguf")))
        said = self.ok(BIN, self.path("q.gguf"), "--type", "Q8_0")
        self.assertRegex(said, r" bytes, tensors: \d+ F32, \d+ Q8_0")

    def test_a_file_that_may_not_grow_so_large_is_an_error_and_leaves_nothing(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
        done = run("convert", str(BIN), self.path("x.gguf"), preexec_fn=limit)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(b"cannot write", done.stderr)
        self.assertIn(b"File too large", done.stderr)
        self.assertEqual(os.listdir(self.folder.name), [])

    def test_a_request_to_end_leaves_no_file(self):
        numbers = 1 << 28
        large = struct.pack("<4sIQQ", b"GGUF", 3, 1, 0) + text("tensor") + struct.pack("<IQIQ", 1, numbers, 0, 0)
        model = self.path("large.gguf")
        Path(model).write_bytes(large)
        os.truncate(model, len(large) + -len(large) % 32 + 4 * numbers)  # a GiB of nothing, which takes no place
        for number in (signal.SIGINT, signal.SIGTERM):
            process = subprocess.Popen([TROUPE, "convert", model, self.path("out.gguf")], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, env=environment())
            while process.poll() is None and len(os.listdir(self.folder.name)) == 1:
                time.sleep(0.001)
            process.send_signal(number)
            out, err = process.communicate(timeout=LIMIT_S)
            self.assertEqual((process.returncode, out, err), (128 + number, b"", b""))
            self.assertEqual(os.listdir(self.folder.name), ["large.gguf"])

    def test_the_input_is_never_overwritten(self):
        copy = self.path("a.smnd")
        Path(copy).write_bytes(DEMO.read_bytes())
        os.symlink(copy, self.path("link.smnd"))
        os.link(copy, self.path("hard.gguf"))
        for out in (copy, self.path("link.smnd"), self.path("hard.gguf"), self.path("./a.smnd")):
            self.assertIn("is the same file", self.refused(2, copy, out))
        self.assertEqual(Path(copy).read_bytes(), DEMO.read_bytes())

    def test_the_output_goes_behind_links_and_replaces_nothing_that_is_write_protected(self):
        there = self.path("there.gguf")
        os.symlink(there, self.path("link.gguf"))
        for _ in range(2):  # a file that is not there yet, and one that is
            self.ok(BIN, self.path("link.gguf"))
            self.assertEqual(os.readlink(self.path("link.gguf")), there)
            os.chmod(there, 0o640)
        self.assertEqual(os.stat(there).st_mode & 0o777, 0o640)
        os.chmod(there, 0o440)
        self.assertIn("write-protected", self.refused(1, BIN, self.path("link.gguf")))
        self.assertEqual(sorted(os.listdir(self.folder.name)), ["link.gguf", "there.gguf"])

    def test_no_shard_of_the_input_is_overwritten(self):
        names = [self.path(f"m-{no + 1:05}-of-00002.gguf") for no in range(2)]
        for no, name in enumerate(names):
            Path(name).write_bytes(shard(no, 2))
        for out in names:
            self.assertIn("is the same file", self.refused(2 if out == names[0] else 1, names[0], out))
        self.assertEqual([Path(name).read_bytes() for name in names], [shard(0, 2), shard(1, 2)])
        self.assertIn("2 F32", self.ok(names[0], self.path("whole.gguf")))

    def test_wrong_uses_are_named(self):
        self.assertIn("IN and OUT", self.refused(2, DEMO))
        self.assertIn("'x.bin'", self.refused(2, DEMO, "x.bin"))
        self.assertIn("--type", self.refused(2, DEMO, self.path("x.gguf"), "--type", "q4_k_m"))
        self.assertIn("f32 only", self.refused(2, DEMO, self.path("x.smnd"), "--type", "f16"))
        self.assertIn("'llama'", self.refused(1, BIN, self.path("x.smnd")))
        self.assertIn("/nowhere", self.refused(1, DEMO, "/nowhere/x.gguf"))
        self.assertIn("cannot open", self.refused(1, self.path("none.gguf"), self.path("x.gguf")))
        self.assertEqual(os.listdir(self.folder.name), [])

    def test_damaged_files_are_refused_and_leave_no_output(self):
        data = DEMO.read_bytes()
        metadata = struct.unpack_from("<i", data, 16)[0]
        first = 20 + metadata + 4 + 12 + 4  # the first value of the first parameter
        damaged = {
            "cut": data[:-1],
            "longer": data + b"\0",
            "nan": data[:first] + struct.pack("<f", float("nan")) + data[first + 4:],
            "count": data[:20 + metadata] + struct.pack("<i", 28) + data[24 + metadata:],
            "n": data[:first - 4] + struct.pack("<i", 3199) + data[first:],
        }
        for name, content in damaged.items():
            Path(self.path("in.smnd")).write_bytes(content)
            with self.subTest(name):
                self.assertIn("in.smnd", self.refused(1, self.path("in.smnd"), self.path("out.gguf")))
                self.assertFalse(os.path.exists(self.path("out.gguf")))


if __name__ == "__main__":
    main()
