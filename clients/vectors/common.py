"""What the generators share: the folders of the reference vectors, random weights, and cases with logits and greedy ids."""

import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

GOLDEN = Path(__file__).parents[2] / "runtime/engine/src/test/resources/golden"
TOLERANCE = {"absolute": 0.002, "relative": 0.001}
SMALLEST_GAP = 0.004
GREEDY = 16


def randomise(model, generator, spread=1.0):
    """Weights large enough that every part of the computation shows in the logits."""
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            noise = torch.randn(p.shape, generator=generator)
            if p.dim() == 1:
                p.copy_((1 if "norm" in name and name.endswith("weight") else 0) + 0.1 * noise)
            elif "embed" in name or "wte" in name or "wpe" in name:
                p.copy_(noise)
            else:
                p.copy_(spread * noise / p.shape[-1] ** 0.5)


def prompts(vocabulary, generator, lengths=(5, 13, 24)):
    return [torch.randint(3, vocabulary, (n,), generator=generator).tolist() for n in lengths]


@torch.no_grad()
def write_case(name, base, adapter, model, ids, producer, forward=None, most_greedy=GREEDY):
    """Writes cases/NAME, or nothing when two ids are too close for greedy decoding to be a fair test. Returns whether it was written."""
    forward = forward or (lambda tokens, prompt: model(torch.tensor([tokens]), use_cache=False).logits[0])
    greedy, logits, gap = [], {}, float("inf")
    for i, prompt in enumerate(ids):
        tokens = list(prompt)
        logits[f"logits.{i}"] = forward(tokens, len(prompt)).float().contiguous()
        for _ in range(most_greedy):
            best = forward(tokens, len(prompt))[-1].topk(2)
            gap = min(gap, (best.values[0] - best.values[1]).item())
            tokens.append(best.indices[0].item())
        greedy.append(tokens[len(prompt):])
    if gap < SMALLEST_GAP:
        return False
    folder = GOLDEN / "cases" / name
    folder.mkdir(parents=True, exist_ok=True)
    case = {"name": name, "base": base, "adapter": adapter, "prompts": ids, "greedy": greedy, "smallest_greedy_gap": gap, "tolerance": TOLERANCE,
            "producer": f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}{producer}"}
    (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")
    save_file(logits, folder / "expected.safetensors")
    print(f"{name}: smallest gap {gap:.4f}")
    return True
