"""The corpus, and what feeds it to lanes: endless streams of whole documents, from any position, in a fixed order."""

import json
from pathlib import Path

import numpy as np


class Corpus:
    """Documents back to back in STEM.bin; STEM.idx.json has the categories' names and [offset, length, category, ...]."""

    def __init__(self, folder, stem="corpus"):
        path = Path(folder) / stem
        described = json.loads(path.with_name(stem + ".idx.json").read_text())
        self.categories = described["categories"]
        self.index = np.array([d[:3] for d in described["documents"]], np.int64).reshape(-1, 3)
        self.bytes = np.memmap(path.with_name(stem + ".bin"), np.uint8, "r") if len(self.index) else np.empty(0, np.uint8)
        ends = self.index[:, 0] + self.index[:, 1]
        if (self.index < 0).any() or (ends > len(self.bytes)).any() or (self.index[:, 2] >= len(self.categories)).any():
            raise ValueError(f"{path}: its index does not fit its documents")

    def rows(self, category):
        """Numbers of the documents of a category that are not empty."""
        return np.flatnonzero((self.index[:, 2] == category) & (self.index[:, 1] > 0))

    def some(self, per_category, longest, seed):
        """[(category's name, bytes)]: so many bytes of each category, by chance, no document longer than `longest`."""
        rng, chosen = np.random.default_rng(seed), []
        for number, name in enumerate(self.categories):
            left = per_category
            for offset, length, _ in self.index[rng.permutation(self.rows(number))]:
                if left <= 0:
                    break
                length = min(length, longest, left)
                chosen.append((name, self.bytes[offset : offset + length]))
                left -= length
        return chosen


class Sampler:
    """Chooses pieces of documents: the category that is furthest behind its weight, there without repetition.

    Long documents are cut into pieces, so that none holds a lane for long; each piece starts fresh.
    """

    def __init__(self, corpus, weights, piece, seed):
        self.rng = np.random.default_rng(seed)
        self.pieces = [cut(corpus.index[corpus.rows(n)], piece) for n in range(len(corpus.categories))]
        weights = np.array([weights.get(name, 0.0) for name in corpus.categories], np.float64)
        weights[[len(p) == 0 for p in self.pieces]] = 0
        if not weights.sum() > 0:
            raise ValueError(f"no category has both documents and a weight; categories: {corpus.categories}")
        self.weights = weights / weights.sum()
        self.taken = np.zeros(len(weights))
        self.orders = [np.empty(0, np.int64) for _ in weights]

    def next(self):
        """(offset, length) of the next piece."""
        behind = np.where(self.weights > 0, self.taken / np.maximum(self.weights, 1e-12), np.inf)
        category = int(np.argmin(behind))
        if len(self.orders[category]) == 0:
            self.orders[category] = self.rng.permutation(len(self.pieces[category]))
        piece, self.orders[category] = self.orders[category][-1], self.orders[category][:-1]
        offset, length = self.pieces[category][piece]
        self.taken[category] += length
        return int(offset), int(length)

    def state(self):
        return {
            "taken": self.taken.copy(),
            "orders": [o.copy() for o in self.orders],
            "pieces": [len(p) for p in self.pieces],
            "rng": self.rng.bit_generator.state,
        }

    def restore(self, state):
        """Goes on where it was; tells whether it could: of another corpus, all pieces are to come again."""
        self.taken, self.rng.bit_generator.state = state["taken"].copy(), state["rng"]
        same = state.get("pieces", [len(p) for p in self.pieces]) == [len(p) for p in self.pieces]
        if same:
            self.orders = list(state["orders"])
        return same


