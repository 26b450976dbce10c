//! The ten bytes that stand before each packet of the TUN: `struct virtio_net_hdr`.

use super::Unsegmentable;

/// What a packet's bytes still need, and how they were or may be cut.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct VnetHeader {
    /// The checksum holds the sum of the pseudo-header only; the rest is to be added.
    pub needs_checksum: bool,
    /// Somebody verified the checksum already.
    pub data_valid: bool,
    /// What kind of super packet this is.
    pub gso: Gso,
    /// The first segment bears CWR, the others do not.
    pub ecn: bool,
    /// Length of all headers. The kernel tells how much lies in the first piece of its buffer, which may be
    /// more: a hint.
    pub header_length: u16,
    /// Bytes of payload in each segment but the last.
    pub segment_size: u16,
    /// Where the part of the packet starts that the checksum is over.
    pub checksum_start: u16,
    /// Where the checksum stands behind that.
    pub checksum_offset: u16,
}

/// The kinds of segmentation offload.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Gso {
    /// One packet as it is.
    #[default]
    None,
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP datagrams of one size ("USO").
    Udp,
}

impl VnetHeader {
    /// Length of the header.
    pub const LENGTH: usize = 10;

    /// The header of a packet that is whole and needs nothing.
    pub const NONE: Self = Self {
        needs_checksum: false,
        data_valid: false,
        gso: Gso::None,
        ecn: false,
        header_length: 0,
        segment_size: 0,
        checksum_start: 0,
        checksum_offset: 0,
    };

    /// Reads a header in this machine's byte order, as the TUN gives it.
    pub fn decode(bytes: &[u8; Self::LENGTH]) -> Result<Self, Unsegmentable> {
        let number = |at| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let gso = match bytes[1] & !ECN {
            0 => Gso::None,
            1 => Gso::TcpV4,
            4 => Gso::TcpV6,
            5 => Gso::Udp,
            _ => return Err(Unsegmentable::Offload),
        };
        Ok(Self {
            needs_checksum: bytes[0] & NEEDS_CHECKSUM != 0,
            data_valid: bytes[0] & DATA_VALID != 0,
            gso,
            ecn: bytes[1] & ECN != 0,
            header_length: number(2),
            segment_size: number(4),
            checksum_start: number(6),
            checksum_offset: number(8),
        })
    }

    /// Writes the header in this machine's byte order, as the TUN takes it.
    pub fn encode(&self) -> [u8; Self::LENGTH] {
        let gso = match self.gso {
            Gso::None => 0,
            Gso::TcpV4 => 1,
            Gso::TcpV6 => 4,
            Gso::Udp => 5,
        };
        let mut bytes = [0; Self::LENGTH];
        bytes[0] |= if self.needs_checksum { NEEDS_CHECKSUM } else { 0 };
        bytes[0] |= if self.data_valid { DATA_VALID } else { 0 };
        bytes[1] = gso | if self.ecn { ECN } else { 0 };
        bytes[2..4].copy_from_slice(&self.header_length.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.segment_size.to_ne_bytes());
        bytes[6..8].copy_from_slice(&self.checksum_start.to_ne_bytes());
        bytes[8..10].copy_from_slice(&self.checksum_offset.to_ne_bytes());
        bytes
    }
}

const NEEDS_CHECKSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const ECN: u8 = 0x80;
