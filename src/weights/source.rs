//! Files, read at positions.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::{Error, Result, Status, fail, shortened_path};

/// Opens a regular file. Other kinds are refused: a pipe would block, and a device may have no end.
///
/// # Errors
/// `Io`.
pub fn open_file(path: &Path) -> Result<(File, u64)> {
    let io = |e: std::io::Error| Error::new(Status::Io, format!("opening {}: {e}", shortened_path(path)));
    let mut options = File::options();
    options.read(true);
    // Without O_NONBLOCK, opening a pipe waits for a writer.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        fail!(Io, "opening {}: not a regular file", shortened_path(path));
    }
    Ok((file, metadata.len()))
}

/// Reads bytes at an offset. Threads may do so at the same time.
#[cfg(unix)]
fn read_at(file: &File, to: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, to, offset)
}

#[cfg(windows)]
fn read_at(file: &File, to: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, to, offset)
}

#[cfg(not(any(unix, windows)))]
fn read_at(mut file: &File, to: &mut [u8], offset: u64) -> io::Result<usize> {
    use std::io::{Read, Seek};
    // A file has one position.
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    file.seek(io::SeekFrom::Start(offset))?;
    file.read(to)
}

/// A file that is read at positions. It is never mapped: a file that is cut under a map would end the process.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    len: u64,
}

impl Source {
    /// A file of `len` bytes.
    pub(super) fn new(file: File, len: u64) -> Self {
        Self { file, len }
    }

    /// The length of the file when it was opened.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `to` with the bytes at `offset`.
    ///
    /// # Errors
    /// `Io`, also if the file has become shorter.
    pub(super) fn read(&self, mut to: &mut [u8], mut offset: u64) -> Result<()> {
        while !to.is_empty() {
            match read_at(&self.file, to, offset) {
                Ok(0) => fail!(Io, "reading: the file ends at {offset}, it had {} bytes when it was opened", self.len),
                Ok(n) => (to, offset) = (&mut to[n..], offset + n as u64),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => fail!(Io, "reading: {e}"),
            }
        }
        Ok(())
    }
}
