"""Writes adapters and cases of options that PEFT has and the first vectors lack. What is expected is what PEFT computes with the saved folder.

    pip install -r requirements-peft.txt && python peft_adapters.py [NAME ...]
"""

import json
import sys
import tempfile
from pathlib import Path

import peft
import torch
from peft import AdaLoraConfig, BOFTConfig, LoraConfig, MissConfig, OFTConfig, RoadConfig, VBLoRAConfig, VeraConfig
from transformers import AutoModelForCausalLM

from common import GOLDEN, prompts, write_case

VOCABULARY = 320
QV = ["q_proj", "v_proj"]
TOKENS = [5, 8, 213]


def pruned(model, generator):
    """A short training, at the end of which AdaLoRA has pruned ranks, of some modules all."""
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    model.train()
    for step in range(10):
        tokens = torch.randint(3, VOCABULARY, (2, 12), generator=generator)
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimiser.step()
        model.base_model.update_and_allocate(step)
        optimiser.zero_grad()
    left = [sum(mask) for mask in model.peft_config["default"].rank_pattern.values()]
    assert min(left) == 0 < max(left) < 6, left


# Base, configuration, and what is done to the adapter after its weights are random.
ADAPTERS = {
    "adalora-pruned-llama": ("llama", AdaLoraConfig(target_modules=QV, init_r=6, target_r=1, tinit=1, tfinal=2, deltaT=1, total_step=10, beta1=0.5,
                                                    beta2=0.5), pruned),
    "lora-experts-mixtral": ("mixtral", LoraConfig(r=2, lora_alpha=5, target_modules="all-linear"), None),
    "token-indices-tied-llama": ("llama-tied-rope3", LoraConfig(r=2, target_modules=QV, trainable_token_indices=TOKENS), None),
    "token-indices-head-llama": ("llama", LoraConfig(r=2, target_modules=QV, trainable_token_indices={"embed_tokens": TOKENS, "lm_head": [7, 9]}), None),
    "token-indices-gemma3": ("gemma3", LoraConfig(r=2, target_modules=QV, trainable_token_indices=TOKENS), None),
    "tied-embed-llama": ("llama-tied-rope3", LoraConfig(r=2, target_modules=["embed_tokens", "q_proj"], ensure_weight_tying=True), None),
    "tied-saved-embed-llama": ("llama-tied-rope3", LoraConfig(r=2, target_modules=QV, modules_to_save=["embed_tokens"], ensure_weight_tying=True), None),
    "pissa-saved-gpt2": ("gpt2", LoraConfig(r=4, target_modules=["c_attn"], modules_to_save=["c_fc"], init_lora_weights="pissa", fan_in_fan_out=True), None),
    "boft-bias-opt": ("opt", BOFTConfig(boft_block_size=4, target_modules=["fc1"], bias="boft_only"), None),
    "oft-constrained-llama": ("llama", OFTConfig(oft_block_size=8, r=0, target_modules=QV, coft=True, eps=1.0), None),
    "miss-bat-llama": ("llama", MissConfig(r=8, target_modules=QV, init_weights="bat"), None),
    "miss-mini-llama": ("llama", MissConfig(r=8, mini_r=4, target_modules=QV, init_weights="mini"), None),
    "road-phi3": ("phi3", RoadConfig(group_size=16, variant="road_2", target_modules=["qkv_proj"]), None),
    "vblora-topk-llama": ("llama", VBLoRAConfig(r=4, num_vectors=16, vector_length=16, topk=3, target_modules=QV, save_only_topk_weights=True), None),
    "vera-seed-llama": ("llama", VeraConfig(r=8, target_modules=["q_proj", "down_proj"], save_projection=False, projection_prng_key=12345), None),
}


def open_base(name):
    return AutoModelForCausalLM.from_pretrained(GOLDEN / "bases" / name, attn_implementation="eager", dtype=torch.float32).eval()


def adapted(base, config, after, generator):
    config.task_type = "CAUSAL_LM"
    model = peft.get_peft_model(open_base(base), config)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            if p.requires_grad:
                noise = torch.randn(p.shape, generator=generator)
                p.add_(0.5 * noise / p.shape[-1] ** 0.5 if p.dim() > 1 else 0.3 * noise)
    if after:
        after(model, generator)
    return model.eval()


def save(model, base, folder):
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    config["base_model_name_or_path"] = base
    for key, value in config.items():
        if key.endswith("_modules") and isinstance(value, list):
            value.sort()
    file.write_text(json.dumps(config, indent=2) + "\n")


def main(names):
    for name, (base, config, after) in ADAPTERS.items():
        if names and name not in names:
            continue
        for seed in range(100):
            generator = torch.Generator().manual_seed(seed)
            torch.manual_seed(seed)
            with tempfile.TemporaryDirectory() as scratch:
                save(adapted(base, config, after, generator), base, Path(scratch))
                model = peft.PeftModel.from_pretrained(open_base(base), scratch).eval()
                ids = prompts(VOCABULARY, generator)
                if getattr(config, "trainable_token_indices", None):
                    for prompt in ids:
                        prompt[1:1 + len(TOKENS)] = TOKENS
                if write_case(name, base, name, model, ids, f", peft {peft.__version__}"):
                    folder = GOLDEN / "adapters" / name
                    folder.mkdir(exist_ok=True)
                    for file in Path(scratch).iterdir():
                        (folder / file.name).write_bytes(file.read_bytes())
                    break
        else:
            raise SystemExit(f"{name}: no seed leaves the greedy ids apart")


if __name__ == "__main__":
    main(sys.argv[1:])
