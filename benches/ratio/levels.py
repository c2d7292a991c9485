#!/usr/bin/env python3
"""The README's table of levels: size, speed and memory of level:1 to level:9, as Markdown.

    make && python3 benches/ratio/levels.py PATH... [-l LEVEL...] [--limit BYTES]

A PATH is a file, or a folder whose files are taken. With --limit only the first BYTES of each file are used: a quick look.
Speed: content bytes over the time of creating a handle and one call, all files together, one thread. Memory: how much the
peak resident memory of a process grows while it loads the library and compresses, or decompresses, one file after the other;
each level and direction has a process of its own. Input and output buffers are not counted. Every file is decompressed and
compared. Needs Linux (/proc). Level 5 must be among the levels: size and time are also shown relative to it.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

from run import Gptz

# Markdown column headings; the first column is the level.
HEADINGS = ("bits a byte", "size, level 5 = 1", "compression, KB/s", "decompression, KB/s", "time, level 5 = 1",
            "memory, compression, MB", "memory, decompression, MB")
REFERENCE = 5


def resident(key):
    """VmRSS (now) or VmHWM (peak) of this process, in bytes."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"^{key}:\s+(\d+) kB", status, re.M).group(1)) * 1024


def measure(direction, method, folder, count):
    """Runs in a process of its own: codes the files `folder`/N.raw to N.gptz, or back, and prints a JSON object."""
    raws = [(folder / f"{i}.raw").read_bytes() for i in range(count)]
    frames = [(folder / f"{i}.gptz").read_bytes() for i in range(count)] if direction == "decompress" else raws
    rooms = [len(raw) + len(raw) // 8 + 4096 for raw in raws]
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # Resets the peak.
    before = resident("VmRSS") + max(rooms)  # The output buffer is allocated later.
    gptz, seconds = Gptz(), 0.0
    for i, (data, room) in enumerate(zip(frames, rooms)):
        out, taken = gptz.call(f"gptz_{direction}", method, data, room)
        seconds += taken
        if direction == "compress":
            (folder / f"{i}.gptz").write_bytes(out)
        else:
            assert out == raws[i], (method, i)
    print(json.dumps({"seconds": seconds, "memory": max(0, resident("VmHWM") - before)}))


def child(direction, level, folder, count):
    command = [sys.executable, __file__, "--child", direction, f"level:{level}", str(folder), str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def row(level, total, measured, reference):
    """A line of the table."""
    (bits, there, back), (least, *others) = measured, reference
    seconds = there["seconds"] + back["seconds"]
    cells = (f"{level}", f"{bits:.3f}", f"{bits / least:.4f}", f"{total / there['seconds'] / 1000:.0f}",
             f"{total / back['seconds'] / 1000:.0f}", f"{seconds / sum(o['seconds'] for o in others):.2f}",
             f"{there['memory'] / 1e6:.0f}", f"{back['memory'] / 1e6:.0f}")
    return "| " + " | ".join(cells) + " |"


def main():
    if sys.argv[1:2] == ["--child"]:
        direction, method, folder, count = sys.argv[2:]
        measure(direction, method, pathlib.Path(folder), int(count))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", type=pathlib.Path, nargs="+", metavar="PATH")
    parser.add_argument("-l", "--level", type=int, action="append")
    parser.add_argument("--limit", type=int, metavar="BYTES")
    options = parser.parse_args()
    levels = sorted({*(options.level or range(1, 10)), REFERENCE})
    files = [f for p in options.paths for f in (sorted(p.iterdir()) if p.is_dir() else [p]) if f.is_file()]
    contents = [data for f in files if (data := f.read_bytes()[: options.limit])]
    total = sum(map(len, contents))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for i, data in enumerate(contents):
            (folder / f"{i}.raw").write_bytes(data)

        def both(level):
            there = child("compress", level, folder, len(contents))
            back = child("decompress", level, folder, len(contents))
            sizes = [(folder / f"{i}.gptz").stat().st_size for i in range(len(contents))]
            bits = sum(size * 8 / len(data) for size, data in zip(sizes, contents)) / len(contents)
            return bits, there, back

        reference = both(REFERENCE)
        print("|".join(["| level ", *(f" {heading} " for heading in HEADINGS), ""]))
        print("|---:" * (len(HEADINGS) + 1) + "|", flush=True)
        for level in levels:
            print(row(level, total, reference if level == REFERENCE else both(level), reference), flush=True)


if __name__ == "__main__":
    main()
