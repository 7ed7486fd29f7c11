"""A server with tenants, in the hands of the unmodified clients of OpenAI and LangChain, of `kill -9`, and of schemathesis."""

import json
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import openai

import e2e_langchain
from e2e_common import equal, expect

SCHEMA_SECONDS = 40
# An operator who locks himself out by chance, or takes the server out of service, would learn nothing more.
LEFT_OUT = ("deleteTenant", "changeTenant", "revokeKey", "rotateKey", "drain")


class TenantServer:
    def __init__(self, scratch):
        self.store = scratch / "tenants"
        self.log = scratch / "tenants.log"
        self.command = shlex.split(os.environ.get("POLYPHON", "./polyphon"))
        self.operator = self.run("key", "operator", "--store", str(self.store))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.process = None

    def run(self, *arguments):
        done = subprocess.run(self.command + list(arguments), capture_output=True, text=True, timeout=120)
        expect(done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def admin(self, *arguments):
        return self.run(*arguments, "--url", self.url, "--key", self.operator)

    def start(self, *options):
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                self.command + ["serve", "--port", self.url.rpartition(":")[2], "--set", f"tenants.store={self.store}", *options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            expect(self.process.poll() is None, f"the server ended: {self.log.read_text()[-2000:]}")
            try:
                with urllib.request.urlopen(self.url + "/health/ready", timeout=2):
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError("the server with tenants was not ready")

    def kill(self, number=signal.SIGKILL):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass
        self.process.wait(60)

    def client(self, key):
        return openai.OpenAI(base_url=self.url + "/v1", api_key=key, max_retries=0, timeout=60)

    def usage(self):
        lines = json.loads(self.admin("usage", "--period", "total", "--tenant", "acme", "--json"))
        return {name: sum(line[name] for line in lines) for name in ("requests", "prompt_tokens", "generated_tokens", "estimated_tokens")}


def works(scratch):
    server = TenantServer(pathlib.Path(scratch))
    server.start()
    try:
        key = keys_and_limits(server)
        langchain_works(server, key)
        usage_survives_a_kill(server, key)
        schemathesis_finds_nothing(server)
        expect("pk_" not in server.log.read_text().replace("pk_aaaa", ""), "a key is in the log")
    finally:
        server.kill()


def refused(kind, client, model, **more):
    try:
        client.completions.create(model=model, prompt="Hello", **{"max_tokens": 4, **more})
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def keys_and_limits(server):
    server.admin("tenant", "create", "acme", "--rpm", "100", "--tpm", "100", "--adapter", "fr*")
    key = server.admin("key", "create", "acme")
    client = server.client(key)
    base = next(model.id for model in client.models.list().data if model.parent is None)
    equal([model.id for model in client.models.list().data], [base, "french"], "models in view")
    raw = client.completions.with_raw_response.create(model="french", prompt="Hello", max_tokens=50, extra_body={"ignore_eos": True})
    equal(raw.headers["x-ratelimit-limit-tokens"], "100", "the limit in the header")
    refused(openai.AuthenticationError, server.client("sk-no-such-key"), base)
    refused(openai.NotFoundError, client, "german")
    limited = refused(openai.RateLimitError, client, base, max_tokens=90)
    expect("tokens per min" in str(limited), f"not the reason: {limited}")
    server.admin("tenant", "change", "acme", "--tpm", "none")
    return key


def langchain_works(server, key):
    server.admin("tenant", "change", "acme", "--own-adapters", "1", "--adapter-bytes", "10000000")
    server.admin("adapter", "upload", "french-pirate", "configs/adapters/pirate", "--owner", "acme")
    base = next(model.id for model in server.client(key).models.list().data if model.parent is None)
    e2e_langchain.works(server.url, key, "french-pirate", base)


def usage_survives_a_kill(server, key):
    before = server.usage()
    client = server.client(key)
    answers = [client.completions.create(model="french", prompt="Once upon a time", max_tokens=8).usage for _ in range(5)]
    time.sleep(2.5)
    stream = client.completions.create(model="french", prompt="Once upon a time", max_tokens=2000, stream=True, extra_body={"ignore_eos": True})
    for _, _ in zip(range(30), stream):
        pass
    time.sleep(1.5)
    server.kill()
    server.start()
    after = server.usage()
    equal(after["requests"] - before["requests"], 6, "requests counted across the kill")
    certain = sum(answer.completion_tokens for answer in answers)
    counted = after["generated_tokens"] - before["generated_tokens"]
    expect(counted >= certain + 30, f"{counted} tokens counted, {certain} of whole answers and more than 30 of the one that was cut")
    expect(after["estimated_tokens"] > 0, "nothing was estimated for the time that was lost")
    equal(server.usage(), after, "usage that is asked for again")


def schemathesis_finds_nothing(server):
    # Whatever it makes up, the model computes no more than this.
    server.admin("tenant", "change", "operators", "--tpm", "1000")
    server.kill(signal.SIGTERM)
    # Nor for longer than it waits for an answer, which is 10 s.
    server.start("--set", "engine.contextLength=512")
    command = [str(pathlib.Path(sys.executable).parent / "schemathesis"), "run", server.url + "/openapi.json", "--header", f"Authorization: Bearer {server.operator}",
               "--phases", "coverage,fuzzing", "--max-examples", "10", "--max-time", str(SCHEMA_SECONDS), "--seed", "7", "--continue-on-failure", "--warnings", "off",
               "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,"
               "negative_data_rejection,unsupported_method,ignored_auth"]
    for operation in LEFT_OUT:
        command += ["--exclude-operation-id", operation]
    hooks = pathlib.Path(__file__).parent / "schemathesis_hooks.py"
    found = subprocess.run(command, env=os.environ | {"SCHEMATHESIS_HOOKS": str(hooks)}, capture_output=True, text=True, timeout=SCHEMA_SECONDS + 120)
    print("    " + next((line for line in found.stdout.splitlines() if "generated" in line), "").strip())
    equal(found.returncode, 0, found.stdout[-6000:])
