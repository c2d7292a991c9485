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

/// A reader that frees itself.
#[derive(Debug)]
pub struct Reader(pub *mut gptz_reader);

// SAFETY: a reader may move between threads.
unsafe impl Send for Reader {}

impl Drop for Reader {
    fn drop(&mut self) {
        // SAFETY: it was opened and is freed once.
        unsafe { gptz_reader_free(self.0) };
    }
}

impl Reader {
    /// Reads; `Ok` has what was read.
    pub fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, gptz_status> {
        let (mut dst, mut done) = (vec![0xa5; len], usize::MAX);
        // SAFETY: a reader and a buffer of its length.
        match unsafe { gptz_reader_read(self.0, offset, dst.as_mut_ptr().cast(), len, &mut done) } {
            GPTZ_OK => {
                dst.truncate(done);
                Ok(dst)
            }
            status => {
                assert_eq!(done, 0);
                Err(status)
            }
        }
    }

    pub fn size(&self) -> u64 {
        let mut size = u64::MAX;
        // SAFETY: a reader and a place to write to.
        assert_eq!(unsafe { gptz_reader_size(self.0, &mut size) }, GPTZ_OK);
        size
    }
}

/// A source for C: bytes, and what its callback does instead of reading them.
pub struct Bytes<'a> {
    pub bytes: &'a [u8],
    pub calls: u64,
    /// Is asked first with the number of the call, the offset and the length. `None`: reads.
    pub instead: fn(u64, u64, usize) -> Option<i64>,
    /// The most bytes that a call gives.
    pub most: usize,
}

impl<'a> Bytes<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, calls: 0, instead: |_, _, _| None, most: usize::MAX }
    }

    pub fn source(&mut self) -> gptz_source {
        gptz_source { size: self.bytes.len() as u64, opaque: (&raw mut *self).cast(), read_at: Some(read_bytes) }
    }
}

unsafe extern "C" fn read_bytes(opaque: *mut c_void, offset: u64, dst: *mut c_void, len: usize) -> i64 {
    // SAFETY: `source` gave this pointer, and tests keep the value.
    let source = unsafe { &mut *opaque.cast::<Bytes>() };
    source.calls += 1;
    if let Some(result) = (source.instead)(source.calls, offset, len) {
        return result;
    }
    assert!(len > 0);
    let Some(left) = (source.bytes.len() as u64).checked_sub(offset) else { return 0 };
    let n = len.min(source.most).min(left as usize);
    // SAFETY: the library gave room for `len` bytes.
    unsafe { source.bytes[offset as usize..].as_ptr().copy_to_nonoverlapping(dst.cast(), n) };
    n as i64
}

/// What gptz_salvage told, in order.
#[derive(Default, Debug)]
pub struct Salvaged {
    pub written: Vec<(u64, Vec<u8>)>,
    pub lost: Vec<(u64, u64, String)>,
    /// Callbacks after which the next one stops the call.
    pub stop_after: Option<usize>,
    pub told: usize,
}

impl Salvaged {
    fn told(&mut self) -> i32 {
        self.told += 1;
        i32::from(self.stop_after.is_some_and(|most| self.told > most))
    }
}

unsafe extern "C" fn on_write(userdata: *mut c_void, offset: u64, data: *const c_void, len: usize) -> i32 {
    // SAFETY: `salvage` gave this pointer, and the library gives `len` bytes.
    let (salvaged, data) =
        unsafe { (&mut *userdata.cast::<Salvaged>(), std::slice::from_raw_parts(data.cast::<u8>(), len)) };
    salvaged.written.push((offset, data.to_vec()));
    salvaged.told()
}

unsafe extern "C" fn on_lost(userdata: *mut c_void, offset: u64, len: u64, why: *const std::ffi::c_char) -> i32 {
    // SAFETY: as above; a NUL-terminated string.
    let (salvaged, why) = unsafe { (&mut *userdata.cast::<Salvaged>(), CStr::from_ptr(why)) };
    let why = why.to_str().expect("UTF-8").to_owned();
    assert!(!why.is_empty());
    salvaged.lost.push((offset, len, why));
    salvaged.told()
}

impl Handle {
    pub fn reader(&self, src: &[u8]) -> Result<Reader, gptz_status> {
        let mut out = ptr::without_provenance_mut(1);
        // SAFETY: a handle, a buffer of its length, which tests keep, and a place to write to.
        let status = unsafe { gptz_reader_open_memory(self.0, src.as_ptr().cast(), src.len(), &mut out) };
        Self::opened(status, out)
    }

    pub fn reader_of(&self, source: &gptz_source) -> Result<Reader, gptz_status> {
        let mut out = ptr::without_provenance_mut(1);
        // SAFETY: a handle, a source, and a place to write to.
        let status = unsafe { gptz_reader_open(self.0, source, &mut out) };
        Self::opened(status, out)
    }

    fn opened(status: gptz_status, out: *mut gptz_reader) -> Result<Reader, gptz_status> {
        if status == GPTZ_OK {
            return Ok(Reader(out));
        }
        assert!(out.is_null(), "a failed open leaves {out:?}");
        assert!(!message().is_empty());
        Err(status)
    }

    /// Salvages; also what was told before an error.
    pub fn salvage_of(&self, source: &gptz_source, told: &mut Salvaged) -> gptz_status {
        // SAFETY: a handle, a source, and callbacks that fit their userdata.
        unsafe { gptz_salvage(self.0, source, Some(on_write), Some(on_lost), (&raw mut *told).cast()) }
    }

    pub fn salvage(&self, src: &[u8]) -> Salvaged {
        let mut told = Salvaged::default();
        let status = self.salvage_of(&Bytes::new(src).source(), &mut told);
        assert_eq!(status, GPTZ_OK, "{}", message());
        told
    }
}

/// The parts of a frame of several blocks: what each is, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Header,
    Segment,
    BlockHeader,
    Payload(::gptz::container::BlockKind),
    End,
}

/// The parts of the first frame of `src`, which has several blocks, in order, and the content byte where each starts.
pub fn parts_of(src: &[u8]) -> Vec<(What, std::ops::Range<usize>, u64)> {
    use ::gptz::container::{PieceHeader, Walk, frame_tag, trailer};
    let (Header::V3(header), body) = Frame::first_header(src).unwrap() else { panic!("version 3") };
    let mut walk = Walk::new(&header, frame_tag(&src[..body]));
    let (mut parts, mut at) = (vec![(What::Header, 0..body, 0)], body);
    loop {
        let raw = walk.raw();
        let (piece, len) = walk.read_header(&src[at..], at as u64).unwrap();
        let end = at + len;
        match piece {
            None => {
                let (_, n) = trailer(&src[end..], end as u64, &header, 0, raw).unwrap();
                parts.push((What::End, at..end + n, raw));
                return parts;
            }
            Some(PieceHeader::Segment(_)) => parts.push((What::Segment, at..end, raw)),
            Some(PieceHeader::Block(block)) => {
                parts.push((What::BlockHeader, at..end, raw));
                let after = end + block.coded_len as usize;
                parts.push((What::Payload(block.kind), end..after, raw));
                at = after;
                continue;
            }
        }
        at = end;
    }
}
