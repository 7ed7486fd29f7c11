"""Writes bases and cases that are not among the first vectors: scaled rotary embeddings on tiny LLaMAs, and StarCoder2.

    pip install -r requirements.txt && python bases.py
"""

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Starcoder2Config, Starcoder2ForCausalLM

from common import GOLDEN, prompts, randomise, write_case

SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, vocab_size=96, intermediate_size=48,
             bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False)


def llama(scaling, positions, **more):
    return LlamaForCausalLM(LlamaConfig(**SIZES, rope_theta=100.0, rope_scaling=scaling, max_position_embeddings=positions, **more))


MODELS = {
    "llama-linear": lambda: llama({"rope_type": "linear", "factor": 4.0}, 64),
    "llama-dynamic": lambda: llama({"rope_type": "dynamic", "factor": 2.0}, 64),
    "llama-yarn": lambda: llama({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 4.0, "beta_slow": 1.0}, 64),
    "starcoder2": lambda: Starcoder2ForCausalLM(Starcoder2Config(**SIZES, rope_theta=10000.0, max_position_embeddings=128, sliding_window=12,
                                                                use_bias=True, norm_epsilon=1e-5, residual_dropout=0.0, embedding_dropout=0.0)),
}

for name, make in MODELS.items():
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        model = make().eval()
        model.set_attn_implementation("eager")
        randomise(model, generator)
        if write_case(f"base-{name}", name, None, model, prompts(SIZES["vocab_size"], generator), ""):
            model.save_pretrained(GOLDEN / "bases" / name)
            (GOLDEN / "bases" / name / "generation_config.json").unlink(missing_ok=True)
            break
    else:
        raise SystemExit(f"{name}: no seed leaves the greedy ids apart")
