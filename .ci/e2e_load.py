"""The load of a foreign benchmark, the unmodified aiperf: what it counted must be what the server counted."""

import json
import os
import subprocess

from e2e_common import equal, expect

REQUESTS, TOKENS = 48, 16


def byte_tokenizer(folder):
    """A folder with a tokenizer whose tokens are bytes: the load is made of texts of so many, and what the server says they come to is what counts."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    signs = {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(byte for byte in range(256) if byte not in plain)}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "added_tokens": [], "pre_tokenizer": level, "decoder": level,
        "model": {"type": "BPE", "vocab": {sign: byte for byte, sign in signs.items()}, "merges": []}}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


def works(url, models, scratch, counted):
    """counted: tells a metric of the server's."""
    before = {name: counted(name) for name in ("polyphon_requests_total", "polyphon_generated_tokens_total")}
    out = scratch / "aiperf"
    command = [os.environ["AIPERF_PYTHON"], "-m", "aiperf", "profile", "--model", ",".join(models), "--model-selection-strategy", "round_robin", "--url", url,
               "--endpoint-type", "chat", "--streaming", "--tokenizer", str(byte_tokenizer(scratch / "bytes")), "--use-server-token-count",
               "--isl", "128", "--osl", str(TOKENS), "--extra-inputs", "ignore_eos:true", "--concurrency", "8", "--request-count", str(REQUESTS),
               "--random-seed", "7", "--workers-max", "1", "--record-processors", "1", "--no-gpu-telemetry", "--ui", "none", "--output-artifact-dir", str(out)]
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=180)
    equal(done.returncode, 0, f"exit status of aiperf; it says {done.stdout[-1500:]}{done.stderr[-500:]}")
    result = json.loads((out / "profile_export_aiperf.json").read_text())
    equal((result["request_count"]["avg"], result["error_summary"], result["was_cancelled"]), (REQUESTS, [], False), "requests, errors, whether it was cancelled")
    lengths = result["output_sequence_length"]
    equal((lengths["min"], lengths["max"], lengths["sum"]), (TOKENS, TOKENS, TOKENS * REQUESTS), "least, most and all tokens")
    expect(result["time_to_first_token"]["min"] > 0 and result["inter_token_latency"]["avg"] > 0, "no times")
    equal(counted("polyphon_requests_total") - before["polyphon_requests_total"], REQUESTS, "requests that the server counted")
    equal(counted("polyphon_generated_tokens_total") - before["polyphon_generated_tokens_total"], TOKENS * REQUESTS, "tokens that the server counted")
    seen = json.loads((out / "server_metrics_export.json").read_text())["metrics"]
    expect({"polyphon_requests", "polyphon_kv_blocks_used", "gen_ai_server_time_to_first_token_seconds"} <= {name.removesuffix("_total") for name in seen},
           f"aiperf read other metrics: {sorted(seen)}")
    print(f"    aiperf: {result['output_token_throughput']['avg']:.0f} tokens a second, first token after {result['time_to_first_token']['p50']:.0f} ms")
