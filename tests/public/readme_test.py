#!/usr/bin/env python3
"""The C++ example of the README is the program that is compiled here, and it works: readme_test.py EXAMPLE"""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXAMPLE = sys.argv.pop(1) if len(sys.argv) > 1 else ""


class ReadmeTest(unittest.TestCase):
    def run_in(self, folder: str):
        return subprocess.run([os.path.abspath(EXAMPLE)], cwd=folder, capture_output=True, text=True, check=False)

    def test_the_readme_shows_the_compiled_example(self):
        readme = (HERE / "../../README.md").read_text(encoding="utf-8")
        blocks = re.findall(r"```cpp\n(.*?)```", readme, re.S)
        self.assertEqual(blocks, [(HERE / "example.cpp").read_text(encoding="utf-8")])

    def test_without_a_model_the_example_says_so_in_one_line(self):
        with tempfile.TemporaryDirectory() as folder:
            run = self.run_in(folder)
        self.assertEqual((run.returncode, run.stdout), (1, ""))
        self.assertIn("model.gguf", run.stderr)
        self.assertEqual(run.stderr.count("\n"), 1)

    def test_with_a_model_the_example_tells_a_story(self):
        model = Path(os.environ.get("TROUPE_SHARED", "../shared"), "data/models/stories260K/stories260Ktok512.gguf")
        if not model.exists():
            self.skipTest(f"no test data at {model}")
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "model.gguf").symlink_to(model.resolve())
            run = self.run_in(folder)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertRegex(run.stdout, r"(?s)^, there was .*\n256 tokens\n$")


if __name__ == "__main__":
    unittest.main()
