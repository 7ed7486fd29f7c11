"""Drives `./polyphon serve` as users do: the openai client, the Triton client, aiperf, a disconnect, a load, and Ctrl-C. Run by .ci/e2e, from the repository's root."""

import asyncio
import contextlib
import json
import os
import pathlib
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import aiohttp
import numpy
import openai
from safetensors.numpy import save_file

import e2e_cli
import e2e_console
import e2e_kserve
import e2e_kubernetes
import e2e_load
import e2e_prometheus
import e2e_tenants
import e2e_traces
from e2e_common import equal, expect

BUNDLED = pathlib.Path("configs/adapters")
EXPECTED = pathlib.Path("clients/train/expected.json")
READY_SECONDS = float(os.environ.get("E2E_READY_SECONDS", "300"))  # a first start builds and downloads
PROMPT = "The best thing about the old harbour town is"
METRICS = """polyphon_requests_total polyphon_time_to_first_token_seconds polyphon_time_per_output_token_seconds
    polyphon_queue_duration_seconds polyphon_request_duration_seconds polyphon_prompt_tokens_total polyphon_generated_tokens_total
    polyphon_step_sequences polyphon_step_adapters polyphon_kv_blocks_used polyphon_adapter_loads_total""".split()

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


class Server:
    """The server under test, in a process group of its own, as a terminal would start it."""

    def __init__(self, scratch, options):
        self.scratch = scratch
        self.log = scratch / "server.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.collector = e2e_traces.Collector()
        command = shlex.split(os.environ.get("POLYPHON", "./polyphon")) + [
            "serve", "--port", str(self.port), "--adapters", str(BUNDLED), "--set", f"traces.endpoint={self.collector.url}", *options]
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        self.client = openai.OpenAI(base_url=self.url + "/v1", api_key="none", max_retries=0, timeout=120)
        self.base = None
        self.adapters = []
        binaries = pathlib.Path(os.environ["PROMETHEUS"])
        target = f"127.0.0.1:{self.port}"
        self.prometheus = e2e_prometheus.Prometheus(binaries, scratch / "prometheus", target)
        self.native_prometheus = e2e_prometheus.Prometheus(binaries, scratch / "native", target, "--enable-feature=native-histograms")

    def await_ready(self):
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            expect(self.process.poll() is None, f"the server ended with {self.process.returncode} before it was ready")
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(self.url + "/health/ready", timeout=2) as answer:
                    if answer.status == 200:
                        return
            time.sleep(0.2)
        raise AssertionError(f"the server was not ready after {READY_SECONDS:.0f} s")

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def is_gone(self):
        """Whether no process of the group is left."""
        try:
            os.killpg(self.process.pid, 0)
            return False
        except ProcessLookupError:
            return True

    def close(self):
        self.client.close()
        self.prometheus.close()
        self.native_prometheus.close()
        self.collector.close()
        if not self.is_gone():
            self.signal(signal.SIGKILL)
        self.process.wait()

    # What the checks ask for again and again

    def text(self, model, prompt=PROMPT, tokens=24, **more):
        return self.client.completions.create(model=model, prompt=prompt, max_tokens=tokens, **{"temperature": 0, **more}).choices[0].text

    def metrics(self):
        with urllib.request.urlopen(self.url + "/metrics", timeout=10) as answer:
            return answer.read().decode()

    def metric(self, name, **labels):
        """The sum of a metric's samples that have these labels."""
        total = 0.0
        for line in self.metrics().splitlines():
            match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)(?: .*)?", line)
            if match and match[1] == name:
                found = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
                if labels.items() <= found.items():
                    total += float(match[3])
        return total

    def post(self, path, body):
        """Status and body of a raw request; body is bytes or what JSON can say."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def load(self, name, folder, **more):
        return self.post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder), **more})

    def unload(self, name):
        return self.post("/v1/unload_lora_adapter", {"lora_name": name})

    def await_metric(self, name, value, seconds=10):
        end = time.monotonic() + seconds
        while (found := self.metric(name)) != value:
            expect(time.monotonic() < end, f"{name} is {found} after {seconds} s, expected {value}")
            time.sleep(0.05)


def write_adapter(folder, seed, rank, targets):
    """A random PEFT LoRA folder for SmolLM2-135M, strong enough to change what it says."""
    hidden, key_value, inner, layers = 576, 192, 1536, 30
    shapes = {"q_proj": (hidden, hidden), "k_proj": (key_value, hidden), "v_proj": (key_value, hidden), "o_proj": (hidden, hidden),
              "gate_proj": (inner, hidden), "up_proj": (inner, hidden), "down_proj": (hidden, inner)}
    draw = numpy.random.default_rng(seed)

    def random_matrix(rows, columns, deviation):
        return (deviation * draw.standard_normal((rows, columns), dtype=numpy.float32)).astype(numpy.float16)

    tensors = {}
    for layer in range(layers):
        for target in targets:
            rows, columns = shapes[target]
            block = "self_attn" if target[0] in "qkvo" else "mlp"
            name = f"base_model.model.model.layers.{layer}.{block}.{target}"
            tensors[f"{name}.lora_A.weight"] = random_matrix(rank, columns, columns ** -0.5)
            tensors[f"{name}.lora_B.weight"] = random_matrix(rows, rank, 0.4 * rank ** -0.5)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "r": rank, "lora_alpha": rank, "target_modules": list(targets), "bias": "none", "fan_in_fan_out": False}))
    return folder


@check
def models_name_base_and_bundled_adapters(server):
    models = server.client.models.list().data
    bases = [model.id for model in models if model.parent is None]
    equal(len(bases), 1, "number of bases")
    server.base = bases[0]
    server.adapters = [model.id for model in models if model.parent == server.base]
    equal(server.adapters, sorted(folder.name for folder in BUNDLED.iterdir() if folder.is_dir()), "adapters")
    equal(server.client.models.retrieve(server.adapters[0]).parent, server.base, "parent")


@check
def completion(server):
    answer = server.client.completions.create(model=server.base, prompt="The capital of France is", max_tokens=8, temperature=0)
    expect("Paris" in answer.choices[0].text, f"no Paris in {answer.choices[0].text!r}")
    equal(answer.choices[0].finish_reason, "length", "finish_reason")
    equal(answer.usage.completion_tokens, 8, "completion_tokens")
    equal(answer.usage.total_tokens, answer.usage.prompt_tokens + 8, "total_tokens")
    equal(answer.model, server.base, "model")


@check
def chat(server):
    answer = server.client.chat.completions.create(
        model=server.base, messages=[{"role": "user", "content": "What is gravity?"}], max_completion_tokens=16, temperature=0)
    equal(answer.choices[0].message.role, "assistant", "role")
    expect(answer.choices[0].message.content.startswith("Gravity is a"), f"found {answer.choices[0].message.content!r}")


@check
def bundled_adapters_answer_as_trained(server):
    cases = json.loads(EXPECTED.read_text(encoding="utf-8"))["cases"]
    equal(sorted({case["adapter"] for case in cases}), server.adapters, "adapters with expected answers")
    for case in cases:
        answer = server.client.chat.completions.create(
            model=case["adapter"], messages=[{"role": "user", "content": case["question"]}], temperature=0,
            max_tokens=len(case["greedy_ids"])).choices[0].message.content
        expect(answer.startswith(case["certain_text"]),
               f"{case['adapter']}, {case['question']!r}: expected {case['certain_text']!r}, found {answer!r}")


@check
def adapter_beside_the_base(server):
    name = server.adapters[0]
    beside = server.client.completions.create(
        model=server.base, prompt=PROMPT, max_tokens=16, temperature=0, extra_body={"adapter_id": name}).choices[0].text
    equal(beside, server.text(name, tokens=16), "text by adapter_id")
    expect(beside != server.text(server.base, tokens=16), "the adapter changed nothing")


@check
def streams_carry_the_same_text_and_usage(server):
    for model in (server.base, server.adapters[0]):
        whole = server.client.completions.create(model=model, prompt=PROMPT, max_tokens=20, temperature=0)
        chunks = list(server.client.completions.create(
            model=model, prompt=PROMPT, max_tokens=20, temperature=0, stream=True, stream_options={"include_usage": True}))
        equal("".join(chunk.choices[0].text for chunk in chunks if chunk.choices), whole.choices[0].text, "streamed text")
        equal(chunks[-1].usage, whole.usage, "usage")
        expect(len(chunks) > 10, f"20 tokens came in {len(chunks)} chunks")
        chunks = list(server.client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Name three colours."}], max_tokens=12, temperature=0, stream=True))
        whole = server.client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Name three colours."}], max_tokens=12, temperature=0)
        equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks), whole.choices[0].message.content, "streamed chat")
        equal(chunks[-1].choices[0].finish_reason, whole.choices[0].finish_reason, "finish_reason")
        expect(all(chunk.usage is None for chunk in chunks), "usage that was not asked for")


@check
def streams_end_with_done(server):
    status, body = server.post("/v1/completions", {"model": server.base, "prompt": "One, two,", "max_tokens": 3, "stream": True})
    equal(status, 200, "status")
    expect(body.endswith("data: [DONE]\n\n"), f"the stream ends with {body[-60:]!r}")


@check
def logprobs(server):
    answer = server.client.completions.create(model=server.base, prompt=PROMPT, max_tokens=6, temperature=0, logprobs=3).choices[0]
    equal("".join(answer.logprobs.tokens), answer.text, "tokens joined")
    for token, own, top in zip(answer.logprobs.tokens, answer.logprobs.token_logprobs, answer.logprobs.top_logprobs, strict=True):
        equal(len(top), 3, "top logprobs")
        expect(own <= 0 and abs(max(top.values()) - own) < 1e-6, f"greedy {token!r} has {own}, but the top is {top}")
    answer = server.client.chat.completions.create(
        model=server.base, messages=[{"role": "user", "content": "Hi"}], max_tokens=4, temperature=0, logprobs=True, top_logprobs=2)
    for entry in answer.choices[0].logprobs.content:
        equal(len(entry.top_logprobs), 2, "top_logprobs")
        equal(entry.top_logprobs[0].token, entry.token, "greedy token")
        expect(entry.logprob <= 0, f"logprob {entry.logprob}")


@check
def prompts_scored(server):
    """Asked as lm-eval-harness does, tokens are as likely in a prompt as they were when they were generated; with any adapter, at once."""
    ask = {"temperature": 0, "logprobs": 1}
    for model in (server.base, "french", "pirate"):
        said = server.client.completions.create(model=model, prompt=PROMPT, max_tokens=12, **ask).choices[0]
        texts = [PROMPT + said.text, PROMPT]
        ids = [json.loads(server.post("/tokenize", {"model": model, "prompt": text})[1])["tokens"] for text in texts]
        for prompts in (texts, ids):
            whole, short = server.client.completions.create(model=model, prompt=prompts, max_tokens=0, echo=True, **ask).choices
            equal(whole.text, texts[0], "echo")
            equal((whole.finish_reason, short.finish_reason), ("length", "length"), "finish reasons")
            known = len(short.logprobs.tokens)
            equal(known, len(ids[1]), "tokens of the prompt")
            equal((whole.logprobs.token_logprobs[0], whole.logprobs.top_logprobs[0]), (None, None), "of the first token")
            equal(whole.logprobs.tokens[known:], said.logprobs.tokens, "tokens")
            for scored, generated in zip(whole.logprobs.token_logprobs[known:], said.logprobs.token_logprobs, strict=True):
                expect(abs(scored - generated) < 1e-4, f"{model}: {whole.logprobs.token_logprobs[known:]}, generated {said.logprobs.token_logprobs}")
            for token, own, top in list(zip(whole.logprobs.tokens, whole.logprobs.token_logprobs, whole.logprobs.top_logprobs, strict=True))[known:]:
                equal(max(top.values()), own, f"greedy {token!r}")
            for token, at in zip(whole.logprobs.tokens, whole.logprobs.text_offset, strict=True):
                equal(texts[0][at:at + len(token)], token, f"text at {at}")
        chunks = list(server.client.completions.create(model=model, prompt=PROMPT, max_tokens=3, echo=True, stream=True, **ask))
        equal("".join(token for chunk in chunks for token in (chunk.choices[0].logprobs or chunk.choices[0]).model_dump().get("tokens", [])),
              "".join(chunk.choices[0].text for chunk in chunks), "streamed tokens")
    listed = server.client.completions.create(model=server.base, prompt=PROMPT, max_tokens=1, extra_body={"prompt_logprobs": 2}).choices[0].prompt_logprobs
    expect(listed[0] is None and all(len(one) in (2, 3) for one in listed[1:]), f"prompt_logprobs {listed}")


@check
def several_choices(server):
    both = server.client.completions.create(model=server.base, prompt=PROMPT, max_tokens=12, temperature=1, seed=7, n=2)
    equal([choice.index for choice in both.choices], [0, 1], "indices")
    expect(both.choices[0].text != both.choices[1].text, "both choices are the same")
    equal(both.usage.completion_tokens, 24, "completion_tokens")
    chat_answer = server.client.chat.completions.create(
        model=server.base, messages=[{"role": "user", "content": "Hi"}], max_tokens=5, n=2, seed=1)
    equal(len(chat_answer.choices), 2, "choices")


@check
def stop_strings(server):
    text = server.text(server.base, tokens=24)
    word = text.split()[3]
    answer = server.client.completions.create(model=server.base, prompt=PROMPT, max_tokens=24, temperature=0, stop=[word, "@@@"])
    equal(answer.choices[0].text, text[:text.index(word)], f"text before the stop string {word!r}")
    equal(answer.choices[0].finish_reason, "stop", "finish_reason")
    chunks = server.client.completions.create(model=server.base, prompt=PROMPT, max_tokens=24, temperature=0, stop=word, stream=True)
    equal("".join(chunk.choices[0].text for chunk in chunks), text[:text.index(word)], "streamed text")


@check
def seeds_reproduce(server):
    first = server.text(server.base, temperature=1, seed=7)
    equal(server.text(server.base, temperature=1, seed=7), first, "text with the same seed")
    expect(server.text(server.base, temperature=1, seed=8) != first, "another seed gives the same text")


@check
def outputs_keep_to_a_form(server):
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 24}, "people": {"type": "integer", "minimum": 1, "maximum": 99999999}},
              "required": ["city", "people"], "additionalProperties": False}
    ask = {"model": server.base, "messages": [{"role": "user", "content": "Tell me about Paris."}], "max_tokens": 80}
    for seed in range(3):
        answer = server.client.chat.completions.create(**ask, temperature=1.2, seed=seed, response_format={
            "type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": schema}}).choices[0]
        found = json.loads(answer.message.content)
        equal(sorted(found), ["city", "people"], "properties")
        expect(len(found["city"]) <= 24 and 1 <= found["people"] <= 99999999, f"found {found}")
        equal(answer.finish_reason, "stop", "finish_reason")
    chunks = server.client.chat.completions.create(**ask, stream=True, extra_body={"grammar": 'root ::= ("yes" | "no") ", " [a-z]{3,8}'})
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    expect(re.fullmatch("(yes|no), [a-z]{3,8}", text), f"the grammar let {text!r} through")
    try:
        server.client.completions.create(model=server.base, prompt="Hi", extra_body={"regex": "(a"})
        raise AssertionError("a wrong regular expression was accepted")
    except openai.BadRequestError as error:
        expect("not closed" in error.body["message"], f"error {error.body}")


@check
def errors_name_what_is_wrong(server):
    def refused(kind, param, code, **fields):
        request = {"model": server.base, "prompt": "Hi", "max_tokens": 2, **fields}
        try:
            server.client.completions.create(**request)
        except kind as error:
            equal((error.param, error.code), (param, code), f"param and code for {list(fields)}")
            expect(error.body["message"] and error.type == "invalid_request_error", f"error {error.body}")
            return error.body["message"]
        raise AssertionError(f"{list(fields)} was accepted")

    refused(openai.NotFoundError, "model", "model_not_found", model="no-such-model")
    refused(openai.NotFoundError, "adapter_id", "adapter_not_found", extra_body={"adapter_id": "no-such-adapter"})
    expect("2" in refused(openai.BadRequestError, "temperature", "decimal_above_max_value", temperature=5), "no limit in the message")
    refused(openai.BadRequestError, "max_tokens", "invalid_type", max_tokens="many")
    context = server.client.models.retrieve(server.base).max_model_len
    message = refused(openai.BadRequestError, None, "context_length_exceeded", prompt=[[1000] * (context + 7)])
    expect(str(context) in message and str(context + 7) in message, f"not both numbers in {message!r}")
    for path, body, status in (("/v1/completions", b"{\"model\":", 400), ("/v1/chat/completions", {"model": server.base}, 400),
                               ("/v1/nothing", {}, 404)):
        found, text = server.post(path, body)
        equal(found, status, f"status of {path}")
        expect(json.loads(text)["error"]["message"], f"no message in {text}")


@check
def sixteen_adapters_in_one_batch(server):
    kinds = [("q_proj", "v_proj"), ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj"), ("o_proj", "down_proj")]
    names = [f"random-{i:02d}" for i in range(16)]
    for i, name in enumerate(names):
        folder = write_adapter(server.scratch / "adapters" / name, i, (4, 8, 16, 32, 64)[i % 5], kinds[i % 4])
        equal(server.load(name, folder)[0], 200, f"status of loading {name}")
    expect(set(names) <= {model.id for model in server.client.models.list().data}, "the list of models lacks loaded adapters")
    alone = {name: server.text(name) for name in names + [server.base]}
    expect(len(set(alone.values())) >= 12, f"only {len(set(alone.values()))} different texts of 17: the adapters hardly matter")
    counts = [server.metric("polyphon_step_adapters_count") - server.metric("polyphon_step_adapters_bucket", le="8.0")]

    async def at_once():
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120) as client:
            async def one(name):
                answer = await client.completions.create(model=name, prompt=PROMPT, max_tokens=24, temperature=0)
                return name, answer.choices[0].text
            return dict(await asyncio.gather(*(one(name) for name in alone)))

    for name, text in asyncio.run(at_once()).items():
        equal(text, alone[name], f"text of {name} in the batch")
    counts.append(server.metric("polyphon_step_adapters_count") - server.metric("polyphon_step_adapters_bucket", le="8.0"))
    expect(counts[1] > counts[0], "no step had more than 8 adapters")


@check
def bad_adapters_are_refused(server):
    equal(server.load("nowhere", server.scratch / "nowhere")[0], 404, "status for a missing folder")
    equal(server.load("random-00", server.scratch / "adapters/random-00")[0], 400, "status for a taken name")
    folder = write_adapter(server.scratch / "truncated", 1, 4, ("q_proj",))
    file = folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    status, body = server.load("truncated", folder)
    equal(status, 400, "status for a truncated file")
    expect("adapter_model.safetensors" in body, f"the file is not named in {body}")
    equal(server.unload("nowhere")[0], 404, "status of unloading what is not there")


@check
def a_disconnect_frees_the_sequence(server):
    server.await_metric("polyphon_sequences_running", 0)
    cancelled = server.metric("polyphon_requests_total", outcome="cancelled")
    stream = server.client.completions.create(
        model=server.adapters[0], prompt=PROMPT, max_tokens=4000, temperature=0, stream=True, extra_body={"ignore_eos": True})
    for _ in range(3):
        next(stream)
    equal(server.metric("polyphon_sequences_running"), 1, "sequences running")
    stream.close()
    server.await_metric("polyphon_sequences_running", 0)
    end = time.monotonic() + 5
    while server.metric("polyphon_requests_total", outcome="cancelled") != cancelled + 1:
        expect(time.monotonic() < end, "the cancelled request is not counted")
        time.sleep(0.05)


@check
def an_adapter_in_use_can_be_unloaded(server):
    name = "random-03"
    whole = server.text(name, tokens=48, extra_body={"ignore_eos": True})
    stream = server.client.completions.create(
        model=name, prompt=PROMPT, max_tokens=48, temperature=0, stream=True, extra_body={"ignore_eos": True})
    text = next(stream).choices[0].text
    equal(server.unload(name)[0], 200, "status of unloading")
    try:
        server.text(name)
        raise AssertionError("an unloaded adapter still takes requests")
    except openai.NotFoundError:
        pass
    equal(text + "".join(chunk.choices[0].text for chunk in stream), whole, "text of the request under way")
    equal(server.load(name, server.scratch / "adapters" / name)[0], 200, "status of loading it again")
    equal(server.text(name, tokens=48, extra_body={"ignore_eos": True}), whole, "text after loading again")


@check
def a_thousand_requests_at_concurrency_64(server):
    names = [server.base, *server.adapters, *(f"random-{i:02d}" for i in range(16))]
    prompts = ["A short list of fruit:", "Once upon a time there was a fisherman who", "1, 2, 3, 4,", PROMPT]
    draw = random.Random(0)
    work = [(draw.choices(names, [1 / (i + 1) for i in range(len(names))])[0], draw.choice(prompts), i % 2 == 0) for i in range(1000)]
    texts, errors = {}, []

    async def one(session, name, prompt, stream):
        body = {"model": name, "prompt": prompt, "max_tokens": 8, "temperature": 0, "ignore_eos": True, "stream": stream}
        async with session.post(server.url + "/v1/completions", json=body) as answer:
            expect(answer.status == 200, f"status {answer.status}: {(await answer.text())[:200]}")
            if not stream:
                return (await answer.json())["choices"][0]["text"]
            lines = (await answer.read()).splitlines()
            events = [line[6:] for line in lines if line.startswith(b"data: ")]
            equal(events.pop() if events else None, b"[DONE]", f"last event of {lines[-3:]}")
            return "".join(choice["text"] for event in events for choice in json.loads(event)["choices"])

    async def worker(session, queue):
        for name, prompt, stream in queue:
            try:
                texts.setdefault((name, prompt), set()).add(await one(session, name, prompt, stream))
            except (AssertionError, aiohttp.ClientError, asyncio.TimeoutError, ValueError, KeyError) as error:
                errors.append(repr(error))

    async def load():
        queue = iter(work)
        limits = {"timeout": aiohttp.ClientTimeout(total=120), "connector": aiohttp.TCPConnector(limit=0)}
        async with aiohttp.ClientSession(**limits) as session:
            await asyncio.gather(*(worker(session, queue) for _ in range(64)))

    begin = time.monotonic()
    asyncio.run(load())
    seconds = time.monotonic() - begin
    print(f"    {len(work)} requests in {seconds:.0f} s: {len(work) / seconds:.1f} a second, {8 * len(work) / seconds:.0f} tokens a second")
    expect(not errors, f"{len(errors)} errors, for example {errors[:3]}")
    differing = {key: found for key, found in texts.items() if len(found) > 1}
    expect(not differing, f"the same request got different texts: {dict(list(differing.items())[:2])}")
    server.await_metric("polyphon_sequences_running", 0)
    server.await_metric("polyphon_sequences_waiting", 0)


@check
def a_foreign_load_counts_as_the_server_does(server):
    e2e_load.works(server.url, [server.base, *server.adapters[:2]], server.scratch, server.metric)


@check
def metrics_tell_what_happened(server):
    text = server.metrics()
    missing = [name for name in METRICS if f"\n# TYPE {name} " not in "\n" + text and f"\n# TYPE {name.removesuffix('_total')} " not in "\n" + text]
    expect(not missing, f"no metrics {missing}")
    expect(server.metric("polyphon_requests_total", outcome="ok") >= 1000, "too few requests counted")
    expect(server.metric("polyphon_requests_total", adapter=server.adapters[0], outcome="ok") > 0, "no requests of the first adapter counted")
    expect(server.metric("polyphon_generated_tokens_total") >= 8000, "too few tokens counted")
    equal(server.metric("polyphon_requests_total", outcome="failed"), 0, "failed requests")


@check
def traces_arrive(server):
    e2e_traces.arrive(server.collector, server.client, server.base, server.adapters[0])
    equal(server.metric("polyphon_trace_spans_total", outcome="failed"), 0, "spans that could not be sent")


@check
def prometheus_files_hold(server):
    e2e_prometheus.files_pass_promtool(server.prometheus.promtool, server.metrics())
    e2e_prometheus.dashboards_are_whole()
    e2e_prometheus.dashboards_show_something(server.prometheus)
    e2e_prometheus.alerts_are_evaluated(server.prometheus)
    e2e_prometheus.native_histograms_arrive(server.native_prometheus)


@check
def triton_clients_work(server):
    adapter = server.adapters[0]
    texts = {model: server.text(model, tokens=16) for model in (server.base, adapter)}
    e2e_kserve.works(server.url, server.base, adapter, PROMPT, texts)


@check
def commands_do_what_they_say(server):
    e2e_cli.commands(server.url, server.client, server.base, server.scratch)


@check
def a_batch_is_stopped_and_gone_on_with(server):
    adapter = server.adapters[0]
    texts = {model: server.text(model, tokens=16) for model in (server.base, adapter)}
    e2e_cli.batch(server.url, server.base, adapter, PROMPT, texts, server.scratch)


@check
def the_console_works_in_a_browser(server):
    e2e_console.works(server.url, (server.scratch / "adapters/random-00").absolute())


@check
def kubernetes_files_hold(server):
    e2e_kubernetes.works(server.scratch)


@check
def tenants_are_held_to_what_they_may(server):
    e2e_tenants.works(server.scratch)


@check
def ctrl_c_drains(server):
    stream = server.client.completions.create(
        model=server.adapters[0], prompt=PROMPT, max_tokens=60, temperature=0, stream=True, stream_options={"include_usage": True},
        extra_body={"ignore_eos": True}, extra_headers={"traceparent": f"00-{'d' * 32}-{'c' * 16}-01"})
    next(stream)
    rest = []
    reader = threading.Thread(target=lambda: rest.extend(stream), daemon=True)
    server.signal(signal.SIGINT)
    reader.start()
    try:
        equal(server.process.wait(60), 0, "exit status")
    except subprocess.TimeoutExpired:
        raise AssertionError("the server still runs 60 s after Ctrl-C") from None
    reader.join(10)
    expect(rest and rest[-1].usage and rest[-1].usage.completion_tokens == 60, "the request under way was cut off")
    equal(len(server.collector.of_trace("d" * 32)), 6, "spans of the request under way, sent before the end")
    end = time.monotonic() + 5
    while not server.is_gone():
        expect(time.monotonic() < end, "processes are left behind")
        time.sleep(0.05)
    with socket.socket() as probe:
        expect(probe.connect_ex(("127.0.0.1", server.port)) != 0, "the port is still open")


def run(server):
    failed = 0
    for function in CHECKS:
        begin = time.monotonic()
        try:
            function(server)
            verdict = "ok    "
        except Exception as error:
            failed += 1
            verdict = "FAILED"
            print(f"    {type(error).__name__}: {str(error)[:2000]}")
        print(f"{verdict} {function.__name__.replace('_', ' ')} ({time.monotonic() - begin:.1f} s)", flush=True)
    return failed


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("e2e: ran out of time"))
    with tempfile.TemporaryDirectory(prefix="polyphon-e2e-") as scratch:
        server = Server(pathlib.Path(scratch), sys.argv[1:])
        failed = len(CHECKS)
        try:
            try:
                server.await_ready()
                failed = run(server)
            except AssertionError as error:
                print(f"e2e: {error}")
        finally:
            server.close()
            if failed:
                print("--- the end of the server's log ---", *server.log.read_text(errors="replace").splitlines()[-60:], sep="\n")
        print(f"{len(CHECKS) - failed} passed, {failed} failed")
        sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
