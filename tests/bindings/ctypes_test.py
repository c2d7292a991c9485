"""Uses the library from Python's ctypes, loaded at run time, as a binding would.

    python3 ctypes_test.py LIBRARY
"""
import atexit
import base64
import concurrent.futures
import ctypes
import hashlib
import subprocess
import sys
import threading
import unittest
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p

PROGRESS = ctypes.CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint64)
READ_AT = ctypes.CFUNCTYPE(c_int64, c_void_p, c_uint64, c_void_p, c_size_t)
WRITE = ctypes.CFUNCTYPE(c_int, c_void_p, c_uint64, c_void_p, c_size_t)
LOST = ctypes.CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint64, c_char_p)
OK, ARGUMENT, METHOD, BUFFER_TOO_SMALL, CORRUPT, MISMATCH, CANCELLED, BUSY, STATE = 0, 1, 2, 6, 9, 10, 12, 13, 14
SIGNATURES = {
    "gptz_version_number": (c_uint32,),
    "gptz_status_name": (c_char_p, c_int),
    "gptz_last_error": (c_char_p,),
    "gptz_handle_error": (c_char_p, c_void_p),
    "gptz_level_method": (c_char_p, c_int),
    "gptz_memory_estimate": (c_int, c_void_p, POINTER(c_uint64)),
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
    "gptz_compress_parts": (c_int, c_void_p, POINTER(c_char_p), POINTER(c_size_t), c_size_t, c_char_p, c_size_t, POINTER(c_size_t)),
    "gptz_compressed_size": (c_int, c_void_p, c_char_p, c_size_t, POINTER(c_size_t)),
    "gptz_stream_compress": (c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_size_t)),
    "gptz_stream_decompress": (c_int, c_void_p, c_void_p, c_void_p, POINTER(c_size_t)),
    "gptz_stream_reset": (c_int, c_void_p),
    "gptz_reader_open": (c_int, c_void_p, c_void_p, POINTER(c_void_p)),
    "gptz_reader_open_memory": (c_int, c_void_p, c_char_p, c_size_t, POINTER(c_void_p)),
    "gptz_reader_size": (c_int, c_void_p, POINTER(c_uint64)),
    "gptz_reader_read": (c_int, c_void_p, c_uint64, c_char_p, c_size_t, POINTER(c_size_t)),
    "gptz_reader_free": (None, c_void_p),
    "gptz_salvage": (c_int, c_void_p, c_void_p, WRITE, LOST, c_void_p),
    "gptz_frame_info": (c_int, c_char_p, c_size_t, c_int, POINTER(c_int64)),
    "gptz_frame_method": (c_int, c_char_p, c_size_t, c_char_p, c_size_t, POINTER(c_size_t)),
    "gptz_stats_get": (c_int, c_void_p, c_void_p),
    "gptz_feed": (c_int, c_void_p, c_char_p, c_size_t),
    "gptz_cross_entropy": (c_int, c_void_p, c_char_p, c_size_t, POINTER(c_double)),
    "gptz_snapshot_take": (c_int, c_void_p, POINTER(c_void_p)),
    "gptz_snapshot_free": (None, c_void_p),
    "gptz_snapshot_save": (c_int, c_void_p, c_char_p, c_size_t, POINTER(c_size_t)),
    "gptz_snapshot_load": (c_int, c_char_p, c_size_t, POINTER(c_void_p)),
    "gptz_set_base": (c_int, c_void_p, c_void_p),
}
class Stats(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("bytes_in", c_uint64), ("bytes_out", c_uint64), ("tokens_seen", c_uint64),
                ("bits_per_byte", c_double), ("ratio", c_double), ("seconds", c_double), ("bytes_per_second", c_double),
                ("can_learn", c_int)]


class Source(ctypes.Structure):
    """gptz_source."""
    _fields_ = [("opaque", c_void_p), ("read_at", READ_AT), ("size", c_uint64)]


