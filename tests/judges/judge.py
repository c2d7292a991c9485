#!/usr/bin/env python3
"""The packages gguf and safetensors as judges: they read what gptz writes.

    judge.py CONVERT FOLDER [GGML]      # needs numpy, gguf, safetensors; CONVERT is the program of examples-c/convert.c

Converts the built-in model and the fixture quantised.gguf between the formats, and compares names, shapes, bytes, values
and metadata. GGML is a libggml-base.so without fused multiply-add, such as that of the PyPI package pywhispercpp (1.5.1):
with it, a million values of many distributions are converted to Q4_K, Q5_K and Q6_K and compared with what it makes.
"""

import ctypes
import pathlib
import subprocess
import sys

import gguf
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).parent.parent.parent


def read_gguf(path):
    reader = gguf.GGUFReader(path)
    tensors = {}
    for t in reader.tensors:
        shape = tuple(int(n) for n in reversed(t.shape.tolist()))
        tensors[t.name] = (t.tensor_type.name, shape, np.ascontiguousarray(t.data).tobytes())
    fields = {k: v.contents() for k, v in reader.fields.items() if not k.startswith("GGUF.")}
    return tensors, fields, reader


def read_safetensors(path):
    tensors = {}
    names = {"int8": "I8", "float32": "F32", "float16": "F16"}
    with safe_open(path, framework="np") as f:
        for name in f.keys():
            t = f.get_tensor(name)
            tensors[name] = (names[str(t.dtype)], t.shape, t.tobytes())
        return tensors, f.metadata()


def many_values():
    """4,096 rows of 256 values: distributions as weights have them, and odd ones."""
    random = np.random.default_rng(3)
    n = 512 * 256
    parts = [
        random.normal(0, 1, n),
        random.normal(0, 1, n) ** 3,
        random.standard_t(2, n),
        random.uniform(-1, 1, n),
        random.exponential(1, n),
        np.where(random.random(n) < 0.9, 0, random.normal(0, 1, n)),
        random.integers(-4, 5, n) / 8,
        random.normal(3, 0.01, n),
    ]
    # A magnitude of its own for each row, from where f16 scales are subnormal or 0 to where they are nearly too large.
    rows = np.concatenate(parts).reshape(-1, 256) * 10.0 ** random.uniform(-9, 4, (8 * 512, 1))
    rows[::101] = 0
    rows[7::101, 32:64] = rows[7::101, :1]
    return rows.astype(np.float32)


def k_quants(run, folder, path):
    ggml = ctypes.CDLL(path)
    values = many_values()
    save_file({"x": values}, folder / "x.safetensors")
    for kind in ["Q4_K", "Q5_K", "Q6_K"]:
        size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]][1]
        expected = np.zeros((len(values), size), dtype=np.uint8)
        quantise = getattr(ggml, f"quantize_row_{kind.replace('Q', 'q')}_ref")
        quantise(ctypes.c_void_p(values.ctypes.data), ctypes.c_void_p(expected.ctypes.data), ctypes.c_int64(values.size))
        found, _, _ = read_gguf(run(folder / "x.safetensors", "x.gguf", "gguf", kind))
        name, _, data = found["x"]
        different = (np.frombuffer(data, dtype=np.uint8).reshape(expected.shape) != expected).any(axis=1)
        assert name == kind and not different.any(), (kind, np.flatnonzero(different))


def main():
    convert, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    model = ROOT / "models" / "gptz-1.safetensors"
    quantised = ROOT / "tests" / "data" / "tensors" / "quantised.gguf"

    def run(source, name, *more):
        subprocess.run([convert, source, folder / name, *more], check=True)
        return folder / name

    expected, metadata = read_safetensors(model)
    found, fields, _ = read_gguf(run(model, "model.gguf", "gguf"))
    assert found == expected and fields == metadata, "the built-in model as GGUF"
    back, again = read_safetensors(run(run(folder / "model.gguf", "model.apr", "apr"), "model.safetensors", "safetensors"))
    assert back == expected and again == metadata, "the built-in model as safetensors"

    expected, fields, reader = read_gguf(quantised)
    found, copied, _ = read_gguf(run(quantised, "copy.gguf", "gguf"))
    assert found == expected and copied == fields, "a copy of quantised.gguf"
    assert [t.name for t in reader.tensors] == [t for t in found]
    found, _ = read_safetensors(run(quantised, "plain.safetensors", "safetensors"))
    for t in reader.tensors:
        values = gguf.quants.dequantize(t.data, t.tensor_type).astype("<f4")
        kind, _, data = found[t.name]
        assert data == (t.data.tobytes() if kind == "F16" else values.tobytes()), t.name
    # Metadata of all types come back from the other formats.
    _, copied, _ = read_gguf(run(run(run(quantised, "a.apr", "apr"), "b.safetensors", "safetensors"), "b.gguf", "gguf"))
    assert copied == fields, "metadata through all formats"
    # Values of the built-in model, converted.
    source, _ = read_safetensors(model)
    for kind in ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "BF16", "F16"]:
        _, _, made = read_gguf(run(model, "made.gguf", "gguf", kind))
        compared = 0
        for t in made.tensors:
            dtype, shape, data = source[t.name]
            if t.tensor_type.name != kind or dtype != "I8":
                continue
            scale = np.frombuffer(source[t.name + ".scale"][2], dtype="<f4").reshape(-1, *[1] * (len(shape) - 1))
            values = np.frombuffer(data, dtype=np.int8).reshape(shape).astype(np.float32) * scale
            expected = gguf.quants.quantize(values, t.tensor_type)
            assert np.ascontiguousarray(expected).tobytes() == np.ascontiguousarray(t.data).tobytes(), (kind, t.name)
            compared += 1
        assert compared >= 40, (kind, compared)
    if len(sys.argv) > 3:
        k_quants(run, folder, sys.argv[3])
    print("gguf and safetensors agree")


main()
