#!/usr/bin/env python3
"""Lists every option of PEFT's configurations with a value other than the reference adapter's, for PeftOptionsTest.

usage: peft_options.py GOLDEN FILE      needs peft (0.21.2 made the list that is in use)

GOLDEN is the folder of reference vectors. FILE is read first, if it is there: what was decided for an option is kept; new options
come out with the outcome "undecided", which the test does not accept.
"""
import dataclasses
import json
import os
import sys

import peft
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

ADAPTERS = {
    "LORA": "lora-llama", "ADALORA": "adalora-llama", "BOFT": "boft-llama", "C3A": "c3a-llama", "FOURIERFT": "fourierft-llama",
    "HRA": "hra-llama", "IA3": "ia3-llama", "LN_TUNING": "ln-tuning-llama", "LOHA": "loha-llama", "LOKR": "lokr-llama",
    "MISS": "miss-llama", "OFT": "oft-llama", "POLY": "poly-llama", "PREFIX_TUNING": "prefix-tuning-llama",
    "PROMPT_TUNING": "prompt-tuning-llama", "P_TUNING": "p-tuning-llama", "RANDLORA": "randlora-llama", "ROAD": "road-llama",
    "SHIRA": "shira-llama", "TRAINABLE_TOKENS": "trainable-tokens-llama", "VBLORA": "vblora-llama", "VERA": "vera-llama",
    "WAVEFT": "waveft-llama",
}
COMMON = {field.name for field in dataclasses.fields(peft.PeftConfig)}
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# Where another value cannot be told from the type of the one that is there.
VALUES = {
    "bias": "all", "layers_to_transform": [0], "layers_pattern": "layers", "exclude_modules": LINEAR, "modules_to_save": ["norm"],
    "trainable_token_indices": [3], "alora_invocation_tokens": [5], "megatron_config": {"x": 1}, "loftq_config": {"loftq_bits": 4},
    "rank_pattern": {"q_proj": 3, "v_proj": 3}, "alpha_pattern": {"q_proj": 3, "v_proj": 3}, "target_parameters": ["q_proj.weight"],
    "layer_replication": [[0, 1], [0, 2]], "init_lora_weights": "pissa", "prompt_tuning_init": "TEXT", "poly_type": None,
    "variant": "road_2", "mask_type": "x", "wavelet_family": "sym4", "encoder_reparameterization_type": "LSTM",
    "block_size_pattern": {"q_proj": 2, "v_proj": 2}, "n_frequency_pattern": {"q_proj": 3, "v_proj": 3}, "apply_GS": True,
    "feedforward_modules": ["q_proj", "k_proj", "v_proj", "down_proj"],
}


def default(field):
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else None


def another(name, value):
    if name in VALUES:
        return VALUES[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 2 if value else 0.5
    if isinstance(value, dict) or name.endswith("_config"):
        return {"x": 1}
    if isinstance(value, list):
        return value + value[:1] if value else ["x"]
    return "y" if value == "x" else "x"


def main(golden, file):
    decided = {}
    if os.path.exists(file):
        with open(file) as f:
            decided = {(o["kind"], o["option"]): o["outcome"] for o in json.load(f)["options"]}
    options = []
    for kind, config in sorted((getattr(k, "value", k), c) for k, c in PEFT_TYPE_TO_CONFIG_MAPPING.items()):
        if kind not in ADAPTERS:
            continue
        with open(f"{golden}/adapters/{ADAPTERS[kind]}/adapter_config.json") as f:
            there = json.load(f)
        for field in dataclasses.fields(config):
            # Not the kind itself, nor what the tensors are compared with anyway; and what all kinds have, once.
            if field.name not in ("peft_type", "target_modules") and (kind == "LORA" or field.name not in COMMON):
                options.append({"kind": kind, "option": field.name, "value": another(field.name, there.get(field.name, default(field))),
                                "outcome": decided.get((kind, field.name), "undecided")})
    with open(file, "w") as f:
        lines = ",\n".join("  " + json.dumps(o) for o in options)
        f.write(f'{{"peft": "{peft.__version__}", "adapters": {json.dumps(ADAPTERS)},\n "options": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main(*sys.argv[1:])
