//! Joining the packets of a flow into super packets.

use alloc::vec;
use alloc::vec::Vec;

use super::checksum::Sum;
use super::flow::{DONT_FRAGMENT, Flow, Part, Seen, sequence};
use super::header::{Gso, VnetHeader};
use super::{
    PACKET_MAX, TCP_CHECKSUM, UDP_CHECKSUM, UDP_HEADER, V4_HEADER, V6_HEADER, put, tcp_flag, word,
};

/// Joins packets on their way to the TUN; the order within each flow stays.
///
/// A few flows are held open at a time. A packet that continues one is joined with it; one that may not be joined
/// goes out at once, behind what is held of its flow. [`flush`](Self::flush) lets everything out.
///
/// A checksum is verified before its packet is joined: what was broken on the way stays broken, and visibly so.
#[derive(Debug)]
pub struct Coalescer {
    udp: bool,
    /// In the order in which they were opened.
    open: Vec<Open>,
    /// Buffers of flows that were let out.
    spare: Vec<Vec<u8>>,
}

/// A packet, or several joined ones, held back.
#[derive(Debug)]
struct Open {
    head: Part,
    buffer: Vec<u8>,
    length: usize,
    count: usize,
    /// Payload of the first packet.
    size: usize,
    ids: Ids,
}

/// How the identifications of IPv4 go on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Ids {
    /// There is one packet, which may not be fragmented.
    Either,
    /// Counted up.
    Counted,
    /// All the same, which only packets that may not be fragmented can have.
    Fixed,
}

/// What became of a packet for which its flow was open.
#[derive(PartialEq, Eq, Debug)]
enum Joined {
    /// It was taken, and more may follow.
    More,
    /// It was taken, and nothing can follow it.
    Last,
    /// It was not taken.
    No,
}

impl Coalescer {
    /// Makes a coalescer; `udp` says whether the TUN takes super packets of UDP ("USO").
    pub fn new(udp: bool) -> Self {
        Self { udp, open: Vec::with_capacity(FLOWS_MAX), spare: Vec::with_capacity(FLOWS_MAX) }
    }

    /// Takes the next packet. What must go out now is given to `write`: a header and the packet behind it.
    pub fn push(&mut self, packet: &[u8], write: &mut impl FnMut(VnetHeader, &[u8])) {
        match Seen::of(packet, self.udp) {
            Seen::Part(part) => self.push_part(part, packet, write),
            Seen::Alone(flow) => {
                self.let_out(&flow, write);
                write(VnetHeader::NONE, packet);
            }
            Seen::Foreign => write(VnetHeader::NONE, packet),
        }
    }

    /// Gives everything that is held to `write`.
    pub fn flush(&mut self, write: &mut impl FnMut(VnetHeader, &[u8])) {
        for open in self.open.drain(..) {
            self.spare.push(open.write(write));
        }
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn push_part(&mut self, part: Part, packet: &[u8], write: &mut impl FnMut(VnetHeader, &[u8])) {
        if let Some(at) = self.open.iter().position(|open| open.head.flow == part.flow) {
            let joined = self.open[at].join(&part, packet);
            if joined != Joined::More {
                self.close(at, write);
            }
            if joined != Joined::No {
                return;
            }
        }
        if part.tcp && packet[part.transport + 13] & tcp_flag::PSH != 0 {
            return write(VnetHeader::NONE, packet);
        }
        self.begin(part, packet, write);
    }

    /// Holds the first packet of a flow.
    fn begin(&mut self, part: Part, packet: &[u8], write: &mut impl FnMut(VnetHeader, &[u8])) {
        if self.open.len() == FLOWS_MAX {
            self.close(0, write);
        }
        let buffer = self.spare.pop().unwrap_or_else(|| vec![0; PACKET_MAX]);
        match Open::begin(part, packet, buffer) {
            Ok(open) => self.open.push(open),
            Err(buffer) => {
                self.spare.push(buffer);
                write(VnetHeader::NONE, packet);
            }
        }
    }

    /// Lets out what a packet of `flow` may not overtake.
    fn let_out(&mut self, flow: &Flow, write: &mut impl FnMut(VnetHeader, &[u8])) {
        while let Some(at) = self.open.iter().position(|open| open.head.flow.is_met_by(flow)) {
            self.close(at, write);
        }
    }

    fn close(&mut self, at: usize, write: &mut impl FnMut(VnetHeader, &[u8])) {
        let open = self.open.remove(at);
        self.spare.push(open.write(write));
    }
}

impl Open {
    /// Copies the first packet to `buffer`; gives it back if the checksum is wrong.
    fn begin(head: Part, packet: &[u8], mut buffer: Vec<u8>) -> Result<Self, Vec<u8>> {
        let length = packet.len();
        let Some(place) = buffer.get_mut(..length) else {
            return Err(buffer);
        };
        let (headers, place) = place.split_at_mut(head.payload);
        headers.copy_from_slice(&packet[..head.payload]);
        let sum = head.sum(packet).and(Sum::of_copy(&packet[head.payload..], place));
        if !sum.is_right() {
            return Err(buffer);
        }
        let atomic = head.v4 && word(packet, 6) & DONT_FRAGMENT != 0;
        let ids = if atomic { Ids::Either } else { Ids::Counted };
        let size = length - head.payload;
        Ok(Self { head, buffer, length, count: 1, size, ids })
    }

