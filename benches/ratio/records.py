#!/usr/bin/env python3
"""Bits a byte of single records: each line of a file's second half, compressed on its own from a base that was primed with
the first half.

    make && python3 benches/ratio/records.py FILE... [-m METHOD...] [--base BYTES]

With --base, only the first lines that together have at most BYTES bytes prime the base; with 0, none do.

The comparison is zstd -19 with the best of several trained dictionaries and the smallest header: no magic, no content size, no
checksum, no dictionary number. It needs the PyPI package zstandard and is left out without it. Everything is counted that a
decoder needs which has the base or the dictionary. Every record of gptz is decompressed and compared.
"""
import argparse
import ctypes
import itertools
import os
import pathlib
import time
from ctypes import POINTER, byref, c_char_p, c_size_t, c_void_p

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Gptz:
    def __init__(self, method):
        self.lib = ctypes.CDLL(os.fspath(ROOT / "build" / "libgptz.so"))
        self.lib.gptz_last_error.restype = c_char_p
        for call in (self.lib.gptz_records_compress, self.lib.gptz_records_decompress):
            call.argtypes = [c_void_p, POINTER(c_char_p), POINTER(c_size_t), c_size_t, c_char_p, c_size_t, POINTER(c_size_t)]
        self.handle = c_void_p()
        self.check(self.lib.gptz_create(method.encode(), byref(self.handle)))

    def check(self, status):
        if status:
            raise SystemExit(self.lib.gptz_last_error().decode())

    def prime(self, lines):
        snapshot, data = c_void_p(), b"".join(lines)
        self.check(self.lib.gptz_feed(self.handle, c_char_p(data), c_size_t(len(data))))
        self.check(self.lib.gptz_snapshot_take(self.handle, byref(snapshot)))
        self.check(self.lib.gptz_set_base(self.handle, snapshot))
        self.lib.gptz_snapshot_free(snapshot)

    def records(self, call, lines, room):
        n, out = len(lines), ctypes.create_string_buffer(room)
        lens = (c_size_t * n)()
        self.check(call(self.handle, (c_char_p * n)(*lines), (c_size_t * n)(*map(len, lines)), n, out, room, lens))
        pieces, at = [], 0
        for size in lens:
            pieces.append(out.raw[at : at + size])
            at += size
        return pieces


def gptz(method, first, second):
    coder = Gptz(method)
    if first:
        coder.prime(first)
    raw = sum(map(len, second))
    start = time.perf_counter()
    made = coder.records(coder.lib.gptz_records_compress, second, raw + 10 * len(second))
    taken = time.perf_counter() - start
    assert coder.records(coder.lib.gptz_records_decompress, made, raw) == second
    return sum(map(len, made)), taken


def zstd(first, second):
    import zstandard

    best = None
    for size in (4096, 16384, 65536, 112640):
        dictionary = zstandard.train_dictionary(size, first, level=19)
        options = zstandard.ZstdCompressionParameters.from_level(
            19, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=False, write_checksum=False, write_dict_id=False)
        coder = zstandard.ZstdCompressor(dict_data=dictionary, compression_params=options)
        total = sum(len(coder.compress(line)) for line in second)
        best = min(total, best or total)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=pathlib.Path, nargs="+")
    parser.add_argument("-m", "--method", action="append")
    parser.add_argument("--base", type=int, metavar="BYTES")
    options = parser.parse_args()
    for path in options.files:
        lines = path.read_bytes().splitlines(keepends=True)
        first, second = lines[: len(lines) // 2], lines[len(lines) // 2 :]
        if options.base is not None:
            ends = itertools.accumulate(map(len, first))
            first = first[: sum(end <= options.base for end in ends)]
        raw, cells = sum(map(len, second)), []
        for method in options.method or ["level:3", "level:5"]:
            size, taken = gptz(method, first, second)
            cells.append(f"{method} {size * 8 / raw:.3f} ({taken / len(second) * 1e6:.0f} us a record)")
        try:
            if first:
                cells.append(f"zstd -19 with a dictionary {zstd(first, second) * 8 / raw:.3f}")
        except ImportError:
            pass
        print(f"{path.name}: {len(second)} records of {raw / len(second):.0f} bytes; bits a byte: " + ", ".join(cells), flush=True)


if __name__ == "__main__":
    main()
