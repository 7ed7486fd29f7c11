"""Writes bases and cases that are not among the first vectors: scaled rotary embeddings on tiny LLaMAs and Phi-3s, and StarCoder2.

    pip install -r requirements.txt && python bases.py [NAME ...]
"""

import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM, Starcoder2Config, Starcoder2ForCausalLM

from common import GOLDEN, prompts, randomise, write_case

SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, vocab_size=96, intermediate_size=48,
             bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False)


def llama(scaling, positions, **more):
    return LlamaForCausalLM(LlamaConfig(**SIZES, rope_theta=100.0, rope_scaling=scaling, max_position_embeddings=positions, **more))


def phi3(positions):
    """LongRoPE has other frequencies beyond 32 positions: which ones it uses, transformers decides by the length of the whole sequence."""
    scaling = {"type": "longrope", "short_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5], "long_factor": [1.0, 1.5, 2.5, 4.0, 6.0, 8.0]}
    return Phi3ForCausalLM(Phi3Config(**SIZES, rope_theta=100.0, rope_scaling=scaling, partial_rotary_factor=0.75, sliding_window=None,
                                      max_position_embeddings=positions, original_max_position_embeddings=32))


LENGTHS = {"phi3-longrope": (33, 40, 57), "phi3-longrope-short": (5, 9, 14)}

MODELS = {
    "phi3-longrope": lambda: phi3(128),
    "phi3-longrope-short": lambda: phi3(32),
    "llama-linear": lambda: llama({"rope_type": "linear", "factor": 4.0}, 64),
    "llama-dynamic": lambda: llama({"rope_type": "dynamic", "factor": 2.0}, 64),
    "llama-yarn": lambda: llama({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 4.0, "beta_slow": 1.0}, 64),
    "starcoder2": lambda: Starcoder2ForCausalLM(Starcoder2Config(**SIZES, rope_theta=10000.0, max_position_embeddings=128, sliding_window=12,
                                                                use_bias=True, norm_epsilon=1e-5, residual_dropout=0.0, embedding_dropout=0.0)),
}

for name, make in MODELS.items():
    if len(sys.argv) > 1 and name not in sys.argv[1:]:
        continue
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        model = make().eval()
        model.set_attn_implementation("eager")
        randomise(model, generator)
        if write_case(f"base-{name}", name, None, model, prompts(SIZES["vocab_size"], generator, LENGTHS.get(name, (5, 13, 24))), ""):
            model.save_pretrained(GOLDEN / "bases" / name)
            (GOLDEN / "bases" / name / "generation_config.json").unlink(missing_ok=True)
            break
    else:
        raise SystemExit(f"{name}: no seed leaves the greedy ids apart")
