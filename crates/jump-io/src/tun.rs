//! The TUN device.
//!
//! One read brings one packet, or many of one flow that the kernel has not cut yet; one write takes
//! as much. A header before each says what is left to do. Where the kernel does not know such
//! headers, or some kind of offload, the next smaller [`Offload`] is tried.

use std::fs::OpenOptions;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use jump_proto::offload::{Plan, Unsegmentable, VnetHeader};

use crate::sys;

/// How many packets the kernel may queue towards us: the default of 500 drops bursts.
const QUEUE_LENGTH: u32 = 2_000;
/// The largest packet of either IP version without jumbograms.
const PACKET_MAX: usize = 65_535;

/// What kernel and data plane leave undone for each other; each kind includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offload {
    /// Every packet is whole, and no header stands before it.
    Nothing,
    /// Checksums.
    Checksums,
    /// The cutting of TCP streams into packets.
    Tcp,
    /// The cutting of runs of UDP datagrams.
    Udp,
}

impl Offload {
    /// All there are.
    pub const ALL: Self = Self::Udp;

    /// From this one down to nothing.
    fn and_less(self) -> impl Iterator<Item = Self> {
        let kinds = [Self::Udp, Self::Tcp, Self::Checksums, Self::Nothing];
        kinds.into_iter().filter(move |kind| *kind <= self)
    }

    fn flags(self) -> libc::c_uint {
        let tcp = libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
        match self {
            Self::Nothing => 0,
            Self::Checksums => libc::TUN_F_CSUM,
            Self::Tcp => libc::TUN_F_CSUM | tcp,
            Self::Udp => libc::TUN_F_CSUM | tcp | libc::TUN_F_USO4 | libc::TUN_F_USO6,
        }
    }
}

/// An open TUN device; it disappears when this is dropped.
#[derive(Debug)]
pub struct Tun {
    device: OwnedFd,
    name: String,
    offload: Offload,
}

impl Tun {
    /// Creates the device `name` (`jvpn%d` lets the kernel number it) and sets its MTU and queue;
    /// it is left down. It has as much of `most` as the kernel gives.
    pub fn open(name: &str, mtu: u32, most: Offload) -> io::Result<Self> {
        let mut refused = None;
        for offload in most.and_less() {
            match Self::attach(name, offload) {
                Ok(tun) => {
                    sys::tun::set_mtu(&tun.name, mtu)?;
                    sys::tun::set_queue_length(&tun.name, QUEUE_LENGTH)?;
                    return Ok(tun);
                }
                // Only what it is asked for can be invalid; anything else another try cannot mend.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or_else(|| io::ErrorKind::Unsupported.into()))
    }

    /// Writes what `header` describes; returns once the kernel has taken or refused it.
    pub fn send(&self, header: VnetHeader, packet: &[u8]) -> io::Result<()> {
        let encoded = header.encode();
        let slices = [IoSlice::new(&encoded), IoSlice::new(packet)];
        let slices = if self.has_headers() { &slices[..] } else { &slices[1..] };
        rustix::io::retry_on_intr(|| rustix::io::writev(&self.device, slices))?;
        Ok(())
    }

    /// Returns the name that the kernel gave.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what the kernel agreed to.
    pub fn offload(&self) -> Offload {
        self.offload
    }

    fn attach(name: &str, offload: Offload) -> io::Result<Self> {
        let device: OwnedFd = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")?
            .into();
        let headers = offload != Offload::Nothing;
        let name = sys::tun::attach(device.as_fd(), name, headers)?;
        if headers {
            sys::tun::set_offload(device.as_fd(), offload.flags())?;
        }
        Ok(Self { device, name, offload })
    }

    fn has_headers(&self) -> bool {
        self.offload != Offload::Nothing
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// Where reads from the TUN go, one after the other.
#[derive(Debug)]
pub struct Inbox(Box<[u8]>);

/// What one read brought.
pub type Read<'a> = Result<Plan<'a>, Unsegmentable>;

impl Inbox {
    /// Makes room for the largest packet and its header.
    pub fn new() -> Self {
        Self(vec![0; VnetHeader::LENGTH + PACKET_MAX].into_boxed_slice())
    }

    /// Returns what the next read brings, or `None` when there is nothing yet.
    pub fn receive(&mut self, tun: &Tun) -> io::Result<Option<Read<'_>>> {
        match rustix::io::retry_on_intr(|| rustix::io::read(tun, &mut *self.0)) {
            Ok(length) => Ok(Some(plan(&self.0[..length], tun.has_headers()))),
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

fn plan(bytes: &[u8], headers: bool) -> Read<'_> {
    if !headers {
        return Plan::of(&VnetHeader::NONE, bytes);
    }
    let (header, packet) = bytes.split_first_chunk().ok_or(Unsegmentable::Headers)?;
    Plan::of(&VnetHeader::decode(header)?, packet)
}
