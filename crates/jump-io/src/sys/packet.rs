//! Packet sockets: whole frames from and to one interface.
//!
//! Every frame comes and goes with a virtio header. It says what offloads have left undone, a
//! checksum or the cutting into segments; whoever forwards a frame without it forwards a broken
//! one.

use std::ffi::{c_int, c_ushort};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Not in `libc`: leave out what this host itself sends (`linux/if_packet.h`).
const PACKET_IGNORE_OUTGOING: c_int = 23;

/// Opens a packet socket on the interface with this index, deaf to what leaves by it.
pub(crate) fn open(interface: u32, buffer: usize) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // Protocol 0 hears nothing, so that no frame of another interface comes in before the socket is
    // bound. SAFETY: a plain call without pointers.
    let raw = checked(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    set(&socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1)?;
    set(&socket, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1)?;
    let size = c_int::try_from(buffer).map_err(io::Error::other)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &size)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &size)?;
    let index = c_int::try_from(interface).map_err(io::Error::other)?;
    let everything = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: libc::PACKET_MR_PROMISC as c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set(&socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &everything)?;
    bind(&socket, index)?;
    Ok(socket)
}

/// A received frame: how much of the buffer it fills, and whether this host sent it itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) length: usize,
    pub(crate) outgoing: bool,
    pub(crate) truncated: bool,
}

/// Receives one frame, header first.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    // SAFETY: both structures are plain data, valid when all of them is zero.
    let (mut from, mut header) = unsafe {
        let from: libc::sockaddr_ll = mem::zeroed();
        let header: libc::msghdr = mem::zeroed();
        (from, header)
    };
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    header.msg_name = ptr::from_mut(&mut from).cast();
    header.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    // SAFETY: the header points to locals and to the caller's buffer, with their true sizes.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    Ok(Received {
        length: usize::try_from(length).map_err(|_| io::Error::last_os_error())?,
        outgoing: from.sll_pkttype == libc::PACKET_OUTGOING,
        truncated: header.msg_flags & libc::MSG_TRUNC != 0,
    })
}

fn bind(socket: &OwnedFd, index: c_int) -> io::Result<()> {
    // SAFETY: the structure is plain data, valid when all of it is zero.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as c_ushort;
    address.sll_protocol = (libc::ETH_P_ALL as c_ushort).to_be();
    address.sll_ifindex = index;
    let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address lives through the call and has the size that is told.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    checked(bound).map(drop)
}

fn set<T: Copy>(socket: &OwnedFd, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    let size = size_of::<T>() as libc::socklen_t;
    // SAFETY: the value is plain data that lives through the call and has the size that is told.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, ptr::from_ref(value).cast(), size)
    };
    checked(done).map(drop)
}

fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
