//! Cutting a super packet into the packets that it stands for.

use super::checksum::Sum;
use super::header::{Gso, VnetHeader};
use super::{
    TCP, TCP_CHECKSUM, TCP_HEADER, UDP, UDP_CHECKSUM, UDP_HEADER, Unsegmentable, V4_HEADER,
    V6_HEADER, long, put, tcp_flag, word,
};

/// How a packet of the TUN becomes one or more packets to send.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    packet: &'a [u8],
    work: Work,
}

#[derive(Clone, Debug)]
enum Work {
    /// None: the packet is whole.
    Nothing,
    /// The sum of everything from `start` on belongs at `field`.
    Checksum { start: usize, field: usize },
    /// It is a super packet.
    Cut(Cut),
}

/// What all segments of a super packet have in common.
#[derive(Clone, Debug)]
struct Cut {
    /// Where the TCP or UDP header starts.
    transport: usize,
    /// Where the payload starts.
    payload: usize,
    /// Bytes of payload in each segment but the last.
    size: usize,
    count: usize,
    /// Of the IPv4 header, without length and identification; none for IPv6, which has no checksum.
    ip_sum: Option<Sum>,
    /// Of pseudo-header and header, without what differs among segments.
    sum: Sum,
    protocol: Protocol,
}

#[derive(Clone, Debug)]
enum Protocol {
    Tcp {
        sequence: u32,
        /// Header length and flags.
        flags: u16,
    },
    Udp,
}

impl<'a> Plan<'a> {
    /// Finds out what `packet`, which the TUN gave behind `header`, needs.
    ///
    /// Only the headers are looked at; the cost does not grow with the packet.
    pub fn of(header: &VnetHeader, packet: &'a [u8]) -> Result<Self, Unsegmentable> {
        let work = match header.gso {
            Gso::None if header.needs_checksum => partial(header, packet)?,
            Gso::None => Work::Nothing,
            _ => Work::Cut(Cut::of(header, packet)?),
        };
        Ok(Self { packet, work })
    }

    /// How many packets this one becomes: at least one.
    pub fn count(&self) -> usize {
        match &self.work {
            Work::Nothing | Work::Checksum { .. } => 1,
            Work::Cut(cut) => cut.count,
        }
    }

    /// The length of packet number `index`, counted from zero.
    pub fn length(&self, index: usize) -> usize {
        match &self.work {
            Work::Nothing | Work::Checksum { .. } => self.packet.len(),
            Work::Cut(cut) => cut.payload + cut.share(index, self.packet).len(),
        }
    }

    /// The packet, if it can be used as it is: there is one, and its checksum is complete.
    pub fn as_it_is(&self) -> Option<&'a [u8]> {
        matches!(self.work, Work::Nothing).then_some(self.packet)
    }

    /// The packet as it came. Its addresses and ports are those of all its segments.
    pub fn packet(&self) -> &'a [u8] {
        self.packet
    }

    /// Writes packet number `index` to `to`, ready to be sent.
    ///
    /// # Panics
    ///
    /// If `to` is not [`length(index)`](Self::length) long, or there is no such packet.
    pub fn write(&self, index: usize, to: &mut [u8]) {
        match &self.work {
            Work::Nothing => to.copy_from_slice(self.packet),
            Work::Checksum { start, field } => {
                to[..*start].copy_from_slice(&self.packet[..*start]);
                let sum = Sum::of_copy(&self.packet[*start..], &mut to[*start..]);
                put(to, *field, mangled(sum.checksum()));
            }
            Work::Cut(cut) => cut.write(self.packet, index, to),
        }
    }
}

