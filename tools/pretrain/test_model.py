#!/usr/bin/env python3
"""Tests of the trainer: `python -m unittest test_model` in this folder."""

import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch

import checkpoint
import evaluate
import export
import train
from data import pack
from model import Config, RWKV7
from wkv import HAVE_KERNEL, kernel, wkv, wkv_loop

SMALL = {"hidden": 64, "layers": 2, "intermediate": 96, "decay_rank": 8, "a_rank": 8, "v_rank": 8, "g_rank": 16}


def inputs(lanes, steps, heads, n, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    r, k, v, kk = (torch.randn(lanes, steps, heads, n, generator=g, dtype=dtype) for _ in range(4))
    w = torch.rand(r.shape, generator=g, dtype=dtype) * 0.4 + 0.58
    rate = torch.rand(r.shape, generator=g, dtype=dtype)
    kk = kk / kk.norm(dim=-1, keepdim=True)
    start = torch.randn(lanes, heads, n, n, generator=g, dtype=dtype)
    reset = (torch.rand(lanes, steps, generator=g) < 0.15).to(torch.uint8)
    return [x.requires_grad_() for x in (r, w, k, v, (-kk), (kk * rate))], start, reset


class Recurrence(unittest.TestCase):
    @unittest.skipUnless(HAVE_KERNEL, "no C++ compiler")
    def test_kernel_is_the_loop(self):
        for n, steps in ((32, 37), (64, 16), (32, 1)):
            vectors, start, reset = inputs(2, steps, 3, n)
            cotangent = torch.randn(vectors[0].shape)
            results = []
            for f in (wkv, wkv_loop):
                y, end = f(*vectors, start, reset)
                results.append([y, end, *torch.autograd.grad(y, vectors, cotangent)])
            for name, mine, other in zip("y end r w k v a b".split(), *results):
                torch.testing.assert_close(mine, other, rtol=2e-4, atol=2e-4, msg=lambda m: f"{name}, N={n}: {m}")

    def test_loop_against_finite_differences(self):
        vectors, start, reset = inputs(1, 5, 1, 4, torch.float64)
        reset[0, 2] = 1
        f = lambda *x: wkv_loop(*x, start, reset)[0]
        self.assertTrue(torch.autograd.gradcheck(f, [x.detach().requires_grad_() for x in vectors]))

    @unittest.skipUnless(HAVE_KERNEL, "no C++ compiler")
    def test_other_head_sizes_are_refused(self):
        vectors, start, reset = inputs(1, 2, 1, 16)
        with self.assertRaises(ValueError):
            kernel(*vectors, start, reset)


def scrambled(seed=3):
    """A small model in which nothing is zero."""
    model = RWKV7(Config(**SMALL), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.1)
    return model


class Model(unittest.TestCase):
    def test_resets_are_fresh_streams(self):
        model, tokens = scrambled(), torch.randint(0, 256, (1, 60))
        resets = torch.zeros(1, 60, dtype=torch.uint8)
        resets[0, [0, 7, 30]] = 1
        whole, _ = model(tokens, resets, model.start(1))
        for span in (slice(0, 7), slice(7, 30), slice(30, 60)):
            alone, _ = model(tokens[:, span], torch.zeros_like(resets[:, span]), model.start(1))
            torch.testing.assert_close(whole[:, span], alone, rtol=1e-4, atol=1e-4)

    def test_chunks_are_the_whole(self):
        model, tokens = scrambled(), torch.randint(0, 256, (2, 50))
        resets = torch.zeros(2, 50, dtype=torch.uint8)
        whole, end = model(tokens, resets, model.start(2))
        first, state = model(tokens[:, :23], resets[:, :23], model.start(2))
        second, state = model(tokens[:, 23:], resets[:, 23:], state)
        torch.testing.assert_close(whole, torch.cat([first, second], 1), rtol=1e-4, atol=1e-4)
        for a, b in zip(end, state):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)

    def test_the_engines_fixture(self):
        """Weights and logits that another implementation of RWKV-7 made: see tests/reference."""
        folder = Path(__file__).resolve().parents[2] / "tests" / "data"
        from safetensors.torch import load_file

        model = checkpoint.open_model(str(folder / "rwkv7-tiny.safetensors"))
        expected = load_file(folder / "rwkv7-tiny-logits.safetensors")
        tokens = expected["tokens"].long()[None]
        logits, _ = model(tokens, torch.zeros_like(tokens, dtype=torch.uint8), model.start(1))
        torch.testing.assert_close(logits[0], expected["logits"], rtol=1e-4, atol=1e-4)

    def test_exports_open_again(self):
        model = scrambled()
        with tempfile.TemporaryDirectory() as folder:
            for int8 in (False, True):
                path = f"{folder}/{int8}.safetensors"
                export.save_file(export.tensors_of(model, int8), path)
                again = checkpoint.open_model(path)
                model.arithmetic.int8_weights = int8
                tokens = torch.randint(0, 256, (1, 20))
                resets = torch.zeros(1, 20, dtype=torch.uint8)
                a, b = (m(tokens, resets, m.start(1))[0] for m in (model, again))
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def write_corpus(folder, records=300):
    rng = np.random.default_rng(5)
    words = rng.integers(97, 123, (50, 5), dtype=np.uint8)
    for stem, records, texts in (("corpus", records, 60), ("heldout", 20, 3)):
        lengths = np.concatenate([rng.integers(1, 90, records), rng.integers(500, 5000, texts)])
        documents = [words[rng.integers(0, 50, n // 5 + 1)].ravel()[:n] for n in lengths]
        Path(folder, f"{stem}.bin").write_bytes(np.concatenate(documents).tobytes())
        places = zip((np.cumsum(lengths) - lengths).tolist(), lengths.tolist(), [0] * records + [1] * texts)
        index = {"sources": ["made"], "categories": ["records", "text"], "documents": [[*p, 0] for p in places]}
        Path(folder, f"{stem}.idx.json").write_text(json.dumps(index))


class Training(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        write_corpus(self.folder)
        torch.set_num_threads(1)

    def new_run(self, threads=1):
        settings = train.Settings(
            data=self.folder, model=SMALL, pool=8, lanes=2, passes=2, steps=32, piece=1000, total_bytes=6400, warm_up=1000,
            held_out=2000, weights={"records": 0.6, "text": 0.4}, int8_from=0.8,
        )
        return train.Run(settings, self.folder, compiled=False, threads=threads)

    def test_lanes_deliver_documents(self):
        run = self.new_run()
        for _ in range(80):
            _, tokens, targets, resets = run.lanes.chunk()
            inside = resets[:, 1:] == 0
            self.assertTrue((tokens[:, 1:][inside] == targets[:, :-1][inside]).all())
            self.assertTrue((tokens[resets == 1] == 0).all())
        taken = run.lanes.sampler.taken
        self.assertAlmostEqual(taken[0] / taken.sum(), 0.6, delta=0.1)
        self.assertEqual(set(run.held_out()), {"records", "text", "(short)", "(first 128 bytes)"})

    def test_a_resumed_run_is_the_same(self):
        whole, half = self.new_run(), self.new_run()
        while whole.seen < 6400:
            whole.update()
        while half.seen < 3200:
            half.update()
        half.save()
        again = self.new_run(threads=2)
        again.restore(checkpoint.load(Path(self.folder, "checkpoint.pt")))
        while again.seen < 6400:
            again.update()
        self.assertEqual(whole.losses, again.losses)
        for (name, a), b in zip(whole.model.state_dict().items(), again.model.state_dict().values()):
            self.assertTrue(torch.equal(a, b), name)

    def test_a_run_goes_on_with_another_corpus(self):
        run = self.new_run()
        for _ in range(3):
            run.update()
        run.save()
        with tempfile.TemporaryDirectory() as other:
            write_corpus(other, records=70)
            self.folder = other
            again = self.new_run()
            again.restore(checkpoint.load(run.out / "checkpoint.pt"))
            self.assertEqual(again.seen, run.seen)
            self.assertTrue((again.lanes.at[:, 1] == 0).all())
            for _ in range(4):
                self.assertTrue((again.lanes.chunk()[3][:, 0] == 1).all())

    def test_the_mean_of_checkpoints_is_that_of_their_weights(self):
        run, paths = self.new_run(), []
        for name in ("a.pt", "b.pt"):
            run.update()
            run.save(name)
            paths.append(run.out / name)
        models = [checkpoint.open_model(path).state_dict() for path in paths]
        for name, tensor in export.mean_of(paths).state_dict().items():
            torch.testing.assert_close(tensor, (models[0][name] + models[1][name]) / 2)
        self.assertTrue(any(not torch.equal(models[0][name], models[1][name]) for name in models[0]))

    def test_packing_measures_each_document_alone(self):
        model = scrambled()
        documents = [np.random.default_rng(i).integers(0, 256, n, dtype=np.uint8) for i, n in enumerate((3, 70, 1, 0, 40, 33))]
        sums = evaluate.measure(model, documents, lanes=2, steps=16, start=8)
        for document, row in zip(documents, sums):
            self.assertEqual((row[1], row[3]), (len(document), min(8, len(document))))
            if len(document):
                alone = evaluate.measure(model, [document], lanes=1, steps=len(document))
                self.assertAlmostEqual(row[0], alone[0, 0], places=2)
        self.assertEqual(sum((owners >= 0).sum() for *_, owners, _ in pack(documents, 2, 16)), 147)


if __name__ == "__main__":
    unittest.main()
