"""Renders conversations by Hugging Face's own template machinery and writes what came out.

usage: templates.py CACHE_DIR BUILTIN_DIR OUT_DIR

CACHE_DIR holds the two GGUF models and templates/*.jinja (see README.md); BUILTIN_DIR is src/chat/builtin.
One file of cases is written for each template: what the test needs to render it, and the text or the refusal.
"""

import datetime
import json
import pathlib
import sys

import gguf
import transformers.utils.chat_template_utils as hf

NOW = 1753660800  # 2025-07-28 00:00:00 UTC

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place, now & <soon>. It's in \"°C\".",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "City, e.g. Zürich"},
                "days": {"type": "integer", "minimum": 1, "default": 3},
                "units": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "scale": {"type": "number", "default": 1.0},
            },
            "required": ["place"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "clock", "description": "The time.", "parameters": {"type": "object", "properties": {}}},
}

def m(role, content, **more):
    return {"role": role, "content": content, **more}

def call(arguments, id="abcde1234"):
    return {"id": id, "type": "function", "function": {"name": "get_weather", "arguments": arguments}}

PLAIN = [m("user", "Hello, who are you?")]
TURNS = [
    m("system", "You are terse. "),
    m("user", "  What is 2 + 2?\n"),
    m("assistant", "4. "),
    m("user", "And <b>times</b> \"3\" & 'half'?"),
]
DONE = [m("user", "Say hi"), m("assistant", "Hi!")]
UNICODE = [m("user", "Grüße 👩‍👩‍👧‍👦 — 日本語\tעברית\u200b \\n {{ not }} {% a %} \u00a0end\u00a0"), m("assistant", "żółć\n"), m("user", "…")]
THINK = [m("user", "2+2?"), m("assistant", "<think>\nadd\n</think>\n\n4"), m("user", "sure?")]
TOOLS = [
    m("system", "Use tools."),
    m("user", "Weather in Zürich?"),
    m("assistant", "", tool_calls=[call({"place": "Zürich", "days": 2, "scale": 0.5, "raw": None, "ok": True})]),
    m("tool", '{"temp": 21, "sky": "<clear>"}', name="get_weather", tool_call_id="abcde1234"),
    m("assistant", "21 °C and clear."),
    m("user", "Thanks"),
]
NULL_CONTENT = [TOOLS[1], {**TOOLS[2], "content": None}, TOOLS[3]]
STRING_ARGUMENTS = [TOOLS[1], m("assistant", None, tool_calls=[call('{"place": "Zürich"}')]), TOOLS[3]]
TWICE = [m("user", "a"), m("user", "b")]
LATE_SYSTEM = [m("user", "a"), m("assistant", "b"), m("system", "c"), m("user", "d")]
ODD_ROLE = [m("wizard", "abracadabra")]
PARTS = [m("user", [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}])]
DOCUMENTS = [{"title": "Nestling", "text": "A young bird."}, {"title": "Nest", "text": "A “home”."}]

