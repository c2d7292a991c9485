#!/usr/bin/env python3
"""Make the tiny RWKV-7 fixture: random weights and the reference's logits.

The expected logits come from `rwkv7-hf`, a public pure-PyTorch RWKV-7, so the
tests compare this project with an implementation that shares no code with it.

Made with Python 3.11 and

    pip install rwkv7-hf==0.9.0 transformers==5.23.0 torch==2.15.0 safetensors==0.8.0

(rwkv7-hf 0.9.0 itself accepts transformers >=4.56,<6). To run:

    python tests/reference/make_fixture.py [OUTPUT_FOLDER]   # default: tests/data

It writes
  rwkv7-tiny.safetensors         the weights, all BF16, flash-linear-attention names
  rwkv7-tiny-logits.safetensors  tokens U8 [97]; logits F32 [97, 256], where row i
                                 scores the byte that follows tokens[0..=i]
Runs on one machine with these versions give identical files; on another machine
expect the logits to differ by float32 rounding noise (see MAX_NOISE).
"""

import sys
from pathlib import Path

import torch
from rwkv7_hf import RWKV7Cache, RWKV7Config, RWKV7ForCausalLM
from safetensors.torch import save_file

SEED = 7
MAX_NOISE = 2e-5  # largest float32-to-float64 difference accepted in a logit

CONFIG = RWKV7Config(
    vocab_size=256,
    hidden_size=64,
    head_dim=32,  # two heads, so that mixing up the heads is noticed
    num_hidden_layers=3,
    intermediate_size=96,
    decay_low_rank_dim=8,
    a_low_rank_dim=8,
    v_low_rank_dim=8,
    gate_low_rank_dim=16,
    norm_eps=1e-5,
    tie_word_embeddings=False,
)

# The priming token 0, then 96 bytes: a repeated phrase (so the same byte is seen
# with different histories), UTF-8 beyond ASCII, and bytes that are not text.
TEXT = (
    "Call me Ishmael. Some years ago, never mind how long. Call me Ishmael! ".encode()
    + "naïve – Ωμέγα".encode()
    + bytes([0, 0, 255, 128])
)
TOKENS = [0, *TEXT]

# Gain of each matrix: its entries have standard deviation gain / sqrt(inputs),
# which keeps activations near unit size without saturating any nonlinearity. The
# values (v_proj) are smaller, so that the group norm's epsilon is not lost beside
# the variance it is added to.
GAIN = {
    "r_proj": 1.0,
    "k_proj": 1.0,
    "v_proj": 0.3,
    "o_proj": 1.0,
    "w_lora.lora.0": 1.0,
    "w_lora.lora.2": 2.0,
    "a_lora.lora.0": 1.0,
    "a_lora.lora.2": 1.5,
    "v_lora.lora.0": 1.0,
    "v_lora.lora.2": 1.5,
    "g_lora.lora.0": 1.5,
    "g_lora.lora.2": 1.5,
    "ffn.key": 1.0,
    "ffn.value": 0.8,
    "lm_head": 1.5,
}


def random_tensor(name, shape, rng):
    """Random values of the size a trained model has; nothing is left at 0 or 1,
    so that no tensor can be ignored or swapped without changing the logits."""
    normal = torch.randn(shape, generator=rng)
    uniform = torch.rand(shape, generator=rng)
    leaf = name.removesuffix(".weight").removesuffix(".bias")
    if "norm" in leaf:
        return 0.1 * normal + (1.0 if name.endswith(".weight") else 0.0)
    if leaf.endswith("embeddings"):
        return 0.05 * normal  # small, so that the layer norm's epsilon shows
    if name.endswith("w_lora.lora.2.bias"):
        return -6.0 + 5.0 * uniform  # from slow to fast forgetting
    if name.endswith("_lora.lora.2.bias"):
        return 0.3 * normal
    last = name.rsplit(".", 1)[-1]
    if last.startswith("x_"):
        return uniform
    if last == "k_k":
        return 0.85 + 0.1 * normal
    if last == "k_a":
        return 1.0 + 0.1 * normal
    if last == "r_k":
        return 0.3 * normal
    (gain,) = [g for key, g in GAIN.items() if leaf.endswith(key)]
    return gain * normal / shape[-1] ** 0.5


def empty_state(dtype):
    """The all-zero state. It is given explicitly because the reference's own is
    float32 even in a float64 model."""
    layers, hidden = CONFIG.num_hidden_layers, CONFIG.hidden_size
    heads, dim = CONFIG.num_heads, CONFIG.head_dim
    return RWKV7Cache(
        [torch.zeros(1, heads, dim, dim, dtype=dtype) for _ in range(layers)],
        [torch.zeros(1, hidden, dtype=dtype) for _ in range(layers)],
        [torch.zeros(1, hidden, dtype=dtype) for _ in range(layers)],
    )


@torch.no_grad()
def run(model, tokens):
    output = model(
        input_ids=torch.tensor([tokens]),
        past_key_values=empty_state(model.lm_head.weight.dtype),
        use_cache=True,
        return_dict=True,
    )
    return output.logits[0]


def main():
    default = Path(__file__).resolve().parent.parent / "data"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    assert len(TOKENS) == 97, len(TOKENS)
    torch.set_num_threads(1)  # no order of summation that varies by core count

    model = RWKV7ForCausalLM(CONFIG).float().eval()
    rng = torch.Generator().manual_seed(SEED)
    # Rounding to BF16 before the run makes the BF16 file the exact model.
    weights = {
        name: random_tensor(name, tensor.shape, rng).bfloat16()
        for name, tensor in sorted(model.state_dict().items())
    }
    model.load_state_dict({k: v.float() for k, v in weights.items()}, strict=True)
    assert all(torch.equal(v, weights[k].float()) for k, v in model.state_dict().items())

    logits = run(model, TOKENS)
    # The same bytes with one early letter changed: the last rows must notice.
    changed = run(model, TOKENS[:6] + [ord("x")] + TOKENS[7:])
    # All in float64 but the decay, which the reference always rounds to float32.
    noise = (logits - run(model.double(), TOKENS)).abs().max().item()

    std = logits.std(dim=1)
    memory = (logits - changed)[-1].abs().max().item()
    print(f"logits: std {logits.std():.3f} (per row {std.min():.3f} to {std.max():.3f})")
    print(f"        min {logits.min():.3f}, max {logits.max():.3f}")
    print(f"float32 against float64: {noise:.2e}")
    print(f"last row, after a change 90 bytes earlier: {memory:.2e}")
    assert noise < MAX_NOISE
    assert 1.0 < logits.std() < 3.0
    assert memory > 50 * MAX_NOISE

    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "rwkv7-tiny.safetensors", metadata={"format": "pt"})
    save_file(
        {"tokens": torch.tensor(TOKENS, dtype=torch.uint8), "logits": logits.contiguous()},
        folder / "rwkv7-tiny-logits.safetensors",
    )


if __name__ == "__main__":
    main()
