#!/usr/bin/env python3
"""troupe template, and the chat templates of chat and generate."""

import json
import os
import tempfile
import unittest
from pathlib import Path

from program import MODEL, main, needs_model, run

needs_chat = unittest.skipIf(os.environ.get("TROUPE_CHAT") == "0", "built without troupe chat")

TURNS = ("{{ bos_token }}{% for m in messages %}\n<|{{ m.role }}|>{{ m.content }}{{ eos_token }}\n{% endfor %}\n"
         "{% if tools %}{{ tools | tojson }}{% endif %}{% if add_generation_prompt %}<|assistant|>{% endif %}\n")
TALK = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hé <|user|>\n"}]


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.template = self.file("turns.jinja", TURNS)
        self.talk = self.file("talk.json", json.dumps(TALK))

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        Path(path).write_text(text, encoding="utf-8")
        return path

    def prompt(self, *arguments, status=0, **options):
        done = run("template", *arguments, **options)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout.decode() if status == 0 else done.stderr.decode()


class Template(Files):
    def alone(self, *arguments, **options):
        return self.prompt("--chat-template", self.template, *arguments, **options)

    def test_the_prompt_is_printed_exactly(self):
        self.assertEqual(self.alone("--messages", self.talk),
                         "<|system|>Be kind.\n<|user|>Hé <|user|>\n\n<|assistant|>")

    def test_options_are_variables(self):
        tools = self.file("tools.json", '[{"name": "f", "n": 1.0}]')
        text = self.alone("--messages", self.talk, "--tools", tools, "--no-generation-prompt",
                          "--set", 'bos_token="<s>"', "--set", 'eos_token="</s>"')
        self.assertEqual(text, '<s><|system|>Be kind.</s>\n<|user|>Hé <|user|>\n</s>\n[{"name": "f", "n": 1.0}]')

    def test_an_object_of_messages_brings_tools_and_variables(self):
        talk = {"messages": TALK[1:], "tools": [1], "add_generation_prompt": False, "bos_token": "<b>"}
        path = self.file("object.json", json.dumps(talk))
        self.assertEqual(self.alone("--messages", path), "<b><|user|>Hé <|user|>\n\n[1]")
        self.assertEqual(self.alone("--messages", path, "--set", "tools=[2]", "--set", "add_generation_prompt=true"),
                         "<b><|user|>Hé <|user|>\n\n[2]<|assistant|>")

    def test_messages_come_from_standard_input_too(self):
        self.assertEqual(self.alone("--messages", "-", stdin=b"[]"), "<|assistant|>")

    def test_the_day_can_be_told(self):
        path = self.file("day.jinja", "{{ strftime_now('%d %b %Y, %A') }}")
        self.assertEqual(self.prompt("--chat-template", path, "--messages", self.talk, "--now", "2024-02-29"),
                         "29 Feb 2024, Thursday")

    def test_wrong_command_lines_are_usage_errors(self):
        self.assertIn("--messages", self.alone(status=2))
        for arguments, part in ((("--set", "x"), "NAME=JSON"), (("--set", "x=<s>"), "needs quotes"),
                                (("--now", "2024-02-30"), "YYYY-MM-DD"), (("--now", "today"), "YYYY-MM-DD")):
            self.assertIn(part, self.alone("--messages", self.talk, *arguments, status=2))

    def test_errors_name_the_file_and_the_line(self):
        for text, part in (("{", "not JSON"), ("1", "not a JSON array"), ("{}", '"messages"')):
            self.assertIn(part, self.alone("--messages", self.file("bad.json", text), status=1))
        self.assertIn("not a JSON array", self.alone("--messages", self.talk, "--tools",
                                                     self.file("tools.json", "{}"), status=1))
        broken = self.file("broken.jinja", "a\n{% if %}")
        message = self.prompt("--chat-template", broken, "--messages", self.talk, status=1)
        self.assertRegex(message, r"^troupe: '.*broken.jinja': the chat template, line 2: .*\n$")
        refusing = self.file("refusing.jinja", "\n\n{{ raise_exception('Only\\nme') }}")
        self.assertIn("line 3: the template says: Only\\nme\n",
                      self.prompt("--chat-template", refusing, "--messages", self.talk, status=1))

    def test_a_template_without_end_ends(self):
        path = self.file("endless.jinja", "{% set l = range(9999) %}{% for a in l %}\n{% for b in l %}{% endfor %}{% endfor %}")
        self.assertRegex(self.prompt("--chat-template", path, "--messages", self.talk, status=1), r"line [12]: .*steps")

    def test_a_model_without_a_template_needs_one(self):
        message = self.prompt("--messages", self.talk, status=1)
        self.assertIn("the bundled model has no chat template", message)
        self.assertIn("--chat-template FILE", message)

    @needs_model
    def test_tokens_are_those_of_the_model(self):
        self.assertIn("no chat template", self.prompt(MODEL, "--messages", self.talk, status=1))
        text = self.prompt(MODEL, "--chat-template", self.template, "--messages", self.talk)
        self.assertTrue(text.startswith("<s><|system|>Be kind.</s>"), text)


