//! Thin wrappers of the C ABI for tests. They free the objects that calls return.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::ffi::{CStr, CString, c_void};
use std::ptr;

use ::gptz::container::{Frame, Header, HeaderV3};
pub use ::gptz::ffi::*;

/// A small and fast network whose head learns.
pub const LEARNING: &str = "cfg:hidden=32,layers=2,intermediate=40,head_size=32,decay_rank=4,a_rank=4,v_rank=4,g_rank=4,\
                            seed=1,train=adam,lr=0.004,stride=1";
/// A small frozen network.
pub const FROZEN: &str = "cfg:hidden=64,layers=2,intermediate=48,head_size=32,decay_rank=4,a_rank=4,v_rank=4,g_rank=4,\
                          seed=2,train=none,lr=0.001,stride=1";

/// A small GRU.
pub const GRU: &str = "gru:embed=16,hidden=16,bptt=4,lr=0.02,clip=5,seed=3";
/// A GRU with every option: layers, Adam, replay.
pub const REPLAYING: &str =
    "gru:embed=16,hidden=16,layers=2,bptt=8,stride=4,replay=2,train=adam,lr=0.005,clip=1,seed=3";

pub const ALICE: &[u8] = include_bytes!("../data/alice29.txt");
pub const WEIGHTS: &[u8] = include_bytes!("../data/rwkv7-tiny.safetensors");

/// A mix with this network among its inputs.
pub fn mixed_with(network: &str) -> String {
    format!("mix:neural=({network}),mem=1M")
}

/// Random bytes.
pub fn noise(n: usize, seed: u64) -> Vec<u8> {
    let mut random = ::gptz::numeric::random::Random::new(seed, "noise");
    (0..n).map(|_| (random.next_u64() >> 56) as u8).collect()
}

pub fn message() -> String {
    // SAFETY: a NUL-terminated string of this thread, which is valid until its next failure.
    unsafe { CStr::from_ptr(gptz_last_error()) }.to_str().expect("UTF-8").to_owned()
}

/// The last message of a handle.
pub fn handle_message(h: &Handle) -> String {
    // SAFETY: a handle; its string is valid until two more calls on it have failed.
    unsafe { CStr::from_ptr(gptz_handle_error(h.0)) }.to_str().expect("UTF-8").to_owned()
}

/// A handle that frees itself.
pub struct Handle(pub *mut gptz);

// SAFETY: a handle may move between threads.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it was made by a create call and is freed once.
        unsafe { gptz_free(self.0) };
    }
}

/// A snapshot that frees itself.
pub struct Snapshot(pub *mut gptz_snapshot);

impl Drop for Snapshot {
    fn drop(&mut self) {
        // SAFETY: it was taken from a handle and is freed once.
        unsafe { gptz_snapshot_free(self.0) };
    }
}

/// A model that frees itself.
pub struct Model(pub *mut gptz_model);

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: it was opened and is freed once.
        unsafe { gptz_model_free(self.0) };
    }
}

impl Model {
    pub fn builtin() -> Self {
        let model = gptz_model_builtin();
        assert!(!model.is_null(), "{}", message());
        Self(model)
    }

    pub fn from_memory(bytes: &[u8]) -> Result<Self, gptz_status> {
        let mut out = ptr::without_provenance_mut(1);
        // SAFETY: a buffer of its length and a place to write to.
        let status = unsafe { gptz_model_from_memory(bytes.as_ptr().cast(), bytes.len(), &mut out) };
        if status == GPTZ_OK {
            return Ok(Self(out));
        }
        assert!(out.is_null());
        Err(status)
    }

    pub fn fingerprint(&self) -> [u8; 32] {
        let mut out = [0; 32];
        // SAFETY: a model and room for 32 bytes.
        assert_eq!(unsafe { gptz_model_fingerprint(self.0, out.as_mut_ptr()) }, GPTZ_OK);
        out
    }
}

/// The type of gptz_records_compress and gptz_records_decompress.
type RecordsCall = unsafe extern "C-unwind" fn(
    *mut gptz,
    *const *const c_void,
    *const usize,
    usize,
    *mut c_void,
    usize,
    *mut usize,
) -> gptz_status;

/// Makes such a call with a destination of `room` bytes. Returns the status, the lengths and the destination.
pub fn records(h: &Handle, call: RecordsCall, src: &[&[u8]], room: usize) -> (gptz_status, Vec<usize>, Vec<u8>) {
    let (pointers, lens): (Vec<_>, Vec<_>) = src.iter().map(|r| (r.as_ptr().cast::<c_void>(), r.len())).unzip();
    let (mut dst, mut dst_len) = (vec![0x55; room], vec![77; src.len()]);
    // SAFETY: arrays with one element for each record, and buffers of their lengths.
    let status = unsafe {
        let to = dst.as_mut_ptr().cast();
        call(h.0, pointers.as_ptr(), lens.as_ptr(), src.len(), to, room, dst_len.as_mut_ptr())
    };
    (status, dst_len, dst)
}

