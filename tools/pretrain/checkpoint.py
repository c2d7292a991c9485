"""Checkpoints: everything that going on exactly needs, replaced as a whole."""

import os
from pathlib import Path

import torch

from model import Config, RWKV7


def save(path, content):
    """Writes beside `path`, syncs, renames: a stop at any moment leaves the old or the new one."""
    path = Path(path)
    beside = path.with_name(path.name + ".new")
    with open(beside, "wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def load(path):
    return torch.load(path, map_location="cpu", weights_only=False)


def open_model(path, dtype=torch.float32):
    """The model of a checkpoint, or of a safetensors file that `export.py` or the engine wrote."""
    if str(path).endswith(".safetensors"):
        return open_safetensors(path, dtype)
    content = load(path)
    model = RWKV7(Config(**content["shape"]), dtype)
    model.load_state_dict(content["model"])
    return model


def open_safetensors(path, dtype):
    from safetensors.torch import load_file

    tensors = load_file(path)
    for name in [n for n in tensors if n.endswith(".scale")]:
        scale, name = tensors.pop(name), name.removesuffix(".scale")
        tensors[name] = tensors[name].float() * scale[:, None]
    model = RWKV7(shape_of(tensors), dtype)
    model.load_state_dict({n: t.float().view(model.state_dict()[n].shape) for n, t in tensors.items()})
    return model


def shape_of(tensors):
    """The config that these tensors' shapes tell, as the engine infers it."""
    rows = lambda part: tensors[f"model.layers.{part}"].shape[0]
    layers = sum(name.endswith("attn.r_proj.weight") for name in tensors)
    return Config(
        hidden=tensors["model.embeddings.weight"].shape[1],
        layers=layers,
        intermediate=rows("0.ffn.key.weight"),
        head_size=tensors["model.layers.0.attn.r_k"].shape[1],
        decay_rank=rows("0.attn.w_lora.lora.0.weight"),
        a_rank=rows("0.attn.a_lora.lora.0.weight"),
        v_rank=rows("1.attn.v_lora.lora.0.weight") if layers > 1 else 1,
        g_rank=rows("0.attn.g_lora.lora.0.weight"),
    )
