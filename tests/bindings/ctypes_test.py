"""Uses the library from Python's ctypes, loaded at run time, as a binding would.

    python3 ctypes_test.py LIBRARY
"""
import base64
import ctypes
import hashlib
import sys
import unittest
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p

PROGRESS = ctypes.CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint64)
OK, ARGUMENT, METHOD, BUFFER_TOO_SMALL, CORRUPT, MISMATCH, CANCELLED = 0, 1, 2, 6, 9, 10, 12
SIGNATURES = {
    "gptz_version_number": (c_uint32,),
    "gptz_status_name": (c_char_p, c_int),
    "gptz_last_error": (c_char_p,),
    "gptz_create": (c_int, c_char_p, POINTER(c_void_p)),
    "gptz_free": (None, c_void_p),
    "gptz_method": (c_char_p, c_void_p),
    "gptz_set": (c_int, c_void_p, c_int, c_int64),
    "gptz_get": (c_int, c_void_p, c_int, POINTER(c_int64)),
    "gptz_set_progress": (c_int, c_void_p, PROGRESS, c_void_p),
    "gptz_compress_bound": (c_size_t, c_size_t),
    "gptz_compress": (c_int, c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, POINTER(c_size_t)),
    "gptz_decompressed_size": (c_int, c_char_p, c_size_t, POINTER(c_uint64)),
    "gptz_decompress": (c_int, c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, POINTER(c_size_t)),
    "gptz_feed": (c_int, c_void_p, c_char_p, c_size_t),
    "gptz_cross_entropy": (c_int, c_void_p, c_char_p, c_size_t, POINTER(c_double)),
    "gptz_snapshot_take": (c_int, c_void_p, POINTER(c_void_p)),
    "gptz_snapshot_free": (None, c_void_p),
    "gptz_set_base": (c_int, c_void_p, c_void_p),
}
TEXT = b"The cat sat on the mat; the dog sat on the log. " * 40


def load(path):
    library = ctypes.CDLL(path)
    for name, (result, *arguments) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Failed(Exception):
    def __init__(self, status):
        super().__init__(f"{LIB.gptz_status_name(status).decode()}: {LIB.gptz_last_error().decode()}")
        self.status = status


def check(status):
    if status != OK:
        raise Failed(status)


class Handle:
    def __init__(self, method=None):
        self.pointer = c_void_p()
        check(LIB.gptz_create(method, byref(self.pointer)))

    def close(self):
        LIB.gptz_free(self.pointer)
        self.pointer = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def compress(self, data):
        out, size = ctypes.create_string_buffer(LIB.gptz_compress_bound(len(data))), c_size_t()
        check(LIB.gptz_compress(self.pointer, data, len(data), out, len(out), byref(size)))
        return out.raw[: size.value]

    def decompress(self, frame):
        content, size = c_uint64(), c_size_t()
        check(LIB.gptz_decompressed_size(frame, len(frame), byref(content)))
        out = ctypes.create_string_buffer(content.value + 1)
        check(LIB.gptz_decompress(self.pointer, frame, len(frame), out, content.value, byref(size)))
        return out.raw[: size.value]


class Binding(unittest.TestCase):
    def test_round_trip(self):
        every_byte = bytes(range(256)) * 8
        with Handle() as handle:
            for data in (b"", b"x", TEXT, every_byte, b"\0" * 1000):
                self.assertEqual(handle.decompress(handle.compress(data)), data)
            self.assertLess(len(handle.compress(TEXT)), len(TEXT) // 2)

    def test_errors_have_a_status_a_name_and_a_text(self):
        with self.assertRaises(Failed) as found:
            Handle(b"cfg:hidden=33")
        self.assertEqual(found.exception.status, METHOD)
        self.assertIn("33", str(found.exception))
        with Handle() as handle:
            frame = handle.compress(TEXT)
            changed = frame[:-20] + bytes([frame[-20] ^ 1]) + frame[-19:]
            with self.assertRaises(Failed) as found:
                handle.decompress(changed)
            self.assertEqual(found.exception.status, CORRUPT)
            size, small = c_size_t(), ctypes.create_string_buffer(10)
            status = LIB.gptz_compress(handle.pointer, TEXT, len(TEXT), small, 10, byref(size))
            self.assertEqual(status, BUFFER_TOO_SMALL)
            self.assertEqual(handle.decompress(frame), TEXT, "a failed call leaves the handle usable")
        self.assertEqual(LIB.gptz_compress(None, TEXT, 1, small, 10, byref(size)), ARGUMENT)

    def test_progress_is_reported_and_cancels(self):
        reports = []

        def progress(userdata, done, total):
            reports.append((done, total))
            return 1 if cancel and done >= total // 2 else 0

        callback = PROGRESS(progress)
        data = TEXT * 20
        with Handle() as handle:
            check(LIB.gptz_set(handle.pointer, 6, 12))  # GPTZ_PARAM_BLOCK_LOG
            check(LIB.gptz_set_progress(handle.pointer, callback, None))
            cancel = False
            frame = handle.compress(data)
            self.assertEqual(reports[-1], (len(data), len(data)))
            self.assertEqual(reports, sorted(reports))
            cancel = True
            with self.assertRaises(Failed) as found:
                handle.compress(data)
            self.assertEqual(found.exception.status, CANCELLED)
            cancel = False
            self.assertEqual(handle.compress(data), frame, "a cancelled call leaves nothing behind")

    def test_a_snapshot_as_base(self):
        # Random bytes as text: nothing predicts them before they were fed.
        message = base64.b64encode(hashlib.sha512(b"gptz").digest())[:48]
        samples = message * 40
        with Handle() as plain, Handle() as based:
            check(LIB.gptz_feed(based.pointer, samples, len(samples)))
            snapshot = c_void_p()
            check(LIB.gptz_snapshot_take(based.pointer, byref(snapshot)))
            check(LIB.gptz_set_base(based.pointer, snapshot))
            check(LIB.gptz_set_base(plain.pointer, snapshot))
            LIB.gptz_snapshot_free(snapshot)
            frame = based.compress(message)
            self.assertEqual(plain.decompress(frame), message)
            check(LIB.gptz_set_base(plain.pointer, None))
            self.assertLess(len(frame) + 16, len(plain.compress(message)))
            with self.assertRaises(Failed) as found:
                plain.decompress(frame)
            self.assertEqual(found.exception.status, MISMATCH)


LIB = load(sys.argv.pop(1))

if __name__ == "__main__":
    unittest.main()
