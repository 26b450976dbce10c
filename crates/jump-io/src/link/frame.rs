//! What a frame weighs on the wire: with offloads, one frame is many packets.

use super::lane::Size;

/// The virtio header in front of each frame of a packet socket.
const VIRTIO: usize = 10;
const ETHERNET: usize = 14;
const UDP_HEADER: usize = 8;
/// Segments of this kind carry UDP; the bit for ECN is masked out.
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// Returns the size of a frame that begins with its virtio header.
pub(crate) fn size_of(frame: &[u8]) -> Size {
    let bytes = frame.len().saturating_sub(VIRTIO);
    let packet = segment_of(frame).unwrap_or_else(|| bytes.saturating_sub(ETHERNET));
    Size { bytes, packet }
}

/// Returns the largest packet that a frame with segmentation left to do becomes.
fn segment_of(frame: &[u8]) -> Option<usize> {
    let header = frame.first_chunk::<VIRTIO>()?;
    let field = |place: usize| u16::from_ne_bytes([header[place], header[place + 1]]).into();
    let (kind, segment, transport): (u8, usize, usize) = (header[1] & !GSO_ECN, field(4), field(6));
    if kind == 0 {
        return None;
    }
    let length = match kind {
        GSO_UDP_L4 => UDP_HEADER,
        // The data offset of TCP counts words of four bytes.
        _ => usize::from(frame.get(VIRTIO + transport + 12)? >> 4) * 4,
    };
    Some((transport + length).saturating_sub(ETHERNET) + segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, segment: u16, transport: u16, length: usize) -> Vec<u8> {
        let mut frame = vec![0; VIRTIO + length];
        frame[1] = kind;
        frame[4..6].copy_from_slice(&segment.to_ne_bytes());
        frame[6..8].copy_from_slice(&transport.to_ne_bytes());
        frame
    }

    #[test]
    fn a_plain_frame_is_one_packet() {
        let size = size_of(&frame(0, 0, 0, 1_514));

        assert_eq!((size.bytes, size.packet), (1_514, 1_500));
    }

    #[test]
    fn a_frame_of_tcp_segments_has_packets_of_headers_and_one_segment() {
        let mut frame = frame(1, 1_448, 34, 40_000);
        frame[VIRTIO + 34 + 12] = 8 << 4;

        assert_eq!(size_of(&frame).packet, 1_500);
    }

    #[test]
    fn a_frame_of_udp_segments_has_packets_of_headers_and_one_segment() {
        assert_eq!(size_of(&frame(GSO_UDP_L4, 1_272, 34, 40_000)).packet, 1_300);
    }

    #[test]
    fn a_frame_that_is_cut_short_is_no_panic() {
        assert_eq!(size_of(&[1; 4]).packet, 0);
        assert_eq!(size_of(&frame(1, 100, 60_000, 20)).packet, 6);
    }
}
