"""What PyTorch measures of a GPU, for figures to stand beside: copies, products, the bus, and PEFT with an adapter of its own for each row.

Writes a JSON file, anew after each measurement. What cannot be measured (no PyTorch, no PEFT, not enough memory) is left out, with the reason.
"""
import argparse
import json
import time

SHAPES = {
    "1b": dict(num_hidden_layers=16, hidden_size=2048, intermediate_size=8192, num_attention_heads=32, num_key_value_heads=8, vocab_size=128256),
    "7b": dict(num_hidden_layers=32, hidden_size=4096, intermediate_size=11008, num_attention_heads=32, num_key_value_heads=32, vocab_size=32000),
    "tiny": dict(num_hidden_layers=2, hidden_size=128, intermediate_size=352, num_attention_heads=4, num_key_value_heads=2, vocab_size=512),
}
ROWS = 32
PROMPT = 512
TOKENS = 6
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Results(dict):
    def __init__(self, file):
        super().__init__()
        self.file = file

    def put(self, key, value):
        self[key] = value
        with open(self.file, "w") as out:
            json.dump(self, out, indent=1)

    def attempt(self, key, measure):
        try:
            self.put(key, measure())
        except Exception as e:
            self.put(key + "_missing", f"{type(e).__name__}: {e}"[:300])


def median_seconds(torch, run, repeats=10):
    for _ in range(3):
        run()
    times = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def copy(torch):
    """Bytes read and written by a copy inside the GPU, 10^9 per second."""
    a = torch.empty(1 << 30, dtype=torch.int8, device="cuda")
    b = torch.empty_like(a)
    return 2 * a.numel() / median_seconds(torch, lambda: b.copy_(a)) / 1e9


def pcie(torch):
    """Bytes from pinned host memory to the GPU, 10^9 per second."""
    a = torch.empty(1 << 28, dtype=torch.int8, pin_memory=True)
    b = torch.empty(1 << 28, dtype=torch.int8, device="cuda")
    return a.numel() / median_seconds(torch, lambda: b.copy_(a, non_blocking=True)) / 1e9


def products(torch):
    """Operations of a product of bf16 matrices, sums in f32, 10^12 per second."""
    n = 8192
    a = torch.randn(n, n, dtype=torch.bfloat16, device="cuda")
    b = torch.randn(n, n, dtype=torch.bfloat16, device="cuda")
    return 2 * n**3 / median_seconds(torch, lambda: a @ b) / 1e12


def peft(torch, shape):
    """Tokens per second of 32 sequences, each with another adapter of rank 16 on all linear layers: transformers and PEFT, `adapter_names`."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_default_dtype(torch.bfloat16)
    torch.set_default_device("cuda")
    model = LlamaForCausalLM(LlamaConfig(max_position_embeddings=4096, **SHAPES[shape])).eval()
    config = LoraConfig(r=16, target_modules=LINEAR, init_lora_weights=False)
    model = get_peft_model(model, config, adapter_name="a0")
    for i in range(1, ROWS):
        model.add_adapter(f"a{i}", config)
    ids = torch.randint(3, SHAPES[shape]["vocab_size"], (ROWS, PROMPT))
    names = [f"a{i}" for i in range(ROWS)]

    def generate(tokens):
        torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.inference_mode():
            model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), adapter_names=names, do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens,
                           pad_token_id=0)
        torch.cuda.synchronize()
        return time.perf_counter() - start

    generate(2)
    step = (generate(1 + TOKENS) - generate(1)) / TOKENS
    return {"tokens_per_s": ROWS / step, "step_ms": 1000 * step}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shapes", default="1b,7b")
    parser.add_argument("--out", default="reference.json")
    options = parser.parse_args()
    results = Results(options.out)
    try:
        import torch

        results.put("torch", torch.__version__)
        results.put("gpu", torch.cuda.get_device_name(0))
    except Exception as e:
        results.put("missing", f"{type(e).__name__}: {e}"[:300])
        return
    results.attempt("copy_gb_per_s", lambda: copy(torch))
    results.attempt("pcie_gb_per_s", lambda: pcie(torch))
    results.attempt("bf16_tflop_per_s", lambda: products(torch))
    for shape in options.shapes.split(","):
        results.attempt(f"peft_{shape}", lambda: peft(torch, shape))
        torch.set_default_device("cpu")
        torch.cuda.empty_cache()


main()
