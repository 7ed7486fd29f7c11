"""Writes src/test/resources/weights/torch/: state dicts as torch.save writes them, NAME.bin, each beside the same tensors, contiguous, in
NAME.safetensors; and files that a reader has to refuse, refused-*.bin.

    pip install torch==2.15.0 safetensors && python make_torch_vectors.py
"""

import collections
from pathlib import Path

import torch
from safetensors.torch import save_file

TARGET = Path(__file__).parent.parent / "resources" / "weights" / "torch"
TARGET.mkdir(parents=True, exist_ok=True)
torch.manual_seed(7)


def save(name, tensors, **options):
    torch.save(tensors, TARGET / f"{name}.bin", **options)
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, TARGET / f"{name}.safetensors")


dtypes = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
types = {str(d).removeprefix("torch."): torch.arange(-3, 9).reshape(3, 4).to(d) for d in dtypes}
save("types", types)
save("types-protocol-4", types, pickle_protocol=4)

x = torch.randn(4, 5, 6)
save("strided", {
    "transposed": x[0].T,
    "permuted": x.permute(2, 0, 1),
    "every-second": x[:, ::2, 1::3],
    "tail": x[3],
    "column": x[0][:, 2:3],
    "unit-dimensions": x[:1, :1],
    "expanded": torch.randn(3, 1).expand(3, 4),
    "scalar": torch.tensor(2.5),
    "empty": torch.empty(0, 7),
    "whole": x,
})

model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
save("module", model.state_dict())
parameter = torch.nn.Parameter(torch.randn(2, 2))
with_state = torch.nn.Parameter(torch.randn(3))
with_state.note = "attributes are dropped"
save("parameters", collections.OrderedDict(a=parameter, tied=parameter, with_state=with_state))


class Code:
    def __reduce__(self):
        return print, ("this must never be printed",)


ones = torch.ones(2)
torch.save({"a": ones, "b": Code()}, TARGET / "refused-code.bin")
torch.save({"a": ones, "step": 3}, TARGET / "refused-integer.bin")
torch.save({"model": {"a": ones}}, TARGET / "refused-nested.bin")
torch.save([ones], TARGET / "refused-list.bin")
torch.save(ones, TARGET / "refused-tensor.bin")
torch.save(torch.nn.Linear(2, 2), TARGET / "refused-module.bin")
torch.save({"a": torch.zeros(2, dtype=torch.uint16)}, TARGET / "refused-uint16.bin")
torch.save({"a": torch.zeros(2, dtype=torch.complex64)}, TARGET / "refused-complex.bin")
torch.save({"a": torch.ones(1).expand(10_000)}, TARGET / "refused-repeated.bin")
torch.save({"a": ones}, TARGET / "refused-before-1.6.bin", _use_new_zipfile_serialization=False)