@needs_model
class Answers(Files):
    GREEDY = ("--temperature", "0", "-n", "12", "--ignore-eos")

    def generate(self, *arguments, status=0):
        done = run("generate", MODEL, *self.GREEDY, *arguments)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout.decode() if status == 0 else done.stderr.decode()

    @needs_chat
    def test_chat_sends_the_whole_conversation_through_the_template(self):
        # All of it plain text in this vocabulary but <s>, which the vocabulary adds anyway.
        template = self.file("plain.jinja", "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}. "
                                            "{% endfor %}assistant: ")
        done = run("chat", MODEL, *self.GREEDY, "--chat-template", template, "--system", "Be kind",
                   stdin=b"Once\nThen\n/show\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"the model's chat template", done.stderr)
        first = self.generate("-p", "system: Be kind. user: Once. assistant: ")
        self.assertTrue(done.stdout.decode().startswith(first))
        answer = json.loads(self.generate("--json", "-p", "system: Be kind. user: Once. assistant: "))["text"]
        second = self.generate("-p", f"system: Be kind. user: Once. assistant: {answer}. user: Then. assistant: ")
        self.assertEqual(done.stdout.decode(), first + second)

    def test_generate_puts_prompts_through_the_template_when_asked(self):
        template = self.file("plain.jinja", "{% for m in messages %}{{ m.role }}: {{ m.content }}. {% endfor %}")
        plain = self.generate("-p", "system: Be kind. user: Once. ")
        self.assertEqual(self.generate("-p", "Once", "--chat", "--system", "Be kind", "--chat-template", template), plain)
        for prompts in (("-p", "Once"), ("-p", "Once", "-p", "One"), ("-p", "Once", "--json")):
            self.assertRegex(self.generate(*prompts, "--chat", status=1),
                             r"^troupe: '.*' has no chat template.*--chat-template FILE\n$")
        self.assertIn("--chat", self.generate("-p", "Once", "--system", "x", status=2))

    @needs_chat
    def test_a_template_that_does_not_parse_is_told_before_the_first_message(self):
        broken = self.file("broken.jinja", "{% if %}")
        done = run("chat", MODEL, "--chat-template", broken, stdin=b"Once\n")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"the chat template, line 1", done.stderr)

    def test_a_template_that_does_not_parse_is_blamed_on_its_file(self):
        broken = self.file("broken.jinja", "{% if %}")
        for command in (("generate", MODEL, "--chat", "-p", "Once", "-p", "One"),
                        ("template", MODEL, "--messages", self.talk)):
            done = run(*command, "--chat-template", broken)
            self.assertEqual((done.returncode, done.stdout), (1, b""))
            self.assertRegex(done.stderr.decode(), r"^troupe: '[^']*broken.jinja': the chat template, line 1: .*\n$")

    @needs_chat
    def test_what_the_template_refuses_is_said_and_the_conversation_goes_on(self):
        strict = self.file("strict.jinja", "{% if messages[0].role == 'system' %}{{ raise_exception('No system text') }}"
                                           "{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}")
        done = run("chat", MODEL, *self.GREEDY, "--chat-template", strict, "--system", "x",
                   stdin=b"Once\n/system off\nOnce\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"the template says: No system text", done.stderr)
        self.assertEqual(done.stdout.decode(), self.generate("-p", "Once"))


if __name__ == "__main__":
    main()
