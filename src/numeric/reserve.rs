//! Reserved memory for infallible allocations.
//!
//! Memory whose size depends on input, method or parameters is allocated fallibly, inside `fallible`, and a failure
//! becomes the status `Memory`. All other allocations are small ones of the standard library and of dependencies, which
//! abort the process when they fail. A C library must not abort its host, so the C builds replace the allocator
//! (feature `capi`). Each call first takes a [`Reserve`], which may fail. If the system later refuses an infallible
//! allocation, the allocation is served from the reserve, and the call returns `Memory` at its end.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use super::large::Source;
use crate::error::{Error, Result, Status};

/// The bytes that a call reserves. This is more than the sum of its infallible allocations, which is largest for a
/// method string of the greatest length. It is less than the size above which malloc maps pages from the system for
/// each block.
pub const PER_CALL: usize = 96 << 10;

/// Whether this build's allocator is [`Allocator`]. If not, reserves would not be used, so none is taken. Tests call
/// the allocator directly.
const INSTALLED: bool = cfg!(any(feature = "capi", test));

thread_local! {
    /// The newest reserve of the call on this thread.
    static CURRENT: Cell<*mut Block> = const { Cell::new(ptr::null_mut()) };
    /// Whether a failed allocation returns NULL, without use of the reserve.
    static FALLIBLE: Cell<bool> = const { Cell::new(false) };
}

/// Runs an allocation that may fail. The reserve does not serve it.
#[inline]
pub(crate) fn fallible<T>(allocate: impl FnOnce() -> T) -> T {
    let outer = FALLIBLE.replace(true);
    let result = allocate();
    FALLIBLE.set(outer);
    result
}

/// The header of a reserve's block of memory, from which allocations are served.
struct Block {
    /// The reserve that was the newest one before.
    outer: *mut Block,
    /// The next one in [`USED`].
    next: *mut Block,
    /// The size of the block in bytes, this header included.
    size: usize,
    /// The offset of the first free byte.
    end: usize,
    /// The number of allocations that are not freed yet.
    live: usize,
    /// Whether it is in [`USED`].
    listed: bool,
    /// Whether this block, or one of a nested reserve, served an allocation.
    used: bool,
    /// Whether its call has ended. The block is then freed with its last allocation.
    ended: bool,
}

/// Memory set aside for the calls that this thread makes until it is dropped.
#[derive(Debug)]
pub struct Reserve {
    block: Option<NonNull<Block>>,
}

impl Reserve {
    /// Reserves `bytes` in addition to the reserves that exist. `None` if the allocation fails.
    pub fn take(bytes: usize) -> Option<Self> {
        if !INSTALLED {
            return Some(Self { block: None });
        }
        let size = bytes.checked_add(size_of::<Block>())?;
        let layout = layout_of(size)?;
        // SAFETY: the layout's size is not 0.
        let block = NonNull::new(fallible(|| unsafe { System.alloc(layout) }).cast::<Block>())?;
        let outer = CURRENT.replace(block.as_ptr());
        let (next, end) = (ptr::null_mut(), size_of::<Block>());
        let header = Block { outer, next, size, end, live: 0, listed: false, used: false, ended: false };
        // SAFETY: the memory has room for a block, is aligned for it, and is not used by anything else.
        unsafe { block.write(header) };
        Some(Self { block: Some(block) })
    }

    /// As [`Reserve::take`], with an error that names `what`.
    ///
    /// # Errors
    /// `Memory`.
    pub fn take_for(bytes: usize, what: &str) -> Result<Self> {
        Self::take(bytes).ok_or_else(|| crate::error::out_of_memory(bytes, what))
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        let Some(block) = self.block else { return };
        let block = block.as_ptr();
        // SAFETY: the block is alive until it has ended. Only this thread writes `outer`, `used` and `listed` before
        // that, and other threads access the block only if it is listed, and then the lock is held.
        unsafe {
            CURRENT.set((*block).outer);
            // The use of a nested reserve counts as a use of the outer one, which belongs to the call.
            if (*block).used && !(*block).outer.is_null() {
                (*(*block).outer).used = true;
            }
            let _lock = (*block).listed.then(Lock::take);
            (*block).ended = true;
            release_if_done(block);
        }
    }
}

/// Whether an allocation of the call on this thread was served from a reserve.
pub fn was_used() -> bool {
    let mut block = CURRENT.get();
    while !block.is_null() {
        // SAFETY: reserves of calls under way on this thread, which end from the inside out.
        unsafe {
            if (*block).used {
                return true;
            }
            block = (*block).outer;
        }
    }
    false
}

/// Returns an error if an allocation of this call was served from a reserve. A call must check this before it changes
/// anything that its caller can observe.
///
/// # Errors
/// `Memory`.
pub fn check() -> Result<()> {
    if was_used() { Err(Error::new(Status::Memory, "an allocation failed")) } else { Ok(()) }
}

