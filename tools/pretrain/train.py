#!/usr/bin/env python3
"""Trains a byte-level RWKV-7 on a corpus; stops at any moment and goes on exactly there."""

import argparse
import json
import math
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import checkpoint
import evaluate
from data import Corpus, Lanes, Sampler
from model import Config, RWKV7, best_dtype
from optimiser import Optimiser


@dataclass
class Settings:
    """What a run is; all of it stands in its checkpoints. Positions of the schedule count bytes seen."""

    data: str
    model: dict = field(default_factory=dict)  # Config's sizes
    weights: dict = field(default_factory=dict)  # category: share of the bytes; none given: all alike
    total_bytes: int = 300_000_000
    pool: int = 1024  # lanes
    lanes: int = 4  # lanes a pass; few, so that activations stay near the cache
    steps: int = 256  # bytes of each lane a pass; gradients flow no further back
    passes: int = 4  # passes an update; threads share them out
    piece: int = 32768  # longer documents are cut
    warm_up: int = 500_000
    decay_share: float = 0.34  # the last part, where rates fall linearly
    last_rate: float = 0.02  # of the full rate
    int8_from: float = 1.0  # share of the run after which weights are trained as int8 ones; 1: never
    muon_rate: float = 0.02
    muon_decay: float = 0.05
    adam_rate: float = 0.003
    adam_decay: float = 0.02
    clip: float = 1.0
    seed: int = 1
    held_out: int = 65536  # bytes measured of each category, a quarter of a document at most
    evaluate_every: int = 5_000_000
    log_every: int = 500_000
    bf16: bool | None = None  # products in bfloat16; None: where the processor is fast at it

    def rate(self, seen):
        """The factor on all rates after so many bytes."""
        left = (self.total_bytes - seen) / (self.total_bytes * self.decay_share) if self.decay_share else 1.0
        return min(1.0, (seen + 1) / max(self.warm_up, 1), max(left, self.last_rate))


class Run:
    """A training run: everything that changes is in `state` and `restore`."""

    def __init__(self, settings, out, device="cpu", compiled=True, threads=1):
        self.settings, self.out, self.device = s, out, device = settings, Path(out), torch.device(device)
        torch.manual_seed(s.seed)
        dtype = best_dtype(device) if s.bf16 is None else (torch.bfloat16 if s.bf16 else torch.float32)
        self.model = RWKV7(Config(**s.model), dtype, s.seed).to(device)
        self.optimiser = Optimiser(self.model, s.muon_rate, s.muon_decay, s.adam_rate, s.adam_decay, s.clip)
        corpus = Corpus(s.data)
        weights = s.weights or dict.fromkeys(corpus.categories, 1.0)
        if unknown := set(weights) - set(corpus.categories):
            raise ValueError(f"weights of unknown categories: {sorted(unknown)}; there are {corpus.categories}")
        self.lanes = Lanes(corpus, Sampler(corpus, weights, s.piece, s.seed), s.pool, s.lanes, s.steps)
        self.held = Corpus(s.data, "heldout").some(s.held_out, s.held_out // 4, s.seed)
        self.pool = self.model.start(s.pool, device)
        self.seen, self.losses = 0, []
        if s.passes * s.lanes > s.pool:
            raise ValueError(f"{s.passes} passes of {s.lanes} lanes would visit some of {s.pool} lanes twice an update")
        self.parameters = list(self.model.parameters())
        # Each pass runs on one thread, and gradients are summed in the order of passes: any number of threads gives
        # the same result, and they wait for each other once an update only.
        torch.set_num_threads(1)
        self.workers = ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(1))
        self.warm = False
        self.loss, self.costs = loss, evaluate.costs
        if compiled:
            # Compiled as C++ throughout, passes leave Python's lock to each other.
            torch._inductor.config.cpp_wrapper = self.device.type == "cpu"
            self.loss, self.costs = (torch.compile(f, dynamic=False) for f in (loss, evaluate.costs))

    def update(self):
        """One update of the weights."""
        s = self.settings
        int8 = self.seen >= s.int8_from * s.total_bytes
        if int8 != self.model.arithmetic.int8_weights:
            self.model.arithmetic.int8_weights, self.warm = int8, False
        chunks = [self.lanes.chunk() for _ in range(s.passes)]
        # Compiling happens on this thread alone.
        results = list((self.workers.map if self.warm else map)(self.forward_backward, chunks))
        self.warm = True
        for p, *gradients in zip(self.parameters, *(gradients for _, gradients in results)):
            p.grad = torch.stack(gradients).sum(0) / s.passes
        self.losses.extend(value / math.log(2) for value, _ in results)
        self.optimiser.step(s.rate(self.seen))
        self.seen += s.passes * s.lanes * s.steps

    def forward_backward(self, chunk):
        """The loss in nats and the gradients of a chunk; its lanes' states move on."""
        first, *inputs = chunk
        inputs = [torch.from_numpy(x).to(self.device) for x in inputs]
        here = slice(first, first + self.settings.lanes)
        shifts, states = self.pool
        value, end = self.loss(self.model, *inputs, shifts[:, :, here].contiguous(), states[:, here].contiguous())
        gradients = torch.autograd.grad(value, self.parameters)
        shifts[:, :, here], states[:, here] = end
        return value.item(), gradients

    def held_out(self):
        """Bits a byte of held-out documents by category, of the short ones (at most 512 bytes), of first bytes."""
        documents = [d for _, d in self.held]
        if not documents:
            return {}
        args = (self.settings.lanes, self.settings.steps)
        sums = evaluate.measure(self.model, documents, *args, costs=self.costs, device=self.device)
        names = np.array([name for name, _ in self.held])
        picks = {name: sums[names == name, :2] for name in dict.fromkeys(names)}
        picks["(short)"] = sums[sums[:, 1] <= 512, :2]
        picks["(first 128 bytes)"] = sums[:, 2:]
        return {name: round(float(p[:, 0].sum() / p[:, 1].sum()), 4) for name, p in picks.items() if len(p)}

    def state(self):
        return {
            "settings": asdict(self.settings),
            "shape": asdict(self.model.config),
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state(),
            "lanes": self.lanes.state(),
            "pool": self.pool,
            "seen": self.seen,
            "losses": self.losses,
            "random": torch.get_rng_state(),
        }

    def restore(self, content):
        self.model.load_state_dict(content["model"])
        self.optimiser.restore(content["optimiser"])
        self.lanes.restore(content["lanes"])
        for mine, saved in zip(self.pool, content["pool"]):
            mine.copy_(saved)
        self.seen, self.losses = content["seen"], list(content["losses"])
        torch.set_rng_state(content["random"])

    def save(self, name="checkpoint.pt"):
        checkpoint.save(self.out / name, self.state())


