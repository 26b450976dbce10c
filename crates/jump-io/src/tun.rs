//! The TUN device.
//!
//! Packets go in and out through one type, one packet at a time. A later offload (`IFF_VNET_HDR`,
//! where one read brings many packets of one flow) changes what [`Inbox`] does between two reads,
//! not its callers.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::sys;

/// How many packets the kernel may queue towards us: the default of 500 drops bursts.
const QUEUE_LENGTH: u32 = 2_000;
/// The largest packet of either IP version without jumbograms.
const PACKET_MAX: usize = 65_535;

/// An open TUN device; it disappears when this is dropped.
#[derive(Debug)]
pub struct Tun {
    device: OwnedFd,
    name: String,
}

impl Tun {
    /// Creates the device `name` (`jvpn%d` lets the kernel number it) and sets its MTU and queue;
    /// it is left down.
    pub fn open(name: &str, mtu: u32) -> io::Result<Self> {
        let device: OwnedFd = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")?
            .into();
        let name = sys::tun::attach(device.as_fd(), name)?;
        sys::tun::set_mtu(&name, mtu)?;
        sys::tun::set_queue_length(&name, QUEUE_LENGTH)?;
        Ok(Self { device, name })
    }

    /// Writes one packet.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        rustix::io::retry_on_intr(|| rustix::io::write(&self.device, packet))?;
        Ok(())
    }

    /// Returns the name that the kernel gave.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// Where packets from the TUN are read into, one after the other.
#[derive(Debug)]
pub struct Inbox(Box<[u8]>);

impl Inbox {
    /// Makes room for the largest packet.
    pub fn new() -> Self {
        Self(vec![0; PACKET_MAX].into_boxed_slice())
    }

    /// Returns the next packet, or `None` when there is none yet.
    pub fn receive(&mut self, tun: &Tun) -> io::Result<Option<&mut [u8]>> {
        match rustix::io::retry_on_intr(|| rustix::io::read(tun, &mut *self.0)) {
            Ok(length) => Ok(Some(&mut self.0[..length])),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}
