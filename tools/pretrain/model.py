"""Byte-level RWKV-7, as the engine computes it, for training.

The module tree is named so that `state_dict()` has flash-linear-attention's tensor names, which is what the engine
reads. Streams begin with token 0; a `reset` at a position makes it the first of a stream.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from wkv import wkv

VOCAB = 256
LAYER_NORM_EPS = 1e-5
SMALLEST_NORM = 1e-12
DECAY_FLOOR = -math.exp(-0.5)


@dataclass(frozen=True)
class Config:
    """The shape of a network, with the names that the engine gives these sizes."""

    hidden: int = 128
    layers: int = 4
    intermediate: int = 512
    head_size: int = 32
    decay_rank: int = 16
    a_rank: int = 16
    v_rank: int = 8
    g_rank: int = 16

    def __post_init__(self):
        if self.head_size not in (32, 64) or self.hidden % self.head_size:
            raise ValueError(f"head_size={self.head_size}: 32 and 64 are allowed, and must divide hidden={self.hidden}")

    @property
    def heads(self):
        return self.hidden // self.head_size


def fake_quantise(weight):
    """What int8 weights with one scale a row would be; gradients pass straight through."""
    scale = weight.detach().abs().amax(1, keepdim=True).clamp_min(1e-30) / 127
    rounded = (weight.detach() / scale).round().clamp(-127, 127) * scale
    return weight + (rounded - weight.detach())


@dataclass
class Arithmetic:
    """How matrix products are computed; one object that all parts of a model share."""

    dtype: torch.dtype = torch.float32
    int8_weights: bool = False

    def weight(self, w):
        return (fake_quantise(w) if self.int8_weights else w).to(self.dtype)

    def product(self, x, w):
        return F.linear(x.to(self.dtype), self.weight(w)).float()


def low_rank(hidden, rank, bias=True):
    """Parameters `lora.0.weight`, `lora.2.weight` and perhaps `lora.2.bias`."""
    pair = nn.Module()
    pair.lora = nn.ModuleDict({"0": nn.Linear(hidden, rank, False), "2": nn.Linear(rank, hidden, bias)})
    return pair


def shifted(x, last, keep):
    """Each position's predecessor: `last` before the first, zeros before the first of a stream."""
    return torch.cat([last[:, None], x[:, :-1]], 1) * keep


class Attention(nn.Module):
    def __init__(self, config, layer, arithmetic):
        super().__init__()
        hidden = config.hidden
        self.config, self.arithmetic = config, arithmetic
        for name in "rwkvag":
            self.register_parameter(f"x_{name}", nn.Parameter(torch.empty(1, 1, hidden)))
        self.k_k = nn.Parameter(torch.empty(hidden))
        self.k_a = nn.Parameter(torch.empty(hidden))
        self.r_k = nn.Parameter(torch.empty(config.heads, config.head_size))
        for name in ("r_proj", "k_proj", "v_proj", "o_proj"):
            setattr(self, name, nn.Linear(hidden, hidden, bias=False))
        self.w_lora = low_rank(hidden, config.decay_rank)
        self.a_lora = low_rank(hidden, config.a_rank)
        self.v_lora = low_rank(hidden, config.v_rank) if layer > 0 else None
        self.g_lora = low_rank(hidden, config.g_rank, bias=False)
        self.g_norm = nn.GroupNorm(config.heads, hidden, eps=config.head_size * 1e-5)

    def lows(self, x, d):
        """The inner vectors of the low-rank pairs by one product: W (x + mu d) = [W, W mu] [x, d]."""
        pairs = [(self.w_lora, self.x_w), (self.a_lora, self.x_a), (self.g_lora, self.x_g)]
        pairs += [(self.v_lora, self.x_v)] if self.v_lora is not None else []
        weights = [self.arithmetic.weight(pair.lora["0"].weight) for pair, _ in pairs]
        scaled = [w * mu.view(1, -1).to(w.dtype) for w, (_, mu) in zip(weights, pairs)]
        joined = torch.cat([torch.cat(weights), torch.cat(scaled)], 1)
        low = F.linear(torch.cat([x, d], -1).to(joined.dtype), joined).float()
        return low.split([len(w) for w in weights], -1)

    def up(self, pair, low):
        linear = pair.lora["2"]
        out = self.arithmetic.product(low, linear.weight)
        return out if linear.bias is None else out + linear.bias

    def forward(self, x, v_first, last, start, keep, reset):
        config, product = self.config, self.arithmetic.product
        d = shifted(x, last, keep) - x
        r = product(x + self.x_r * d, self.r_proj.weight)
        k = product(x + self.x_k * d, self.k_proj.weight)
        v = product(x + self.x_v * d, self.v_proj.weight)
        low_w, low_a, low_g, *low_v = self.lows(x, d)
        w = torch.exp(DECAY_FLOOR * torch.sigmoid(self.up(self.w_lora, torch.tanh(low_w))))
        a = torch.sigmoid(self.up(self.a_lora, low_a))
        g = self.up(self.g_lora, torch.sigmoid(low_g))
        if self.v_lora is None:
            v_first = v
        else:
            v = v + (v_first - v) * torch.sigmoid(self.up(self.v_lora, low_v[0]))
        by_head = lambda t: t.view(*t.shape[:2], config.heads, config.head_size)
        kk = by_head(k * self.k_k)
        kk = kk / kk.square().sum(-1, keepdim=True).clamp_min(SMALLEST_NORM**2).sqrt()
        k = k * (1 + (a - 1) * self.k_a)
        r, w, k, v_heads, a = map(by_head, (r, w, k, v, a))
        y, end = wkv(r, w, k, v_heads, -kk, kk * a, start, reset)
        y = self.group_norm(y) + (r * k * self.r_k).sum(-1, keepdim=True) * v_heads
        return product(y.reshape(x.shape) * g, self.o_proj.weight), v_first, end

    def group_norm(self, y):
        norm, shape = self.g_norm, y.shape[-2:]
        y = y - y.mean(-1, keepdim=True)
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + norm.eps)
        return y * norm.weight.view(shape) + norm.bias.view(shape)