impl Cut {
    fn of(header: &VnetHeader, packet: &[u8]) -> Result<Self, Unsegmentable> {
        let (protocol, transport) = upper_layer(header.gso, packet)?;
        let (payload, field, protocol) = match protocol {
            TCP => {
                let fixed =
                    packet.get(transport..transport + TCP_HEADER).ok_or(Unsegmentable::Headers)?;
                let length = usize::from(fixed[12] >> 4) * 4;
                if length < TCP_HEADER {
                    return Err(Unsegmentable::Headers);
                }
                let protocol = Protocol::Tcp { sequence: long(fixed, 4), flags: word(fixed, 12) };
                (transport + length, transport + TCP_CHECKSUM, protocol)
            }
            _ => (transport + UDP_HEADER, transport + UDP_CHECKSUM, Protocol::Udp),
        };
        let size = usize::from(header.segment_size);
        if payload > packet.len() {
            return Err(Unsegmentable::Headers);
        }
        if size == 0 {
            return Err(Unsegmentable::Length);
        }
        let pseudo = if header.needs_checksum {
            given_pseudo(header, packet, transport, field)?
        } else {
            own_pseudo(packet, &protocol)
        };
        Ok(Self {
            transport,
            payload,
            size,
            count: (packet.len() - payload).div_ceil(size).max(1),
            ip_sum: is_v4(packet).then(|| v4_sum(&packet[..transport])),
            sum: pseudo.and(protocol.sum(&packet[transport..payload])),
            protocol,
        })
    }

    /// The payload of one segment.
    fn share<'a>(&self, index: usize, packet: &'a [u8]) -> &'a [u8] {
        let start = self.payload + index * self.size;
        let end = (start + self.size).min(packet.len());
        &packet[start..end]
    }

    fn write(&self, packet: &[u8], index: usize, to: &mut [u8]) {
        let (headers, place) = to.split_at_mut(self.payload);
        headers.copy_from_slice(&packet[..self.payload]);
        let payload = Sum::of_copy(self.share(index, packet), place);
        let length = to.len();
        let (network, transport) = to.split_at_mut(self.transport);
        match self.ip_sum {
            Some(sum) => finish_v4(network, sum, length, index),
            None => put(network, 4, (length - V6_HEADER) as u16),
        }
        let length = transport.len() as u16;
        let sum = self.sum.and(payload).and_word(length);
        match &self.protocol {
            Protocol::Tcp { sequence, flags } => {
                let sequence = sequence.wrapping_add((index * self.size) as u32);
                let flags = self.flags_of(index, *flags);
                transport[4..8].copy_from_slice(&sequence.to_be_bytes());
                put(transport, 12, flags);
                put(transport, TCP_CHECKSUM, sum.and_long(sequence).and_word(flags).checksum());
            }
            Protocol::Udp => {
                put(transport, 4, length);
                put(transport, UDP_CHECKSUM, mangled(sum.and_word(length).checksum()));
            }
        }
    }

    /// FIN and PSH belong to the last segment, CWR to the first.
    fn flags_of(&self, index: usize, flags: u16) -> u16 {
        let mut taken = 0;
        if index > 0 {
            taken |= tcp_flag::CWR;
        }
        if index + 1 < self.count {
            taken |= tcp_flag::FIN | tcp_flag::PSH;
        }
        flags & !u16::from(taken)
    }
}

impl Protocol {
    /// The sum of a header without what differs among segments.
    fn sum(&self, header: &[u8]) -> Sum {
        let sum = Sum::of(header);
        match self {
            Self::Tcp { flags, .. } => sum
                .without_word(word(header, 4))
                .without_word(word(header, 6))
                .without_word(*flags)
                .without_word(word(header, TCP_CHECKSUM)),
            Self::Udp => sum.without_word(word(header, 4)).without_word(word(header, UDP_CHECKSUM)),
        }
    }
}

/// The kernel left the rest of a checksum to us. What it is the checksum of does not matter.
fn partial(header: &VnetHeader, packet: &[u8]) -> Result<Work, Unsegmentable> {
    let start = usize::from(header.checksum_start);
    let field = start + usize::from(header.checksum_offset);
    if field + 2 > packet.len() {
        return Err(Unsegmentable::Checksum);
    }
    Ok(Work::Checksum { start, field })
}

