//! Segmentation and coalescing: one call to the TUN for up to 64 KiB of one flow.
//!
//! With `IFF_VNET_HDR` the kernel puts a [`VnetHeader`] before each packet. What it hands out may be a *super
//! packet*: one set of headers before the bytes of many segments, with the checksum left to whoever cuts it. What it
//! takes may be one as well, which saves it the way through its stack for each segment.
//!
//! - From the TUN: [`VnetHeader::decode`], [`Plan::of`] the bytes behind it, then [`Plan::write`] for each of
//!   [`Plan::count`] segments straight into the place where it is needed. Headers, lengths and checksums of a
//!   segment are right when `write` returns; copying and summing are one pass. A packet that needs no work is lent as
//!   it is by [`Plan::as_it_is`].
//! - To the TUN: [`Coalescer::push`] each packet in its order, [`Coalescer::flush`] at the end of the batch. Both
//!   call back with a header and the bytes to write behind it.
//!
//! Cutting what was joined gives the packets that went in: [`Coalescer`] follows the rules of the kernel's GRO and joins
//! nothing that would come out otherwise. The one exception are the identifications of IPv4 packets that may not be
//! fragmented and all bear the same one: they mean nothing (RFC 6864), and are counted up.
//!
//! Nothing here allocates per packet: the coalescer takes its buffers at their first use and keeps them.

mod checksum;
mod coalesce;
mod flow;
mod header;
mod segment;

pub use coalesce::Coalescer;
pub use header::{Gso, VnetHeader};
pub use segment::Plan;

/// Why a packet of the TUN cannot be cut or completed. It is dropped.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Unsegmentable {
    /// The place of the checksum lies outside of the packet, or is not that of its protocol.
    Checksum,
    /// A fragment: its checksum belongs to a whole that is not here.
    Fragment,
    /// The headers are not of the protocol that the offload is for, or are cut short.
    Headers,
    /// Segments of no size, or a length that is not the packet's.
    Length,
    /// A kind of segmentation offload that was not asked for.
    Offload,
}

/// The largest packet that IP's length field can tell.
pub const PACKET_MAX: usize = 65_535;

const TCP: u8 = 6;
const UDP: u8 = 17;
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// Where the checksum stands in a TCP header.
const TCP_CHECKSUM: usize = 16;
/// Where the checksum stands in a UDP header.
const UDP_CHECKSUM: usize = 6;

/// Flags of TCP, in the low byte of their word.
mod tcp_flag {
    pub(super) const FIN: u8 = 0x01;
    pub(super) const PSH: u8 = 0x08;
    pub(super) const ACK: u8 = 0x10;
    pub(super) const ECE: u8 = 0x40;
    pub(super) const CWR: u8 = 0x80;
}

/// Reads a number of two bytes in the order of the network; the caller knows that they are there.
fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Reads a number of four bytes in the order of the network; the caller knows that they are there.
fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Writes a number of two bytes in the order of the network.
fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
