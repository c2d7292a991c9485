"""Muon for the layers' matrices, AdamW for everything else."""

import torch

MOMENTUM = 0.95


def orthogonalised(g):
    """Batches of matrices with all singular values near 1: five Newton-Schulz steps."""
    x = g.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2).contiguous()
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(5):
        a = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x.transpose(1, 2) if tall else x).float()


class Muon:
    """Momentum, orthogonalised; matrices of one shape go together."""

    def __init__(self, parameters, rate, decay):
        self.rate, self.decay = rate, decay
        self.groups = {}
        for p in parameters:
            self.groups.setdefault(tuple(p.shape), []).append(p)
        self.momenta = {shape: torch.zeros(len(ps), *shape, device=ps[0].device) for shape, ps in self.groups.items()}

    @torch.no_grad()
    def step(self, factor):
        for shape, parameters in self.groups.items():
            gradients = torch.stack([p.grad for p in parameters])
            momentum = self.momenta[shape].mul_(MOMENTUM).add_(gradients)
            update = orthogonalised(gradients.add_(momentum, alpha=MOMENTUM)) * max(1, shape[0] / shape[1]) ** 0.5
            torch._foreach_mul_(parameters, 1 - self.rate * factor * self.decay)
            torch._foreach_add_(parameters, list(update), alpha=-self.rate * factor)


class Optimiser:
    """Both, with one schedule."""

    def __init__(self, model, muon_rate=0.02, muon_decay=0.05, adam_rate=0.003, adam_decay=0.02, clip=1.0):
        named = dict(model.named_parameters())
        matrices = [n for n in named if n.endswith("_proj.weight") or ".ffn.key." in n or ".ffn.value." in n]
        rest = [n for n in named if n not in set(matrices)]
        # The decay's bias moves slowly by nature: it stands inside two nested exponentials.
        bias = [n for n in rest if n.endswith("w_lora.lora.2.bias")]
        groups = [(["lm_head.weight"], 1, adam_decay), (bias, 2, 0.0)]
        groups.append(([n for n in rest if n not in set(bias) | {"lm_head.weight"}], 1, 0.0))
        self.parameters = list(named.values())
        self.clipped = [named[n] for n in rest]
        self.clip, self.adam_rate = clip, adam_rate
        self.muon = Muon([named[n] for n in matrices], muon_rate, muon_decay)
        self.adam = torch.optim.AdamW(
            [{"params": [named[n] for n in names], "scale": scale, "weight_decay": decay} for names, scale, decay in groups],
            lr=adam_rate, betas=(0.9, 0.99), eps=1e-8, fused=True,
        )

    def step(self, factor):
        """One update by the gradients that are there, rates times `factor`; clears the gradients."""
        torch.nn.utils.clip_grad_norm_(self.clipped, self.clip)
        for group in self.adam.param_groups:
            group["lr"] = self.adam_rate * group["scale"] * factor
        self.adam.step()
        self.muon.step(factor)
        for p in self.parameters:
            p.grad = None

    def state(self):
        return {"adam": self.adam.state_dict(), "muon": self.muon.momenta}

    def restore(self, state):
        self.adam.load_state_dict(state["adam"])
        for shape, momentum in self.muon.momenta.items():
            momentum.copy_(state["muon"][shape])
