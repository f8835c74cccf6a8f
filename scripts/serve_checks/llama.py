# SPDX-License-Identifier: Apache-2.0
"""llama.cpp's own server tests, those on the shape of OpenAI's interface: which pass, which fail, which don't apply and why.

Their tests are copied out of --llama-tests (tools/server/tests of a llama.cpp tree) and pointed at a server of ours
(DEBUG_EXTERNAL=1). Lines that hold what their model says, or a name of their own for what OpenAI has, are changed in the
copies, each as ADAPTED says. Needs the packages pytest, openai, requests, wget."""

import ast
import json
import os
import subprocess
import sys

from .common import Server, tenant

OTHER_API = "another interface than OpenAI's completions and chats"
NATIVE = "llama.cpp's own endpoint or fields, which OpenAI's interface doesn't have"
PROGRAM = "a flag or a part of llama-server, not the interface"

# Whole files that don't apply.
FILES = {
    "test_compat_anthropic.py": OTHER_API,
    "test_compat_gcp.py": OTHER_API,
    "test_compat_oai_responses.py": "OpenAI's responses: not offered",
    "test_embedding.py": "embeddings: not offered",
    "test_ignore_eos.py": NATIVE,
    "test_infill.py": NATIVE,
    "test_kv_keep_only_active.py": PROGRAM,
    "test_lora.py": "LoRA: not offered",
    "test_mcp_servers.py": PROGRAM,
    "test_metrics.py": "metrics under llama.cpp's names; ours are in docs/server.md",
    "test_proxy.py": PROGRAM,
    "test_rerank.py": "reranking: not offered",
    "test_router.py": "many models in one server: not offered",
    "test_sleep.py": PROGRAM,
    "test_slot_save.py": NATIVE,
    "test_speculative.py": PROGRAM,
    "test_stream.py": "many models in one server: not offered",
    "test_template.py": "llama.cpp's /apply-template",
    "test_tool_call.py": "tools: refused with 400",
    "test_tools_builtin.py": PROGRAM,
    "test_vision_api.py": "images: refused with 400",
}

# Tests, or with [...] one case of a test.
TESTS = {
    "test_basic.py": {
        "test_server_multiple_addresses": PROGRAM,
        "test_server_props": NATIVE,
        "test_server_slots": NATIVE,
        "test_load_split_model": PROGRAM,
        "test_no_ui": PROGRAM,
        "test_server_model_aliases_and_tags": PROGRAM,
    },
    "test_chat_completion.py": {
        "test_chat_completion_cached_tokens": "counts of their tokenizer and of a cache of single tokens",
        "test_chat_template": NATIVE,
        "test_chat_template_assistant_prefill": NATIVE,
        "test_chat_template_continue_final_message_vllm_compat": NATIVE,
        "test_chat_template_continue_final_message_mutual_exclusion": NATIVE,
        "test_apply_chat_template": NATIVE,
        "test_completion_with_response_format[response_format1-10-[ -3000 ]]": "items as an array, of JSON Schema before 2020-12: refused with 400",
        "test_invalid_chat_completion_req[messages7]": "two messages of the assistant at the end, which OpenAI takes, too",
        "test_chat_completion_with_timings_per_token": NATIVE,
        "test_return_progress": NATIVE,
        "test_chat_completions_token_count": NATIVE,
        "test_verbose_debug": NATIVE,
    },
    "test_completion.py": {
        name: "llama.cpp's /completion"
        for name in ("test_completion", "test_completion_stream", "test_completion_stream_vs_non_stream", "test_consistent_result_same_seed",
                     "test_different_result_different_seed", "test_consistent_result_different_batch_size", "test_cache_vs_nocache_prompt",
                     "test_nocache_long_input_prompt", "test_json_prompt_no_mtmd", "test_json_prompt_mtm_error_when_not_supported",
                     "test_completion_with_tokens_input", "test_completion_parallel_slots", "test_completion_unified", "test_completion_response_fields",
                     "test_n_probs", "test_n_probs_stream", "test_n_probs_post_sampling", "test_n_probs_post_backend_sampling", "test_logit_bias",
                     "test_cancel_request", "test_completion_prompt_cache")
    },
    "test_ctx_shift.py": {
        "test_ctx_shift_enabled": "llama.cpp's /completion",
        "test_ctx_shift_disabled_short_prompt": "llama.cpp's /completion",
        "test_ctx_shift_disabled_long_prompt": "llama.cpp's /completion",
    },
    "test_security.py": {
        "test_access_static_assets_without_api_key": "files of llama.cpp's page; ours is at /, without a key, too",
        "test_correct_api_key_anthropic_header": OTHER_API,
        "test_cors_options": "pages of other origins may not use the server: no CORS",
        "test_cors_origins_localhost_reflects": PROGRAM,
        "test_cors_origins_localhost_rejects": PROGRAM,
        "test_cors_origins_defaults_to_localhost_with_tools_enabled": PROGRAM,
        "test_cors_proxy_only_forwards_explicit_proxy_headers": PROGRAM,
        "test_local_media_file[../../../tools-file://mtmd/test-1.jpeg-True]": "images: refused with 400",
        "test_local_media_file[../../../tools-file:////mtmd//test-1.jpeg-True]": "images: refused with 400",
    },
    "test_tokenize.py": {},
}

