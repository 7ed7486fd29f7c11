"""Traces: a collector that reads OTLP over HTTP by OpenTelemetry's own messages, and what a server sends it."""

import gzip
import http.server
import threading
import time

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from e2e_common import equal, expect

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
PHASES = ["adapter", "queue", "prefill", "decode"]
MARK = "a very unlikely harbour"


class Collector:
    """Takes spans on a port of this machine and keeps them, as OpenTelemetry's messages say."""

    def __init__(self):
        self.spans = []
        self.services = set()
        self.bodies = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                known = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
                if known:
                    collector.take(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, body):
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services |= {attributes(resource.resource)["service.name"]}
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def of_trace(self, trace):
        return {span.name: span for span in list(self.spans) if span.trace_id.hex() == trace}

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def attributes(of):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in of.attributes}


def arrive(collector, client, base, adapter):
    """A request of an adapter, unmodified but for its caller's trace, is found in that trace with all that happened to it."""
    answer = client.chat.completions.create(
        model=adapter, messages=[{"role": "user", "content": MARK}], max_tokens=6, temperature=0, extra_body={"ignore_eos": True},
        extra_headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
    end = time.monotonic() + 30
    while "POST /v1/chat/completions" not in (spans := collector.of_trace(TRACE)):
        expect(time.monotonic() < end, f"after 30 s there are only {sorted(spans)}")
        time.sleep(0.1)
    request, model = spans["POST /v1/chat/completions"], spans[f"chat {base}"]
    equal(sorted(spans), sorted([request.name, model.name, *PHASES]), "spans")
    equal(request.parent_span_id.hex(), CALLER, "parent of the request")
    equal(model.parent_span_id, request.span_id, "parent of the model's call")
    found = attributes(model)
    for key, wanted in {"gen_ai.operation.name": "chat", "gen_ai.request.model": base, "gen_ai.response.id": answer.id, "polyphon.adapter": adapter,
                        "gen_ai.usage.input_tokens": answer.usage.prompt_tokens, "gen_ai.usage.output_tokens": 6}.items():
        equal(found.get(key), wanted, key)
    equal(attributes(request)["http.response.status_code"], 200, "status")
    at = model.start_time_unix_nano
    for phase in PHASES:
        span = spans[phase]
        equal(span.parent_span_id, model.span_id, f"parent of {phase}")
        equal(span.start_time_unix_nano, at, f"begin of {phase}")
        at = span.end_time_unix_nano
    equal(at, model.end_time_unix_nano, "end of the last phase")
    expect(spans["decode"].end_time_unix_nano > spans["decode"].start_time_unix_nano, "six tokens took no time")
    equal(collector.services, {"polyphon"}, "services")
    expect(not any(MARK.encode() in body for body in collector.bodies), "a prompt's text is in the traces")
