"""Writes the IA3 reference adapter as the first releases of PEFT did, `adapter_model.bin` of PyTorch, and its case.

    pip install -r requirements-peft.txt && python legacy_bin.py
"""

import json
import shutil

import torch
from safetensors.torch import load_file

from common import GOLDEN

FROM, TO = "ia3-llama", "legacy-bin-ia3-llama"

folder = GOLDEN / "adapters" / TO
folder.mkdir(parents=True, exist_ok=True)
config = json.loads((GOLDEN / "adapters" / FROM / "adapter_config.json").read_text())
(folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "llama"}, indent=2) + "\n")
torch.save(load_file(GOLDEN / "adapters" / FROM / "adapter_model.safetensors"), folder / "adapter_model.bin")
shutil.copytree(GOLDEN / "cases" / FROM, GOLDEN / "cases" / TO, dirs_exist_ok=True)
case = GOLDEN / "cases" / TO / "case.json"
case.write_text(json.dumps(json.loads(case.read_text()) | {"name": TO, "adapter": TO}, indent=1) + "\n")
