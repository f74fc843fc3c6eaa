#!/usr/bin/env python3
"""Tests of layering.py: a small tree that keeps every rule, then one violation of each kind in it."""

import io
import tempfile
import unittest
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

import layering

GOOD = {
    "include/troupe/error.hpp": "#pragma once\n#include <string>\n",
    "include/troupe/engine.hpp": '#pragma once\n#include <vector>\n#include "troupe/error.hpp"\n',
    "include/troupe/actors.hpp": "#pragma once\n#include <caf/typed_actor.hpp>\n",
    "include/troupe/asio.hpp": "#pragma once\n#include <boost/asio/async_result.hpp>\n",
    "src/base/check.hpp": "#pragma once\n#include <cstdio>\n",
    "src/formats/gguf.hpp": '#pragma once\n#include "base/check.hpp"\n#include "troupe/error.hpp"\n',
    "src/formats/gguf.cpp": '#include "formats/gguf.hpp"\n#include <spdlog/spdlog.h>\n',
    "src/model/model.cpp": '#include "formats/gguf.hpp"\n#include "kernels/matmul.hpp"\n',
    "src/edge/server.hpp": '#pragma once\n#include "troupe/engine.hpp"\n',
    "src/edge/server.cpp": '#include "edge/server.hpp"\n#include <boost/asio.hpp>\n#include <boost/json.hpp>\n',
    "kernels/matmul.hpp": "#pragma once\n#include <cstddef>\n",
    "kernels/matmul-inl.hpp": "#if defined(A) == defined(HWY_TARGET_TOGGLE)\n#include <hwy/highway.h>\n#endif\n",
    "kernels/matmul.cpp": '#include "kernels/matmul.hpp"\n#include "hwy/foreach_target.h"\n#include "kernels/matmul-inl.hpp"\n',
    "kernels/reference/matmul.hpp": "#pragma once\n",
    "kernels/reference/matmul.cpp": '#include "kernels/reference/matmul.hpp"\n',
    "actors/router.hpp": "#pragma once\n#include <caf/actor.hpp>\n",
    "actors/router.cpp": '#include "actors/router.hpp"\n#include <caf/all.hpp>\n#include "troupe/engine.hpp"\n',
    "tools/main.cpp": '#include "troupe/engine.hpp"\nint main() {}\n',
    "tests/kernels/matmul_test.cpp": '#include "kernels/reference/matmul.hpp"\n#include "../support/catch.hpp"\n'
                                     'TEST_CASE("one row equals the row in a batch", "[kernels]") {}\n',
    "tests/tools/chat_test.cpp": '#include "support/catch.hpp"\n',
    "tests/support/catch.hpp": "#pragma once\n#include <catch2/catch.hpp>\n",
    "README.md": "A file `../shared/data`, a URL https://host/home/x and /usr/include are fine.\n",
}


def violations(changes: "dict[str, str]"):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path, text in {**GOOD, **changes}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        return layering.Tree(root).check()


