"""Writes adapters as AdapterHub's library saves them, on bases of the first vectors, with their cases.

    pip install -r requirements.txt && python adapterhub.py [NAME...]
"""

import json
import shutil
import sys

import adapters
import torch
from adapters import (CompacterConfig, DoubleSeqBnConfig, LoRAConfig, LoReftConfig, MAMConfig, ParBnConfig, PrefixTuningConfig, SeqBnConfig)
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from common import GOLDEN, prompts, write_case

PREFIX = dict(prefix_length=5, bottleneck_size=6)
ADAPTERS = {
    "hub-houlsby-llama": ("llama", DoubleSeqBnConfig(reduction_factor=8)),
    "hub-pfeiffer-llama": ("llama", SeqBnConfig(reduction_factor=8, leave_out=[0])),
    "hub-pfeiffer-scaled-llama": ("llama", SeqBnConfig(reduction_factor=16, scaling="learned", ln_before=True, non_linearity="gelu")),
    "hub-parallel-llama": ("llama", ParBnConfig(reduction_factor=8)),
    "hub-channel-llama": ("llama", SeqBnConfig(reduction_factor=8, scaling="channel", non_linearity="tanh")),
    "hub-compacter-llama": ("llama", CompacterConfig(reduction_factor=8)),
    "hub-compacter-own-rule-llama": ("llama", CompacterConfig(reduction_factor=8, shared_phm_rule=False, factorized_phm_rule=True,
                                                              factorized_phm_W=False)),
    "hub-prefix-llama": ("llama", PrefixTuningConfig(**PREFIX)),
    "hub-prefix-flat-llama": ("llama", PrefixTuningConfig(flat=True, **PREFIX)),
    "hub-mam-llama": ("llama", MAMConfig(PrefixTuningConfig(**PREFIX), ParBnConfig(reduction_factor=16))),
    "hub-loreft-llama": ("llama", LoReftConfig(r=3)),
    "hub-loreft-tied-llama": ("llama", LoReftConfig(r=2, layers=[1], tied_weights=True, prefix_positions=2, suffix_positions=2)),
    "hub-lora-llama": ("llama", LoRAConfig(r=4, alpha=8, intermediate_lora=True, output_lora=True)),
    "hub-pfeiffer-gpt2": ("gpt2", SeqBnConfig(reduction_factor=8)),
    "hub-houlsby-gpt2": ("gpt2", DoubleSeqBnConfig(reduction_factor=8)),
}
# With positions counted from the end of the prompt only the prompt's own logits are defined by the library, which recomputes without a cache.
NO_GREEDY = {"hub-loreft-tied-llama": 1}


def open_base(name):
    folder = GOLDEN / "bases" / name
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    expected = load_file(GOLDEN / "cases" / f"base-{name}" / "expected.safetensors")["logits.2"]
    prompt = json.loads((GOLDEN / "cases" / f"base-{name}" / "case.json").read_text())["prompts"][2]
    with torch.no_grad():
        error = (model(torch.tensor([prompt])).logits[0] - expected).abs().max().item()
    assert error < 1e-3, f"this version computes {name} differently, by {error}"
    return model


@torch.no_grad()
def randomise(model, generator):
    for name, p in sorted(model.named_parameters()):
        if "adapter" in name or "lora" in name or "prefix_tuning" in name or "reft" in name or "shared_parameters" in name:
            if ".adapters." not in name and ".loras." not in name and "prefix_tunings" not in name and ".refts." not in name and "shared" not in name:
                continue
            noise = torch.randn(p.shape, generator=generator)
            wide = p.dim() > 1
            scale = 0.5 if "phm_rule" in name else 0.7 / p.shape[-1] ** 0.5 if wide else 0.2
            if name.endswith("parametrizations.weight.original"):
                # Householder vectors below the diagonal; the diagonal holds signs.
                p.copy_(0.3 * noise)
                p.fill_diagonal_(-1)
                continue
            p.copy_((1 if "norm" in name and name.endswith("weight") or name.endswith("scaling") else 0) + scale * noise)


for name, (base, config) in ADAPTERS.items():
    if sys.argv[1:] and name not in sys.argv[1:]:
        continue
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        model = open_base(base)
        adapters.init(model)
        model.add_adapter("a", config=config)
        model.set_active_adapters("a")
        randomise(model, generator)
        model.eval()
        ids = prompts(model.config.vocab_size, generator)
        if write_case(name, base, name, model, ids, f", adapters {adapters.__version__}", most_greedy=NO_GREEDY.get(name, 16)):
            target = GOLDEN / "adapters" / name
            shutil.rmtree(target, ignore_errors=True)
            try:
                model.save_adapter(str(target), "a", with_head=False, use_safetensors=name != "hub-houlsby-llama")
            except RuntimeError:
                # The library names some tensors more than once, which safetensors refuses.
                model.save_adapter(str(target), "a", with_head=False, use_safetensors=False)
            for extra in target.iterdir():
                if extra.name not in ("adapter_config.json", "adapter.safetensors", "pytorch_adapter.bin"):
                    extra.unlink()
            config = json.loads((target / "adapter_config.json").read_text())
            config["model_name"] = base
            (target / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
            break
    else:
        raise SystemExit(f"{name}: no seed leaves the greedy ids apart")
