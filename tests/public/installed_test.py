#!/usr/bin/env python3
"""The tree that `meson install` leaves, used as an embedder uses it: found by pkg-config or CMake alone.

TROUPE_PART says which part is run: program, cmake, or the name of a compiler. Everything is installed into a DESTDIR
inside the build folder, which is removed at the end; nothing but that is read of the build."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LIMIT_S = 240  # only ends what hangs; nothing is measured against it
SOURCE = Path(__file__).resolve().parents[2]
EXAMPLES = SOURCE / "examples"
HEADERS = SOURCE / "include/troupe"
PART = os.environ.get("TROUPE_PART", "program")
BUILD = os.environ.get("TROUPE_BUILD", str(SOURCE / "build"))
PREFIX = os.environ.get("TROUPE_PREFIX", "/usr/local")
WARNINGS = ["-Wall", "-Wextra", "-Werror"]


def run(*command, **options):
    """The finished process; output as text."""
    options.setdefault("timeout", LIMIT_S)
    return subprocess.run([str(c) for c in command], text=True, capture_output=True, **options)


class InstalledTree(unittest.TestCase):
    """Installs once per class; self.prefix is what PREFIX is on the machine where it will be used."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="installed-", dir=BUILD)
        destination = Path(cls.folder.name, "destination")
        done = run(os.environ.get("TROUPE_MESON", "meson"), "install", "-C", BUILD, "--no-rebuild", "--quiet",
                   env={**os.environ, "DESTDIR": str(destination)})
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)
        # Moved after the installation: nothing may remember where it was.
        cls.prefix = Path(cls.folder.name, "elsewhere")
        Path(str(destination) + PREFIX).rename(cls.prefix)
        cls.work = Path(cls.folder.name, "work")
        cls.work.mkdir()
        found = list(cls.prefix.glob("**/troupe.pc"))
        assert len(found) == 1, found
        cls.environment = {**os.environ, "PKG_CONFIG_PATH": str(found[0].parent)}

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def check(self, done):
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def pkg_config(self, *arguments):
        return self.check(run("pkg-config", *arguments, "troupe", env=self.environment)).split()

    def model(self):
        return self.pkg_config("--variable=model")[0]

    def try_stories(self, program):
        out = self.check(run(program, self.model()))
        self.assertRegex(out, r"(?s)^Once upon a time.+\n\[(length|stop) after \d+ tokens\]\n")
        self.assertRegex(out, r"\nThe little dog.+")
        self.assertRegex(out, r"\[\d+ tokens in \d+ steps\]\n$")
        missing = run(program, "missing.gguf")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("missing.gguf", missing.stderr)