    /// Takes `packet`, which is of this flow, if it is what follows.
    fn join(&mut self, part: &Part, packet: &[u8]) -> Joined {
        let Some(ids) = self.follows(part, packet) else {
            return Joined::No;
        };
        let payload = &packet[part.payload..];
        let place = &mut self.buffer[self.length..self.length + payload.len()];
        if !part.sum(packet).and(Sum::of_copy(payload, place)).is_right() {
            return Joined::No;
        }
        self.ids = ids;
        self.length += payload.len();
        self.count += 1;
        let pushed = part.tcp && packet[part.transport + 13] & tcp_flag::PSH != 0;
        if pushed {
            self.buffer[self.head.transport + 13] |= tcp_flag::PSH;
        }
        let full = !part.tcp && self.count == DATAGRAMS_MAX;
        if pushed || full || payload.len() < self.size { Joined::Last } else { Joined::More }
    }

    /// Whether the headers say that `packet` is what follows; how the identifications then go on.
    fn follows(&self, part: &Part, packet: &[u8]) -> Option<Ids> {
        let head = &self.buffer[..self.head.payload];
        let payload = packet.len() - part.payload;
        let fits = part.payload == self.head.payload
            && payload <= self.size
            && self.length + payload <= PACKET_MAX
            && self.head.continues(head, packet);
        if !fits || (part.tcp && sequence(packet, part.transport) != self.next_sequence()) {
            return None;
        }
        if part.v4 { self.next_ids(packet) } else { Some(Ids::Counted) }
    }

    /// The number that the next TCP segment must bear.
    fn next_sequence(&self) -> u32 {
        let sent = (self.length - self.head.payload) as u32;
        sequence(&self.buffer, self.head.transport).wrapping_add(sent)
    }

    fn next_ids(&self, packet: &[u8]) -> Option<Ids> {
        let (first, id) = (word(&self.buffer, 4), word(packet, 4));
        let counted = id == first.wrapping_add(self.count as u16);
        match self.ids {
            Ids::Counted | Ids::Either if counted => Some(Ids::Counted),
            Ids::Fixed | Ids::Either if id == first => Some(Ids::Fixed),
            _ => None,
        }
    }

    /// Gives what is held to `write`, and the buffer back.
    fn write(mut self, write: &mut impl FnMut(VnetHeader, &[u8])) -> Vec<u8> {
        let header = if self.count == 1 { VnetHeader::NONE } else { self.finish() };
        write(header, &self.buffer[..self.length]);
        self.buffer
    }

    /// Writes the headers of a super packet, its checksum left to who cuts it.
    fn finish(&mut self) -> VnetHeader {
        let Part { v4, tcp, transport, payload, .. } = self.head;
        let packet = &mut self.buffer[..self.length];
        if v4 {
            put(packet, 2, self.length as u16);
            put(packet, 10, 0);
            let checksum = Sum::of(&packet[..V4_HEADER]).checksum();
            put(packet, 10, checksum);
        } else {
            put(packet, 4, (self.length - V6_HEADER) as u16);
        }
        if !tcp {
            put(packet, transport + 4, (self.length - payload + UDP_HEADER) as u16);
        }
        let offset = if tcp { TCP_CHECKSUM } else { UDP_CHECKSUM };
        let pseudo = self.head.pseudo(packet, self.length).fold();
        put(packet, transport + offset, pseudo);
        VnetHeader {
            needs_checksum: true,
            data_valid: false,
            gso: match (tcp, v4) {
                (false, _) => Gso::Udp,
                (true, true) => Gso::TcpV4,
                (true, false) => Gso::TcpV6,
            },
            ecn: tcp && packet[transport + 13] & tcp_flag::CWR != 0,
            header_length: payload as u16,
            segment_size: self.size as u16,
            checksum_start: transport as u16,
            checksum_offset: offset as u16,
        }
    }
}

/// Flows that are held open at a time; the oldest makes room.
const FLOWS_MAX: usize = 8;
/// Most datagrams that the kernel cuts one super packet of UDP into.
const DATAGRAMS_MAX: usize = 64;
