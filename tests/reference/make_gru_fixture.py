#!/usr/bin/env python3
"""Make the tiny GRU fixture: random weights, logits, and the gradients that PyTorch's autograd finds.

Made with Python 3.11 and

    pip install torch==2.15.0 safetensors==0.8.0 numpy

To run:

    python tests/reference/make_gru_fixture.py [OUTPUT_FOLDER]   # default: tests/data

It writes gru-tiny.safetensors, all F32: the weights (names as PyTorch's GRUCell has them), `logits` [12, 256] after each
of the bytes tokens(0..12), and `grad.NAME` for every weight: the gradient of the sum of log p(tokens[i + 1]) over the
steps i >= 4, back to the first step.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

EMBED, HIDDEN, LAYERS, STEPS, FIRST = 16, 16, 2, 12, 4


def tokens():
    return [(7 * i * i + 3 * i) % 251 for i in range(STEPS + 1)]


def main():
    torch.manual_seed(11)
    embeddings = torch.nn.Embedding(256, EMBED)
    cells = [torch.nn.GRUCell(EMBED + (HIDDEN if layer else 0), HIDDEN) for layer in range(LAYERS)]
    head = torch.nn.Linear(LAYERS * HIDDEN, 256)
    weights = {"embeddings": embeddings.weight, "head.weight": head.weight, "head.bias": head.bias}
    for layer, cell in enumerate(cells):
        for name, weight in cell.named_parameters():
            weights[f"layers.{layer}.{name}"] = weight
    text, states, logits = tokens(), [torch.zeros(1, HIDDEN) for _ in cells], []
    for token in text[:STEPS]:
        x = embedding = embeddings(torch.tensor([token]))
        for layer, cell in enumerate(cells):
            states[layer] = cell(x, states[layer])
            # A layer takes in the embedding too, before what the layer below made of it.
            x = torch.cat([embedding, states[layer]], 1)
        logits.append(head(torch.cat(states, 1))[0])
    logits = torch.stack(logits)
    scores = torch.log_softmax(logits, 1)
    sum(scores[i, text[i + 1]] for i in range(FIRST, STEPS)).backward()
    out = {name: weight.detach().contiguous() for name, weight in weights.items()}
    out |= {f"grad.{name}": weight.grad.contiguous() for name, weight in weights.items()}
    out["logits"] = logits.detach().contiguous()
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "data")
    save_file(out, folder / "gru-tiny.safetensors")


if __name__ == "__main__":
    main()