CASES = {
    "plain": dict(messages=PLAIN, add_generation_prompt=True),
    "plain-no-prompt": dict(messages=PLAIN),
    "turns": dict(messages=TURNS, add_generation_prompt=True),
    "turns-no-system": dict(messages=TURNS[1:], add_generation_prompt=True),
    "done": dict(messages=DONE),
    "unicode": dict(messages=UNICODE, add_generation_prompt=True),
    "think": dict(messages=THINK, add_generation_prompt=True),
    "thinking-off": dict(messages=TURNS, add_generation_prompt=True, variables={"enable_thinking": False, "thinking": False}),
    "thinking-on": dict(messages=TURNS, add_generation_prompt=True, variables={"enable_thinking": True, "thinking": True}),
    "date": dict(messages=TURNS, add_generation_prompt=True, variables={"date_string": "01 Jan 2030"}),
    "no-special-tokens": dict(messages=TURNS, add_generation_prompt=True, bos_token=None, eos_token=None),
    "tools-offered": dict(messages=PLAIN, tools=[WEATHER, CLOCK], add_generation_prompt=True),
    "tools": dict(messages=TOOLS, tools=[WEATHER, CLOCK], add_generation_prompt=True),
    "tools-in-user-turn": dict(messages=TOOLS[1:4], tools=[WEATHER], add_generation_prompt=True, variables={"tools_in_user_message": False}),
    "tools-null-content": dict(messages=NULL_CONTENT, tools=[WEATHER]),
    "tools-string-arguments": dict(messages=STRING_ARGUMENTS, tools=[WEATHER], add_generation_prompt=True),
    "documents": dict(messages=PLAIN, documents=DOCUMENTS, add_generation_prompt=True),
    "same-role-twice": dict(messages=TWICE, add_generation_prompt=True),
    "late-system": dict(messages=LATE_SYSTEM),
    "odd-role": dict(messages=ODD_ROLE, add_generation_prompt=True),
    "system-only": dict(messages=[m("system", "s")], add_generation_prompt=True),
    "empty": dict(messages=[], add_generation_prompt=True),
}

BUILTIN_TOKENS = {
    "deepseek": ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "gemma": ("<bos>", "<eos>"),
    "command-r": ("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>"),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>"),
}


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc)


hf.datetime = Clock


def run(template, case):
    case = dict(case)
    variables = {**case.pop("tokens"), **case.pop("variables", {})}
    try:
        rendered, spans = hf.render_jinja_template(
            [case.pop("messages")],
            chat_template=template,
            return_assistant_tokens_mask="{% generation %}" in template or "generation %}" in template,
            **case,
            **variables,
        )
        result = {"text": rendered[0]}
        # Spans are in characters.
        if spans:
            result["generated"] = [list(span) for span in spans[0]]
        return result
    except Exception as error:  # a refusal is a result too
        return {"error": type(error).__name__, "message": str(error)}


def write(out, kind, name, template, tokens):
    cases = []
    for case_name, case in CASES.items():
        case = dict(case)
        bos, eos = case.pop("bos_token", tokens[0]), case.pop("eos_token", tokens[1])
        special = {k: v for k, v in (("bos_token", bos), ("eos_token", eos)) if v is not None}
        result = run(template, {**case, "tokens": special})
        cases.append({"case": case_name, **special, **result})
    text = json.dumps({"template": name, "kind": kind, "cases": cases}, ensure_ascii=False, indent=1)
    (out / f"{kind}-{name}.json").write_text(text + "\n", encoding="utf-8")
    print(kind, name, sum("text" in c for c in cases), "texts,", sum("error" in c for c in cases), "errors")


def main():
    cache, builtin, out = map(pathlib.Path, sys.argv[1:4])
    out.mkdir(exist_ok=True)
    inputs = {"now": NOW, "cases": {name: {k: v for k, v in case.items() if not k.endswith("_token")} for name, case in CASES.items()}}
    (out / "cases.json").write_text(json.dumps(inputs, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    for path in sorted(builtin.glob("*.jinja")):
        tokens = BUILTIN_TOKENS.get(path.stem, ("<s>", "</s>"))
        write(out, "builtin", path.stem, path.read_text(encoding="utf-8"), tokens)
    for path in sorted((cache / "templates").glob("*.jinja")):
        write(out, "real", path.stem, path.read_text(encoding="utf-8"), ("<s>", "</s>"))
    for path in sorted(cache.glob("*.gguf")):
        fields = gguf.GGUFReader(path).fields
        if "tokenizer.chat_template" not in fields or "F32" in path.name:
            continue
        words = fields["tokenizer.ggml.tokens"].contents()
        tokens = [words[fields[f"tokenizer.ggml.{name}_token_id"].contents()] for name in ("bos", "eos")]
        write(out, "gguf", path.stem, fields["tokenizer.chat_template"].contents(), tokens)


main()
