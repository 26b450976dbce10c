//! Descriptors that come as numbers from another language.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Duplicates the descriptor with this number; what owns the number goes on owning it.
pub(crate) fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: a plain call; a number that names no descriptor is refused by the kernel.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}
