//! `sendmmsg` with a destination and a source address for each message.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use socket2::SockAddr;

/// Messages per call at most.
pub(crate) const MESSAGES_MAX: usize = 64;

/// One datagram to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) bytes: &'a [u8],
    /// Where to; `None` on a connected socket.
    pub(crate) to: Option<SocketAddr>,
    /// Which of our addresses it leaves from; `None` lets the kernel choose.
    pub(crate) source: Option<IpAddr>,
}

/// Space for one ancillary message of either IP version, and for a segment size beside it.
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
        if let Some(source) = message.source {
            self.controls.push(Control([0; 64]));
            if let Some(control) = self.controls.last_mut() {
                write_source(&mut header, control, source);
            }
        }
        header
    }
}

fn write_source(header: &mut libc::msghdr, control: &mut Control, source: IpAddr) {
    header.msg_control = ptr::from_mut(control).cast::<c_void>();
    header.msg_controllen = size_of::<Control>();
    let written = match source {
        IpAddr::V4(address) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            write_control(header, libc::IPPROTO_IP, libc::IP_PKTINFO, info)
        }
        IpAddr::V6(address) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: address.octets() },
                ipi6_ifindex: 0,
            };
            write_control(header, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
        }
    };
    header.msg_controllen = written;
}

/// Writes the header's first ancillary message and returns the space that it takes.
fn write_control<T: Copy>(header: &libc::msghdr, level: c_int, kind: c_int, value: T) -> usize {
    let size = size_of::<T>() as u32;
    // SAFETY: the header's control buffer is 64 zeroed bytes, aligned for `cmsghdr` and longer than
    // the `CMSG_SPACE` of either structure that is written here.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = level;
        (*first).cmsg_type = kind;
        (*first).cmsg_len = libc::CMSG_LEN(size) as usize;
        libc::CMSG_DATA(first).cast::<T>().write_unaligned(value);
        libc::CMSG_SPACE(size) as usize
    }
}
