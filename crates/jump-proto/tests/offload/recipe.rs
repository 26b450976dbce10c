//! Packets as their fields, and the bytes that the fields make.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::twin;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const URG: u8 = 0x20;
pub(crate) const ECE: u8 = 0x40;
pub(crate) const CWR: u8 = 0x80;

/// A packet of TCP or UDP, over IPv4 or IPv6.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) v4: bool,
    pub(crate) tcp: bool,
    /// The last byte of the source address.
    pub(crate) host: u8,
    pub(crate) port: u16,
    pub(crate) tos: u8,
    pub(crate) label: u16,
    pub(crate) ttl: u8,
    pub(crate) id: u16,
    /// The word of IPv4 that tells of fragments.
    pub(crate) fragment: u16,
    /// Options of IPv4, or extension headers of IPv6.
    pub(crate) extra: Vec<u8>,
    pub(crate) sequence: u32,
    pub(crate) acknowledged: u32,
    pub(crate) flags: u8,
    pub(crate) reserved: u8,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Recipe {
    pub(crate) fn new(v4: bool, tcp: bool) -> Self {
        Self {
            v4,
            tcp,
            host: 2,
            port: 40_000,
            tos: 0,
            label: 0,
            ttl: 64,
            id: 0x7ffe,
            fragment: 0x4000,
            extra: Vec::new(),
            sequence: 0xffff_f000,
            acknowledged: 77,
            flags: ACK,
            reserved: 0,
            window: 512,
            urgent: 0,
            options: Vec::new(),
            payload: Vec::new(),
        }
    }

    /// Where the header of TCP or UDP starts.
    pub(crate) fn transport(&self) -> usize {
        (if self.v4 { 20 } else { 40 }) + self.extra.len()
    }

    /// Where the payload starts.
    pub(crate) fn payload_at(&self) -> usize {
        self.transport() + if self.tcp { 20 + self.options.len() } else { 8 }
    }

    /// Where the checksum of TCP or UDP stands behind the start of its header.
    pub(crate) fn checksum_offset(&self) -> usize {
        if self.tcp { 16 } else { 6 }
    }

    /// The packet with right lengths and checksums.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut packet = if self.v4 { self.v4_header() } else { self.v6_header() };
        packet.extend(if self.tcp { self.tcp_header() } else { self.udp_header() });
        packet.extend(&self.payload);
        twin::finish(&mut packet, self.transport());
        packet
    }

    /// The same as a super packet: its checksum holds the sum of the pseudo-header only.
    pub(crate) fn partial_bytes(&self) -> Vec<u8> {
        let mut packet = self.bytes();
        twin::unfinish(&mut packet, self.transport());
        packet
    }

    fn v4_header(&self) -> Vec<u8> {
        let words = (20 + self.extra.len()) / 4;
        let mut header = vec![0x40 | words as u8, self.tos, 0, 0];
        header.extend(self.id.to_be_bytes());
        header.extend(self.fragment.to_be_bytes());
        header.extend([self.ttl, self.protocol(), 0, 0]);
        header.extend([10, 77, 0, self.host, 192, 0, 2, 9]);
        header.extend(&self.extra);
        header
    }

    fn v6_header(&self) -> Vec<u8> {
        let next = if self.extra.is_empty() { self.protocol() } else { 60 };
        let mut header = vec![0x60 | self.tos >> 4, self.tos << 4];
        header.extend(self.label.to_be_bytes());
        header.extend([0, 0, next, self.ttl]);
        header.extend([0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, self.host]);
        header.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        header.extend(&self.extra);
        header
    }

    fn tcp_header(&self) -> Vec<u8> {
        let words = (20 + self.options.len()) / 4;
        let mut header = self.ports();
        header.extend(self.sequence.to_be_bytes());
        header.extend(self.acknowledged.to_be_bytes());
        header.extend([(words as u8) << 4 | self.reserved, self.flags]);
        header.extend(self.window.to_be_bytes());
        header.extend([0, 0]);
        header.extend(self.urgent.to_be_bytes());
        header.extend(&self.options);
        header
    }

    fn udp_header(&self) -> Vec<u8> {
        let mut header = self.ports();
        header.extend((8 + self.payload.len() as u16).to_be_bytes());
        header.extend([0, 0]);
        header
    }

    fn ports(&self) -> Vec<u8> {
        [self.port.to_be_bytes(), 443u16.to_be_bytes()].concat()
    }

    fn protocol(&self) -> u8 {
        if self.tcp { 6 } else { 17 }
    }
}

/// What stands between the IP header and the transport: options of IPv4, or a header of options of IPv6.
pub(crate) fn extra(v4: bool, words: u8) -> Vec<u8> {
    match (v4, words) {
        (_, 0) => Vec::new(),
        (true, words) => vec![1; usize::from(words) * 4],
        (false, words) => {
            // The header behind this one is put there by whoever knows it.
            let mut header = vec![0, words - 1, 1, words * 8 - 4];
            header.resize(usize::from(words) * 8, 0);
            header
        }
    }
}

/// Any recipe with headers that can be cut.
pub(crate) fn any_recipe() -> impl Strategy<Value = Recipe> {
    let network = (any::<bool>(), any::<u8>(), any::<u16>(), any::<u8>(), any::<u16>(), 0u8..4);
    let transport = (any::<bool>(), any::<u32>(), any::<u32>(), any::<u8>(), 0u8..8, any::<u16>());
    (network, transport, vec(any::<u8>(), 0..10), any::<u8>()).prop_map(
        |(
            (v4, tos, label, ttl, id, words),
            (tcp, sequence, acknowledged, flags, reserved, window),
            options,
            host,
        )| {
            let mut extra = extra(v4, words);
            if let (false, Some(next)) = (v4, extra.first_mut()) {
                *next = if tcp { 6 } else { 17 };
            }
            let options = options.iter().flat_map(|byte| [*byte; 4]).collect();
            Recipe {
                host,
                tos,
                label,
                ttl,
                id,
                extra,
                sequence,
                acknowledged,
                flags,
                reserved,
                window,
                options,
                ..Recipe::new(v4, tcp)
            }
        },
    )
}