class LayeringTest(unittest.TestCase):
    def test_a_tree_that_keeps_the_rules_has_no_violation(self):
        self.assertEqual(violations({}), [])

    def expect(self, path: str, text: str, line: int, part: str, report_path: "str | None" = None):
        """`text` at `path` gives one violation, in that file and line, whose message contains `part`."""
        found = violations({path: text})
        self.assertEqual([(p, n) for p, n, _ in found], [(report_path or path, line)], found)
        self.assertIn(part, found[0][2])

    def test_include_of_a_room_to_the_right(self):
        self.expect("src/base/check.hpp", '#pragma once\n\n#include "formats/gguf.hpp"\n', 3, "to its right")
        self.expect("actors/router.cpp", '#include "edge/server.hpp"\n', 1, "to its right")
        self.expect("kernels/a.cpp", '#include "../actors/router.hpp"\n', 1, "to its right")

    def test_include_of_the_room_beside(self):
        self.expect("src/formats/gguf.cpp", '#include "kernels/matmul.hpp"\n', 1, "beside")
        self.expect("kernels/a.cpp", '#include "formats/gguf.hpp"\n', 1, "beside")

    def test_include_of_a_public_header_of_a_room_to_the_right(self):
        self.expect("src/model/model.cpp", '#include "troupe/engine.hpp"\n', 1, "belongs to actors")
        self.expect("src/model/model.cpp", "#include <troupe/engine.hpp>\n", 1, "belongs to actors")
        self.expect("src/engine/engine.cpp", '#include "troupe/asio.hpp"\n', 1, "belongs to src/edge")

    def test_public_header_without_a_place(self):
        found = violations({"include/troupe/new.hpp": "#pragma once\n", "tools/main.cpp": '#include "troupe/new.hpp"\n'})
        self.assertEqual([(p, n) for p, n, _ in found], [("tools/main.cpp", 1)])
        self.assertIn("PUBLIC", found[0][2])

    def test_public_header_with_more_than_std(self):
        for line in ('"base/check.hpp"', "<spdlog/spdlog.h>", "<boost/json.hpp>"):
            self.expect("include/troupe/engine.hpp", f"#pragma once\n#include {line}\n", 2, "an embedder has only")

    def test_library_outside_its_room(self):
        self.expect("src/model/model.cpp", "#include <caf/actor.hpp>\n", 1, "CAF belongs only in")
        self.expect("tools/main.cpp", "#include <boost/asio/io_context.hpp>\n", 1, "Asio belongs only in")
        self.expect("src/engine/engine.cpp", "#include <boost/beast.hpp>\n", 1, "Asio belongs only in")
        self.expect("src/model/model.cpp", '#include "hwy/highway.h"\n', 1, "Highway belongs only in")
        self.expect("tests/model/model_test.cpp", "#include <caf/all.hpp>\n", 1, "CAF belongs only in")

    def test_heavy_header_in_a_header(self):
        self.expect("actors/router.hpp", "#pragma once\n#include <caf/all.hpp>\n", 2, "too heavy")
        self.expect("tests/actors/world.hpp", "#pragma once\n#include <caf/all.hpp>\n", 2, "too heavy")
        self.assertEqual(violations({"tests/actors/world.hpp": "#pragma once\n#include <caf/scoped_actor.hpp>\n"}), [])
        self.expect("include/troupe/actors.hpp", "#pragma once\n#include <caf/io/all.hpp>\n", 2, "too heavy")
        self.expect("src/engine/parts.hpp", "#pragma once\n#include <caf/actor.hpp>\n", 2, "free of CAF")
        self.expect("src/edge/server.hpp", "#pragma once\n#include <boost/asio.hpp>\n", 2, "too heavy")
        self.expect("kernels/matmul.hpp", "#pragma once\n#include <hwy/highway.h>\n", 2, "too heavy")

    def test_reference_and_tests_used_by_the_product(self):
        self.expect("kernels/a.cpp", '#include "kernels/reference/matmul.hpp"\n', 1, "tests only")
        self.expect("kernels/a.cpp", '#include "../tests/support/catch.hpp"\n', 1, "only tests include tests")

    def test_inl_header_outside_the_kernels(self):
        self.expect("src/model/model.cpp", '#include "kernels/matmul-inl.hpp"\n', 1, "once per target")

    def test_include_that_is_no_file(self):
        self.expect("src/model/model.cpp", '#include "model/absent.hpp"\n', 1, "no file of this tree")
        self.expect("src/model/model.cpp", '#include "support/catch.hpp"\n', 1, "no file of this tree")
        self.expect("src/model/model.cpp", "#include <troupe/absent.hpp>\n", 1, "does not exist")
        self.expect("src/model/model.cpp", "#include <formats/gguf.hpp>\n", 1, "in quotes")

    def test_file_outside_every_room(self):
        self.expect("src/misc/a.cpp", "\n", 1, "lies in no room")
        found = violations({"src/stray.hpp": "#pragma once\n", "tools/main.cpp": '#include "stray.hpp"\n'})
        self.assertEqual([(p, n) for p, n, _ in found], [("src/stray.hpp", 1), ("tools/main.cpp", 1)])

    def test_file_that_is_too_long(self):
        long = "\n" * 401
        self.expect("actors/router.cpp", long, 401, "401 lines")
        self.assertEqual(violations({"tests/a.cpp": long}), [])
        reason = "# comment\nactors/router.cpp: the whole protocol on one page\n"
        self.assertEqual(violations({"actors/router.cpp": long, layering.ALLOW_LIST: reason}), [])

    def test_exception_without_a_reason_or_a_need(self):
        found = violations({"actors/router.cpp": "\n" * 401, layering.ALLOW_LIST: "actors/router.cpp:\n"})
        self.assertEqual([(p, n) for p, n, _ in found], [(layering.ALLOW_LIST, 1)])
        self.assertIn("needs a reason", found[0][2])
        line = "\n{}: one page on purpose\n"
        self.expect(layering.ALLOW_LIST, line.format("actors/router.cpp"), 2, "needs no exception")
        self.expect(layering.ALLOW_LIST, line.format("actors/gone.cpp"), 2, "does not exist")

    def test_header_without_pragma_once(self):
        self.expect("src/base/check.hpp", "#include <cstdio>\n", 1, "#pragma once")
        self.expect("kernels/matmul-inl.hpp", "#include <hwy/highway.h>\n", 1, "#pragma once")

    def test_work_notes(self):
        for word in ("TO" "DO", "FIX" "ME"):
            self.expect("src/model/model.cpp", f"\n// {word} later\n", 2, word)
            self.expect("meson.build", f"# {word}: later\n", 1, word)

    def test_paths_of_a_machine(self):
        self.expect("tools/a.sh", "\ncd /ho" "me/someone/x\n", 2, "path of someone's machine")
        self.expect("README.md", "see `/wo" "rk/x`\n", 1, "path of someone's machine")
        self.expect("tests/a_test.cpp", 'auto p = "/wo' 'rk/x";\n', 1, "path of someone's machine")

    def test_test_name_that_is_no_sentence(self):
        self.expect("tests/base/a_test.cpp", '\nTEST_CASE("Matmul", "[kernels]") {}\n', 2, "not a sentence")
        self.expect("tests/base/a_test.cpp", 'TEST_CASE_METHOD(Fixture,\n  "Matmul") {}\n', 1, "not a sentence")

    def test_prints_file_line_and_message_and_fails(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "kernels").mkdir()
            Path(folder, "kernels/a.hpp").write_text("\n", encoding="utf-8")
            output = io.StringIO()
            with mock.patch("sys.argv", ["layering.py", folder]), redirect_stdout(output):
                self.assertEqual(layering.main(), 1)
            self.assertEqual(output.getvalue(), "kernels/a.hpp:1: header without #pragma once\n")


if __name__ == "__main__":
    unittest.main()
