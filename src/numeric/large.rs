//! Large blocks of memory of the C library, mapped one by one, so that they return to the system when they are freed.
//! malloc raises the size from which it maps blocks with each block that it unmaps, up to 32 MiB, and then keeps what is
//! freed.

use std::alloc::{GlobalAlloc, Layout, System};

/// Blocks from this size on are mapped.
#[cfg(target_os = "linux")]
const LARGE: usize = 1 << 17;

/// Blocks from this size on may have large pages.
#[cfg(target_os = "linux")]
const HUGE: usize = 1 << 22;

/// The system's allocator, and mappings for large blocks.
pub(super) struct Source;

#[cfg(target_os = "linux")]
fn is_large(layout: Layout) -> bool {
    // Pages of every system have at least 4096 bytes.
    layout.size() >= LARGE && layout.align() <= 4096
}

/// A mapping of zeros; NULL if the system refuses it. `filled`: whether all of it will be written. The system may then
/// give it large pages, which take a fraction of the time.
#[cfg(target_os = "linux")]
fn map(size: usize, filled: bool) -> *mut u8 {
    // SAFETY: a new private mapping that overlaps nothing.
    let p = unsafe {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0)
    };
    if p == libc::MAP_FAILED {
        return std::ptr::null_mut();
    }
    if filled && size >= HUGE {
        // SAFETY: the mapping just made. It is a hint.
        unsafe { libc::madvise(p, size, libc::MADV_HUGEPAGE) };
    }
    p.cast()
}

// SAFETY: memory comes from the system's allocator or from a mapping of the layout's size, as the layout tells in the
// same way when it is freed; mappings are aligned to pages.
#[cfg(target_os = "linux")]
unsafe impl GlobalAlloc for Source {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        if is_large(layout) { map(layout.size(), true) } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        if is_large(layout) { map(layout.size(), false) } else { unsafe { System.alloc_zeroed(layout) } }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        if is_large(layout) {
            // SAFETY: a mapping of this size, which nobody uses any more.
            unsafe { libc::munmap(p.cast(), layout.size()) };
        } else {
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(p, layout) }
        }
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(new_layout) = Layout::from_size_align(size, layout.align()) else { return std::ptr::null_mut() };
        if !is_large(layout) && !is_large(new_layout) {
            // SAFETY: the caller's promise.
            return unsafe { System.realloc(p, layout, size) };
        }
        // Not by mremap, which race detectors do not know: a block that another thread had at the same addresses would
        // seem to be in use.
        // SAFETY: two blocks of the sizes of their layouts.
        unsafe {
            let new = self.alloc(new_layout);
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(p, new, layout.size().min(size));
                self.dealloc(p, layout);
            }
            new
        }
    }
}

// SAFETY: the system's allocator.
#[cfg(not(target_os = "linux"))]
unsafe impl GlobalAlloc for Source {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(p, layout) }
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.realloc(p, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_their_content_when_they_grow_and_shrink() {
        let sizes = [100, 300_000, 1_000_000, 70_000, 262_143, 262_144, 40_000_000, 10];
        // SAFETY: blocks of the stated layouts, each freed once.
        unsafe {
            let mut layout = Layout::from_size_align(sizes[0], 16).unwrap();
            let mut p = Source.alloc_zeroed(layout);
            p.write_bytes(7, layout.size());
            let mut kept = layout.size();
            for size in sizes.into_iter().skip(1) {
                p = Source.realloc(p, layout, size);
                layout = Layout::from_size_align(size, 16).unwrap();
                assert!(!p.is_null() && p.addr().is_multiple_of(16));
                kept = kept.min(size);
                assert!(std::slice::from_raw_parts(p, kept).iter().all(|byte| *byte == 7));
            }
            Source.dealloc(p, layout);
            for size in [5, 262_144, 1 << 22] {
                let layout = Layout::from_size_align(size, 64).unwrap();
                let p = Source.alloc_zeroed(layout);
                assert!(std::slice::from_raw_parts(p, size).iter().all(|byte| *byte == 0));
                Source.dealloc(p, layout);
            }
            let most = Layout::from_size_align(isize::MAX as usize - 4096, 16).unwrap();
            assert!(Source.alloc(most).is_null() && Source.alloc_zeroed(most).is_null());
        }
    }
}