def cut(entries, piece):
    """(offset, length) of all pieces of these documents, of about equal length within a document."""
    counts = -(-entries[:, 1] // piece)
    which = np.repeat(np.arange(len(entries)), counts)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    offset, length, count = entries[which, 0], entries[which, 1], counts[which]
    begin, end = length * nth // count, length * (nth + 1) // count
    return np.stack([offset + begin, end - begin], 1)


class Lanes:
    """A pool of lanes, each an endless stream of pieces; a few lanes at a time are given their next chunk.

    A position's input is the byte before it, or token 0 with a reset at the first of a piece; its target is the byte.
    """

    def __init__(self, corpus, sampler, lanes, per_step, steps):
        if lanes % per_step:
            raise ValueError(f"{lanes} lanes cannot be visited {per_step} at a time")
        self.corpus, self.sampler = corpus, sampler
        self.per_step, self.steps = per_step, steps
        self.next_lane = 0
        # Per lane: where it stands, how much of the piece is left, the last byte (-1: the next one is the first).
        self.at = np.zeros((lanes, 3), np.int64)
        for lane in self.at:
            offset, length = sampler.next()
            # From anywhere: else all lanes would reach their second pieces at about the same time.
            skip = int(sampler.rng.integers(length)) if sampler.rng.random() < 0.7 else 0
            lane[:] = offset + skip, length - skip, -1

    def chunk(self):
        """(first lane, tokens, targets, resets) of the next lanes: all [per_step, steps] but the first."""
        first = self.next_lane
        self.next_lane = (first + self.per_step) % len(self.at)
        tokens = np.zeros((self.per_step, self.steps), np.int64)
        targets, resets = np.zeros_like(tokens), np.zeros(tokens.shape, np.uint8)
        for row, lane in enumerate(self.at[first : first + self.per_step]):
            self.fill(lane, tokens[row], targets[row], resets[row])
        return first, tokens, targets, resets

    def fill(self, lane, tokens, targets, resets):
        done = 0
        while done < self.steps:
            if lane[1] == 0:
                lane[:] = *self.sampler.next(), -1
            count = min(int(lane[1]), self.steps - done)
            span = slice(done, done + count)
            targets[span] = self.corpus.bytes[lane[0] : lane[0] + count]
            tokens[span][1:] = targets[span][:-1]
            resets[done] = lane[2] < 0
            tokens[done] = max(int(lane[2]), 0)
            lane[:] = lane[0] + count, lane[1] - count, targets[done + count - 1]
            done += count

    def state(self):
        return {"at": self.at.copy(), "next_lane": self.next_lane, "sampler": self.sampler.state()}

    def restore(self, state):
        if state["at"].shape != self.at.shape:
            raise ValueError(f"the checkpoint has {len(state['at'])} lanes, the run {len(self.at)}")
        self.at, self.next_lane = state["at"].copy(), state["next_lane"]
        if not self.sampler.restore(state["sampler"]):
            self.at[:, 1] = 0


def pack(documents, lanes, steps):
    """Documents laid into lanes for measuring: (tokens, targets, resets, owners, places) by chunk, all [lanes, steps].

    `owners` is each position's document number, or -1 where nothing is left; `places` is where in it.
    """
    loads = np.zeros(lanes, np.int64)
    rows = [[] for _ in range(lanes)]
    for number in sorted(range(len(documents)), key=lambda n: -len(documents[n])):
        lane = int(np.argmin(loads))
        rows[lane].append(number)
        loads[lane] += len(documents[number])
    length = -(-int(loads.max(initial=0)) // steps) * steps
    tokens, targets, places = np.zeros((3, lanes, length), np.int64)
    resets, owners = np.zeros((lanes, length), np.uint8), np.full((lanes, length), -1, np.int64)
    for lane, numbers in enumerate(rows):
        at = 0
        for number in numbers:
            span = slice(at, at + len(documents[number]))
            targets[lane, span] = documents[number]
            tokens[lane, span][1:] = targets[lane, span][:-1]
            owners[lane, span], resets[lane, at] = number, 1
            places[lane, span] = np.arange(span.stop - at)
            at = span.stop
    for at in range(0, length, steps):
        yield tuple(x[:, at : at + steps] for x in (tokens, targets, resets, owners, places))
