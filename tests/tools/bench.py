#!/usr/bin/env python3
"""troupe bench from outside: shapes, limits, refusals and Ctrl-C. Nothing is compared with a clock."""

import json
import os
import resource
import signal
import subprocess
import tempfile
import time
import unittest
import xml.etree.ElementTree

from program import LIMIT_S, TROUPE, cpu_seconds, environment, main, run

SPREAD = {"min", "mean", "p50", "p95", "p99", "max"}


def bench(*arguments):
    done = run("bench", *arguments, "--json", "--prompt-tokens", "6", "--max-tokens", "8")
    return done, json.loads(done.stdout)["runs"] if done.stdout else []


class Bench(unittest.TestCase):
    def test_a_sweep_has_a_run_for_each_concurrency(self):
        done, runs = bench("--requests", "20", "--concurrency", "1,4")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual([r["concurrency"] for r in runs], [1, 4])
        for r in runs:
            self.assertEqual((r["requests"], r["completed"], r["failed"]), (20, 20, 0))
            self.assertGreater(r["duration_s"], 0)
            self.assertGreater(r["tokens_per_s"], r["requests_per_s"])
            for name in ("queue_ms", "ttft_ms", "inter_token_ms", "e2e_ms"):
                self.assertLessEqual(SPREAD, set(r[name]))
                self.assertLessEqual(r[name]["min"], r[name]["p50"])
                self.assertLessEqual(r[name]["p50"], r[name]["p99"])
                self.assertLessEqual(r[name]["p99"], r[name]["max"])
            self.assertLess(r["ttft_ms"]["max"], r["e2e_ms"]["max"])
            self.assertEqual(r["keys"][0]["tokens"], 20 * 8)

    def test_an_open_loop_counts_those_that_the_queue_refuses(self):
        done, runs = bench("--requests", "300", "--rate", "100000", "--pool", "1", "--queue", "4")
        self.assertEqual(done.returncode, 0, done.stderr)
        (r,) = runs
        self.assertIsNone(r["concurrency"])
        self.assertEqual(r["rate_per_s"], 100000)
        self.assertGreater(r["refused"], 0)
        self.assertEqual(r["completed"] + r["refused"], 300)
        self.assertEqual(r["failed"], 0)

    def test_a_relative_rate_measures_the_capacity_first(self):
        done, runs = bench("--requests", "20", "--rate", "0.5x,2x", "--pool", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([r["concurrency"] for r in runs], [4, None, None])
        for r, times in zip(runs[1:], (0.5, 2)):
            self.assertAlmostEqual(r["rate_per_s"], times * runs[0]["requests_per_s"], delta=0.01)

    def test_keys_share_the_tokens(self):
        done, runs = bench("--keys", "big=6,small=2", "--requests", "40", "--pool", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([(k["key"], k["clients"]) for k in runs[0]["keys"]], [("big", 6), ("small", 2)])
        self.assertAlmostEqual(sum(k["share"] for k in runs[0]["keys"]), 1, delta=0.001)

    def test_the_table_and_the_drawing(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "curve.svg")
            done = run("bench", "--requests", "4", "--concurrency", "1,2", "--max-tokens", "4", "--svg", path)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertIn("inter-token", done.stdout.decode())
            self.assertEqual(xml.etree.ElementTree.parse(path).getroot().tag, "{http://www.w3.org/2000/svg}svg")
        # Nothing is measured for a drawing that cannot be made.
        done = run("bench", "--requests", "1", "--concurrency", "1", "--svg", os.path.join(folder, "none", "x.svg"))
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"none/x.svg", done.stderr)

    def test_replicas_routing_and_pool_shape_are_shown_and_answer_everything(self):
        for routing in ("least-loaded", "round-robin", "prefix-affinity"):
            for shape in ("growing", "fixed", "per-request"):
                done = run("bench", "--requests", "12", "--concurrency", "4", "--max-tokens", "4", "--threads", "2",
                           "--replicas", "2", "--routing", routing, "--pool-shape", shape)
                self.assertEqual((done.returncode, done.stderr), (0, b""))
                text = done.stdout.decode()
                self.assertIn(f"2 threads, 2 replicas ({routing})", text)
                self.assertEqual(f"4 generators ({shape})" in text, shape != "growing")
                self.assertIn("12 of 12 requests", text)
        done = run("bench", "--threads", "1", "--replicas", "2")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"replicas is 2, but threads is 1", done.stderr)

    def test_what_makes_no_sense_is_refused(self):
        for arguments in (["--rate", "5", "--concurrency", "4"], ["--keys", "a=1", "--concurrency", "4"],
                          ["--rate", "0"], ["--rate", "1e-9"], ["--kv-bytes", "0"], ["--kv-bytes", "1T"], ["--rate", "5,"],
                          ["--concurrency", "1,,2"], ["--keys", "=4"],
                          ["--keys", "a=0"], ["--requests", "0"], ["--duration", "-1"],
                          ["--replicas", "0"], ["--routing", "random"], ["--pool-shape", "round"]):
            done = run("bench", *arguments)
            self.assertEqual((done.returncode, done.stdout), (2, b""), arguments)
            self.assertEqual(done.stderr.count(b"\n"), 1)
        for arguments, said in ((["--keys", "a=4096,b=1"], b"--keys makes 4097 clients in all; give at most 4096"),
                                (["--keys", ",".join("abcde"), "--rate", "1", "--pool", "1000"],
                                 b"--rate with 5 --keys and --pool 1000 takes 5040 threads, of which 4096 may be")):
            done = run("bench", *arguments)
            self.assertEqual((done.returncode, done.stdout), (2, b""), done.stderr)
            self.assertIn(said, done.stderr)
        done = run("bench", "--max-tokens", "100000")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"100032", done.stderr)

    def test_ctrl_c_prints_what_was_measured(self):
        process = subprocess.Popen([TROUPE, "bench", "--duration", "3600", "--concurrency", "2", "--warmup", "0",
                                    "--prompt-tokens", "4", "--max-tokens", "4", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        try:
            # It has computed for a while when it has used some tenths of a second of processor time.
            while process.poll() is None and cpu_seconds(process.pid) < 0.5:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=LIMIT_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.assertEqual((process.returncode, err), (130, b""))
        (r,) = json.loads(out)["runs"]
        self.assertGreater(r["completed"], 0)
        self.assertEqual(r["failed"], 0)
        self.assertLessEqual(r["completed"] + r["cancelled"], r["requests"])

    def test_no_request_begins_after_the_duration(self):
        _, (r,) = bench("--rate", "0.001", "--duration", "0.05", "--warmup", "0")
        self.assertEqual((r["requests"], r["completed"], r["refused"]), (0, 0, 0))
        # Those that a full queue keeps waiting give up, too.
        done, (r,) = bench("--concurrency", "64", "--pool", "1", "--queue", "1", "--duration", "0.2", "--warmup", "0")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(r["completed"], r["requests"])

    def test_multiples_of_a_capacity_that_was_not_measured_are_an_error(self):
        done = run("bench", "--rate", "1x", "--duration", "0.000001", "--warmup", "0", "--json")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"within the 1e-06 s in which the capacity is measured", done.stderr)
        self.assertIn(b"--duration", done.stderr)
        # Requests that fail are not answered later.
        done = run("bench", "--rate", "1x", "--requests", "5", "--kv-bytes", "49152", "--json")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"5 requests failed", done.stderr)
        self.assertIn(b"no answer was complete while the capacity was measured, so", done.stderr)
        self.assertNotIn(b"--duration", done.stderr)

    def test_threads_that_the_system_refuses_are_named_with_their_option(self):
        def limited(*arguments):
            # Room for the engine, but not for the stacks of some hundred threads.
            limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (1500 << 20, 1500 << 20))
            return run("bench", *arguments, "--requests", "2", "--warmup", "0", "--threads", "1", "--json",
                       preexec_fn=limit)

        if limited("--concurrency", "1").returncode != 0:
            self.skipTest("the engine alone takes more addresses: a build with a sanitizer, or a large machine")
        for arguments in (("--concurrency", "400"), ("--keys", "a=200,b=200"), ("--pool", "1000", "--rate", "1")):
            done = limited(*arguments, *(() if "--pool" in arguments else ("--pool", "1")))
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(b"cannot start the threads of the clients", done.stderr)
            self.assertIn(arguments[0].encode(), done.stderr)
            self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)

    def test_what_its_parent_ignores_stays_ignored(self):
        process = subprocess.Popen([TROUPE, "bench", "--requests", "400", "--concurrency", "2",
                                    "--max-tokens", "16", "--json"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        try:
            while process.poll() is None and cpu_seconds(process.pid) < 0.1:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LIMIT_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.assertEqual(process.returncode, 0)


if __name__ == "__main__":
    main()
