#!/usr/bin/env python3
"""Make the gradient fixture of RWKV-7: what autograd finds for `rwkv7-hf`, in float64.

Made with the versions that make_fixture.py names. To run:

    python tests/reference/make_gradients_fixture.py [OUTPUT_FOLDER]   # default: tests/data

It writes rwkv7-gradients-32.safetensors and rwkv7-gradients-64.safetensors (head sizes 32 and 64), each with three
lanes of nine steps from a state that is not zero:
  w.NAME        the weights, BF16; b.NAME their gradients, F32, of the sum of errors * logits
  tokens        U8 [9, 3]; errors F32 [27, 256], rows by (step, lane)
  state.N, shift.N.attn, shift.N.ffn           the start state of layer N: [3, heads, head, head], [3, hidden]
  b.state.N, b.shift.N.attn, b.shift.N.ffn     their gradients
"""

import sys
from pathlib import Path

import torch
from rwkv7_hf import RWKV7Cache, RWKV7Config, RWKV7ForCausalLM
from safetensors.torch import save_file

from make_fixture import random_tensor

STEPS, LANES, LAYERS = 9, 3, 3


def make(head):
    config = RWKV7Config(
        vocab_size=256,
        hidden_size=64,
        head_dim=head,
        num_hidden_layers=LAYERS,
        intermediate_size=40,
        decay_low_rank_dim=6,
        a_low_rank_dim=4,
        v_low_rank_dim=3,
        gate_low_rank_dim=18,
        norm_eps=1e-5,
        tie_word_embeddings=False,
    )
    model = RWKV7ForCausalLM(config).double().train()
    rng = torch.Generator().manual_seed(head)
    weights = {n: random_tensor(n, t.shape, rng).bfloat16() for n, t in sorted(model.state_dict().items())}
    model.load_state_dict({n: t.double() for n, t in weights.items()}, strict=True)

    heads, hidden = config.num_heads, config.hidden_size
    normal = lambda *shape: (0.5 * torch.randn(*shape, generator=rng)).double().requires_grad_()
    matrices = [normal(LANES, heads, head, head) for _ in range(LAYERS)]
    attn = [normal(LANES, hidden) for _ in range(LAYERS)]
    ffn = [normal(LANES, hidden) for _ in range(LAYERS)]
    # Few distinct tokens, so that rows of the embeddings are used more than once. Not 0, which is padding for autograd.
    tokens = torch.randint(1, 13, (STEPS, LANES), generator=rng)
    errors = 0.3 * torch.randn(STEPS * LANES, 256, generator=rng)

    state = RWKV7Cache([m.clone() for m in matrices], [a.clone() for a in attn], [f.clone() for f in ffn])
    output = model(input_ids=tokens.T, past_key_values=state, use_cache=True, return_dict=True)
    logits = output.logits.transpose(0, 1).reshape(STEPS * LANES, 256)
    (logits * errors.double()).sum().backward()

    out = {"tokens": tokens.to(torch.uint8), "errors": errors}
    out |= {f"w.{n}": t for n, t in weights.items()}
    out |= {f"b.{n}": p.grad.float() for n, p in model.named_parameters()}
    for i in range(LAYERS):
        for name, t in ((f"state.{i}", matrices[i]), (f"shift.{i}.attn", attn[i]), (f"shift.{i}.ffn", ffn[i])):
            out[name] = t.detach().float()
            out[f"b.{name}"] = t.grad.float()
    out["logits"] = logits.detach().float()
    return {n: t.contiguous() for n, t in out.items()}


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "data"
    torch.set_num_threads(1)
    for head in (32, 64):
        save_file(make(head), folder / f"rwkv7-gradients-{head}.safetensors")


if __name__ == "__main__":
    main()
