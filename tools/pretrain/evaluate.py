#!/usr/bin/env python3
"""Bits a byte of a checkpoint on files: weights frozen, every file from a fresh state."""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import checkpoint
from data import pack
from model import best_dtype


def costs(model, tokens, targets, resets, shifts, states):
    """Bits of each position and the state after; what `measure` calls, compiled or not."""
    logits, state = model(tokens, resets, (shifts, states))
    nats = F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1), reduction="none")
    return nats.view(tokens.shape) * 1.4426950408889634, state


@torch.no_grad()
def measure(model, documents, lanes=16, steps=256, start=128, costs=costs, device="cpu"):
    """Per document: (bits, bytes) of all of it and of its first `start` bytes; an array [documents, 4]."""
    sums = np.zeros((len(documents), 4))
    state = model.start(lanes, device)
    for *inputs, owners, places in pack(documents, lanes, steps):
        inputs = [torch.from_numpy(np.ascontiguousarray(x)).to(device) for x in inputs]
        bits, state = costs(model, *inputs, *state)
        bits, real = bits.double().cpu().numpy(), owners >= 0
        begins = real & (places < start)
        for column, where in ((0, real), (2, begins)):
            np.add.at(sums[:, column], owners[where], bits[where])
            np.add.at(sums[:, column + 1], owners[where], 1)
    return sums


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="a checkpoint of train.py, or a safetensors file")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--limit", type=int, help="only so many bytes of each file")
    parser.add_argument("--int8", action="store_true", help="weights as int8 with a scale a row")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 products, as in training (default: float32)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = checkpoint.open_model(args.checkpoint, best_dtype() if args.bf16 else torch.float32)
    model.arithmetic.int8_weights = args.int8
    documents = [np.fromfile(f, np.uint8, args.limit if args.limit else -1) for f in args.files]
    sums = measure(model, documents, lanes=min(16, len(documents)))
    for name, (bits, count, *_) in zip(args.files, sums):
        print(f"{bits / max(count, 1):.4f} {int(count):10d} {Path(name).name}")
    bits, count, *_ = sums.sum(0)
    print(f"{bits / max(count, 1):.4f} {int(count):10d} all")


if __name__ == "__main__":
    main()