/// Splits `all` into pieces of these lengths.
pub fn pieces<'a>(all: &'a [u8], lens: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = all;
    lens.iter().map(|len| rest.split_off(..*len).expect("the lengths fit")).collect()
}

impl Handle {
    pub fn create(method: &str) -> Result<Self, gptz_status> {
        let method = CString::new(method).unwrap();
        let mut out = ptr::without_provenance_mut(1);
        // SAFETY: a string and a place to write to.
        let status = unsafe { gptz_create(method.as_ptr(), &mut out) };
        Self::made(status, out)
    }

    pub fn new(method: &str) -> Self {
        Self::create(method).unwrap_or_else(|status| panic!("{method}: {status}, {}", message()))
    }

    pub fn default() -> Self {
        let mut out = ptr::null_mut();
        // SAFETY: NULL is the default method.
        let status = unsafe { gptz_create(ptr::null(), &mut out) };
        Self::made(status, out).unwrap()
    }

    pub fn for_frame(frame: &[u8]) -> Result<Self, gptz_status> {
        let mut out = ptr::without_provenance_mut(1);
        // SAFETY: a buffer of its length and a place to write to.
        let status = unsafe { gptz_create_for_frame(frame.as_ptr().cast(), frame.len(), &mut out) };
        Self::made(status, out)
    }

    pub fn from_model(model: &Model, policy: Option<&str>) -> Result<Self, gptz_status> {
        let policy = policy.map(|p| CString::new(p).unwrap());
        let mut out = ptr::without_provenance_mut(1);
        // SAFETY: a model, a string or NULL, and a place to write to.
        let status =
            unsafe { gptz_create_from_model(model.0, policy.as_ref().map_or(ptr::null(), |p| p.as_ptr()), &mut out) };
        Self::made(status, out)
    }

    fn made(status: gptz_status, out: *mut gptz) -> Result<Self, gptz_status> {
        if status == GPTZ_OK {
            return Ok(Self(out));
        }
        assert!(out.is_null(), "a failed create leaves {out:?}");
        assert!(!message().is_empty());
        Err(status)
    }

    pub fn method(&self) -> String {
        // SAFETY: a handle; its string is valid as long as the handle.
        unsafe { CStr::from_ptr(gptz_method(self.0)) }.to_str().unwrap().to_owned()
    }

    pub fn set(&self, param: i32, value: i64) -> gptz_status {
        // SAFETY: a handle.
        unsafe { gptz_set(self.0, param, value) }
    }

    pub fn get(&self, param: i32) -> i64 {
        let mut value = -1;
        // SAFETY: a handle and a place to write to.
        assert_eq!(unsafe { gptz_get(self.0, param, &mut value) }, GPTZ_OK);
        value
    }

    /// Compresses into room for `cap` bytes.
    pub fn compress_into(&self, src: &[u8], cap: usize) -> (gptz_status, usize, Vec<u8>) {
        let (mut dst, mut len) = (vec![0xa5; cap], usize::MAX);
        // SAFETY: buffers of their lengths.
        let status = unsafe {
            gptz_compress(self.0, src.as_ptr().cast(), src.len(), dst.as_mut_ptr().cast(), dst.len(), &mut len)
        };
        (status, len, dst)
    }

    pub fn compress(&self, src: &[u8]) -> Vec<u8> {
        let (status, len, mut dst) = self.compress_into(src, gptz_compress_bound(src.len()));
        assert_eq!(status, GPTZ_OK, "{}", message());
        dst.truncate(len);
        dst
    }

    /// Decompresses into room for `cap` bytes.
    pub fn decompress_into(&self, src: &[u8], cap: usize) -> (gptz_status, usize, Vec<u8>) {
        let (mut dst, mut len) = (vec![0xa5; cap], usize::MAX);
        // SAFETY: buffers of their lengths.
        let status = unsafe {
            gptz_decompress(self.0, src.as_ptr().cast(), src.len(), dst.as_mut_ptr().cast(), dst.len(), &mut len)
        };
        (status, len, dst)
    }

    pub fn decompress(&self, src: &[u8]) -> Vec<u8> {
        let size = decompressed_size(src).unwrap_or_else(|s| panic!("{s}: {}", message()));
        let (status, len, dst) = self.decompress_into(src, size as usize);
        assert_eq!(status, GPTZ_OK, "{}", message());
        assert_eq!(len as u64, size);
        dst
    }

