"""Writes src/test/resources/weights/blocks.gguf: for each storage type a tensor of random blocks, NAME, and what it holds as float32
according to the PyPI package gguf (gguf.quants.dequantize), NAME.expected; and metadata of every kind.

    pip install gguf==0.19.0 && python make_weights_vectors.py
"""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGUFValueType as V
from gguf import GGUFWriter
from gguf.quants import dequantize

TARGET = Path(__file__).parent.parent / "resources" / "weights" / "blocks.gguf"
ROWS, COLUMNS = 3, 512
rng = np.random.default_rng(7)


def halves(count):
    """Scales with the awkward ones in front: subnormals, zeros of both signs, the largest."""
    values = rng.normal(0, 0.02, count).astype(np.float16)
    awkward = np.array([0x0001, 0x83FF, 0x0000, 0x8000, 0x7BFF, 0x0400], dtype=np.uint16).view(np.float16)
    values[: min(count, len(awkward))] = awkward[:count]
    return values.view(np.uint8).reshape(count, 2)


def blocks(block_size, block_bytes, scales_at):
    """Random blocks whose f16 fields, at the given byte offsets, are finite."""
    count = ROWS * COLUMNS // block_size
    raw = rng.integers(0, 256, (count, block_bytes), dtype=np.uint8)
    for at in scales_at:
        raw[:, at : at + 2] = halves(count)
    return raw.reshape(ROWS, -1)


writer = GGUFWriter(TARGET, "llama")
writer.add_key_value("test.uint8", 200, V.UINT8)
writer.add_key_value("test.int8", -100, V.INT8)
writer.add_key_value("test.uint16", 60000, V.UINT16)
writer.add_key_value("test.int16", -30000, V.INT16)
writer.add_key_value("test.uint32", 4000000000, V.UINT32)
writer.add_key_value("test.int32", -2000000000, V.INT32)
writer.add_key_value("test.uint64", 2**63 + 1, V.UINT64)
writer.add_key_value("test.int64", -(2**62), V.INT64)
writer.add_key_value("test.float32", 1e-5, V.FLOAT32)
writer.add_key_value("test.float64", 1e-5, V.FLOAT64)
writer.add_key_value("test.bool", True, V.BOOL)
writer.add_key_value("test.string", "Zoë 🎵", V.STRING)
writer.add_array("test.strings", ["<s>", "", "Ġmusic", "日本"])
writer.add_array("test.ints", [1, -2, 3])
writer.add_array("test.floats", [0.5, -1.25])
writer.add_array("test.bools", [True, False])

f32 = rng.normal(0, 1, (ROWS, COLUMNS)).astype(np.float32)
f32.reshape(-1)[:4] = [-0.0, np.inf, np.float32(1e-42), np.float32(3.4e38)]
every_half = np.arange(65536, dtype=np.uint16)
f16 = every_half[rng.permutation(65536)[: ROWS * COLUMNS]].view(np.float16).reshape(ROWS, COLUMNS).copy()
f16[np.isnan(f16)] = 0
f16.reshape(-1).view(np.uint16)[:6] = [0x0001, 0x83FF, 0x8000, 0x7BFF, 0x7C00, 0xFC00]
bf16 = (f32.view(np.uint32) >> 16).astype(np.uint16)

tensors = {
    "f32": (f32.view(np.uint8), T.F32),
    "f16": (f16.view(np.uint8), T.F16),
    "bf16": (bf16.view(np.uint8), T.BF16),
    "q8_0": (blocks(32, 34, [0]), T.Q8_0),
    "q4_0": (blocks(32, 18, [0]), T.Q4_0),
    "q4_1": (blocks(32, 20, [0, 2]), T.Q4_1),
    "q4_k": (blocks(256, 144, [0, 2]), T.Q4_K),
    "q5_k": (blocks(256, 176, [0, 2]), T.Q5_K),
    "q6_k": (blocks(256, 210, [208]), T.Q6_K),
    "q5_0": (blocks(32, 22, [0]), T.Q5_0),
}
for name, (raw, kind) in tensors.items():
    expected = np.ascontiguousarray(dequantize(raw, kind), dtype=np.float32)
    assert expected.shape == (ROWS, COLUMNS), (name, expected.shape)
    writer.add_tensor(name, raw, raw_dtype=kind)
    writer.add_tensor(name + ".expected", expected)
for name, dtype in [("i8", np.int8), ("i16", np.int16), ("i32", np.int32), ("i64", np.int64), ("f64", np.float64)]:
    values = np.array([0, 1, -1, 100, -128], dtype=dtype)
    writer.add_tensor(name, values)
    writer.add_tensor(name + ".expected", values.astype(np.float32))

writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
