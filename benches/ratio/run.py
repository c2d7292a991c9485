#!/usr/bin/env python3
"""Bits a byte and speed of gptz's methods beside the classical compressors, over a folder's files.

    make && python3 benches/ratio/run.py FOLDER [-m METHOD...] [-o] [--markdown] [--plot FILE.svg]

Without -m, the methods are level:1, 3, 4, 5 and 7. With -o, only gptz runs. With --plot, a plot of all is written (needs the
PyPI package matplotlib). The other compressors are, by Debian's package names, zstd, xz-utils, brotli, bzip3, 7zip and zpaq;
those that are not installed are left out. gptz runs through the C API (build/libgptz.so). The others run as programs, with their
files in memory (a folder under /dev/shm), and the start of the program is included in the time. Everything that a decoder needs
is counted, except the decoder. Each uses one thread, and the runs follow each other. Every file is decompressed and compared.
"""
import argparse
import ctypes
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
from ctypes import byref, c_char_p, c_size_t, c_void_p

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Name: compress, decompress; {i} is the input, {c} the compressed file, {o} the output, {d} a folder.
PROGRAMS = {
    "zstd --ultra -22": ("zstd -q --ultra -22 --single-thread -f {i} -o {c}", "zstd -q -d -f {c} -o {o}"),
    "xz -9e": ("xz -9e -T1 -k -c {i} > {c}", "xz -d -c {c} > {o}"),
    "brotli -q11 -w24": ("brotli -q 11 -w 24 -f {i} -o {c}", "brotli -d -f {c} -o {o}"),
    "bzip3": ("bzip3 -e -b 16 -f {i} {c}", "bzip3 -d -f {c} {o}"),
    "7zz PPMd o16": ("7zz a -bso0 -bsp0 -t7z -m0=PPMd:o=16:mem=256m -mmt1 {c}.7z {i} && mv {c}.7z {c}",
                     "7zz e -bso0 -bsp0 -y -so {c} > {o}"),
    "zpaq -m5": ("zpaq a {c}.zpaq {i} -m5 -t1 > {d}/log 2>&1 && mv {c}.zpaq {c}",
                 "mv {c} {c}.zpaq && zpaq x {c}.zpaq {i} -to {o} -t1 -f > {d}/log 2>&1 && mv {c}.zpaq {c}"),
}


class Gptz:
    """Makes a new handle for each call, so that calls do not influence each other."""

    def __init__(self):
        self.lib = ctypes.CDLL(os.fspath(ROOT / "build" / "libgptz.so"))
        self.lib.gptz_compress_bound.restype = c_size_t
        self.lib.gptz_last_error.restype = c_char_p
        for name in ("gptz_compress", "gptz_decompress"):
            getattr(self.lib, name).argtypes = [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_void_p]
        self.lib.gptz_compress_bound.argtypes = [c_size_t]

    def call(self, name, method, data, room):
        handle, out, size = c_void_p(), ctypes.create_string_buffer(room), c_size_t()
        start = time.perf_counter()
        status = self.lib.gptz_create(method.encode(), byref(handle))
        status = status or getattr(self.lib, name)(handle, data, len(data), out, room, byref(size))
        taken = time.perf_counter() - start
        if status:
            raise SystemExit(f"{method}: {self.lib.gptz_last_error().decode()}")
        self.lib.gptz_free(handle)
        return out.raw[: size.value], taken

    def run(self, method, data):
        frame, there = self.call("gptz_compress", method, data, self.lib.gptz_compress_bound(len(data)))
        back, again = self.call("gptz_decompress", method, frame, max(len(data), 1))
        assert back == data, method
        return len(frame), there, again


def program(commands, data, folder):
    paths = {"i": f"{folder}/in", "c": f"{folder}/compressed", "o": f"{folder}/out", "d": folder}
    pathlib.Path(paths["i"]).write_bytes(data)
    times = []
    for command in commands:
        start = time.perf_counter()
        subprocess.run(command.format(**paths), shell=True, check=True)
        times.append(time.perf_counter() - start)
    out = pathlib.Path(paths["o"])
    assert out.read_bytes() == data, commands
    size = os.path.getsize(paths["c"])
    for name in ("c", "o"):
        pathlib.Path(paths[name]).unlink()
    return size, *times


def plot(points, path):
    """Speed and mean bits a byte of each, as SVG."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "gptz", "font.size": 9})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2))
    own = {name: point for name, point in points.items() if name not in PROGRAMS}
    others = {name: point for name, point in points.items() if name in PROGRAMS}
    axes.plot(*zip(*own.values()), "o-", color="tab:red", label="gptz")
    if others:
        axes.plot(*zip(*others.values()), "s", color="tab:gray", label="others")
    # Slanted, and ours alternately below and above their points, so that neighbouring labels do not overlap.
    for i, (name, point) in enumerate([*own.items(), *others.items()]):
        above = name in own and i % 2 == 1
        place = {"rotation": 35} if above else {"rotation": -35, "va": "top"}
        axes.annotate(name, point, (2, 6 if above else -6), textcoords="offset points", **place)
    axes.margins(x=0.1, y=0.2)
    axes.set(xscale="log", xlabel="KB/s, compressing, one core", ylabel="bits a byte, mean over the files")
    axes.grid(True, which="both", alpha=0.25)
    axes.legend()
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("-m", "--method", action="append")
    parser.add_argument("-o", "--only-gptz", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--plot", type=pathlib.Path, metavar="FILE.svg")
    options = parser.parse_args()
    gptz = Gptz()
    columns = {m: (lambda data, m=m: gptz.run(m, data)) for m in options.method or [f"level:{n}" for n in (1, 3, 4, 5, 7)]}
    shm = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    for name, commands in PROGRAMS.items():
        if not options.only_gptz and shutil.which(commands[0].split()[0]):
            columns[name] = lambda data, commands=commands: program(commands, data, shm)
    files = sorted(p for p in options.folder.iterdir() if p.is_file())
    bar = " | " if options.markdown else "  "
    width = max(len(p.name) for p in files)
    print(bar.join([" " * width, *(f"{name:>16}" for name in columns)]))
    if options.markdown:
        print("|".join(["---", *("---:" for _ in columns)]))
    totals = {name: [0, 0, 0.0, 0.0] for name in columns}
    for path in files:
        data, cells = path.read_bytes(), []
        for name, run in columns.items():
            size, there, again = run(data)
            cells.append(f"{size * 8 / max(len(data), 1):16.4f}")
            totals[name] = [sum(pair) for pair in zip(totals[name], (len(data), size * 8 / max(len(data), 1), there, again))]
        print(bar.join([path.name.ljust(width), *cells]), flush=True)
    for label, cell in (("compression, KB/s", lambda n, s, t, a: f"{n / t / 1000:16.0f}"), ("decompression, KB/s", lambda n, s, t, a: f"{n / a / 1000:16.0f}")):
        print(bar.join([label.ljust(width), *(cell(*total) for total in totals.values())]))
    shutil.rmtree(shm)
    if options.plot:
        plot({name: (n / t / 1000, bits / len(files)) for name, (n, bits, t, _) in totals.items()}, options.plot)


if __name__ == "__main__":
    main()
