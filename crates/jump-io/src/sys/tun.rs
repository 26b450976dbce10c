//! TUN devices are made and adjusted through `ioctl` on a structure with a name and a union.

use std::ffi::{c_short, c_uint, c_ulong};
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// Attaches an open `/dev/net/tun` to the interface `name` and returns the name that the kernel
/// chose. With `headers` a `struct virtio_net_hdr` of ten bytes stands before each packet.
pub(crate) fn attach(device: BorrowedFd<'_>, name: &str, headers: bool) -> io::Result<String> {
    let mut request = request(name)?;
    let headers = if headers { libc::IFF_VNET_HDR } else { 0 };
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI | headers) as c_short;
    control(device, libc::TUNSETIFF, &mut request)?;
    let name = request
        .ifr_name
        .iter()
        .map(|&letter| letter.cast_unsigned())
        .take_while(|&letter| letter != 0)
        .collect();
    String::from_utf8(name).map_err(io::Error::other)
}

/// Says what the kernel may leave undone in the packets that it gives us: flags `TUN_F_*`.
pub(crate) fn set_offload(device: BorrowedFd<'_>, flags: c_uint) -> io::Result<()> {
    // SAFETY: this command takes its flags as a number and no pointer.
    match unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETOFFLOAD, c_ulong::from(flags)) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets the largest packet of an interface.
pub(crate) fn set_mtu(name: &str, mtu: u32) -> io::Result<()> {
    let mut request = request(name)?;
    request.ifr_ifru.ifru_mtu = i32::try_from(mtu).map_err(io::Error::other)?;
    control_interface(libc::SIOCSIFMTU, &mut request)
}

/// Sets how many packets the kernel queues for an interface.
pub(crate) fn set_queue_length(name: &str, packets: u32) -> io::Result<()> {
    let mut request = request(name)?;
    // The queue's length has no member of its own; every `int` of the union lies at the same place.
    request.ifr_ifru.ifru_mtu = i32::try_from(packets).map_err(io::Error::other)?;
    control_interface(libc::SIOCSIFTXQLEN, &mut request)
}

fn control_interface(command: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    let any = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    control(any.as_fd(), command, request)
}

fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is plain data, valid when all of it is zero.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if name.len() >= request.ifr_name.len() || name.contains('\0') {
        let text = format!("\"{name}\" is no interface name: at most 15 bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    for (letter, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *letter = byte.cast_signed();
    }
    Ok(request)
}

fn control(
    descriptor: BorrowedFd<'_>,
    command: libc::Ioctl,
    request: &mut libc::ifreq,
) -> io::Result<()> {
    // SAFETY: each command used here reads and writes one `ifreq`, which lives through the call.
    match unsafe { libc::ioctl(descriptor.as_raw_fd(), command, request) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
