"""Checks of the commands that ask a running server, as they are typed."""

import json
import os
import shlex
import signal
import subprocess
import time
import urllib.error
import urllib.request

import openai

from e2e_common import equal, expect

POLYPHON = shlex.split(os.environ.get("POLYPHON", "./polyphon"))


def answers(file):
    """The lines of a batch's output by their custom_id; every one must be whole."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    expect(text == "" or text.endswith("\n"), f"{file} ends within a line")
    lines = [json.loads(line) for line in text.splitlines()]
    found = {line["custom_id"]: line for line in lines}
    equal(len(found), len(lines), "answers with different ids")
    return found


def run(url, *arguments):
    done = subprocess.run(POLYPHON + [*arguments, "--url", url], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    equal(done.returncode, 0, f"exit status of {arguments}, which says {done.stdout}{done.stderr}")
    equal(done.stderr, "", f"what {arguments} says beside its output")
    return done.stdout


def completes(scratch):
    """The script for bash, in a bash."""
    script = scratch / "completion"
    script.write_text(subprocess.run(POLYPHON + ["generate-completion"], capture_output=True, text=True, timeout=60, check=True).stdout)

    def completed(*words):
        asked = f'source {shlex.quote(str(script))}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _complete_polyphon; echo "${{COMPREPLY[@]}}"'
        return subprocess.run(["bash", "-c", asked, "bash", *words], capture_output=True, text=True, timeout=60, check=True).stdout.split()

    equal(sorted(completed("polyphon", "b")), ["batch", "bench"], "completions of b")
    equal(sorted(completed("polyphon", "admin", "")), ["drain", "log-level", "scheduler", "status", "undrain"], "completions of admin")
    equal(completed("polyphon", "batch", "--con"), ["--concurrency"], "completions of an option")


def drains(url, client, base):
    """Out of service while a stream goes on, and back."""
    stream = client.completions.create(model=base, prompt="Once", max_tokens=60, temperature=0, stream=True, stream_options={"include_usage": True},
                                       extra_body={"ignore_eos": True})
    next(stream)
    equal(json.loads(run(url, "admin", "drain", "--retry-after", "9", "--json"))["draining"], True, "whether it drains")
    try:
        try:
            client.completions.create(model=base, prompt="Hi", max_tokens=1)
            raise AssertionError("a drained server takes requests")
        except openai.InternalServerError as refused:
            equal((refused.status_code, refused.code, refused.response.headers["retry-after"]), (503, "draining", "9"), "status, code and Retry-After")
        try:
            urllib.request.urlopen(url + "/health/ready", timeout=10)
            raise AssertionError("a drained server is ready")
        except urllib.error.HTTPError as refused:
            equal(refused.code, 503, "status of /health/ready")
        equal([*stream][-1].usage.completion_tokens, 60, "tokens of the stream under way")
        expect("; 0 requests under way" in run(url, "admin", "drain", "--wait"), "requests are under way after the wait")
    finally:
        expect(run(url, "admin", "undrain").startswith("in service"), "it is not in service again")
    client.completions.create(model=base, prompt="Hi", max_tokens=1)


def commands(url, client, base, scratch):
    drains(url, client, base)
    state = json.loads(run(url, "admin", "scheduler", "--json"))
    expect(any(one["tenant"] == "default" and one["served"] > 0 for one in state["counters"]), f"nobody had anything: {state}")
    expect(run(url, "top", "--count", "1", "--interval", "0.1").startswith("RUNNING"), "top shows no table")
    completes(scratch)


def batch(url, base, adapter, prompt, texts, scratch):
    """Stops a batch by Ctrl-C and goes on with it. texts: what the models add to the prompt in 16 tokens."""
    models = [base, adapter]
    requests = [{"custom_id": f"text-{i}", "method": "POST", "url": "/v1/completions", "body": {
        "model": models[i % 2], "prompt": prompt, "max_tokens": 16, "temperature": 0}} for i in range(80)]
    requests += [{"custom_id": "chat", "method": "POST", "url": "/v1/chat/completions", "body": {
        "model": adapter, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}}]
    requests += [{"custom_id": "vector", "method": "POST", "url": "/v1/embeddings", "body": {"model": adapter, "input": ["a", "b"]}}]
    source, out = scratch / "batch.jsonl", scratch / "answers.jsonl"
    source.write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="utf-8")
    command = POLYPHON + ["batch", str(source), str(out), "--url", url, "--concurrency", "4", "--json"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        end = time.monotonic() + 60
        while not out.exists() or out.read_bytes().count(b"\n") < 8:
            expect(process.poll() is None, "the batch ended by itself before it was stopped")
            expect(time.monotonic() < end, "no 8 answers within 60 s")
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    equal(process.returncode, 130, f"exit status after Ctrl-C ({said.strip()[-300:]})")
    before = answers(out)
    expect(8 <= len(before) < len(requests), f"{len(before)} answers when it was stopped")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    equal(done.returncode, 0, f"exit status ({done.stderr.strip()[-300:]})")
    summary = json.loads(done.stdout)
    equal((summary["requests"], summary["answered"], summary["answeredBefore"]), (len(requests), len(requests), len(before)), "what it says of itself")
    after = answers(out)
    equal({key: after[key] for key in before}, before, "answers from before")
    for i in range(80):
        equal(after[f"text-{i}"]["response"]["body"]["choices"][0]["text"], texts[models[i % 2]], f"text of {models[i % 2]}")
    equal(after["chat"]["response"]["body"]["object"], "chat.completion", "object")
    equal(len(after["vector"]["response"]["body"]["data"]), 2, "vectors")
