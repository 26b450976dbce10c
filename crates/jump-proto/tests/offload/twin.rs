//! Segmentation and coalescing byte by byte, straight from the RFCs; slow, and plain to see.
//!
//! The segmenter reads the fields where RFC 791, 8200, 9293 and 768 put them. The coalescer has no rules about
//! headers of its own: packets may be joined if cutting the whole gives them back.

/// The sum of RFC 1071: words of 16 bits, each carry added at once.
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) * 256 + u32::from(*pair.get(1).unwrap_or(&0));
        if sum > 0xffff {
            sum -= 0xffff;
        }
    }
    sum as u16
}

/// The pseudo-header of the packet, whose transport header starts at `transport`.
fn pseudo(packet: &[u8], transport: usize) -> Vec<u8> {
    let length = (packet.len() - transport) as u32;
    let protocol = protocol(packet);
    if packet[0] >> 4 == 4 {
        [&packet[12..20], &[0, protocol], &(length as u16).to_be_bytes()].concat()
    } else {
        [&packet[8..40], &length.to_be_bytes(), &[0, 0, 0, protocol]].concat()
    }
}

/// The protocol behind the IP header and at most one header of options.
fn protocol(packet: &[u8]) -> u8 {
    match packet[0] >> 4 {
        4 => packet[9],
        _ if packet[6] == 60 => packet[40],
        _ => packet[6],
    }
}

fn checksum_at(packet: &[u8], transport: usize) -> usize {
    transport + if protocol(packet) == 6 { 16 } else { 6 }
}

fn set(packet: &mut [u8], at: usize, value: u16) {
    packet[at] = (value >> 8) as u8;
    packet[at + 1] = value as u8;
}

pub(crate) fn get(packet: &[u8], at: usize) -> u16 {
    u16::from(packet[at]) * 256 + u16::from(packet[at + 1])
}

/// Writes lengths and checksums.
pub(crate) fn finish(packet: &mut [u8], transport: usize) {
    let length = packet.len();
    if packet[0] >> 4 == 4 {
        set(packet, 2, length as u16);
        set(packet, 10, 0);
        let checksum = !sum(&packet[..transport]);
        set(packet, 10, checksum);
    } else {
        set(packet, 4, (length - 40) as u16);
    }
    let at = checksum_at(packet, transport);
    let is_udp = protocol(packet) == 17;
    if is_udp {
        set(packet, transport + 4, (length - transport) as u16);
    }
    set(packet, at, 0);
    let checksum = !sum(&[&pseudo(packet, transport), &packet[transport..]].concat());
    set(packet, at, if is_udp && checksum == 0 { 0xffff } else { checksum });
}

/// Puts the sum of the pseudo-header where the checksum stands.
pub(crate) fn unfinish(packet: &mut [u8], transport: usize) {
    let at = checksum_at(packet, transport);
    let sum = sum(&pseudo(packet, transport));
    set(packet, at, sum);
}

/// Whether all checksums of the packet are right.
pub(crate) fn is_right(packet: &[u8], transport: usize) -> bool {
    let v4 = packet[0] >> 4 == 4;
    (!v4 || sum(&packet[..transport]) == 0xffff)
        && sum(&[&pseudo(packet, transport), &packet[transport..]].concat()) == 0xffff
}

/// Cuts the payload, which starts at `payload`, into pieces of `size` with a header each.
pub(crate) fn cut(packet: &[u8], transport: usize, payload: usize, size: usize) -> Vec<Vec<u8>> {
    let pieces: Vec<&[u8]> = packet[payload..].chunks(size).collect();
    let last = pieces.len().saturating_sub(1);
    let mut segments = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let mut segment = [&packet[..payload], piece].concat();
        if packet[0] >> 4 == 4 {
            let id = get(packet, 4).wrapping_add(index as u16);
            set(&mut segment, 4, id);
        }
        if protocol(packet) == 6 {
            cut_tcp(&mut segment[transport..], index, last, size);
        }
        finish(&mut segment, transport);
        segments.push(segment);
    }
    segments
}

fn cut_tcp(header: &mut [u8], index: usize, last: usize, size: usize) {
    let sequence = u32::from_be_bytes(header[4..8].try_into().unwrap());
    let sequence = sequence.wrapping_add((index * size) as u32);
    header[4..8].copy_from_slice(&sequence.to_be_bytes());
    if index != last {
        header[13] &= !0x09; // FIN and PSH
    }
    if index != 0 {
        header[13] &= !0x80; // CWR
    }
}

/// The flow of a packet: addresses, and protocol and ports where there are any to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Flow {
    addresses: Vec<u8>,
    ports: Option<(u8, Vec<u8>)>,
}

