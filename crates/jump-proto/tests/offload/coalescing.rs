//! What goes to the TUN, joined.

use jump_proto::offload::{Coalescer, Gso, VnetHeader};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::recipe::{ACK, CWR, ECE, FIN, PSH, RST, Recipe, SYN, URG, extra};
use crate::segmentation::cut;
use crate::{config, twin};

type Written = Vec<(VnetHeader, Vec<u8>)>;

fn join(packets: &[Vec<u8>], udp: bool) -> Written {
    let mut coalescer = Coalescer::new(udp);
    let mut written = Vec::new();
    let mut write = |header, packet: &[u8]| written.push((header, packet.to_vec()));
    for packet in packets {
        coalescer.push(packet, &mut write);
    }
    coalescer.flush(&mut write);
    assert!(coalescer.is_empty());
    written
}

/// What was written, cut again: one group for each write.
fn groups(written: &Written) -> Vec<Vec<Vec<u8>>> {
    written.iter().map(|(header, packet)| cut(header, packet).unwrap()).collect()
}

/// The groups of one flow, in their order.
fn of_flow(groups: &[Vec<Vec<u8>>], flow: &twin::Flow) -> Vec<Vec<Vec<u8>>> {
    groups.iter().filter(|group| twin::Flow::of(&group[0]) == *flow).cloned().collect()
}

/// Something that sets a packet apart from the one before it.
#[derive(Clone, Debug)]
enum Oddity {
    Acknowledged,
    Broken,
    Empty,
    Extra,
    Flags(u8),
    Fragment(u16),
    HeaderBroken,
    Id,
    Label,
    Options,
    Reserved,
    Sequence,
    Short,
    Tos(u8),
    Ttl,
    Urgent,
    Window,
    ZeroChecksum,
}

fn any_oddity() -> impl Strategy<Value = Oddity> {
    use Oddity::*;
    let flags = prop_oneof![
        Just(ACK | PSH),
        Just(ACK | FIN),
        Just(SYN),
        Just(ACK | RST),
        Just(ACK | URG),
        Just(ACK | ECE),
        Just(ACK | CWR),
        Just(PSH),
    ];
    let fragment = prop_oneof![Just(0u16), Just(0x2000), Just(0x8000), Just(7)];
    prop_oneof![
        flags.prop_map(Flags),
        fragment.prop_map(Fragment),
        (0u8..4).prop_map(Tos),
        proptest::sample::select(vec![
            Acknowledged,
            Broken,
            Empty,
            Extra,
            HeaderBroken,
            Id,
            Label,
            Options,
            Reserved,
            Sequence,
            Short,
            Ttl,
            Urgent,
            Window,
            ZeroChecksum,
        ]),
    ]
}

impl Oddity {
    /// Makes the recipe odd before it becomes bytes.
    fn season(&self, recipe: &mut Recipe) {
        match self {
            Self::Acknowledged => recipe.acknowledged += 1,
            Self::Empty => recipe.payload.clear(),
            Self::Extra => {
                recipe.extra = extra(recipe.v4, 1);
                if !recipe.v4 {
                    recipe.extra[0] = if recipe.tcp { 6 } else { 17 };
                }
            }
            Self::Flags(flags) => recipe.flags = *flags,
            Self::Fragment(word) => recipe.fragment = *word,
            Self::Id => recipe.id = recipe.id.wrapping_sub(1),
            Self::Label => recipe.label += 1,
            Self::Options => recipe.options.extend([1; 4]),
            Self::Reserved => recipe.reserved ^= 1,
            Self::Sequence => recipe.sequence = recipe.sequence.wrapping_add(1),
            Self::Short => recipe.payload.truncate(recipe.payload.len() / 2),
            Self::Tos(tos) => recipe.tos = *tos,
            Self::Ttl => recipe.ttl -= 1,
            Self::Urgent => recipe.urgent = 1,
            Self::Window => recipe.window += 1,
            Self::Broken | Self::HeaderBroken | Self::ZeroChecksum => {}
        }
    }

    /// Spoils the bytes.
    fn spoil(&self, packet: &mut [u8], recipe: &Recipe) {
        match self {
            Self::Broken => *packet.last_mut().unwrap() ^= 0x10,
            Self::HeaderBroken if recipe.v4 => packet[10] ^= 1,
            Self::ZeroChecksum if !recipe.tcp => {
                let at = recipe.transport() + 6;
                packet[at..at + 2].fill(0);
            }
            _ => {}
        }
    }
}

/// One packet of a flow: which flow, and what is odd about it; some oddities stay for the flow's later packets.
type Step = (usize, Option<Oddity>, bool);

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let oddity = prop_oneof![5 => Just(None), 1 => any_oddity().prop_map(Some)];
    vec((0usize..4, oddity, any::<bool>()), 1..24)
}

fn any_flow() -> impl Strategy<Value = (Recipe, u16)> {
    let size = prop_oneof![1usize..80, 300usize..400];
    (any::<bool>(), any::<bool>(), size, 0u8..3, 0u16..2, any::<bool>()).prop_map(
        |(v4, tcp, size, options, step, whole)| {
            let recipe = Recipe {
                payload: vec![0; size],
                options: vec![1; usize::from(options) * 4],
                fragment: if whole { 0x4000 } else { 0 },
                ..Recipe::new(v4, tcp)
            };
            (recipe, step)
        },
    )
}