class FeedForward(nn.Module):
    def __init__(self, config, arithmetic):
        super().__init__()
        self.arithmetic = arithmetic
        self.x_k = nn.Parameter(torch.empty(config.hidden))
        self.key = nn.Linear(config.hidden, config.intermediate, bias=False)
        self.value = nn.Linear(config.intermediate, config.hidden, bias=False)

    def forward(self, x, last, keep):
        product = self.arithmetic.product
        wide = product(x + (shifted(x, last, keep) - x) * self.x_k, self.key.weight)
        return product(torch.relu(wide).square(), self.value.weight)


class Layer(nn.Module):
    def __init__(self, config, layer, arithmetic):
        super().__init__()
        norm = lambda: nn.LayerNorm(config.hidden, eps=LAYER_NORM_EPS)
        self.pre_norm = norm() if layer == 0 else None
        self.attn_norm, self.ffn_norm = norm(), norm()
        self.attn = Attention(config, layer, arithmetic)
        self.ffn = FeedForward(config, arithmetic)

    def forward(self, x, v_first, shifts, start, keep, reset):
        """`shifts` are the last inputs of the two halves; returns them anew, with the new state."""
        if self.pre_norm is not None:
            x = self.pre_norm(x)
        z = self.attn_norm(x)
        out, v_first, end = self.attn(z, v_first, shifts[0], start, keep, reset)
        x = x + out
        n = self.ffn_norm(x)
        x = x + self.ffn(n, shifts[1], keep)
        return x, v_first, torch.stack([z[:, -1], n[:, -1]]).detach(), end


class Backbone(nn.Module):
    def __init__(self, config, arithmetic):
        super().__init__()
        self.embeddings = nn.Embedding(VOCAB, config.hidden)
        self.layers = nn.ModuleList(Layer(config, i, arithmetic) for i in range(config.layers))
        self.norm = nn.LayerNorm(config.hidden, eps=LAYER_NORM_EPS)


