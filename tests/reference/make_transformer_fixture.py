#!/usr/bin/env python3
"""Writes tests/data/transformers/NAME.json: the logits of tiny random transformers by HuggingFace's `transformers`.

    python3 tests/reference/make_transformer_fixture.py FOLDER

Needs torch and transformers (5.23.0 was used). The weights are not stored: the test draws them anew, as `values` below
does (docs/NUMERICS.md, "Initial weights", has the generator).
"""
import json
import sys

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GemmaConfig, Gemma2Config, Gemma3TextConfig, LlamaConfig

MASK = (1 << 64) - 1


def outputs(seed, name, n):
    def step(state):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return state, z ^ (z >> 31)

    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    state = step(seed)[1] ^ h
    for _ in range(n):
        state, z = step(state)
        yield z


def values(name, shape, gemma):
    """A value in -1..1 times a gain; the weights of norms are around 1, or around 0 where 1 is added to them."""
    n = int(np.prod(shape))
    x = np.array([(z >> 40) for z in outputs(1, name, n)], dtype=np.float32) * np.float32(2**-23) - np.float32(1)
    if len(shape) == 1:
        x = x * np.float32(0.25) + np.float32(0 if gemma else 1)
    elif "embed" not in name:
        x = x * np.sqrt(np.float32(3) / np.float32(shape[1]))
    return x.reshape(shape)


COMMON = dict(vocab_size=80, hidden_size=64, intermediate_size=96, max_position_embeddings=64, rms_norm_eps=1e-5,
              bos_token_id=None, eos_token_id=None, pad_token_id=None)
LLAMA = dict(COMMON, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16, hidden_act="silu")
GEMMA = dict(COMMON, num_attention_heads=4, num_key_value_heads=2, head_dim=32, hidden_activation="gelu_pytorch_tanh")
LLAMA3 = dict(rope_type="llama3", rope_theta=1e4, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)
MODELS = {
    "llama": LlamaConfig(**LLAMA, tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=1e4)),
    "llama-linear": LlamaConfig(**LLAMA, tie_word_embeddings=False,
                                rope_parameters=dict(rope_type="linear", rope_theta=1e5, factor=4.0)),
    "llama3": LlamaConfig(**LLAMA, tie_word_embeddings=False, rope_parameters=LLAMA3),
    "gemma": GemmaConfig(**GEMMA, num_hidden_layers=2, rope_parameters=dict(rope_type="default", rope_theta=1e4)),
    "gemma2": Gemma2Config(**GEMMA, num_hidden_layers=4, sliding_window=4, query_pre_attn_scalar=24,
                           attn_logit_softcapping=5.0, final_logit_softcapping=3.0,
                           rope_parameters=dict(rope_type="default", rope_theta=1e4)),
    "gemma3": Gemma3TextConfig(**GEMMA, num_hidden_layers=7, sliding_window=4, query_pre_attn_scalar=24,
                               rope_parameters=dict(full_attention=dict(rope_type="linear", rope_theta=1e6, factor=8.0),
                                                    sliding_attention=dict(rope_type="default", rope_theta=1e4))),
}


def main(folder):
    for name, config in MODELS.items():
        config._attn_implementation = "eager"
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
        with torch.no_grad():
            for tensor, p in model.named_parameters():
                p.copy_(torch.from_numpy(values(tensor, tuple(p.shape), "gemma" in name)))
            tokens = [(i * i * 7 + i * 3 + 1) % 80 for i in range(24)]
            logits = model(torch.tensor([tokens])).logits[0].numpy()
        at = [0, 1, 9, 23]
        keys = {k: v for k, v in config.to_dict().items() if v is not None}
        rows = [[float(f"{x:.7g}") for x in logits[i]] for i in at]
        with open(f"{folder}/{name}.json", "w") as f:
            f.write('{"config": ' + json.dumps(keys) + ',\n"tokens": ' + json.dumps(tokens) + ',\n"at": ' + json.dumps(at))
            f.write(',\n"logits": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]}\n")


main(sys.argv[1])
