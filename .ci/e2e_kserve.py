"""The unmodified tritonclient, by gRPC and by REST, and gRPC's own clients for health and reflection."""

import json
import pathlib
import queue

import grpc
import numpy
import tritonclient.grpc
import tritonclient.http
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.utils import InferenceServerException

from e2e_common import equal, expect

SERVICE = "inference.GRPCInferenceService"


def works(url, base, adapter, prompt, texts):
    """texts: what base and adapter are known to answer to the prompt, greedily, with 16 tokens."""
    address = url.removeprefix("http://")
    with tritonclient.grpc.InferenceServerClient(address) as client:
        tells_of_itself(client, base, adapter)
        infers(tritonclient.grpc, client, base, adapter, prompt, texts)
        compressed = client.infer(adapter, inputs(tritonclient.grpc, prompt, max_tokens=16), compression_algorithm="gzip")
        equal(text(compressed), texts[adapter], "text asked for in a compressed message")
        streams(client, base, adapter, prompt, texts)
        loads_and_unloads(client, adapter)
    with tritonclient.http.InferenceServerClient(address) as client:
        tells_of_itself(client, base, adapter)
        infers(tritonclient.http, client, base, adapter, prompt, texts)
        loads_and_unloads(client, adapter)
    with grpc.insecure_channel(address) as channel:
        answers_grpcs_own_clients(channel)


def inputs(library, prompt, stream=False, **sampling):
    def tensor(name, kind, value):
        made = library.InferInput(name, [1], kind)
        made.set_data_from_numpy(numpy.array([value], dtype=bool if kind == "BOOL" else object))
        return made

    return [tensor("text_input", "BYTES", prompt.encode()), tensor("stream", "BOOL", stream), tensor("exclude_input_in_output", "BOOL", True),
            tensor("sampling_parameters", "BYTES", json.dumps({"temperature": 0, **sampling}).encode())]


def text(result):
    return b"".join(result.as_numpy("text_output")).decode()


def json_form(client):
    """What makes a client answer with JSON, as the one for REST always does."""
    return {"as_json": True} if isinstance(client, tritonclient.grpc.InferenceServerClient) else {}


def tells_of_itself(client, base, adapter):
    expect(client.is_server_live() and client.is_server_ready(), "not live or not ready")
    expect(client.is_model_ready(base) and client.is_model_ready(adapter) and not client.is_model_ready("no-such-model"), "the wrong models are ready")
    more = json_form(client)
    equal(client.get_server_metadata(**more)["name"], "polyphon", "name")
    metadata = client.get_model_metadata(adapter, **more)
    equal(metadata["inputs"][0], {"name": "text_input", "datatype": "BYTES", "shape": ["1"] if more else [1]}, "first input")
    config = client.get_model_config(adapter, **more)
    expect((config["config"] if more else config)["model_transaction_policy"]["decoupled"], "the model is not decoupled")
    statistics = client.get_inference_statistics(base, **more)["model_stats"][0]
    equal(statistics["name"], base, "name in the statistics")


def infers(library, client, base, adapter, prompt, texts):
    equal(text(client.infer(adapter, inputs(library, prompt, max_tokens=16), request_id="7")), texts[adapter], "text of the adapter")
    equal(text(client.infer(base, inputs(library, prompt, max_tokens=16, lora_name=adapter))), texts[adapter], "text by lora_name")
    answer = client.infer(base, inputs(library, prompt, max_tokens=16), request_id="8",
                          outputs=[library.InferRequestedOutput("text_output"), library.InferRequestedOutput("finish_reason")])
    equal(text(answer), texts[base], "text of the base")
    equal(answer.as_numpy("finish_reason")[0], b"length", "finish_reason")
    for model, sampling, wanted in (("no-such-model", {}, "no-such-model"), (base, {"lora_name": "no-such-adapter"}, "no-such-adapter"), (base, {"temperature": 9}, "temperature")):
        try:
            client.infer(model, inputs(library, prompt, **sampling))
        except InferenceServerException as error:
            expect(wanted in error.message(), f"not the reason: {error}")
        else:
            raise AssertionError(f"{model} with {sampling} was answered")


def streams(client, base, adapter, prompt, texts):
    heard = queue.Queue()
    client.start_stream(lambda result, error: heard.put((result, error)))
    wanted = {"1": (base, {}), "2": (adapter, {}), "3": (base, {"lora_name": adapter})}
    for number, (model, sampling) in wanted.items():
        client.async_stream_infer(model, inputs(tritonclient.grpc, prompt, stream=True, max_tokens=16, **sampling), request_id=number)
    pieces = {number: [] for number in wanted}
    left = set(wanted)
    while left:
        result, error = heard.get(timeout=60)
        expect(error is None, f"the stream failed: {error}")
        answer = result.get_response()
        pieces[answer.id].append(text(result))
        if answer.parameters["triton_final_response"].bool_param:
            left.remove(answer.id)
    for number, (model, sampling) in wanted.items():
        equal("".join(pieces[number]), texts[sampling.get("lora_name", model)], f"streamed text {number}")
        expect(len(pieces[number]) > 4, f"16 tokens came in {len(pieces[number])} pieces")
    client.async_stream_infer("no-such-model", inputs(tritonclient.grpc, prompt, stream=True))
    error = heard.get(timeout=60)[1]
    expect(error and "no-such-model" in error.message(), f"not the reason: {error}")
    client.async_stream_infer(base, inputs(tritonclient.grpc, prompt, stream=True, max_tokens=2000, ignore_eos=True))
    heard.get(timeout=60)
    client.stop_stream(cancel_requests=True)


def loads_and_unloads(client, adapter):
    def states():
        index = client.get_model_repository_index(**json_form(client))
        return {model["name"]: model["state"] for model in (index["models"] if isinstance(index, dict) else index)}

    folder = (pathlib.Path("configs/adapters") / adapter).absolute()
    client.load_model("brought", config=json.dumps({"lora_path": str(folder)}))
    equal(states()["brought"], "READY", "state of a loaded model")
    expect(client.is_model_ready("brought"), "a loaded model is not ready")
    client.unload_model("brought")
    expect(not client.is_model_ready("brought"), "an unloaded model is ready")
    equal(states()["brought"], "UNAVAILABLE", "state of an unloaded model")
    client.load_model("brought")
    expect(client.is_model_ready("brought"), "a model that was loaded again is not ready")
    client.unload_model("brought")


def answers_grpcs_own_clients(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", SERVICE):
        equal(health.Check(health_pb2.HealthCheckRequest(service=service)).status, health_pb2.HealthCheckResponse.SERVING, f"health of '{service}'")
    reflected = ProtoReflectionDescriptorDatabase(channel)
    expect(SERVICE in reflected.get_services(), f"services {reflected.get_services()}")
    methods = DescriptorPool(reflected).FindServiceByName(SERVICE).methods_by_name
    expect({"ModelInfer", "ModelStreamInfer", "RepositoryModelLoad"} <= set(methods), f"methods {sorted(methods)}")