def loss(model, tokens, targets, resets, shifts, states):
    """Mean nats a byte, and the state after."""
    logits, state = model(tokens, resets, (shifts, states))
    return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1)), state


class Stop:
    """Set by SIGTERM and SIGINT: the run ends after the update at hand."""

    def __init__(self):
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.ask)

    def ask(self, *_):
        self.asked = True


def log(run, **values):
    line = json.dumps({"seen": run.seen, **values})
    print(line, flush=True)
    with open(run.out / "log.jsonl", "a") as file:
        file.write(line + "\n")


def crossed(run, before, every):
    return run.seen // every > before // every


def train(run, save_seconds, until=None):
    """Trains to the end, to `until` bytes, or until a signal; saves before it returns."""
    s, stop = run.settings, Stop()
    until = min(until or s.total_bytes, s.total_bytes)
    saved, logged, at = time.monotonic(), time.monotonic(), run.seen
    while run.seen < until and not stop.asked:
        before = run.seen
        run.update()
        if crossed(run, before, s.log_every):
            now = time.monotonic()
            log(run, bits=round(sum(run.losses) / len(run.losses), 4), rate=round(s.rate(before), 4),
                bytes_a_second=round((run.seen - at) / (now - logged)))
            run.losses, logged, at = [], now, run.seen
        if crossed(run, before, s.evaluate_every) or run.seen >= s.total_bytes:
            log(run, held_out=run.held_out())
            logged, at = time.monotonic(), run.seen
        if time.monotonic() - saved > save_seconds:
            run.save()
            saved = time.monotonic()
    run.save()


def settings_from(args, before=None):
    """The settings of the run that is resumed, or the file's; changed by each --set KEY=VALUE (JSON, or a string)."""
    values = dict(before) if before else json.loads(Path(args.config).read_text()) if args.config else {}
    for change in args.set:
        key, _, value = change.partition("=")
        try:
            values[key] = json.loads(value)
        except json.JSONDecodeError:
            values[key] = value
    if args.data:
        values["data"] = args.data
    if unknown := set(values) - {f.name for f in fields(Settings)}:
        raise SystemExit(f"unknown settings: {', '.join(sorted(unknown))}")
    return Settings(**values)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder of the run: checkpoint.pt and log.jsonl")
    parser.add_argument("--data", help="folder of the corpus")
    parser.add_argument("--config", help="JSON file of settings")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting")
    parser.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt, with its settings but for those that are --set")
    parser.add_argument("--until", type=int, help="stop after so many bytes, the schedule unchanged")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--save-seconds", type=float, default=180)
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()
    path = Path(args.out) / "checkpoint.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not args.resume and path.exists():
        raise SystemExit(f"{path} exists: --resume, or another folder")
    content = checkpoint.load(path) if args.resume else None
    settings = settings_from(args, content["settings"] if content else None)
    if args.data:
        settings.data = args.data
    run = Run(settings, args.out, args.device, not args.no_compile, args.threads)
    if content:
        run.restore(content)
    else:
        (Path(args.out) / "settings.json").write_text(json.dumps(asdict(settings), indent=1) + "\n")
    train(run, args.save_seconds, args.until)


if __name__ == "__main__":
    main()
