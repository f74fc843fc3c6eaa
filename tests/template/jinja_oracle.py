#!/usr/bin/env python3
"""Holds the expected texts of these tests to Jinja2 itself, set up as Hugging Face does. Exit status 77, which
Meson counts as skipped, where the package jinja2 is not installed."""

import datetime
import json
import sys
from pathlib import Path

try:
    import jinja2
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    print("SKIPPED: no jinja2")
    sys.exit(77)

HERE = Path(__file__).resolve().parent


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def raise_exception(message):
    raise jinja2.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, "jinja2.ext.loopcontrols"])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = datetime.datetime(2024, 7, 26).strftime
    return env


def rendered(env, template, variables):
    """The text, or None when Jinja2 refuses."""
    try:
        return env.from_string(template).render(**variables)
    except Exception:  # of any kind: Python's own too
        return None


def main():
    env = environment()
    wrong = 0
    language = json.loads((HERE / "language_cases.json").read_text(encoding="utf-8"))
    for case in language["cases"]:
        text = rendered(env, case["template"], language["variables"])
        if text != case.get("expected"):
            wrong += 1
            print(f"{case['template']!r}\n  Jinja2:   {text!r}\n  expected: {case.get('expected')!r}")
    models = json.loads((HERE / "model_cases.json").read_text(encoding="utf-8"))
    for case in models["cases"]:
        variables = {"messages": models["conversations"][case["conversation"]],
                     "tools": models["tools"] if case["tools"] else None, "documents": None,
                     "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>", **case["variables"]}
        text = rendered(env, (HERE / "models" / case["template"]).read_text(encoding="utf-8"), variables)
        if text != case.get("expected"):
            wrong += 1
            print(f"{case['template']}, conversation {case['conversation']}\n  Jinja2:   {text!r}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