class Buffer(ctypes.Structure):
    """gptz_in and gptz_out."""
    _fields_ = [("at", c_void_p), ("size", c_size_t), ("pos", c_size_t)]

    def __init__(self, memory, size):
        super().__init__(ctypes.cast(memory, c_void_p), size, 0)


TEXT = b"The cat sat on the mat; the dog sat on the log. " * 40


def load(path):
    library = ctypes.CDLL(path)
    for name, (result, *arguments) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Failed(Exception):
    def __init__(self, status, text):
        super().__init__(f"{LIB.gptz_status_name(status).decode()}: {text.decode()}")
        self.status = status


def check(status):
    """For calls without a handle, on the thread that made the call."""
    if status != OK:
        raise Failed(status, LIB.gptz_last_error())


class Running:
    """The calls that can run a Python callback at the moment.

    Up to version 3.13 Python ends a daemon thread by pthread_exit if the thread needs the interpreter while that is ending.
    A callback in a daemon thread would meet this inside a call, and not every system allows it there (see gptz_progress_fn).
    So at exit, before Python starts to end threads, all calls are cancelled and awaited, and none starts any more.
    """

    def __init__(self):
        self.changed, self.count, self.closing = threading.Condition(), 0, False
        atexit.register(self.close)

    def __enter__(self):
        with self.changed:
            if self.closing:
                raise RuntimeError("the interpreter is ending")
            self.count += 1

    def __exit__(self, *_):
        with self.changed:
            self.count -= 1
            self.changed.notify_all()

    def close(self):
        with self.changed:
            self.closing = True
            self.changed.wait_for(lambda: self.count == 0)


RUNNING = Running()


