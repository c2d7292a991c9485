"""The recurrence of RWKV-7 for PyTorch: a C++ kernel on a CPU, a loop of tensor operations elsewhere.

`wkv(r, w, k, v, a, b, start, reset)` takes [lanes, steps, heads, N] (all float32), states [lanes, heads, N, N] as
[key][value] and `reset` [lanes, steps] (uint8; 1 where the state is zeroed before the step). It returns the output
and the last state. Gradients flow to everything but `start`: chunks are where back-propagation stops.
"""

import ctypes
import hashlib
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("wkv.cpp")
FLAGS = ["-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fopenmp", "-shared", "-fPIC", "-std=c++17"]
BLOCK = 16  # as in wkv.cpp


def cpu_name():
    """What the compiler's -march=native depends on: a library built on one machine must not be loaded on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    except OSError:
        return os.uname().machine


@cache
def library():
    """Compiles the kernel (once for each source and machine) and loads it; None without a C++ compiler."""
    key = hashlib.sha256(SOURCE.read_bytes() + " ".join(FLAGS).encode() + cpu_name().encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gptz-pretrain"
    path = folder / f"wkv-{key}.so"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as build:
            built = Path(build) / "wkv.so"
            command = [os.environ.get("CXX", "g++"), *FLAGS, str(SOURCE), "-o", str(built)]
            try:
                subprocess.run(command, check=True)
            except FileNotFoundError:
                return None
            built.rename(path)
    return ctypes.CDLL(str(path))


def call(name, shape, *tensors):
    lanes, steps, heads, n = shape
    numbers = [ctypes.c_long(x) for x in (lanes, steps, heads)] + [ctypes.c_int(n), ctypes.c_int(torch.get_num_threads())]
    if getattr(library(), name)(*numbers, *(ctypes.c_void_p(t.data_ptr()) for t in tensors)):
        raise ValueError(f"head size {n}: 32 and 64 are allowed")


def saved_shapes(r):
    lanes, steps, heads, n = r.shape
    return (lanes, heads, n, n), (lanes, heads, -(-steps // BLOCK), n, n)


@torch.library.custom_op("gptz::wkv", mutates_args=())
def kernel(
    r: torch.Tensor,
    w: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    start: torch.Tensor,
    reset: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    inputs = [x.contiguous() for x in (r, w, k, v, a, b, start, reset)]
    state, blocks = saved_shapes(r)
    out = [torch.empty(r.shape), r.new_empty(state), r.new_empty(blocks), torch.empty(r.shape)]
    call("wkv_forward", r.shape, *inputs, *out)
    return tuple(out)


@kernel.register_fake
def _(r, w, k, v, a, b, start, reset):
    state, blocks = saved_shapes(r)
    return r.new_empty(r.shape), r.new_empty(state), r.new_empty(blocks), r.new_empty(r.shape)


@torch.library.custom_op("gptz::wkv_backward", mutates_args=())
def kernel_backward(
    r: torch.Tensor,
    w: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    dy: torch.Tensor,
    blocks: torch.Tensor,
    sa: torch.Tensor,
    reset: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    inputs = [x.contiguous() for x in (r, w, k, v, a, b, dy, blocks, sa, reset)]
    out = [torch.empty(r.shape) for _ in range(6)]
    call("wkv_backward", r.shape, *inputs, *out)
    return tuple(out)


@kernel_backward.register_fake
def _(r, w, k, v, a, b, dy, blocks, sa, reset):
    return tuple(r.new_empty(r.shape) for _ in range(6))


def save_for_backward(ctx, inputs, output):
    *vectors, _, reset = inputs
    _, _, blocks, sa = output
    ctx.save_for_backward(*vectors, blocks, sa, reset)


def backward(ctx, dy, *_):
    *vectors, blocks, sa, reset = ctx.saved_tensors
    return (*kernel_backward(*vectors, dy, blocks, sa, reset), None, None)


kernel.register_autograd(backward, setup_context=save_for_backward)


def wkv_loop(r, w, k, v, a, b, start, reset):
    """The same by tensor operations, a step at a time: the kernel's specification, and what an accelerator runs."""
    state, out = start.detach(), []
    keep = (1 - reset.to(r.dtype))[..., None, None, None]
    for t in range(r.shape[1]):
        state = state * keep[:, t]
        sa = torch.einsum("lhj,lhji->lhi", a[:, t], state)
        state = state * w[:, t, :, :, None] + k[:, t, :, :, None] * v[:, t, :, None] + b[:, t, :, :, None] * sa[:, :, None]
        out.append(torch.einsum("lhj,lhji->lhi", r[:, t], state))
    return torch.stack(out, 1), state


def wkv(r, w, k, v, a, b, start, reset):
    if r.device.type == "cpu" and r.dtype == torch.float32 and HAVE_KERNEL:
        y, end, _, _ = kernel(r, w, k, v, a, b, start, reset)
        return y, end.detach()
    y, end = wkv_loop(r, w, k, v, a, b, start, reset)
    return y, end.detach()


HAVE_KERNEL = library() is not None
