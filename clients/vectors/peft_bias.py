"""Writes adapters and cases of PEFT's LoRA with `bias="all"` on bases whose norms have biases, which it trains with the others.

    pip install -r requirements-peft.txt && python peft_bias.py [NAME ...]
"""

import json
import sys

import peft
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from common import GOLDEN, prompts, write_case

VOCABULARY = 320

# One module of the attention and one of the MLP each; the biases of all others are trained alone.
TARGETS = {
    "gpt2": ["c_attn", "c_fc"],
    "opt": ["q_proj", "fc2"],
    "bloom": ["query_key_value", "dense_h_to_4h"],
    "gpt_neox": ["query_key_value", "dense_4h_to_h"],
}


def adapted(base, targets, generator):
    model = AutoModelForCausalLM.from_pretrained(GOLDEN / "bases" / base, attn_implementation="eager").eval()
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=targets, bias="all", task_type="CAUSAL_LM", fan_in_fan_out=base == "gpt2")
    model = peft.get_peft_model(model, config).eval()
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            if p.requires_grad:
                noise = torch.randn(p.shape, generator=generator)
                if "lora_" in name:
                    p.copy_(noise / p.shape[-1] ** 0.5)
                else:
                    p.add_(0.2 * noise)
    return model


def save(model, base, folder):
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    config["base_model_name_or_path"] = base
    config["target_modules"] = sorted(config["target_modules"])
    file.write_text(json.dumps(config, indent=2) + "\n")
    norms = [name for name in load_file(folder / "adapter_model.safetensors") if name.endswith(".bias") and ("norm" in name or ".ln_" in name)]
    assert len(norms) >= 5, norms


for base, targets in TARGETS.items():
    name = f"bias-all-{base}"
    if len(sys.argv) > 1 and name not in sys.argv[1:]:
        continue
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        model = adapted(base, targets, generator)
        if write_case(name, base, name, model, prompts(VOCABULARY, generator), f", peft {peft.__version__}"):
            save(model, base, GOLDEN / "adapters" / name)
            break
    else:
        raise SystemExit(f"{name}: no seed leaves the greedy ids apart")