class RWKV7(nn.Module):
    def __init__(self, config, dtype=torch.float32, seed=0):
        super().__init__()
        self.config = config
        self.arithmetic = Arithmetic(dtype)
        self.model = Backbone(config, self.arithmetic)
        self.lm_head = nn.Linear(config.hidden, VOCAB, bias=False)
        initialise(self, seed)

    def start(self, lanes, device=None):
        """The state of fresh lanes: last inputs of the token shifts, and the recurrence's."""
        c = self.config
        shifts = torch.zeros(c.layers, 2, lanes, c.hidden, device=device)
        return shifts, torch.zeros(c.layers, lanes, c.heads, c.head_size, c.head_size, device=device)

    def forward(self, tokens, reset, state):
        """Logits [lanes, steps, 256] and the state after; `reset` (uint8) is 1 at each first token of a stream."""
        shifts, states = state
        keep = (1 - reset.float())[..., None]
        x, v_first, ends = self.model.embeddings(tokens), None, []
        for layer, shift, start in zip(self.model.layers, shifts, states):
            x, v_first, *end = layer(x, v_first, shift, start, keep, reset)
            ends.append(end)
        logits = self.arithmetic.product(self.model.norm(x), self.lm_head.weight)
        return logits, tuple(torch.stack(part) for part in zip(*ends))


def orthogonal(weight, gain, generator):
    rows, cols = weight.shape
    nn.init.orthogonal_(weight, gain * max(1, rows / cols) ** 0.5, generator=generator)


@torch.no_grad()
def initialise(model, seed):
    """The reference initialisation of RWKV-7, but for embeddings: layer 0's pre-norm makes any size the same."""
    generator = torch.Generator().manual_seed(seed)
    for norm in model.modules():
        if isinstance(norm, (nn.LayerNorm, nn.GroupNorm)):
            norm.reset_parameters()
    model.model.embeddings.weight.uniform_(-1e-2, 1e-2, generator=generator)
    orthogonal(model.lm_head.weight, 0.5, generator)
    for index, layer in enumerate(model.model.layers):
        initialise_attention(layer.attn, model.config, index, generator)
        depth = 1 - index / model.config.layers
        channel = torch.arange(model.config.hidden) / model.config.hidden
        layer.ffn.x_k.copy_(1 - channel ** (depth**4))
        bound = 0.5 / model.config.hidden**0.5
        layer.ffn.key.weight.uniform_(-bound, bound, generator=generator)
        layer.ffn.value.weight.zero_()


def initialise_attention(attn, config, index, generator):
    hidden, size = config.hidden, config.head_size
    depth, down = index / max(1, config.layers - 1), 1 - index / config.layers
    channel = torch.arange(hidden)
    share, centred = channel / hidden, channel / (hidden - 1) - 0.5
    zigzag = (channel % size - (size - 1) / 2) / ((size - 1) / 2)
    zigzag = zigzag * zigzag.abs()
    for name, power in zip("rwkvag", (0.2, 0.9, 0.7, 0.7, 0.9, 0.2)):
        getattr(attn, f"x_{name}").copy_((1 - share ** (power * down)).view(1, 1, -1))
    attn.k_k.copy_(0.71 - 0.1 * centred)
    attn.k_a.fill_(1.02)
    attn.r_k.fill_(-0.04)
    for linear, gain in ((attn.r_proj, 0.5), (attn.k_proj, 0.05), (attn.v_proj, 0.5)):
        linear.weight.uniform_(-gain / hidden**0.5, gain / hidden**0.5, generator=generator)
    attn.o_proj.weight.zero_()
    biases = {
        "w_lora": -5.5 + 6 * (channel / (hidden - 1)) ** (1 + depth**0.3) + 2.5 * zigzag,
        "a_lora": -0.19 + 0.3 * zigzag + 0.4 * centred,
        "v_lora": 0.73 - 0.4 * centred,
    }
    for name, bias in biases.items():
        if (pair := getattr(attn, name)) is not None:
            pair.lora["0"].weight.zero_()
            orthogonal(pair.lora["2"].weight, 0.1, generator)
            pair.lora["2"].bias.copy_(bias)
    bound = 0.5 / hidden**0.5
    attn.g_lora.lora["0"].weight.uniform_(-bound, bound, generator=generator)
    orthogonal(attn.g_lora.lora["2"].weight, 1.0, generator)
    attn.g_norm.weight.fill_(((1 + index) / config.layers) ** 0.7)


def best_dtype(device="cpu"):
    """bfloat16 where the processor multiplies it faster, else float32."""
    if torch.device(device).type == "cuda":
        return torch.bfloat16
    cpu = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if cpu else torch.float32
