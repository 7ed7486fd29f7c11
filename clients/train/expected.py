#!/usr/bin/env python3
"""Writes expected.json: what the adapters under configs/adapters/ answer to questions they were not trained on, greedily, in float32.

expected.py [--base HUB_ID|FOLDER|FILE.gguf] [--adapters DIR] [--out FILE]

Any engine that serves the same base and adapters must agree up to the first step whose gap (the highest logit less the second) is below
`tolerance`; from there on rounding may decide. `certain_text` is the text up to that step.
"""

import argparse
import json
import pathlib

import torch
from peft import PeftModel

import base
import train

HERE = pathlib.Path(__file__).resolve().parent
QUESTIONS = ("What is gravity?", "Tell me about cats.", "How do I make a cup of coffee?", "What is the capital of Germany?")
TOKENS = 24
TOLERANCE = 0.15


@torch.inference_mode()
def greedy(model, tokenizer, prompt):
    """The ids that follow the prompt, and the gap of each step."""
    ids, gaps = list(prompt), []
    while len(ids) < len(prompt) + TOKENS and ids[-1] != tokenizer.eos_token_id:
        best = model(input_ids=torch.tensor([ids]), logits_to_keep=1).logits[0, -1].topk(2)
        ids.append(best.indices[0].item())
        gaps.append((best.values[0] - best.values[1]).item())
    return ids[len(prompt):], gaps


def describe(model, tokenizer, adapter, question):
    prompt = base.prompt_ids(tokenizer, question)
    ids, gaps = greedy(model, tokenizer, prompt)
    certain = next((i for i, gap in enumerate(gaps) if gap < TOLERANCE), len(ids))
    text = tokenizer.decode(ids, skip_special_tokens=True)
    print(f"{adapter}: {question} -> {text!r}", flush=True)
    return {
        "adapter": adapter, "question": question, "prompt_ids": prompt, "greedy_ids": ids, "greedy_text": text,
        "smallest_gap": round(min(gaps), 4), "certain_tokens": certain,
        "certain_text": tokenizer.decode(ids[:certain], skip_special_tokens=True).rstrip("\N{REPLACEMENT CHARACTER}")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default=base.HUB_ID)
    parser.add_argument("--adapters", type=pathlib.Path, default=HERE.parent.parent / "configs/adapters")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "expected.json")
    options = parser.parse_args()
    trained_on = {row["question"] for row in train.read_rows()}
    assert not trained_on & set(QUESTIONS), "a question is in the training data"
    tokenizer, model = base.load(options.base)
    cases = []
    for folder in sorted(folder for folder in options.adapters.iterdir() if folder.is_dir()):
        adapted = PeftModel.from_pretrained(model, folder).eval()
        cases += [describe(adapted, tokenizer, folder.name, question) for question in QUESTIONS]
        model = adapted.unload()
    result = {"base": base.HUB_ID, "tolerance": TOLERANCE, "cases": cases}
    options.out.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