/// The packets of a few flows, interleaved.
fn packets_of(flows: &mut [(Recipe, u16)], steps: &[Step]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for (number, (at, oddity, stays)) in steps.iter().enumerate() {
        let at = at % flows.len();
        let (flow, step) = &mut flows[at];
        flow.port = 40_000 + (at / 2) as u16;
        flow.host = (at % 2) as u8;
        let mut recipe = flow.clone();
        for (place, byte) in recipe.payload.iter_mut().enumerate() {
            *byte = (place * 7 + number * 31) as u8;
        }
        if let Some(oddity) = oddity {
            oddity.season(&mut recipe);
        }
        let mut packet = recipe.bytes();
        if let Some(oddity) = oddity {
            oddity.spoil(&mut packet, &recipe);
        }
        packets.push(packet);
        if *stays
            && matches!(oddity, Some(Oddity::Id | Oddity::Label | Oddity::Options | Oddity::Ttl))
        {
            *flow = Recipe { payload: flow.payload.clone(), ..recipe.clone() };
        }
        flow.sequence = recipe.sequence.wrapping_add(recipe.payload.len() as u32);
        flow.id = recipe.id.wrapping_add(*step);
    }
    packets
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_joined_is_what_the_twin_joins_and_is_cut_to_what_it_was(
        mut flows in vec(any_flow(), 1..5),
        steps in any_steps(),
        udp in any::<bool>(),
    ) {
        let packets = packets_of(&mut flows, &steps);

        let joined = groups(&join(&packets, udp));

        let expected = twin::join(&packets, udp);
        for packet in &packets {
            let flow = twin::Flow::of(packet);
            let theirs: Vec<_> =
                of_flow(&expected, &flow).iter().map(|group| twin::as_cut(group)).collect();
            prop_assert_eq!(of_flow(&joined, &flow), theirs);
        }
        prop_assert_eq!(joined.iter().flatten().count(), packets.len());
    }

    #[test]
    fn what_was_cut_is_joined_to_what_it_was(
        (recipe, _) in any_flow(),
        payload in vec(any::<u8>(), 1_500..3_000),
        size in 100u16..1_400,
        flags in prop_oneof![Just(ACK), Just(ACK | PSH), Just(ACK | CWR), Just(ACK | ECE)],
    ) {
        let recipe = Recipe { flags, payload, ..recipe };
        let header = crate::segmentation::offload(&recipe, size);
        let packet = recipe.partial_bytes();

        let joined = join(&cut(&header, &packet).unwrap(), true);

        let ecn = recipe.tcp && flags & CWR != 0;
        prop_assert_eq!(joined, vec![(VnetHeader { ecn, ..header }, packet)]);
    }

    #[test]
    fn no_bytes_break_it(packets in vec(vec(any::<u8>(), 0..100), 0..20)) {
        let joined = join(&packets, true);

        prop_assert_eq!(joined.len(), packets.len());
    }
}

fn run(recipe: &Recipe, count: usize) -> Vec<Vec<u8>> {
    let mut flows = [(recipe.clone(), 1)];
    packets_of(&mut flows, &vec![(0, None, false); count])
}

#[test]
fn a_super_packet_is_at_most_as_long_as_the_length_field_can_tell() {
    let recipe = Recipe { payload: vec![0; 1_348], ..Recipe::new(true, true) };

    let written = join(&run(&recipe, 100), false);

    let lengths: Vec<_> = written.iter().map(|(_, packet)| packet.len()).collect();
    assert_eq!(lengths, [40 + 48 * 1_348, 40 + 48 * 1_348, 40 + 4 * 1_348]);
}

#[test]
fn a_super_packet_of_udp_has_at_most_as_many_datagrams_as_the_kernel_cuts() {
    let recipe = Recipe { payload: vec![0; 100], ..Recipe::new(false, false) };

    let written = join(&run(&recipe, 100), true);

    let counts: Vec<_> = groups(&written).iter().map(Vec::len).collect();
    assert_eq!(counts, [64, 36]);
}

#[test]
fn without_offload_of_udp_no_datagrams_are_joined() {
    let recipe = Recipe { payload: vec![0; 100], ..Recipe::new(true, false) };

    let written = join(&run(&recipe, 3), false);

    assert_eq!(written.len(), 3);
    assert!(written.iter().all(|(header, _)| header.gso == Gso::None));
}

#[test]
fn a_flow_that_makes_room_for_a_ninth_goes_out_first() {
    let recipe = Recipe { payload: vec![0; 100], ..Recipe::new(true, true) };
    let packets: Vec<_> = (0..9).map(|port| Recipe { port, ..recipe.clone() }.bytes()).collect();
    let mut coalescer = Coalescer::new(false);
    let mut written: Vec<Vec<u8>> = Vec::new();

    for packet in &packets {
        coalescer.push(packet, &mut |_, packet| written.push(packet.to_vec()));
    }

    assert_eq!(written, packets[..1]);
    coalescer.flush(&mut |_, packet| written.push(packet.to_vec()));
    assert_eq!(written, packets);
}

#[test]
fn a_broken_packet_goes_alone_and_stays_broken() {
    let recipe = Recipe { payload: vec![0; 100], ..Recipe::new(true, true) };
    let mut packets = run(&recipe, 5);
    packets[2][60] ^= 4;

    let written = join(&packets, false);

    let counts: Vec<_> = groups(&written).iter().map(Vec::len).collect();
    assert_eq!(counts, [2, 1, 2]);
    assert_eq!(written[1], (VnetHeader::NONE, packets[2].clone()));
}

#[test]
fn datagrams_without_a_checksum_are_not_joined_even_if_zero_would_be_right() {
    let mut packets = run(&Recipe { payload: vec![0; 100], ..Recipe::new(true, false) }, 2);
    for packet in &mut packets {
        // What stood in the checksum goes to the payload: the sum stays right.
        let moved = twin::sum(&packet[26..30]);
        packet[26..28].fill(0);
        packet[28..30].copy_from_slice(&moved.to_be_bytes());
        assert!(twin::is_right(packet, 20));
    }

    let written = join(&packets, true);

    assert_eq!(written.len(), 2);
}