/// A list of the blocks that served an allocation and are not freed yet. Guarded by [`Lock`].
static USED: AtomicUsize = AtomicUsize::new(0);
/// The process whose thread holds [`Lock`]; 0 if it is free.
static HOLDER: AtomicU32 = AtomicU32::new(0);

/// A lock that needs no memory. It is taken only after a reserve has served an allocation, and held for a few
/// instructions and one `free`.
struct Lock;

impl Lock {
    fn take() -> Self {
        let process = std::process::id();
        loop {
            let holder = match HOLDER.compare_exchange(0, process, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Self,
                Err(holder) => holder,
            };
            // A thread of the parent held it when this process was forked, and does not exist here. What it was
            // changing is in order after each of its writes; at worst a block is never freed.
            if holder != process
                && HOLDER.compare_exchange(holder, process, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return Self;
            }
            // Not a busy loop: the holder may have a lower real-time priority.
            std::thread::sleep(Duration::from_micros(1));
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        HOLDER.store(0, Ordering::Release);
    }
}

fn first_used() -> *mut Block {
    ptr::with_exposed_provenance_mut(USED.load(Ordering::Relaxed))
}

fn layout_of(size: usize) -> Option<Layout> {
    Layout::from_size_align(size, align_of::<Block>()).ok()
}

/// A layout of the same alignment and another size.
fn layout_with(layout: Layout, size: usize) -> Option<Layout> {
    Layout::from_size_align(size, layout.align()).ok()
}

/// Frees a block if its call has ended and all its allocations are freed.
///
/// # Safety
/// The block is alive. If it is listed, the lock is held. If not, no other thread can access it.
unsafe fn release_if_done(block: *mut Block) {
    // SAFETY: the caller's promise; blocks on the list are alive.
    unsafe {
        if !(*block).ended || (*block).live > 0 {
            return;
        }
        if (*block).listed {
            let next = (*block).next;
            if first_used() == block {
                USED.store(next.expose_provenance(), Ordering::Release);
            } else {
                let mut before = first_used();
                while (*before).next != block {
                    before = (*before).next;
                }
                (*before).next = next;
            }
        }
        if let Some(layout) = layout_of((*block).size) {
            System.dealloc(block.cast(), layout);
        }
    }
}

/// The allocator of the C library: the system's allocator, and the call's reserve if that fails. It never prints. If no
/// reserve can serve an infallible allocation, it ends the process by abort().
#[derive(Clone, Copy, Debug)]
pub struct Allocator;

impl Allocator {
    /// Serves an allocation that the system refused.
    #[cold]
    fn serve(layout: Layout) -> *mut u8 {
        if FALLIBLE.get() {
            return ptr::null_mut();
        }
        let _lock = Lock::take();
        let mut block = CURRENT.get();
        while !block.is_null() {
            // SAFETY: reserves of the call on this thread, under the lock.
            unsafe {
                let at = block.addr() + (*block).end;
                let start = at.next_multiple_of(layout.align()) - block.addr();
                if let Some(end) = start.checked_add(layout.size()).filter(|end| *end <= (*block).size) {
                    (*block).used = true;
                    if !(*block).listed {
                        (*block).listed = true;
                        (*block).next = first_used();
                        // After `next` is written, which a forked process may need.
                        USED.store(block.expose_provenance(), Ordering::Release);
                    }
                    (*block).end = end;
                    (*block).live += 1;
                    return block.cast::<u8>().add(start);
                }
                block = (*block).outer;
            }
        }
        // SAFETY: always allowed. If this returned NULL, the standard library would print to descriptor 2, which may be
        // any file of the program.
        unsafe { libc::abort() }
    }

    /// Takes back memory that a reserve served. Returns false for memory of the system's allocator.
    #[inline]
    fn take_back(p: *mut u8, size: usize) -> bool {
        USED.load(Ordering::Relaxed) != 0 && Self::take_back_slowly(p, size)
    }

