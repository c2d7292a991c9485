#!/usr/bin/env python3
"""The packages gguf and safetensors as judges: they read what gptz writes.

    judge.py CONVERT FOLDER      # needs numpy, gguf, safetensors; CONVERT is the program of examples-c/convert.c

Converts the built-in model and the fixture quantised.gguf between the formats, and compares names, shapes, bytes, values
and metadata.
"""

import pathlib
import subprocess
import sys

import gguf
import numpy as np
from safetensors import safe_open

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
    print("gguf and safetensors agree")


main()
