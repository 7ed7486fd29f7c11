"""What goes wrong with machines: a full disk, a clock that is set, thousands of connections, clients that do not read. Run by .ci/faults, from the repository's root."""

import contextlib
import http.client
import http.server
import importlib.util
import json
import os
import pathlib
import re
import resource
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
from email.utils import parsedate_to_datetime

from e2e_common import equal, expect

MIB = 1 << 20
COMMAND = shlex.split(os.environ.get("POLYPHON", "./polyphon"))
FRENCH = pathlib.Path("configs/adapters/french")
SPANISH = pathlib.Path("configs/adapters/spanish")
CONNECTIONS = int(os.environ.get("E2E_CONNECTIONS", "10000"))
FEWEST_CONNECTIONS = 500
# What a connection that says nothing, or has said half a header, may take of the server's memory.
BYTES_A_CONNECTION = 12 << 10


class Skipped(Exception):
    pass


class Server:
    """A server of its own, with settings of its own."""

    def __init__(self, scratch, *settings, before=(), options=(), environment=None):
        scratch.mkdir(parents=True, exist_ok=True)
        self.log = scratch / "server.log"
        self.key = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [*before, *COMMAND, "serve", "--port", str(self.port), *(options or ("--adapters", str(FRENCH.parent)))]
        for setting in ("engine.kvBytes=64MiB", "engine.adapterBytes=32MiB", "engine.sharedBytes=32MiB", *settings):
            command += ["--set", setting]
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=os.environ | (environment or {}))

    def await_ready(self):
        end = time.monotonic() + 120
        while time.monotonic() < end:
            expect(self.process.poll() is None, f"the server ended: {self.log.read_text()[-2000:]}")
            with contextlib.suppress(OSError):
                if self.get("/health/ready")[0] == 200:
                    return self
            time.sleep(0.2)
        raise AssertionError("the server was not ready")

    def request(self, method, path, body=None, key=None, content="application/json"):
        """Status and parsed body of a request on a connection of its own."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": content} | ({"Authorization": "Bearer " + key} if key else {})
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text, status = answer.read(), answer.status
        except urllib.error.HTTPError as error:
            text, status = error.read(), error.code
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text.decode()

    def get(self, path, key=None):
        return self.request("GET", path, key=key)

    def complete(self, model="french", tokens=4, key=None):
        """The usage of a completion that must succeed."""
        status, answer = self.request("POST", "/v1/completions", {"model": model, "prompt": "Once upon a time", "max_tokens": tokens, "ignore_eos": True}, key)
        equal(status, 200, f"status of a completion ({answer})")
        return answer["usage"]

    def metric(self, name, **labels):
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)(?: .*)?", line)
            if match and match[1] == name and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', match[2] or "")).items():
                total += float(match[3])
        return total

    def java(self):
        """The number of the Java process: the group's leader may be what started it."""
        for folder in pathlib.Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    if os.getpgid(int(folder.name)) == self.process.pid and (folder / "comm").read_text().strip() == "java":
                        return int(folder.name)
        raise AssertionError("there is no Java process")

    def live(self):
        """Bytes that are in use: of Java's heap after a collection, and outside it."""
        number = str(self.java())
        jcmd = str(pathlib.Path(os.readlink(f"/proc/{number}/exe")).parent / "jcmd")
        # It collects and counts at one moment.
        classes = subprocess.run([jcmd, number, "GC.class_histogram"], capture_output=True, text=True, check=True, timeout=60).stdout
        return int(re.search(r"(?m)^Total +\d+ +(\d+)", classes)[1]) + self.metric("jvm_buffer_pool_used_bytes")

    def held(self):
        """How many files and threads it has."""
        process = pathlib.Path(f"/proc/{self.java()}")
        return len(os.listdir(process / "fd")), len(os.listdir(process / "task"))

    def leaks_nothing(self, before):
        """Whatever happened is over: nothing is left of it, and the server does its work."""
        for metric in ("sequences_running", "sequences_waiting", "kv_blocks_used", "adapters_waited_for"):
            eventually(f"no {metric}", lambda metric=metric: self.metric("polyphon_" + metric) == 0)
        eventually("no connections but this", lambda: self.metric("polyphon_http_connections") <= 2)
        # Compilers and collectors come and go.
        eventually(f"about {before} files and threads", lambda: self.held()[0] <= before[0] + 5 and self.held()[1] <= before[1] + 8)
        self.complete(key=self.key)

    def end(self, number=signal.SIGTERM):
        """Ends it; its exit status."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        try:
            return self.process.wait(60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


@contextlib.contextmanager
def running(server):
    try:
        yield server.await_ready()
    finally:
        server.end(signal.SIGKILL)


def eventually(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end, f"not within {seconds} s: {what}")
        time.sleep(0.1)


def operator_key(store):
    return subprocess.run([*COMMAND, "key", "operator", "--store", str(store)], capture_output=True, text=True, check=True, timeout=300).stdout.strip()


# A full disk


def zipped(folder):
    """An adapter as it is uploaded: both files in a tar, which needs no space here."""
    return subprocess.run(["tar", "-C", str(folder), "-c", "adapter_config.json", "adapter_model.safetensors"], capture_output=True, check=True).stdout


@contextlib.contextmanager
def hub(folder):
    """A hub on the loopback that has one adapter, whatever it is asked for; its address."""

    class Files(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            file = folder / self.path.rpartition("/")[2]
            self.send_response(200 if file.is_file() else 404)
            self.send_header("Content-Length", str(file.stat().st_size if file.is_file() else 0))
            self.end_headers()
            # Who has no room for it hangs up.
            with contextlib.suppress(OSError):
                self.wfile.write(file.read_bytes() if file.is_file() else b"")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def a_full_disk(scratch):
    if subprocess.run(["unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode != 0:
        raise Skipped("this system lets nobody mount a small file system")
    disk = scratch / "disk"
    disk.mkdir(parents=True)
    store = ["tenants.openMetrics=true", f"tenants.store={disk}/tenants", f"adapters.store={disk}/adapters"]
    operator = operator_key(scratch / "seed")
    mount = f"mount -t tmpfs -o size=12m none {shlex.quote(str(disk))} && cp -r {shlex.quote(str(scratch / 'seed'))} {shlex.quote(str(disk / 'tenants'))}"
    mounted = ["unshare", "--mount", "--map-root-user", "sh", "-c", mount + ' && exec "$@"', "sh"]
    with hub(SPANISH) as address, running(Server(scratch, *store, f"hub.endpoint={address}", before=mounted)) as server:
        inside = pathlib.Path(f"/proc/{server.java()}/root{disk}")
        filler = inside / "filler"

        def fill():
            with open(filler, "ab", buffering=0) as out, contextlib.suppress(OSError):
                while out.write(bytes(4096)) > 0:
                    pass
            expect(os.statvfs(inside).f_bavail == 0, "the disk has room left")

        def usage():
            status, answer = server.get("/admin/v1/usage?tenant=acme&period=total", operator)
            equal(status, 200, f"status of usage ({answer})")
            lines = answer["data"]
            return {name: sum(line[name] for line in lines) for name in ("requests", "prompt_tokens", "generated_tokens", "estimated_tokens")}

        equal(server.request("POST", "/admin/v1/tenants", {"name": "acme"}, operator)[0], 200, "status of making a tenant")
        key = server.request("POST", "/admin/v1/tenants/acme/keys", {}, operator)[1]["key"]
        far = server.request("POST", "/admin/v1/adapters", {"name": "far", "source": "hf://org/far"}, operator)
        equal(far[0], 200, f"status of registering what a hub has ({far[1]})")
        done = [server.complete(key=key)]
        eventually("usage is written", lambda: usage()["requests"] == 1)
        server.key, held = operator, server.held()
        fill()
        files = sorted(path.name for path in (inside / "adapters").rglob("*"))

        # Whoever needs no disk does not notice; who does is told, and nothing is left of what was tried.
        done += [server.complete(key=key) for _ in range(5)]
        done.append(server.complete("german", key=key))  # which nobody has used yet: its hash cannot be noted
        for _ in range(2):
            status, answer = server.request("POST", "/v1/completions", {"model": "far", "prompt": "x", "max_tokens": 2}, operator)
            equal((status, answer["error"]["code"]), (507, "insufficient_storage"), f"an adapter for which there is no room ({answer})")
        status, answer = server.request("PUT", "/admin/v1/adapters/mine/files", zipped(SPANISH), operator, "application/x-tar")
        equal((status, answer["error"]["code"]), (507, "insufficient_storage"), f"an upload to a full disk ({answer})")
        expect("disk is full" in answer["error"]["message"], f"not the reason: {answer}")
        status, answer = server.request("POST", "/admin/v1/tenants", {"name": "late"}, operator)
        equal(status, 507, f"making a tenant ({answer})")
        expect("full" in answer["error"]["message"], f"not the reason: {answer}")
        equal(server.get("/admin/v1/tenants/late", operator)[0], 404, "status of a tenant that could not be made")
        status, answer = server.request("POST", "/admin/v1/adapters", {"name": "more", "source": str(SPANISH.absolute())}, operator)
        expect(status == 507 and "full" in answer["error"]["message"], f"registering: {status} {answer}")
        equal(server.get("/admin/v1/adapters/more", operator)[0], 404, "status of an adapter that could not be registered")
        time.sleep(2.5)  # the usage is tried to be written at least twice more
        equal(sorted(path.name for path in (inside / "adapters").rglob("*")), files, "files of adapters")
        expect("usage is kept in memory until it can be written" in server.log.read_text(), "the log says nothing of usage that cannot be written")
        expect(server.metric("polyphon_usage_unwritten_seconds") > 2, "no metric shows that usage cannot be written")
        done.append(server.complete(key=key))
        equal(server.get("/health/ready")[0], 200, "readiness")

        # Room again, without a restart.
        filler.unlink()
        wanted = {"requests": len(done), "prompt_tokens": sum(one["prompt_tokens"] for one in done),
                  "generated_tokens": sum(one["completion_tokens"] for one in done), "estimated_tokens": 0}
        eventually(f"usage is {wanted}", lambda: usage() == wanted)
        equal(server.metric("polyphon_usage_unwritten_seconds"), 0, "time that usage could not be written")
        equal(server.request("PUT", "/admin/v1/adapters/mine/files", zipped(SPANISH), operator, "application/x-tar")[0], 200, "status of an upload with room")
        equal(server.request("POST", "/admin/v1/tenants", {"name": "late"}, operator)[0], 200, "status of making the tenant")
        equal(server.request("POST", "/admin/v1/adapters", {"name": "more", "source": str(SPANISH.absolute())}, operator)[0], 200, "status of registering")
        server.complete("mine", key=operator)
        server.complete("far", key=operator)
        equal(server.metric("polyphon_requests_total", outcome="failed"), 2, "requests that failed, for there was no room for what they need")
        server.leaks_nothing(held)


# A clock that is set


def clock_library():
    """The library that answers programs what time it is."""
    found = importlib.util.find_spec("libfaketime")
    library = pathlib.Path(found.origin).parent / "vendor/libfaketime/src/libfaketime.so.1" if found else pathlib.Path("none")
    told = subprocess.run(["date", "+%Y"], env=os.environ | {"LD_PRELOAD": str(library), "FAKETIME": "@1999-06-01 00:00:00"}, capture_output=True, text=True)
    if told.stdout.strip() != "1999":
        raise Skipped("libfaketime is not installed, or does not work on this machine")
    return library


def a_clock_that_is_set(scratch):
    clock = scratch / "clock"
    scratch.mkdir(parents=True, exist_ok=True)

    def set_clock(seconds):
        clock.with_suffix(".new").write_text(f"{seconds:+d}s\n")
        clock.with_suffix(".new").replace(clock)
        eventually(f"the clock is set by {seconds} s", lambda: abs(date() - time.time() - seconds) < 100, 10)

    def date():
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/health/live")
        header = connection.getresponse().getheader("Date")
        connection.close()
        return parsedate_to_datetime(header).timestamp()

    clock.write_text("+0s\n")
    operator = operator_key(scratch / "tenants")
    # Only what a clock shows is changed, as when somebody sets it: time that is measured goes on.
    faked = {"LD_PRELOAD": str(clock_library()), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with running(Server(scratch, f"tenants.store={scratch}/tenants", "tenants.openMetrics=true", "server.idleTimeout=5s", environment=faked)) as server:
        server.request("POST", "/admin/v1/tenants", {"name": "acme", "limits": {"requests_per_minute": 12}}, operator)
        key = server.request("POST", "/admin/v1/tenants/acme/keys", {}, operator)[1]["key"]
        for seconds in (3600, -3600, 400 * 86400, -400 * 86400, 0):
            stream = socket.create_connection(("127.0.0.1", server.port), 60)
            stream.sendall(completion(60, stream=True, key=key))
            first = stream.recv(1)
            set_clock(seconds)
            rest = first
            while not rest.endswith(b"0\r\n\r\n"):
                piece = stream.recv(65536)
                expect(piece, f"the answer under way was cut off when the clock was set by {seconds} s: ...{rest[-300:]!r}")
                rest += piece
            expect(rest.startswith(b"HTTP/1.1 200") and b"data: [DONE]" in rest, f"not answered: {rest[:200]!r}")
            began = time.monotonic()
            server.complete(key=key)
            equal(server.get("/health/ready")[0], 200, f"readiness with the clock set by {seconds} s")
            expect(stream.recv(1) == b"", "an idle connection got something")
            expect(3 < time.monotonic() - began < 30, f"an idle connection was closed after {time.monotonic() - began:.1f} s, and not 5")
            stream.close()
        # Ten were answered, over about half a minute: the bucket was neither filled nor emptied by the years that seemed to pass.
        answered = 0
        while server.request("POST", "/v1/completions", {"model": "french", "prompt": "x", "max_tokens": 1}, key)[0] == 200:
            answered += 1
            expect(answered < 20, "no limit on requests a minute")
        equal(server.metric("polyphon_requests_total", outcome="failed"), 0, "requests that failed")
        equal(server.end(), 0, "exit status")


# Many connections, and slow ones


def completion(tokens, stream=False, key=None):
    body = json.dumps({"model": "french", "prompt": "Once upon a time", "max_tokens": tokens, "stream": stream, "ignore_eos": True, "logprobs": 5 if stream else None})
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    return f"POST /v1/completions HTTP/1.1\r\nHost: x\r\n{authorization}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def ten_thousand_connections(scratch):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > soft:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (CONNECTIONS + 1000 if hard == resource.RLIM_INFINITY else hard, hard))
    count = min(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)
    if count < FEWEST_CONNECTIONS:
        raise Skipped(f"this process may open {count + 500} files, which is too few to tell anything")
    with running(Server(scratch, f"server.maxConnections={count + 100}", "server.headerTimeout=90s", "server.idleTimeout=90s")) as server:
        for _ in range(20):
            server.complete()
        before, held = server.live(), server.held()
        idle = []
        try:
            # A third says nothing, a third half a header, a third has been answered once and is kept.
            for i in range(count):
                one = socket.socket()
                # A source address has fewer ports than there may be connections here.
                one.bind((f"127.0.0.{2 + i % 8}", 0))
                one.settimeout(60)
                one.connect(("127.0.0.1", server.port))
                idle.append(one)
                if i % 3 == 1:
                    one.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"s" * 100)
                elif i % 3 == 2:
                    one.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            for one in idle[2::3]:
                expect(one.recv(1000).startswith(b"HTTP/1.1 200"), "a connection that is to be kept was not answered")
            expect(server.metric("polyphon_http_connections") >= count, "not all connections are open")
            times = []
            for _ in range(20):
                began = time.monotonic()
                server.complete()
                times.append(time.monotonic() - began)
            more = (server.live() - before) / count
            print(f"    {count} connections: {more / 1024:.1f} KiB of memory each; a completion beside them takes {1000 * sorted(times)[10]:.0f} ms")
            expect(more < BYTES_A_CONNECTION, f"{more:.0f} bytes of memory for a connection")
            # All but a hundred have their place: what is beyond is told so at once.
            beyond = [socket.create_connection(("127.0.0.1", server.port), 60) for _ in range(150)]
            told = [one.recv(12) for one in beyond[-10:]]
            equal(told, [b"HTTP/1.1 503"] * 10, "answers to connections beyond the limit")
            for one in beyond:
                one.close()
        finally:
            for one in idle:
                one.close()
        server.leaks_nothing(held)


def slow_clients(scratch):
    with running(Server(scratch, "server.headerTimeout=3s", "server.bodyTimeout=3s", "server.writeTimeout=3s", "engine.maxSequences=4")) as server:
        for _ in range(10):
            server.complete()
        held = server.held()
        body = completion(4)
        senders = [socket.create_connection(("127.0.0.1", server.port), 60) for _ in range(100)]
        began = time.monotonic()
        # A byte now and then, of the header or of the body: what counts is when it is complete.
        for i, one in enumerate(senders):
            one.sendall(body[:60] if i % 2 else body[:-30])
        while time.monotonic() - began < 2.5:
            for i, one in enumerate(senders):
                at = int((time.monotonic() - began) * 4)
                one.sendall(body[60 + at:61 + at] if i % 2 else body[len(body) - 30 + at:len(body) - 29 + at])
            time.sleep(0.25)
        server.complete()
        answers = [one.recv(12) for one in senders]
        expect(time.monotonic() - began < 30, "slow senders were not sent away in time")
        equal(set(answers), {b"HTTP/1.1 408"}, "answers to slow senders")
        for one in senders:
            one.close()

        def ask(tokens):
            """Twelve streams, more than there are places in the batch, over connections for which systems hold little."""
            streams = []
            for _ in range(12):
                one = socket.socket()
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
                one.settimeout(120)
                one.connect(("127.0.0.1", server.port))
                one.sendall(completion(tokens, stream=True))
                streams.append(one)
            return streams

        for one in ask(300):
            tail = b""
            while not tail.endswith(b"0\r\n\r\n"):
                piece = one.recv(65536)
                expect(piece, "a client that reads was cut off")
                tail = (tail + piece)[-100:]
            one.close()
        before = server.live()

        # None of these reads: they are cut off, and others' requests come through meanwhile.
        readers = ask(2500)
        eventually("sequences run", lambda: server.metric("polyphon_sequences_running") == 4)
        began = time.monotonic()
        grown = 0
        while server.metric("polyphon_sequences_running") + server.metric("polyphon_sequences_waiting") > 0:
            expect(time.monotonic() - began < 180, "clients that do not read hold their places for ever")
            grown = max(grown, server.live() - before)
            time.sleep(1)
        print(f"    12 clients that do not read: {grown / MIB:.1f} MiB of memory in use, and gone after {time.monotonic() - began:.0f} s")
        expect(grown < 16 * MIB, f"{grown / MIB:.0f} MiB for clients that do not read")
        equal(server.metric("polyphon_http_slow_clients_total", kind="reader"), 12, "slow readers sent away")
        for one in readers:
            one.close()
        equal(server.metric("polyphon_requests_total", outcome="failed"), 0, "requests that failed")
        server.leaks_nothing(held)


FAULTS = [a_full_disk, a_clock_that_is_set, ten_thousand_connections, slow_clients]


def works(scratch, only=()):
    failures = []
    for fault in FAULTS:
        if only and fault.__name__ not in only:
            continue
        began = time.monotonic()
        try:
            fault(pathlib.Path(scratch) / fault.__name__)
            verdict = "held"
        except Skipped as reason:
            verdict = f"SKIPPED: {reason}"
        except (AssertionError, OSError) as error:
            verdict = f"FAILED: {error}"
            failures.append(f"{fault.__name__}: {error}")
            with contextlib.suppress(OSError):
                print((pathlib.Path(scratch) / fault.__name__ / "server.log").read_text()[-3000:])
        print(f"    {fault.__name__.replace('_', ' ')}: {verdict} ({time.monotonic() - began:.1f} s)", flush=True)
    expect(not failures, "; ".join(failures))


if __name__ == "__main__":
    # What ends the script ends its servers, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("faults: ran out of time"))
    with tempfile.TemporaryDirectory(prefix="polyphon-faults-") as folder:
        works(folder, sys.argv[1:])