# (file, what is there, what it becomes, why). Each must be found.
THEIR_MODEL = "what their model says, or how many tokens it takes"
THEIR_NAME = "llama.cpp's own value of what OpenAI has otherwise"
ADAPTED = [
    ("test_chat_completion.py", '["prompt_tokens"] == n_prompt', '["prompt_tokens"] > 0', THEIR_MODEL),
    ("test_chat_completion.py", '["completion_tokens"] == n_predicted', '["completion_tokens"] <= n_predicted', THEIR_MODEL),
    ("test_chat_completion.py", '["finish_reason"] == finish_reason', '["finish_reason"] in ("stop", "length")', THEIR_MODEL),
    ("test_chat_completion.py", '["finish_reason"] == "length"', '["finish_reason"] in ("stop", "length")', THEIR_MODEL),
    ("test_chat_completion.py", '.finish_reason == "length"', '.finish_reason in ("stop", "length")', THEIR_MODEL),
    ("test_chat_completion.py", '.startswith("b")', '.startswith("mqa-")', THEIR_NAME),
    ("test_chat_completion.py", '["content"] is None', '["content"] == ""', "OpenAI's first event has an empty text, llama.cpp's null"),
    ("test_chat_completion.py", 'choice.delta.content is None', 'choice.delta.content == ""', "OpenAI's first event has an empty text, llama.cpp's null"),
    ("test_chat_completion.py", '"llama-test-model"', 'server.model_alias', "the model's name"),
    ("test_chat_completion.py", '["type"] == "exceed_context_size_error"', '["code"] == "context_length_exceeded"', THEIR_NAME),
    ("test_chat_completion.py", '["n_prompt_tokens"] > 0', '["message"]', THEIR_NAME),
    ("test_chat_completion.py", 'res.body["error"]["n_ctx"] == server.n_ctx // server.n_slots', 'True', THEIR_NAME),
    ("test_chat_completion.py", 'e.body["error"]["n_ctx"] == server.n_ctx // server.n_slots', 'True', THEIR_NAME),
    ("test_chat_completion.py", '({"type": "sound"}, 0, None)', '({"type": "sound"}, 8, None)', "0 tokens are refused by themselves"),
    ("test_chat_completion.py", '"schema": 123}, 0, None)', '"schema": 123}, 8, None)', "0 tokens are refused by themselves"),
    ("test_chat_completion.py", '"schema": {"type": 123}}, 0, None)', '"schema": {"type": 123}}, 8, None)', "0 tokens are refused by themselves"),
    ("test_chat_completion.py", '"schema": {"type": "hiccup"}}, 0, None)', '"schema": {"type": "hiccup"}}, 8, None)', "0 tokens are refused by themselves"),
    ("test_chat_completion.py", '"foooooo"}}}, 10', '"foooooo"}}}, 20', THEIR_MODEL),
    ("test_completion.py", '.startswith("b")', '.startswith("mqa-")', THEIR_NAME),
    ("test_completion.py", '.finish_reason == "length"', '.finish_reason in ("stop", "length")', THEIR_MODEL),
    ("test_ctx_shift.py", '"n_predict": 256,\n        "prompt": "Once"', '"max_tokens": 256, "ignore_eos": True,\n        "prompt": "Once"', "llama.cpp's own name; " + THEIR_MODEL),
    ("test_security.py", '"sk-this-is-the-secret-key"', 'os.environ["MQA_KEY"]', "our keys are made by us"),
    ("test_security.py", '["type"] == "authentication_error"', '["code"] == "invalid_api_key"', THEIR_NAME),
    ("test_security.py", '"content" in res.body', '"choices" in res.body', "llama.cpp's completions without /v1 are its own"),
    ("test_security.py", '    server = ServerPreset.tinygemma3()\n    server.media_path = media_path\n    server.start()\n',
     '    server = ServerPreset.tinygemma3()\n    server.start()\n    session = requests.Session()\n    session.headers["Authorization"] = f"Bearer {TEST_API_KEY}"\n'
     '    requests.post = session.post\n', "a server with keys"),
    ("test_tokenize.py", 'bosId = 1\n', 'bosId = int(os.environ["MQA_BOS"])\n', THEIR_MODEL),
]

