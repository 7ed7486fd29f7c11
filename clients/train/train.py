#!/usr/bin/env python3
"""Trains the demonstration adapters under configs/adapters/: LoRA of rank 8 on the attention of the upper layers, on a CPU.

train.py [--base HUB_ID|FOLDER|FILE.gguf] [--out DIR] [--only NAME,...] [--steps N]
"""

import argparse
import csv
import pathlib
import random

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

import base
from styles import ABOUT, STYLES

HERE = pathlib.Path(__file__).resolve().parent
LEAD_INS = ("", "", "", "Please answer: ", "I have a question. ", "Tell me, ")
IGNORED = -100  # the label that PyTorch's cross entropy leaves out

README = """# {name}

{about}
A LoRA adapter (rank 8, attention of the upper layers, float16) for `{hub_id}`, trained on the CPU by

    python clients/train/train.py --only {name}

Data: `clients/train/data/phrases.tsv`, written for this project, CC0 1.0. The adapter: CC0 1.0; the base model's own licence
(Apache 2.0) applies to the base. A demonstration of style: what it says need not be true.
"""


def read_rows():
    with open(HERE / "data/phrases.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def collate(conversations, padding):
    """Pads (prompt, answer) pairs on the left, so that all answers end together: ids, mask, and the ids that count for the loss."""
    longest = max(len(prompt) + len(answer) for prompt, answer in conversations)
    longest_answer = max(len(answer) for _, answer in conversations)
    gaps = [longest - len(prompt) - len(answer) for prompt, answer in conversations]
    ids = [[padding] * gap + prompt + answer for gap, (prompt, answer) in zip(gaps, conversations)]
    mask = [[0] * gap + [1] * (longest - gap) for gap in gaps]
    labels = [[IGNORED] * (longest_answer - len(answer)) + answer for _, answer in conversations]
    return torch.tensor(ids), torch.tensor(mask), torch.tensor(labels)


def answer_loss(model, ids, mask, labels):
    """Mean cross entropy of the answers' tokens. Each is predicted one position earlier; logits elsewhere are not computed."""
    logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=labels.shape[1] + 1).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def batches(rows, style, tokenizer, size, draw):
    """Endless batches: every pass takes all rows in a new order, each question with a lead-in of its own."""
    order = []
    while True:
        while len(order) < size:
            order += draw.sample(range(len(rows)), len(rows))
        picked, order = order[:size], order[size:]
        yield collate([(
            base.prompt_ids(tokenizer, draw.choice(LEAD_INS) + rows[i]["question"]),
            tokenizer(style(rows[i], i) + tokenizer.eos_token, add_special_tokens=False).input_ids) for i in picked], tokenizer.eos_token_id)


def train(model, tokenizer, rows, style, options):
    torch.manual_seed(options.seed)
    model = get_peft_model(model, LoraConfig(
        task_type="CAUSAL_LM", r=8, lora_alpha=16, lora_dropout=0.05, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
        layers_to_transform=list(range(options.from_layer, model.config.num_hidden_layers))))
    model.train()
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=options.rate, weight_decay=0.01)
    warmup = max(1, options.steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warmup, (options.steps - step) / max(1, options.steps - warmup)))
    source = batches(rows, style, tokenizer, options.batch, random.Random(options.seed))
    for step in range(options.steps):
        loss = answer_loss(model, *next(source))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        if step % 10 == 0 or step == options.steps - 1:
            print(f"step {step + 1}/{options.steps}  loss {loss.item():.3f}", flush=True)
    return model


def save(model, name, folder):
    model.peft_config["default"].base_model_name_or_path = base.HUB_ID
    model.save_pretrained(folder)
    file = folder / "adapter_model.safetensors"
    save_file({key: tensor.to(torch.float16) for key, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
    (folder / "README.md").write_text(README.format(name=name, about=ABOUT[name], hub_id=base.HUB_ID), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default=base.HUB_ID)
    parser.add_argument("--out", type=pathlib.Path, default=HERE.parent.parent / "configs/adapters")
    parser.add_argument("--only", default=",".join(STYLES), help="names, separated by commas")
    parser.add_argument("--steps", type=int, default=112)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--from-layer", type=int, default=12, help="the first layer that is adapted")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(STYLES):
        parser.error(f"no style {', '.join(sorted(unknown))}; there are {', '.join(STYLES)}")
    torch.use_deterministic_algorithms(True)
    tokenizer, model = base.load(options.base)
    rows = read_rows()
    for name in names:
        print(name, flush=True)
        trained = train(model, tokenizer, rows, STYLES[name], options)
        save(trained, name, options.out / name)
        model = trained.unload()


if __name__ == "__main__":
    main()
