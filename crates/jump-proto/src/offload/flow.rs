//! Which flow a packet belongs to, and whether it may be joined with others of it.
//!
//! The rules are those of the kernel's GRO. A packet that they do not cover is never joined, but what is held
//! of its flow goes out before it.

use super::checksum::Sum;
use super::segment::addresses_sum;
use super::{
    TCP, TCP_CHECKSUM, TCP_HEADER, UDP, UDP_CHECKSUM, UDP_HEADER, V4_HEADER, V6_HEADER, long,
    tcp_flag, word,
};

/// What a packet is to the coalescer.
#[derive(Debug)]
pub(super) enum Seen {
    /// It may begin a super packet or continue one.
    Part(Part),
    /// It goes alone, behind what is held of its flow.
    Alone(Flow),
    /// It is no IP packet: nothing that is held can belong to it.
    Foreign,
}

/// The two ends of a flow.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Flow {
    addresses: [u8; 32],
    protocol: u8,
    ports: Option<[u8; 4]>,
}

impl Flow {
    /// Whether a packet of `other` may not overtake one of this flow. Where ports cannot be read, as in a
    /// fragment, all flows between the two addresses are meant.
    pub(super) fn is_met_by(&self, other: &Self) -> bool {
        let same = self.ports.is_none() || other.ports.is_none() || {
            self.ports == other.ports && self.protocol == other.protocol
        };
        same && self.addresses == other.addresses
    }
}

/// A TCP segment or UDP datagram with a payload and nothing odd about it, its checksum not yet verified.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) flow: Flow,
    pub(super) v4: bool,
    pub(super) tcp: bool,
    /// Where the TCP or UDP header starts.
    pub(super) transport: usize,
    /// Where the payload starts.
    pub(super) payload: usize,
}

impl Seen {
    /// Sorts `packet`; `udp` says whether datagrams may be joined.
    pub(super) fn of(packet: &[u8], udp: bool) -> Self {
        let Some(ip) = Ip::of(packet) else {
            return Self::Foreign;
        };
        let mut flow = Flow { addresses: ip.addresses(packet), protocol: ip.protocol, ports: None };
        if !ip.plain {
            return Self::Alone(flow);
        }
        let Some(ports) = packet.get(ip.length..ip.length + 4) else {
            return Self::Alone(flow);
        };
        let payload = match ip.protocol {
            TCP => tcp_payload(packet, ip.length),
            UDP => udp_payload(packet, ip.length).filter(|_| udp),
            _ => return Self::Alone(flow),
        };
        flow.ports = ports.first_chunk().copied();
        match payload {
            Some(payload) => Self::Part(Part {
                flow,
                v4: ip.v4,
                tcp: ip.protocol == TCP,
                transport: ip.length,
                payload,
            }),
            None => Self::Alone(flow),
        }
    }
}

impl Part {
    /// The sum of everything that the checksum is over but the payload.
    pub(super) fn sum(&self, packet: &[u8]) -> Sum {
        self.pseudo(packet, packet.len()).and(Sum::of(&packet[self.transport..self.payload]))
    }

    /// The sum of the pseudo-header for a packet of `length`.
    pub(super) fn pseudo(&self, packet: &[u8], length: usize) -> Sum {
        addresses_sum(packet)
            .and_word(u16::from(if self.tcp { TCP } else { UDP }))
            .and_word((length - self.transport) as u16)
    }

    /// Whether `next`, of the same flow, has the headers of `head`, but for those that count.
    pub(super) fn continues(&self, head: &[u8], next: &[u8]) -> bool {
        let network = if self.v4 {
            // Type of service, then "may not be fragmented", then the time to live.
            head[1] == next[1] && head[6] == next[6] && head[8] == next[8]
        } else {
            // Traffic class and flow label, then the hop limit.
            head[..4] == next[..4] && head[7] == next[7]
        };
        network && (!self.tcp || self.continues_tcp(&head[self.transport..], next))
    }

    fn continues_tcp(&self, head: &[u8], next: &[u8]) -> bool {
        let length = self.payload - self.transport;
        let next = &next[self.transport..];
        // CWR stands on the first segment only, and PSH on the last.
        let flags = u16::from(tcp_flag::PSH) | u16::from(tcp_flag::CWR);
        next[13] & tcp_flag::CWR == 0
            && word(head, 12) & !flags == word(next, 12) & !flags
            && head[8..12] == next[8..12]
            && head[14..TCP_CHECKSUM] == next[14..TCP_CHECKSUM]
            && head[18..length] == next[18..length]
    }
}

/// What an IP header says.
struct Ip {
    v4: bool,
    length: usize,
    protocol: u8,
    /// No options, no fragment, no extension, a right checksum, and the length that it says.
    plain: bool,
}

impl Ip {
    fn of(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 if packet.len() >= V4_HEADER => {
                let plain = packet[0] == 0x45
                    && usize::from(word(packet, 2)) == packet.len()
                    && word(packet, 6) & !DONT_FRAGMENT == 0
                    && Sum::of(&packet[..V4_HEADER]).is_right();
                Some(Self { v4: true, length: V4_HEADER, protocol: packet[9], plain })
            }
            6 if packet.len() >= V6_HEADER => {
                let plain = usize::from(word(packet, 4)) + V6_HEADER == packet.len();
                Some(Self { v4: false, length: V6_HEADER, protocol: packet[6], plain })
            }
            _ => None,
        }
    }

    fn addresses(&self, packet: &[u8]) -> [u8; 32] {
        let mut addresses = [0; 32];
        if self.v4 {
            addresses[..8].copy_from_slice(&packet[12..20]);
        } else {
            addresses.copy_from_slice(&packet[8..V6_HEADER]);
        }
        addresses
    }
}

/// Where the payload of a joinable TCP segment starts.
fn tcp_payload(packet: &[u8], transport: usize) -> Option<usize> {
    let header = packet.get(transport..transport + TCP_HEADER)?;
    let length = usize::from(header[12] >> 4) * 4;
    let allowed = tcp_flag::ACK | tcp_flag::PSH | tcp_flag::ECE | tcp_flag::CWR;
    let usual = header[13] & tcp_flag::ACK != 0 && header[13] & !allowed == 0;
    let payload = transport + length;
    (usual && length >= TCP_HEADER && payload < packet.len()).then_some(payload)
}

/// Where the payload of a joinable UDP datagram starts.
fn udp_payload(packet: &[u8], transport: usize) -> Option<usize> {
    let header = packet.get(transport..transport + UDP_HEADER)?;
    let payload = transport + UDP_HEADER;
    let whole = usize::from(word(header, 4)) == packet.len() - transport;
    let summed = word(header, UDP_CHECKSUM) != 0;
    (whole && summed && payload < packet.len()).then_some(payload)
}

/// The number of the first byte of a TCP segment.
pub(super) fn sequence(packet: &[u8], transport: usize) -> u32 {
    long(packet, transport + 4)
}

/// "May not be fragmented", in the word of the flags of IPv4.
pub(super) const DONT_FRAGMENT: u16 = 0x4000;
