#!/usr/bin/env python3
"""Makes tests/data/tensors/: small tensor files with what the reference implementations read from them.

    make_tensor_fixture.py GGML      # needs numpy, gguf and safetensors from PyPI

GGML is a libggml-base.so that was built without fused multiply-add, such as that of the PyPI package pywhispercpp (1.5.1).

- quantised.gguf: written by the package `gguf`. One tensor of each block type with random bytes and finite scales, and
  typed metadata of all types.
- quantised.f32: what `gguf` decodes of its tensors, in the order of the file, as little-endian f32.
- encoded.bin: what `gguf` encodes from the values of `values()`: F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, end to end.
- encoded-k.bin: what GGML encodes from the same values: Q4_K, Q5_K, Q6_K, end to end.
- mixed.safetensors: written by the package `safetensors`: F32, F16, BF16, I8, a type that is not supported, metadata.
"""

import ctypes
import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from safetensors.numpy import save_file

FOLDER = pathlib.Path(__file__).parent.parent / "data" / "tensors"
BLOCKS = [T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q4_K, T.Q5_K, T.Q6_K]
# Offsets of the f16 scales and minima in a block.
SCALES = {T.Q8_0: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}
ENCODED = [T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1]


def random_blocks(random, kind, shape):
    values, size = gguf.GGML_QUANT_SIZES[kind]
    count = int(np.prod(shape)) // values
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
    # Subnormal, normal and large scales of both signs.
    scales = np.concatenate([random.normal(0, 0.1, 4 * count), [6e-8, -3e-5, 0.0, -0.0, 60000.0]]).astype(np.float16)
    for at in SCALES[kind]:
        blocks[:, at : at + 2] = random.choice(scales, count).view(np.uint8).reshape(count, 2)
    return blocks.reshape(*shape[:-1], shape[-1] // values * size)


def values():
    """4,096 values as blocks of 32: halves, ties of the largest magnitude, zeros, tiny and large ones."""
    i = np.arange(4096, dtype=np.int64)
    # A sequence that tests can repeat without numpy: a linear congruential generator, and a scale that changes by block.
    x = (i * 1103515245 + 12345) % 65536
    base = (x - 32768).astype(np.float32) / np.float32(32768)
    scale = np.float32(2.0) ** ((i // 32) % 24 - 12).astype(np.float32)
    out = base * scale
    out[64:96] = 0
    out[96:128] = (np.arange(32) - 16).astype(np.float32) / 2
    out[128:160] = np.where(np.arange(32) % 2 == 0, 3.5, -3.5)
    out[160:192] = 1.25
    return out.astype(np.float32)


def quantised(random):
    writer = gguf.GGUFWriter(FOLDER / "quantised.gguf", "test")
    writer.add_uint8("a.u8", 200)
    writer.add_int8("a.i8", -100)
    writer.add_uint16("a.u16", 60000)
    writer.add_int16("a.i16", -30000)
    writer.add_uint32("a.u32", 4000000000)
    writer.add_int32("a.i32", -2000000000)
    writer.add_uint64("a.u64", 2**63 + 1)
    writer.add_int64("a.i64", -(2**62))
    writer.add_float32("a.f32", 0.1)
    writer.add_float64("a.f64", 0.1)
    writer.add_bool("a.bool", True)
    writer.add_string("a.string", 'quote " and \u00fc')
    writer.add_array("a.strings", ["", "b", "\u6f22\u5b57"])
    writer.add_array("a.floats", [0.5, -1.5])
    writer.add_array("a.ints", [1, -2, 3])
    writer.add_array("a.flags", [True, False])
    expected = []
    for kind in BLOCKS:
        shape = (3, 512)
        data = random_blocks(random, kind, shape)
        writer.add_tensor(f"blk.{kind.name}", data, raw_dtype=kind)
        expected.append(gguf.quants.dequantize(data, kind).astype("<f4").tobytes())
    plain = values()[:30].reshape(2, 3, 5)
    writer.add_tensor("plain.f32", plain)
    writer.add_tensor("plain.f16", plain.astype(np.float16))
    expected += [plain.astype("<f4").tobytes(), plain.astype(np.float16).astype("<f4").tobytes()]
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (FOLDER / "quantised.f32").write_bytes(b"".join(expected))


def by_ggml(ggml, kind, data):
    values, size = gguf.GGML_QUANT_SIZES[kind]
    out = np.zeros(data.size // values * size, dtype=np.uint8)
    quantise = getattr(ggml, f"quantize_row_{kind.name.replace('Q', 'q')}_ref")
    quantise(ctypes.c_void_p(data.ctypes.data), ctypes.c_void_p(out.ctypes.data), ctypes.c_int64(data.size))
    return out.tobytes()


def main():
    FOLDER.mkdir(exist_ok=True)
    random = np.random.default_rng(21)
    quantised(random)
    data = values().reshape(16, 256)
    encoded = [gguf.quants.quantize(data, kind) for kind in ENCODED]
    (FOLDER / "encoded.bin").write_bytes(b"".join(np.ascontiguousarray(part).tobytes() for part in encoded))
    ggml = ctypes.CDLL(sys.argv[1])
    (FOLDER / "encoded-k.bin").write_bytes(b"".join(by_ggml(ggml, kind, data) for kind in [T.Q4_K, T.Q5_K, T.Q6_K]))
    some = values()[:12]
    tensors = {
        "f32": some.reshape(3, 4),
        "f16": some.astype(np.float16).reshape(2, 6),
        "w": np.arange(-6, 6, dtype=np.int8).reshape(3, 4),
        "w.scale": np.array([0.5, -2, 3], dtype=np.float32),
        "positions": np.arange(3, dtype=np.int64),
        "scalar": np.array(7, dtype=np.float32),
        "empty": np.zeros((0, 3), dtype=np.float32),
    }
    save_file(tensors, FOLDER / "mixed.safetensors", metadata={"format": "np", "quote": 'a"b\\\u00fc'})


main()