impl Flow {
    pub(crate) fn of(packet: &[u8]) -> Self {
        if packet[0] >> 4 == 4 {
            let plain = packet[0] == 0x45
                && get(packet, 6) & 0xbfff == 0
                && usize::from(get(packet, 2)) == packet.len()
                && sum(&packet[..20]) == 0xffff;
            Self::with(packet, &packet[12..20], 20, plain)
        } else {
            let plain =
                [6, 17].contains(&packet[6]) && usize::from(get(packet, 4)) + 40 == packet.len();
            Self::with(packet, &packet[8..40], 40, plain)
        }
    }

    fn with(packet: &[u8], addresses: &[u8], at: usize, plain: bool) -> Self {
        let ports = plain.then(|| (protocol(packet), packet[at..at + 4].to_vec()));
        Self { addresses: addresses.to_vec(), ports }
    }

    fn meets(&self, other: &Self) -> bool {
        self.addresses == other.addresses
            && (self.ports.is_none() || other.ports.is_none() || self.ports == other.ports)
    }
}

/// Where transport and payload start, if the packet may be part of a super packet at all.
fn joinable(packet: &[u8], udp: bool) -> Option<(usize, usize)> {
    let (protocol, _) = Flow::of(packet).ports?;
    let transport = if packet[0] >> 4 == 4 { 20 } else { 40 };
    let payload = if protocol == 6 {
        let flags = packet[transport + 13];
        // FIN, SYN, RST, URG; and what acknowledges nothing.
        if flags & 0x27 != 0 || flags & 0x10 == 0 {
            return None;
        }
        transport + usize::from(packet[transport + 12] >> 4) * 4
    } else {
        let summed = get(packet, transport + 6) != 0;
        let whole = usize::from(get(packet, transport + 4)) == packet.len() - transport;
        if !udp || !summed || !whole {
            return None;
        }
        transport + 8
    };
    (payload < packet.len() && is_right(packet, transport)).then_some((transport, payload))
}

/// Whether `group`, taken as one packet and cut, is what it was.
fn is_one(group: &[Vec<u8>], udp: bool) -> bool {
    let Some((transport, payload)) = joinable(&group[0], udp) else {
        return false;
    };
    let size = group[0].len() - payload;
    let mut whole = group[0].clone();
    for packet in &group[1..] {
        match joinable(packet, udp) {
            Some(same) if same == (transport, payload) => whole.extend(&packet[payload..]),
            _ => return false,
        }
    }
    let is_udp = protocol(&whole) == 17;
    if whole.len() > 65_535 || (is_udp && group.len() > 64) {
        return false;
    }
    if !is_udp {
        // What the last one pushes, the whole pushes.
        whole[transport + 13] |= group.last().unwrap()[transport + 13] & 0x08;
    }
    let group = counted(group);
    cut(&whole, transport, payload, size) == group
}

/// The group with identifications that count up, where all are the same and mean nothing.
fn counted(group: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let first = &group[0];
    let v4 = first[0] >> 4 == 4;
    let atomic = |packet: &Vec<u8>| packet[6] & 0x40 != 0 && packet[4..6] == first[4..6];
    let mut group = group.to_vec();
    if v4 && group.iter().all(atomic) {
        for (index, packet) in group.iter_mut().enumerate() {
            let id = get(packet, 4).wrapping_add(index as u16);
            set(packet, 4, id);
            finish(packet, 20);
        }
    }
    group
}

/// The group as cutting its super packet gives it.
pub(crate) fn as_cut(group: &[Vec<u8>]) -> Vec<Vec<u8>> {
    if group.len() == 1 { group.to_vec() } else { counted(group) }
}

/// The groups that packets, in their order, are joined in: in the order in which they go out of each flow.
pub(crate) fn join(packets: &[Vec<u8>], udp: bool) -> Vec<Vec<Vec<u8>>> {
    let mut open: Vec<(Flow, Vec<Vec<u8>>)> = Vec::new();
    let mut out = Vec::new();
    for packet in packets {
        let flow = Flow::of(packet);
        let same = open.iter().position(|(other, _)| *other == flow);
        if let Some(at) = same {
            let longer = [open[at].1.as_slice(), std::slice::from_ref(packet)].concat();
            if is_one(&longer, udp) {
                open[at].1 = longer;
                continue;
            }
        }
        while let Some(at) = open.iter().position(|(other, _)| other.meets(&flow)) {
            out.push(open.remove(at).1);
        }
        open.push((flow, vec![packet.clone()]));
    }
    out.extend(open.into_iter().map(|(_, group)| group));
    out
}
