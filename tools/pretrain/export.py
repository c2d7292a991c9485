#!/usr/bin/env python3
"""A checkpoint, or the mean of several, as a safetensors file: float32, which the engine opens, or int8 with a scale a row."""

import argparse

import torch
from safetensors.torch import save_file

import checkpoint


def is_matrix(name):
    """Whether the engine multiplies a vector by it, and so holds it as int8 when frozen."""
    return name.endswith(("_proj.weight", ".lora.0.weight", ".lora.2.weight", ".key.weight", ".value.weight", "lm_head.weight"))


def quantised(weight):
    """(int8 values, one scale a row), with the engine's rounding: half to even, at most 127."""
    scale = weight.abs().amax(1) / 127
    scale[scale < 1e-30 / 127] = 0
    values = torch.where(scale[:, None] > 0, weight / scale[:, None], torch.zeros(()))
    return values.round().clamp(-127, 127).to(torch.int8), scale


def tensors_of(model, int8=False):
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.float().contiguous()
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name}: not all values are finite")
        if int8 and is_matrix(name):
            tensors[name], tensors[name + ".scale"] = quantised(tensor)
        else:
            tensors[name] = tensor
    return tensors


def mean_of(paths):
    """The model whose weights are the mean of the checkpoints'."""
    first, *others = (checkpoint.open_model(path) for path in paths)
    sums = {name: tensor.double() for name, tensor in first.state_dict().items()}
    for model in others:
        for name, tensor in model.state_dict().items():
            sums[name] += tensor
    first.load_state_dict({name: (tensor / len(paths)).float() for name, tensor in sums.items()})
    return first


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", nargs="+")
    parser.add_argument("output")
    parser.add_argument("--int8", action="store_true")
    args = parser.parse_args()
    save_file(tensors_of(mean_of(args.checkpoint), args.int8), args.output, {"format": "pt"})


if __name__ == "__main__":
    main()