    #[cold]
    fn take_back_slowly(p: *mut u8, size: usize) -> bool {
        let _lock = Lock::take();
        let mut block = first_used();
        while !block.is_null() {
            // SAFETY: blocks on the list are alive while the lock is held.
            unsafe {
                let (start, offset) = (block.addr(), p.addr().wrapping_sub(block.addr()));
                if p.addr() > start && offset < (*block).size {
                    if offset + size == (*block).end {
                        // The last allocation of the block. Its room can be used again, as growing vectors need.
                        (*block).end = offset;
                    }
                    (*block).live -= 1;
                    release_if_done(block);
                    return true;
                }
                block = (*block).next;
            }
        }
        false
    }
}

// SAFETY: memory comes from the system's allocator, or from a block that outlives all allocations in it; sizes and
// alignments are those of the layout.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let p = unsafe { Source.alloc(layout) };
        if p.is_null() { Self::serve(layout) } else { p }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let mut p = unsafe { Source.alloc_zeroed(layout) };
        if p.is_null() {
            p = Self::serve(layout);
            if !p.is_null() {
                // SAFETY: room for the layout.
                unsafe { p.write_bytes(0, layout.size()) };
            }
        }
        p
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        if !Self::take_back(p, layout.size()) {
            // SAFETY: the caller's promise, and the memory is the system's.
            unsafe { Source.dealloc(p, layout) }
        }
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if USED.load(Ordering::Relaxed) == 0 {
            // SAFETY: the caller's promise; no allocation of a reserve is alive, so the memory is the system's.
            let new = unsafe { Source.realloc(p, layout, size) };
            if !new.is_null() {
                return new;
            }
            let new = layout_with(layout, size).map_or(ptr::null_mut(), Self::serve);
            if !new.is_null() {
                // SAFETY: `p` has the old size and `new` the new one, and `p` is the system's.
                unsafe {
                    ptr::copy_nonoverlapping(p, new, layout.size().min(size));
                    Source.dealloc(p, layout);
                }
            }
            return new;
        }
        let Some(new_layout) = layout_with(layout, size) else { return ptr::null_mut() };
        // SAFETY: the caller's promises.
        unsafe {
            let new = self.alloc(new_layout);
            if !new.is_null() {
                ptr::copy_nonoverlapping(p, new, layout.size().min(size));
                self.dealloc(p, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fallible_restores_the_outer_value() {
        assert!(!FALLIBLE.get());
        assert!(fallible(|| FALLIBLE.get() && fallible(|| FALLIBLE.get()) && FALLIBLE.get()));
        assert!(!FALLIBLE.get());
    }

    /// Calls the allocator directly, because the system does not refuse memory here. A single test, because all tests
    /// share one list.
    #[test]
    fn reserves_serve_and_take_back() {
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        let outer = Reserve::take(2000).unwrap();
        // Nested reserves. The inner block is too small for the later allocations.
        let inner = Reserve::take(100).unwrap();
        assert!(!was_used() && USED.load(Ordering::Relaxed) == 0);
        let small = Allocator::serve(layout(90, 1));
        let large = Allocator::serve(layout(200, 256));
        assert!(was_used() && large.addr().is_multiple_of(256));
        // SAFETY: memory of these layouts, used within them, and freed once each with its own layout.
        unsafe {
            small.write_bytes(1, 90);
            large.write_bytes(2, 200);
            // The room of the last allocation is used again.
            let last = Allocator::serve(layout(300, 16));
            Allocator.dealloc(last, layout(300, 16));
            assert_eq!(Allocator::serve(layout(40, 16)), last);
            Allocator.dealloc(last, layout(40, 16));
            // From a reserve to the system's memory, which grows and shrinks as before.
            let moved = Allocator.realloc(large, layout(200, 256), 5000);
            assert!(std::slice::from_raw_parts(moved, 200).iter().all(|b| *b == 2));
            let moved = Allocator.realloc(moved, layout(5000, 256), 10);
            Allocator.dealloc(moved, layout(10, 256));
        }
        drop(inner);
        assert!(was_used() && check().is_err(), "the use of a nested call is its caller's");
        drop(outer);
        assert!(!was_used() && CURRENT.get().is_null());
        // The block of the inner call still has an allocation after the call. Another thread frees it.
        assert_ne!(USED.load(Ordering::Relaxed), 0);
        let address = small.expose_provenance();
        std::thread::spawn(move || {
            let small = ptr::with_exposed_provenance_mut::<u8>(address);
            // SAFETY: as above.
            unsafe {
                assert!(std::slice::from_raw_parts(small, 90).iter().all(|b| *b == 1));
                Allocator.dealloc(small, layout(90, 1));
            }
        })
        .join()
        .unwrap();
        assert_eq!(USED.load(Ordering::Relaxed), 0);

        // A call that needs no reserve takes no lock: neither another thread nor one of a parent process can stop it.
        let lock = Lock::take();
        let (tell, told) = std::sync::mpsc::channel();
        let call = std::thread::spawn(move || {
            drop(Reserve::take(100));
            tell.send(()).unwrap();
        });
        let done = told.recv_timeout(Duration::from_secs(10));
        // And one that needs it is not stopped in a child that was forked while the lock was held.
        #[cfg(unix)]
        // SAFETY: the child calls nothing that a thread of its parent could hold.
        let child = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::alarm(10);
                let reserve = Reserve::take(100);
                Allocator.dealloc(Allocator::serve(layout(10, 1)), layout(10, 1));
                drop(reserve);
                libc::_exit(0);
            }
            child
        };
        drop(lock);
        call.join().unwrap();
        assert!(done.is_ok(), "a call waited for the lock");
        #[cfg(unix)]
        {
            let mut status = -1;
            // SAFETY: the child from above and a place for its status.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0, "the child waited for its parent's lock");
        }
    }
}
