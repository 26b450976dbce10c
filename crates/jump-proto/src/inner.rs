//! The inner packets: whose they are, and how large their TCP segments may be.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the data plane needs to know of an inner packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Inner {
    /// Who sent it.
    pub source: IpAddr,
    /// Whom it is for.
    pub destination: IpAddr,
    /// Its length by its own header, at most that of the bytes given.
    pub length: usize,
}

/// Reads the IP header of `packet`; `None` when it is neither IPv4 nor IPv6, or cut short.
pub fn parse(packet: &[u8]) -> Option<Inner> {
    match packet.first()? >> 4 {
        4 => parse_v4(packet),
        6 => parse_v6(packet),
        _ => None,
    }
}

/// Lowers the MSS of a TCP SYN so that its segments fit `mtu`; mends the checksum (RFC 1624).
///
/// Returns whether anything was changed. Whatever is not a whole TCP SYN stays as it is.
pub fn clamp_mss(packet: &mut [u8], mtu: u16) -> bool {
    let Some((start, headers)) = tcp_header(packet) else {
        return false;
    };
    let limit = mtu.saturating_sub(headers);
    let Some(tcp) = packet.get_mut(start..) else {
        return false;
    };
    let Some(at) = mss_offset(tcp) else {
        return false;
    };
    let before = u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    if before <= limit {
        return false;
    }
    tcp[at..at + 2].copy_from_slice(&limit.to_be_bytes());
    mend_checksum(tcp, at, before, limit);
    true
}

/// Whether `packet` is a TCP SYN with its options.
pub fn is_syn(packet: &[u8]) -> bool {
    let flags = |(start, _): (usize, u16)| packet.get(start + TCP_FLAGS).copied();
    tcp_header(packet).and_then(flags).is_some_and(|flags| flags & SYN != 0)
}

const TCP: u8 = 6;
const TCP_HEADER: usize = 20;
const TCP_CHECKSUM: usize = 16;
const TCP_FLAGS: usize = 13;
const SYN: u8 = 0x02;
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_MSS: u8 = 2;
/// Extension headers that are walked before a packet is taken as it is.
const EXTENSIONS_MAX: usize = 8;

fn parse_v4(packet: &[u8]) -> Option<Inner> {
    let header = packet.first_chunk::<20>()?;
    let header_length = usize::from(header[0] & 0x0f) * 4;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header_length < 20 || length < header_length || length > packet.len() {
        return None;
    }
    Some(Inner {
        source: Ipv4Addr::from(*header[12..].first_chunk::<4>()?).into(),
        destination: Ipv4Addr::from(*header[16..].first_chunk::<4>()?).into(),
        length,
    })
}

fn parse_v6(packet: &[u8]) -> Option<Inner> {
    let header = packet.first_chunk::<40>()?;
    let length = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
    if length > packet.len() {
        return None;
    }
    Some(Inner {
        source: Ipv6Addr::from(*header[8..].first_chunk::<16>()?).into(),
        destination: Ipv6Addr::from(*header[24..].first_chunk::<16>()?).into(),
        length,
    })
}

/// Returns where the TCP header starts, and what IP and TCP headers take of the MTU.
fn tcp_header(packet: &[u8]) -> Option<(usize, u16)> {
    match packet.first()? >> 4 {
        4 => {
            let start = usize::from(packet[0] & 0x0f) * 4;
            let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x1fff;
            let is_tcp = *packet.get(9)? == TCP && fragment == 0 && start >= 20;
            is_tcp.then_some((start, 40))
        }
        6 => Some((tcp_after_extensions(packet)?, 60)),
        _ => None,
    }
}

/// Walks hop-by-hop, routing, destination and first-fragment headers to TCP.
fn tcp_after_extensions(packet: &[u8]) -> Option<usize> {
    let mut next = *packet.get(6)?;
    let mut start = 40;
    for _ in 0..EXTENSIONS_MAX {
        let length = match next {
            TCP => return Some(start),
            0 | 43 | 60 => (usize::from(*packet.get(start + 1)?) + 1) * 8,
            44 if *packet.get(start + 2)? == 0 && packet.get(start + 3)? & 0xf8 == 0 => 8,
            _ => return None,
        };
        next = *packet.get(start)?;
        start += length;
    }
    None
}

/// Returns where the value of the MSS option of a SYN lies in `tcp`.
fn mss_offset(tcp: &[u8]) -> Option<usize> {
    let header = tcp.first_chunk::<TCP_HEADER>()?;
    let end = usize::from(header[12] >> 4) * 4;
    if header[TCP_FLAGS] & SYN == 0 || tcp.len() < end {
        return None;
    }
    let mut at = TCP_HEADER;
    while at + 1 < end {
        match (tcp[at], usize::from(tcp[at + 1])) {
            (OPTION_END, _) => return None,
            (OPTION_NOP, _) => at += 1,
            (OPTION_MSS, 4) if at + 4 <= end => return Some(at + 2),
            (_, length) if length >= 2 => at += length,
            _ => return None,
        }
    }
    None
}

/// RFC 1624, equation 3. An option at an odd offset adds to the sum with its bytes swapped.
fn mend_checksum(tcp: &mut [u8], at: usize, before: u16, after: u16) {
    let (before, after) = if at.is_multiple_of(2) {
        (before, after)
    } else {
        (before.swap_bytes(), after.swap_bytes())
    };
    let checksum = u16::from_be_bytes([tcp[TCP_CHECKSUM], tcp[TCP_CHECKSUM + 1]]);
    let mut sum = u32::from(!checksum) + u32::from(!before) + u32::from(after);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    tcp[TCP_CHECKSUM..TCP_CHECKSUM + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}