/// The protocol that `gso` is for, and where its header starts.
fn upper_layer(gso: Gso, packet: &[u8]) -> Result<(u8, usize), Unsegmentable> {
    let first = *packet.first().ok_or(Unsegmentable::Headers)?;
    let (protocol, start) = match first >> 4 {
        4 => behind_v4(packet)?,
        6 => behind_v6(packet)?,
        _ => return Err(Unsegmentable::Headers),
    };
    let fits = match gso {
        Gso::TcpV4 => first >> 4 == 4 && protocol == TCP,
        Gso::TcpV6 => first >> 4 == 6 && protocol == TCP,
        Gso::Udp => protocol == UDP,
        Gso::None => false,
    };
    if fits { Ok((protocol, start)) } else { Err(Unsegmentable::Headers) }
}

fn behind_v4(packet: &[u8]) -> Result<(u8, usize), Unsegmentable> {
    let start = usize::from(packet[0] & 0x0f) * 4;
    if start < V4_HEADER || packet.len() < start {
        return Err(Unsegmentable::Headers);
    }
    if usize::from(word(packet, 2)) != packet.len() {
        return Err(Unsegmentable::Length);
    }
    if word(packet, 6) & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0 {
        return Err(Unsegmentable::Fragment);
    }
    Ok((packet[9], start))
}

/// Walks over the extension headers that each segment repeats.
fn behind_v6(packet: &[u8]) -> Result<(u8, usize), Unsegmentable> {
    let fixed = packet.get(..V6_HEADER).ok_or(Unsegmentable::Headers)?;
    if usize::from(word(fixed, 4)) + V6_HEADER != packet.len() {
        return Err(Unsegmentable::Length);
    }
    let mut next = fixed[6];
    let mut start = V6_HEADER;
    loop {
        match next {
            FRAGMENT => return Err(Unsegmentable::Fragment),
            HOP_BY_HOP | ROUTING | DESTINATION => {
                let extension = packet.get(start..start + 8).ok_or(Unsegmentable::Headers)?;
                next = extension[0];
                start += (usize::from(extension[1]) + 1) * 8;
            }
            _ => return Ok((next, start)),
        }
    }
}

/// The sum of the pseudo-header, without its length, as the kernel left it in the checksum. It is right for every
/// chain of headers, also where the destination is not the last one.
fn given_pseudo(
    header: &VnetHeader,
    packet: &[u8],
    transport: usize,
    field: usize,
) -> Result<Sum, Unsegmentable> {
    let start = usize::from(header.checksum_start);
    if start != transport || start + usize::from(header.checksum_offset) != field {
        return Err(Unsegmentable::Checksum);
    }
    let length = (packet.len() - transport) as u16;
    Ok(Sum::default().and_word(word(packet, field)).without_word(length))
}

/// The sum of the pseudo-header, without its length.
fn own_pseudo(packet: &[u8], protocol: &Protocol) -> Sum {
    let number = match protocol {
        Protocol::Tcp { .. } => TCP,
        Protocol::Udp => UDP,
    };
    addresses_sum(packet).and_word(u16::from(number))
}

/// The sum of both addresses.
pub(super) fn addresses_sum(packet: &[u8]) -> Sum {
    Sum::of(if is_v4(packet) { &packet[12..20] } else { &packet[8..40] })
}

fn is_v4(packet: &[u8]) -> bool {
    packet[0] >> 4 == 4
}

/// The sum of an IPv4 header without its length and checksum.
fn v4_sum(header: &[u8]) -> Sum {
    Sum::of(header)
        .without_word(word(header, 2))
        .without_word(word(header, 4))
        .without_word(word(header, 10))
}

/// Gives an IPv4 header its length, its identification and its checksum.
fn finish_v4(header: &mut [u8], sum: Sum, length: usize, index: usize) {
    let length = length as u16;
    let id = word(header, 4).wrapping_add(index as u16);
    put(header, 2, length);
    put(header, 4, id);
    put(header, 10, sum.and_word(length).and_word(id).checksum());
}

/// UDP writes a checksum of zero as its other form, because zero says that there is none. Elsewhere both forms mean
/// the same.
fn mangled(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
