//! `sendmmsg` with a destination, a source address and a segment size for each message.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use socket2::SockAddr;

/// Messages per call at most.
pub(crate) const MESSAGES_MAX: usize = 64;

/// One datagram to send, or several that the kernel or the device cuts apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) bytes: &'a [u8],
    /// How long each datagram is, the last of them at most; `None` for a single one.
    pub(crate) segment: Option<u16>,
    /// Where to; `None` on a connected socket.
    pub(crate) to: Option<SocketAddr>,
    /// Which of our addresses it leaves from; `None` lets the kernel choose.
    pub(crate) source: Option<IpAddr>,
}

/// Space for the source address of either IP version, and for a segment size beside it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 64]);

/// The arrays of a call, kept from one to the next.
pub(crate) struct Sender {
    names: Vec<SockAddr>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Sender {
    pub(crate) fn new() -> Self {
        Self {
            names: Vec::with_capacity(MESSAGES_MAX),
            controls: Vec::with_capacity(MESSAGES_MAX),
            vectors: Vec::with_capacity(MESSAGES_MAX),
            headers: Vec::with_capacity(MESSAGES_MAX),
        }
    }

    /// Sends the first messages, `MESSAGES_MAX` at most, and returns how many the kernel took.
    ///
    /// An error is the first message's; the error of a later one shows when it has become the
    /// first.
    pub(crate) fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        messages: impl Iterator<Item = Message<'a>>,
    ) -> io::Result<usize> {
        self.prepare(messages);
        // SAFETY: every header points into vectors that `prepare` filled and nothing has touched
        // since, and into bytes that the caller's borrow keeps alive; the kernel reads them only
        // during the call.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as _,
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    fn prepare<'a>(&mut self, messages: impl Iterator<Item = Message<'a>>) {
        self.names.clear();
        self.controls.clear();
        self.vectors.clear();
        self.headers.clear();
        // The capacity is never exceeded, so what a pointer points to does not move.
        for message in messages.take(MESSAGES_MAX) {
            let header = self.header(message);
            self.headers.push(libc::mmsghdr { msg_hdr: header, msg_len: 0 });
        }
    }

    fn header(&mut self, message: Message<'_>) -> libc::msghdr {
        // SAFETY: `msghdr` is plain data, valid when all of it is zero.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        self.vectors.push(libc::iovec {
            iov_base: message.bytes.as_ptr().cast_mut().cast::<c_void>(),
            iov_len: message.bytes.len(),
        });
        header.msg_iov = self.vectors.last_mut().map_or(ptr::null_mut(), ptr::from_mut);
        header.msg_iovlen = 1;
        if let Some(to) = message.to {
            self.names.push(to.into());
            if let Some(name) = self.names.last() {
                header.msg_name = name.as_ptr().cast_mut().cast::<c_void>();
                header.msg_namelen = name.len();
            }
        }
        if message.source.is_some() || message.segment.is_some() {
            self.controls.push(Control([0; 64]));
            if let Some(control) = self.controls.last_mut() {
                write_controls(&mut header, control, message.source, message.segment);
            }
        }
        header
    }
}

/// Points the header to ancillary messages, one for each value that is given.
fn write_controls(
    header: &mut libc::msghdr,
    control: &mut Control,
    source: Option<IpAddr>,
    segment: Option<u16>,
) {
    let mut used = 0;
    match source {
        Some(IpAddr::V4(address)) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            used += write_control(control, used, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        Some(IpAddr::V6(address)) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: address.octets() },
                ipi6_ifindex: 0,
            };
            used += write_control(control, used, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
        None => {}
    }
    if let Some(segment) = segment {
        used += write_control(control, used, libc::SOL_UDP, libc::UDP_SEGMENT, segment);
    }
    header.msg_control = ptr::from_mut(control).cast::<c_void>();
    header.msg_controllen = used;
}

/// Writes an ancillary message behind the first `used` bytes and returns the space that it takes.
fn write_control<T: Copy>(
    control: &mut Control,
    used: usize,
    level: c_int,
    kind: c_int,
    value: T,
) -> usize {
    let size = size_of::<T>() as u32;
    // SAFETY: a plain computation on a length.
    let (length, space) = unsafe { (libc::CMSG_LEN(size), libc::CMSG_SPACE(size) as usize) };
    assert!(used + space <= control.0.len(), "the longest pair fits exactly");
    // SAFETY: the message lies within the buffer, as was checked, and at an aligned place: the
    // buffer is aligned for `cmsghdr`, and every space before it is a multiple of that.
    #[allow(clippy::cast_ptr_alignment, reason = "see there")]
    unsafe {
        let message = control.0.as_mut_ptr().add(used).cast::<libc::cmsghdr>();
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = length as usize;
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(value);
    }
    space
}

/// Has a socket send without checksums, and so refuse to send what would have to be cut.
#[cfg(test)]
pub(crate) fn send_without_checksums(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: c_int = 1;
    // SAFETY: the value lives through the call and has the size that is told.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NO_CHECK,
            ptr::from_ref(&on).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