class Handle:
    def __init__(self, method=None):
        self.pointer, self.callback = c_void_p(), PROGRESS()
        check(LIB.gptz_create(method, byref(self.pointer)))

    def check(self, status):
        """For calls on this handle, on any thread. A handle does not keep the message of GPTZ_ERROR_BUSY."""
        if status != OK:
            raise Failed(status, LIB.gptz_last_error() if status == BUSY else LIB.gptz_handle_error(self.pointer))

    def set_progress(self, progress):
        """`progress(done, total)` returns whether to continue."""
        def callback(userdata, done, total):
            return 1 if RUNNING.closing or not progress(done, total) else 0

        # The object must live as long as the library has it.
        self.callback = PROGRESS(callback)
        self.check(LIB.gptz_set_progress(self.pointer, self.callback, None))

    def close(self):
        LIB.gptz_free(self.pointer)
        self.pointer = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def compress(self, data):
        out, size = ctypes.create_string_buffer(LIB.gptz_compress_bound(len(data))), c_size_t()
        with RUNNING:
            self.check(LIB.gptz_compress(self.pointer, data, len(data), out, len(out), byref(size)))
        return out.raw[: size.value]

    def decompress(self, frame):
        content, size = c_uint64(), c_size_t()
        check(LIB.gptz_decompressed_size(frame, len(frame), byref(content)))
        out = ctypes.create_string_buffer(content.value + 1)
        with RUNNING:
            self.check(LIB.gptz_decompress(self.pointer, frame, len(frame), out, content.value, byref(size)))
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

    def test_readers_and_salvage(self):
        with Handle(b"level:1") as handle:
            handle.check(LIB.gptz_set(handle.pointer, 6, 12))  # GPTZ_PARAM_BLOCK_LOG
            data = TEXT * 5
            frames = handle.compress(data) + handle.compress(TEXT)

            def read_at(opaque, offset, dst, length):
                part = frames[offset : offset + min(length, 1000)]
                ctypes.memmove(dst, part, len(part))
                return len(part)

            source = Source(None, READ_AT(read_at), len(frames))
            reader, size, done, room = c_void_p(), c_uint64(), c_size_t(), ctypes.create_string_buffer(100)
            handle.check(LIB.gptz_reader_open(handle.pointer, byref(source), byref(reader)))
            handle.check(LIB.gptz_reader_size(reader, byref(size)))
            self.assertEqual(size.value, len(data) + len(TEXT))
            for offset in (0, 4000, len(data) - 50, size.value - 7):
                handle.check(LIB.gptz_reader_read(reader, offset, room, 100, byref(done)))
                self.assertEqual(room.raw[: done.value], (data + TEXT)[offset : offset + 100])
            LIB.gptz_reader_free(reader)
            frames = frames[:-1] + bytes([frames[-1] ^ 1])
            written, lost = {}, []
            write = WRITE(lambda _, offset, at, length: written.__setitem__(offset, ctypes.string_at(at, length)) or 0)
            lose = LOST(lambda _, offset, length, why: lost.append((offset, length, why)) or 0)
            handle.check(LIB.gptz_salvage(handle.pointer, byref(source), write, lose, None))
            self.assertEqual(b"".join(written[offset] for offset in sorted(written)), data)
            self.assertEqual([place[:2] for place in lost], [(len(data), len(TEXT))])

    def test_streams(self):
        with Handle(b"level:1") as handle:
            def run(call, data, room, *op):
                source = ctypes.create_string_buffer(data, len(data))
                given, left, taken = b"", c_size_t(1), Buffer(source, len(data))
                while left.value > 0 or taken.pos < taken.size:
                    place = ctypes.create_string_buffer(room)
                    out = Buffer(place, room)
                    handle.check(call(handle.pointer, byref(out), byref(taken), *op, byref(left)))
                    given += place.raw[: out.pos]
                return given

            frame = run(LIB.gptz_stream_compress, TEXT, 50, 2)  # GPTZ_END
            self.assertEqual(frame, handle.compress(TEXT))
            self.assertEqual(run(LIB.gptz_stream_decompress, frame, 70), TEXT)
            left, nothing = c_size_t(), Buffer(None, 0)
            handle.check(LIB.gptz_stream_compress(handle.pointer, byref(Buffer(None, 0)), byref(nothing), 2, byref(left)))
            with self.assertRaises(Failed) as found:
                handle.compress(TEXT)
            self.assertEqual(found.exception.status, STATE)
            handle.check(LIB.gptz_stream_reset(handle.pointer))
            self.assertEqual(handle.compress(TEXT), frame)

    def test_frames_parts_and_stats(self):
        with Handle(b"level:2") as handle, Handle(b"level:1") as other:
            frame, size, value = handle.compress(TEXT), c_size_t(), c_int64()
            parts = (c_char_p * 3)(TEXT[:7], b"", TEXT[7:])
            lengths = (c_size_t * 3)(7, 0, len(TEXT) - 7)
            out = ctypes.create_string_buffer(len(frame))
            handle.check(LIB.gptz_compress_parts(handle.pointer, parts, lengths, 3, out, len(out), byref(size)))
            self.assertEqual(out.raw[: size.value], frame)
            handle.check(LIB.gptz_compressed_size(handle.pointer, TEXT, len(TEXT), byref(size)))
            self.assertEqual(size.value, len(frame))
            for what, expected in ((1, len(TEXT)), (5, 1), (10, 1), (11, len(frame))):  # GPTZ_FRAME_...
                check(LIB.gptz_frame_info(frame, len(frame), what, byref(value)))
                self.assertEqual(value.value, expected)
            self.assertEqual(LIB.gptz_frame_method(frame, len(frame), None, 0, byref(size)), BUFFER_TOO_SMALL)
            name = ctypes.create_string_buffer(size.value + 1)
            check(LIB.gptz_frame_method(frame, len(frame), name, len(name), byref(size)))
            self.assertEqual(name.value, LIB.gptz_method(handle.pointer))
            # Frames of registered methods, in a row, with a handle of any method.
            self.assertEqual(other.decompress(frame + other.compress(b"x") + frame), TEXT + b"x" + TEXT)
            stats = Stats(ctypes.sizeof(Stats))
            handle.compress(TEXT)
            handle.check(LIB.gptz_stats_get(handle.pointer, byref(stats)))
            self.assertEqual((stats.bytes_in, stats.bytes_out, stats.can_learn), (len(TEXT), len(frame), 1))
            self.assertGreater(stats.seconds, 0)

    def test_progress_is_reported_and_cancels(self):
        reports = []

        def progress(done, total):
            reports.append((done, total))
            return not (cancel and done >= total // 2)

        data = TEXT * 20
        with Handle() as handle:
            check(LIB.gptz_set(handle.pointer, 6, 12))  # GPTZ_PARAM_BLOCK_LOG
            handle.set_progress(progress)
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
            size = c_size_t()
            self.assertNotEqual(LIB.gptz_snapshot_save(snapshot, None, 0, byref(size)), 0)
            portable = ctypes.create_string_buffer(size.value)
            check(LIB.gptz_snapshot_save(snapshot, portable, size, byref(size)))
            LIB.gptz_snapshot_free(snapshot)
            check(LIB.gptz_snapshot_load(portable.raw, size, byref(snapshot)))
            check(LIB.gptz_set_base(plain.pointer, snapshot))
            LIB.gptz_snapshot_free(snapshot)
            frame = based.compress(message)
            self.assertEqual(plain.decompress(frame), message)
            check(LIB.gptz_set_base(plain.pointer, None))
            self.assertLess(len(frame) + 16, len(plain.compress(message)))
            with self.assertRaises(Failed) as found:
                plain.decompress(frame)
            self.assertEqual(found.exception.status, MISMATCH)

    def test_the_message_of_a_call_on_a_worker_thread(self):
        with Handle() as first, Handle() as second, concurrent.futures.ThreadPoolExecutor(1) as pool:
            # Both fail on the same thread, so the thread has the message of the second only.
            statuses = [pool.submit(LIB.gptz_set, handle.pointer, param, 0).result() for handle, param in ((first, 71), (second, 72))]
            self.assertEqual(statuses, [ARGUMENT, ARGUMENT])
            self.assertIn(b"72", pool.submit(LIB.gptz_last_error).result())
            for handle, param in ((first, "71"), (second, "72")):
                with self.assertRaises(Failed) as found:
                    handle.check(ARGUMENT)
                self.assertIn(param, str(found.exception))

    def test_levels_and_memory(self):
        level = 1
        while (method := LIB.gptz_level_method(level)) is not None:
            level += 1
        self.assertIsNone(LIB.gptz_level_method(0))
        self.assertGreater(level, 3)
        with Handle(b"level:%d" % (level - 1)) as handle:
            size = c_uint64()
            handle.check(LIB.gptz_memory_estimate(handle.pointer, byref(size)))
            self.assertIn(size.value >> 20, range(1, 1024))

    def test_daemon_threads_when_the_interpreter_ends(self):
        for _ in range(5):
            ended = subprocess.run([sys.executable, __file__, LIBRARY, "daemon"], capture_output=True, timeout=60)
            self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, b"working\n", b""))


def daemon():
    """Ends the interpreter while a daemon thread is in a call with a callback."""
    handle, started = Handle(b"level:3"), threading.Event()

    def progress(done, total):
        started.set()
        # Gives up the interpreter, which this thread then asks for again.
        threading.Event().wait(0.002)
        return True

    def work():
        try:
            while True:
                handle.compress(TEXT * 100)
        except (Failed, RuntimeError):
            pass

    handle.set_progress(progress)
    threading.Thread(target=work, daemon=True).start()
    started.wait()
    print("working")


LIBRARY = sys.argv.pop(1)
LIB = load(LIBRARY)

if __name__ == "__main__":
    daemon() if sys.argv[1:] == ["daemon"] else unittest.main()