class Program(InstalledTree):
    def test_every_public_header_is_there_and_nothing_else(self):
        installed = {p.name for p in (self.prefix / "include/troupe").iterdir()}
        self.assertEqual(installed, {p.name for p in HEADERS.glob("*.hpp")})

    def test_the_version_is_one_everywhere(self):
        version = self.check(run(self.prefix / "bin/troupe", "--version")).split()[1]
        self.assertEqual(self.pkg_config("--modversion"), [version])
        self.assertIn(f'"{version}"', (self.prefix / "include/troupe/version.hpp").read_text())
        numbers = re.findall(r"VERSION_(?:MAJOR|MINOR|PATCH) (\d+)",
                             (self.prefix / "include/troupe/version.hpp").read_text())
        self.assertEqual(".".join(numbers), version)

    def test_the_program_finds_the_bundled_model_of_its_prefix(self):
        out = self.check(run(self.prefix / "bin/troupe", "generate", "-p", "Once upon a time", "-n", "8", cwd="/"))
        self.assertGreater(len(out), 8)
        described = self.check(run(self.prefix / "bin/troupe", "inspect", cwd="/"))
        self.assertIn("troupe-stories", described.lower() + self.model())
        self.assertTrue(Path(self.model()).is_file())

    def test_no_installed_text_names_the_build(self):
        for path in self.prefix.glob("**/*"):
            if path.suffix in (".pc", ".cmake", ".hpp", ".1"):
                text = path.read_text(encoding="utf-8")
                self.assertNotIn(BUILD, text, path)
                self.assertNotIn(str(SOURCE), text, path)

    def test_the_manual_has_every_subcommand_and_option_that_the_program_has(self):
        page = next(self.prefix.glob("**/man1/troupe.1"))
        troupe = self.prefix / "bin/troupe"
        raw = page.read_text(encoding="utf-8")
        shown = raw.replace("\\-", "-").replace("\\e", "\\")
        names = re.findall(r"^  ([a-z][a-z-]*)  ", self.check(run(troupe, "help")), re.M)
        self.assertIn("generate", names)
        sections = dict(re.findall(r"^\.SS troupe (\S+)\n(.*?)(?=^\.S[SH] )", shown, re.S | re.M))
        self.assertEqual(list(sections), names)
        for name in names:
            text = self.check(run(troupe, "help", name))
            options = re.findall(r"^  (?:-\w, )?(--[a-z0-9-]+)", text, re.M)
            self.assertIn("--help", options)
            for option in options:
                self.assertRegex(sections[name], rf"(?m)^\.B .*{option}\b", name)
            # Not only their names: every word, in its order, but for how lines are broken.
            words = re.sub(r"\\&|^\.\w+ ?|\\\[u(\w+)\]", lambda m: chr(int(m[1], 16)) if m[1] else "",
                           sections[name], flags=re.M).split()
            said = text.replace("Usage: ", "", 1).split()
            self.assertEqual([w.rstrip(":") for w in words], [w.rstrip(":") for w in said])

    @unittest.skipUnless(shutil.which("man"), "no man to read the manual with")
    def test_man_reads_the_manual_without_a_complaint(self):
        page = next(self.prefix.glob("**/man1/troupe.1"))
        done = run("man", "--warnings", "-l", page, env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100"})
        self.check(done)
        self.assertEqual(done.stderr, "")
        self.assertIn("--max-tokens", done.stdout)


class Compiler(InstalledTree):
    """With the compiler PART, outside the tree, and nothing but pkg-config to tell it where things are."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.flags = run("pkg-config", "--cflags", "--libs", "troupe", env=cls.environment).stdout.split()
        # One at a time takes twice as long; more may not fit a small machine's memory.
        cls.pool = ThreadPoolExecutor(2)
        cls.compiled = {name: cls.pool.submit(cls.compile, name) for name in ("chat_server", "relay", "stories")}

    @classmethod
    def tearDownClass(cls):
        cls.pool.shutdown(cancel_futures=True)
        super().tearDownClass()

    @classmethod
    def compile(cls, name):
        program = cls.work / name
        source = cls.work / f"{name}.cpp"
        shutil.copy(EXAMPLES / source.name, source)
        return program, run(PART, *WARNINGS, source, *cls.flags, "-o", program, cwd=cls.work)

    def program(self, name):
        program, done = self.compiled[name].result()
        self.check(done)
        self.assertEqual(done.stderr, "")
        return program

    def test_each_public_header_compiles_alone(self):
        def alone(header):
            source = self.work / f"alone_{header.stem}.cpp"
            source.write_text(f"#include <troupe/{header.name}>\n")
            return run(PART, *WARNINGS, "-fsyntax-only", source, *self.pkg_config("--cflags"), cwd=self.work)

        headers = sorted((self.prefix / "include/troupe").glob("*.hpp"))
        self.assertGreater(len(headers), 10)
        for header, done in zip(headers, self.pool.map(alone, headers)):
            with self.subTest(header.name):
                self.check(done)

    def test_the_std_program_tells_its_stories(self):
        self.try_stories(self.program("stories"))

    def test_the_pipeline_of_actors_hands_a_story_on(self):
        out = self.check(run(self.program("relay"), self.model()))
        authors = re.findall(r"\n\[author (\d): (?:length|stop) after (\d+) tokens\]\n", out)
        self.assertEqual([number for number, _ in authors], ["1", "2", "3"])
        told, whole = out.split("The whole story:\n")
        pieces = re.sub(r"\n\[author [^\n]*\n", "", told)
        self.assertEqual(whole.rstrip("\n"), pieces.rstrip("\n"))
        self.assertTrue(whole.startswith("Once upon a time"))

    def test_the_chat_server_serves_several_clients_at_once(self):
        program = self.program("chat_server")
        with subprocess.Popen([program, self.model()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
            watchdog = threading.Timer(LIMIT_S, server.kill)
            watchdog.start()
            try:
                port = int(re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", server.stdout.readline())[1])
                self.chat(port)
            finally:
                server.send_signal(signal.SIGTERM)
                out, err = server.communicate()
                watchdog.cancel()
            self.assertEqual(server.returncode, 0, err)
            self.assertEqual(out, "")

    def chat(self, port):
        def connect():
            return socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)

        with connect() as silent, connect() as deaf, connect() as rude:
            silent.sendall(b"One day a ")          # no whole line yet, ever
            deaf.sendall(b"Once upon a time\n" * 20)  # does not read its answers
            rude.sendall(b"The dragon\n")
            rude.recv(1)                           # has begun, and goes away
            rude.close()
            with connect() as first, connect() as second:
                first.sendall(b"Once upon a time\n")
                second.sendall(b"Once upon a time\n")
                answers = [first.makefile().readline(), second.makefile().readline()]
                self.assertEqual(answers[0], answers[1])  # the same prompt, the same answer, whatever else runs
                self.assertGreater(len(answers[0]), 40)
                second.sendall(b" The end of it was\n")  # goes on with its own story
                more = second.makefile().readline()
                self.assertGreater(len(more), 10)
                self.assertNotEqual(more, answers[0])


class CMake(InstalledTree):
    def configure(self, folder, *arguments):
        return run("cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={self.prefix}", *arguments)

    def test_find_package_finds_it_and_the_std_program_links(self):
        folder = self.work / "consumer"
        shutil.copytree(EXAMPLES, folder)
        out = self.check(self.configure(folder))
        bundled = re.search(r"the bundled model: (.+)", out)[1]
        self.assertTrue(Path(bundled).is_file(), bundled)
        self.check(run("cmake", "--build", folder / "build", "--target", "stories"))
        self.try_stories(folder / "build/stories")

    def test_another_version_is_not_taken_for_this_one(self):
        folder = self.work / "versions"
        folder.mkdir()
        major, minor, patch = (int(n) for n in self.pkg_config("--modversion")[0].split("."))
        for wanted, fits in ((f"{major}.{minor}", True), (f"{major}.{minor}.{patch} EXACT", True),
                             (f"{major}.{minor + 1}", False), (f"{major + 1}.0", False)):
            with self.subTest(wanted):
                shutil.rmtree(folder / "build", ignore_errors=True)
                (folder / "CMakeLists.txt").write_text(
                    "cmake_minimum_required(VERSION 3.16)\nproject(wants CXX)\n"
                    f"find_package(troupe {wanted} REQUIRED)\n")
                self.assertEqual(self.configure(folder).returncode == 0, fits)


if __name__ == "__main__":
    tool = "cmake" if PART == "cmake" else "pkg-config" if PART == "program" else PART
    for needed in (tool, "pkg-config"):
        if not shutil.which(needed):
            print(f"SKIPPED: there is no {needed} here")
            sys.exit(77)
    chosen = {"program": Program, "cmake": CMake}.get(PART, Compiler)
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(chosen)
    sys.exit(0 if unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful() else 1)
