# SPDX-License-Identifier: Apache-2.0
"""What the `openai` client makes of the server."""

import json
import sys

from .common import Server


def run(o, text, state):
    import openai

    server = Server(o, state, ["--kv-budget", str(o.budget)])
    c = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none")
    done = []

    def check(name, ok):
        done.append((name, bool(ok)))

    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello."}]
    check("models", len(c.models.list().data) == 1)
    a = c.completions.create(model="any", prompt="The sea was", max_tokens=8, temperature=0, logprobs=3)
    check("completion", a.usage.completion_tokens <= 8 and a.choices[0].finish_reason in ("length", "stop"))
    check("logprobs", len(a.choices[0].logprobs.tokens) == a.usage.completion_tokens)
    b = "".join(e.choices[0].text for e in c.completions.create(model="any", prompt="The sea was", max_tokens=8, temperature=0, stream=True))
    check("stream", b == a.choices[0].text)
    a = c.chat.completions.create(model="any", messages=messages, max_tokens=8, n=2, seed=1, logprobs=True, top_logprobs=2)
    b = c.chat.completions.create(model="any", messages=messages, max_tokens=8, n=2, seed=1)
    check("chat", [x.message.content for x in a.choices] == [x.message.content for x in b.choices])
    check("chat logprobs", all(len(t.top_logprobs) == 2 for t in a.choices[0].logprobs.content))
    events = list(c.chat.completions.create(model="any", messages=messages, max_tokens=8, stream=True, stream_options={"include_usage": True}))
    check("chat stream", events[0].choices[0].delta.role == "assistant" and events[-1].usage.total_tokens > 0)
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["n"], "additionalProperties": False}
    a = c.chat.completions.create(model="any", messages=messages, max_tokens=40, response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}})
    check("json_schema", 0 <= json.loads(a.choices[0].message.content)["n"] <= 9)
    check("stop", "e" not in c.completions.create(model="any", prompt="The sea", max_tokens=30, stop=["e"], seed=1).choices[0].text)
    for name, kind, call in (("bad request", openai.BadRequestError, lambda: c.completions.create(model="any", prompt="a", temperature=9)),
                             ("not found", openai.NotFoundError, lambda: c.embeddings.create(model="any", input="a"))):
        try:
            call()
            check(name, False)
        except kind as e:
            check(name, e.body["message"])
    server.stop()
    for name, ok in done:
        print(f"{'ok    ' if ok else 'FAILED'} {name}", file=sys.stderr)
    return {"check": "client", "passed": sum(ok for _, ok in done), "failed": [n for n, ok in done if not ok]}, all(ok for _, ok in done)
