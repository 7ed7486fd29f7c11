"""Loads the base model in float32: a Hugging Face folder or hub id, or a GGUF file, whose weights are dequantised."""

import pathlib

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"


def load(base):
    path = pathlib.Path(base)
    where, options = (path.parent, {"gguf_file": path.name}) if path.suffix == ".gguf" else (base, {})
    tokenizer = AutoTokenizer.from_pretrained(where, **options)
    model = AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32, **options)
    return tokenizer, model


def prompt_ids(tokenizer, question):
    text = tokenizer.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False)
    return tokenizer(text, add_special_tokens=False).input_ids