    /// A stream call over all of `src`, with room for `room` bytes. Returns the status, what was taken, what was given, and
    /// `*remaining`.
    pub fn stream_compress(&self, src: &[u8], room: usize, op: i32) -> (gptz_status, usize, Vec<u8>, usize) {
        let (mut dst, mut remaining) = (vec![0xa5; room], 77);
        let mut from = gptz_in { src: src.as_ptr().cast(), size: src.len(), pos: 0 };
        let mut to = gptz_out { dst: dst.as_mut_ptr().cast(), size: dst.len(), pos: 0 };
        // SAFETY: a handle, and structs with buffers of their sizes.
        let status = unsafe { gptz_stream_compress(self.0, &mut to, &mut from, op, &mut remaining) };
        assert!(status == GPTZ_OK || remaining == 0);
        dst.truncate(to.pos);
        (status, from.pos, dst, remaining)
    }

    /// As [`Handle::stream_compress`], in the other direction; the last value is `*hint`.
    pub fn stream_decompress(&self, src: &[u8], room: usize) -> (gptz_status, usize, Vec<u8>, usize) {
        let (mut dst, mut hint) = (vec![0xa5; room], 77);
        let mut from = gptz_in { src: src.as_ptr().cast(), size: src.len(), pos: 0 };
        let mut to = gptz_out { dst: dst.as_mut_ptr().cast(), size: dst.len(), pos: 0 };
        // SAFETY: a handle, and structs with buffers of their sizes.
        let status = unsafe { gptz_stream_decompress(self.0, &mut to, &mut from, &mut hint) };
        assert!(status == GPTZ_OK || hint == 0);
        dst.truncate(to.pos);
        (status, from.pos, dst, hint)
    }

    pub fn stream_reset(&self) -> gptz_status {
        // SAFETY: a handle.
        unsafe { gptz_stream_reset(self.0) }
    }

    pub fn feed(&self, data: &[u8]) {
        // SAFETY: a handle and a buffer of its length.
        assert_eq!(unsafe { gptz_feed(self.0, data.as_ptr().cast(), data.len()) }, GPTZ_OK, "{}", message());
    }

    pub fn reset(&self) {
        // SAFETY: a handle.
        assert_eq!(unsafe { gptz_reset(self.0) }, GPTZ_OK);
    }

    pub fn predict(&self) -> [f32; 256] {
        let mut probs = [0.0; 256];
        // SAFETY: a handle and room for 256 floats.
        assert_eq!(unsafe { gptz_predict(self.0, probs.as_mut_ptr(), 256) }, GPTZ_OK, "{}", message());
        probs
    }

    pub fn cross_entropy(&self, data: &[u8]) -> f64 {
        let mut bits = -1.0;
        // SAFETY: a handle, a buffer of its length, a place to write to.
        let status = unsafe { gptz_cross_entropy(self.0, data.as_ptr().cast(), data.len(), &mut bits) };
        assert_eq!(status, GPTZ_OK, "{}", message());
        bits
    }

    pub fn snapshot(&self) -> Snapshot {
        let mut out = ptr::null_mut();
        // SAFETY: a handle and a place to write to.
        assert_eq!(unsafe { gptz_snapshot_take(self.0, &mut out) }, GPTZ_OK, "{}", message());
        Snapshot(out)
    }

    pub fn restore(&self, snapshot: &Snapshot) -> gptz_status {
        // SAFETY: a handle and a snapshot.
        unsafe { gptz_snapshot_restore(self.0, snapshot.0) }
    }

    pub fn set_base(&self, snapshot: Option<&Snapshot>) -> gptz_status {
        // SAFETY: a handle and a snapshot or NULL.
        unsafe { gptz_set_base(self.0, snapshot.map_or(ptr::null_mut(), |s| s.0)) }
    }

    pub fn set_progress(&self, callback: gptz_progress_fn, userdata: *mut c_void) {
        // SAFETY: a handle; the callback fits its userdata.
        assert_eq!(unsafe { gptz_set_progress(self.0, callback, userdata) }, GPTZ_OK);
    }
}

/// The frame with a changed header, whose check is right.
pub fn with_header(frame: &[u8], change: impl FnOnce(&mut HeaderV3)) -> Vec<u8> {
    let (Header::V3(mut header), len) = Frame::first_header(frame).unwrap() else { panic!("version 3") };
    change(&mut header);
    let mut changed = Vec::new();
    header.write(&mut changed);
    changed.extend(&frame[len..]);
    changed
}

pub fn decompressed_size(src: &[u8]) -> Result<u64, gptz_status> {
    let mut size = u64::MAX;
    // SAFETY: a buffer of its length and a place to write to.
    match unsafe { gptz_decompressed_size(src.as_ptr().cast(), src.len(), &mut size) } {
        GPTZ_OK => Ok(size),
        status => {
            assert_eq!(size, 0);
            Err(status)
        }
    }
}