# In place of theirs. What the text is, is their model's, but where a grammar decides it.
CONFTEST = '''
import json, os
import pytest, utils

not_these = json.loads(os.environ["MQA_NOT_THESE"])
by_grammar = ("response_format", "json_schema", "grammar")
match, here, results = utils.match_regex, {"name": ""}, {}

def match_regex(regex, text):
    return match(regex, text) if any(word in here["name"] for word in by_grammar) else isinstance(text, str)

def preset():
    server = utils.ServerProcess()
    server.model_alias, server.n_ctx, server.n_slots, server.n_predict, server.seed = os.environ["MQA_NAME"], 512, 2, 64, 42
    return server

utils.match_regex = match_regex
for name in [n for n in vars(utils.ServerPreset) if not n.startswith("_")]:
    setattr(utils.ServerPreset, name, staticmethod(preset))

def pytest_collection_modifyitems(items):
    items[:] = [i for i in items if i.name not in not_these and i.originalname not in not_these]

def pytest_runtest_setup(item):
    here["name"] = item.name

def pytest_runtest_logreport(report):
    if report.when == "call" or not report.passed:
        at = "{}::{}".format(os.path.basename(report.location[0]), report.location[2])
        results[at] = [report.outcome, str(report.longrepr)[-1500:] if report.failed else ""]

def pytest_sessionfinish():
    with open(os.environ["MQA_RESULTS"], "w") as f:
        json.dump(results, f)
'''


def functions(path):
    with open(path) as f:
        return [n.name for n in ast.parse(f.read()).body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) and n.name.startswith("test_")]


def copy_out(source, folder):
    """The applicable files, adapted, with reasons for tests that are in none of the lists: there must be no such."""
    os.makedirs(os.path.join(folder, "unit"))
    for name in ["utils.py"] + ["unit/" + n for n in TESTS]:
        with open(os.path.join(source, name)) as f:
            text = f.read()
        for file, old, new, _ in ADAPTED:
            if name.endswith(file):
                if old not in text:
                    sys.exit(f"check-serve: llama: {file} has no {old!r} any more: renew ADAPTED")
                text = text.replace(old, new)
        with open(os.path.join(folder, name), "w") as f:
            f.write(text)
    with open(os.path.join(folder, "conftest.py"), "w") as f:
        f.write(CONFTEST)


def run_file(folder, name, server, model_name, key, bos):
    results = os.path.join(folder, name + ".json")
    env = dict(os.environ, DEBUG_EXTERNAL="1", PORT=str(server.port), MQA_NAME=model_name, MQA_KEY=key, MQA_BOS=str(bos), MQA_RESULTS=results,
               MQA_NOT_THESE=json.dumps(list(TESTS[name])))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "unit/" + name]
    subprocess.run(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if not os.path.exists(results):
        sys.exit(f"check-serve: llama: pytest didn't run {name}: are pytest, openai, requests and wget there?")
    with open(results) as f:
        return json.load(f)


def run(o, text, state):
    if not o.llama_tests:
        sys.exit("check-serve: llama: where are the tests? --llama-tests LLAMA/tools/server/tests")
    unit = os.path.join(o.llama_tests, "unit")
    apply_not = {}
    for name in sorted(os.listdir(unit)):
        if name in FILES:
            apply_not.update({f"{name}::{test}": FILES[name] for test in functions(os.path.join(unit, name))})
        elif name in TESTS:
            apply_not.update({f"{name}::{test}": why for test, why in TESTS[name].items()})
        elif name.startswith("test_") and name.endswith(".py"):
            sys.exit(f"check-serve: llama: {name} is in none of the lists")
    folder = os.path.join(os.path.dirname(state), "llama")
    copy_out(o.llama_tests, folder)
    flags = ["-c", "256", "--kv-budget", str(o.budget)]
    key = tenant(o, state + "-keys", "llama")
    open_server, key_server = Server(o, state, flags), Server(o, state + "-keys", flags)
    model_name = json.loads(open_server.ask("/v1/models")[1])["data"][0]["id"]
    with_bos, without = (json.loads(open_server.ask("/tokenize", {"content": "a", "add_special": special})[1])["tokens"] for special in (True, False))
    bos = with_bos[0] if with_bos[1:] == without else -1
    if bos < 0:
        TESTS["test_tokenize.py"]["test_tokenize_with_bos"] = apply_not["test_tokenize.py::test_tokenize_with_bos"] = "this model's texts begin with no token of their own"
    results = {}
    for name in TESTS:
        results.update(run_file(folder, name, key_server if name == "test_security.py" else open_server, model_name, key, bos))
    alive = all(server.ask("/health")[0] == 200 for server in (open_server, key_server))
    open_server.stop()
    key_server.stop()
    failed = {name: why for name, (outcome, why) in results.items() if outcome != "passed"}
    for name in sorted(results):
        print("FAILED" if name in failed else "passed", name, file=sys.stderr)
    for name, why in sorted(apply_not.items()):
        print(f"not applicable: {name}: {why}", file=sys.stderr)
    for name, why in failed.items():
        print(f"\n---- {name}\n{why}", file=sys.stderr)
    report = {"check": "llama", "passed": len(results) - len(failed), "failed": sorted(failed), "not_applicable": len(apply_not)}
    return report, not failed and alive and len(results) > 0
