use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Owned {
    Piece { stream: Option<u64>, offset: u64, fin: bool, data: Vec<u8> },
    Numbers { which: u8, a: u64, b: u64, c: u64 },
    Close { application: bool, code: u64, segment: u64, reason: Vec<u8> },
}

impl Owned {
    fn segment(&self) -> Segment<'_> {
        match *self {
            Self::Piece { stream: Some(stream), offset, fin, ref data } => {
                Segment::Stream { stream, offset, fin, data }
            }
            Self::Piece { stream: None, offset, ref data, .. } => Segment::Crypto { offset, data },
            Self::Close { application: true, code, ref reason, .. } => {
                Segment::CloseApplication { code, reason }
            }
            Self::Close { code, segment, ref reason, .. } => {
                Segment::CloseTransport { code, segment, reason }
            }
            Self::Numbers { which, a, b, c } => match which % 11 {
                0 => Segment::Padding,
                1 => Segment::Ping,
                2 => Segment::ResetStream { stream: a, code: b, final_size: c },
                3 => Segment::StopSending { stream: a, code: b },
                4 => Segment::MaxData(a),
                5 => Segment::MaxStreamData { stream: a, max: b },
                6 => Segment::MaxStreams(a.min(MAX_STREAM_COUNT)),
                7 => Segment::DataBlocked(a),
                8 => Segment::StreamDataBlocked { stream: a, limit: b },
                9 => Segment::StreamsBlocked(a.min(MAX_STREAM_COUNT)),
                _ => Segment::HandshakeDone,
            },
        }
    }
}

fn number() -> impl Strategy<Value = u64> {
    (0..=varint::MAX, 0u32..62).prop_map(|(value, shift)| value >> shift)
}

fn owned() -> impl Strategy<Value = Owned> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        (proptest::option::of(number()), 0..varint::MAX - 300, any::<bool>(), bytes())
            .prop_map(|(stream, offset, fin, data)| Owned::Piece { stream, offset, fin, data }),
        (any::<u8>(), number(), number(), number()).prop_map(|(which, a, b, c)| Owned::Numbers {
            which,
            a,
            b,
            c
        }),
        (any::<bool>(), number(), number(), bytes()).prop_map(|(application, code, segment, reason)| {
            Owned::Close { application, code, segment, reason }
        }),
    ]
}

/// Ranges with gaps between them, highest first, from (gap, length) pairs.
fn ranges(pairs: &[(u64, u64)]) -> Vec<RangeInclusive<u64>> {
    let mut next = 0;
    let mut ranges = Vec::new();
    for (gap, len) in pairs {
        let start = next + gap;
        ranges.push(start..=start + len);
        next = start + len + 2;
    }
    ranges.reverse();
    ranges
}

proptest! {
    #[test]
    fn what_is_emitted_is_read_back(all in proptest::collection::vec(owned(), 0..8)) {
        let mut out = Vec::new();
        for one in &all {
            one.segment().emit(&mut out);
        }
        let mut reader = Reader::new(&out);
        for one in &all {
            prop_assert_eq!(Segment::parse(&mut reader), Ok(one.segment()));
        }
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn ack_ranges_are_read_back(pairs in proptest::collection::vec((0u64..1 << 20, 0u64..1 << 20), 1..64), delay in number()) {
        let ranges = ranges(&pairs);
        let mut out = Vec::new();
        prop_assert!(emit_ack(delay, ranges.iter().cloned(), usize::MAX, &mut out));
        let mut reader = Reader::new(&out);
        let Ok(Segment::Ack(ack)) = Segment::parse(&mut reader) else { panic!("not an ACK") };
        prop_assert!(reader.is_empty());
        prop_assert_eq!(ack.delay, delay);
        prop_assert_eq!(ack.ranges().collect::<Vec<_>>(), ranges);
        let mut again = Vec::new();
        Segment::Ack(ack).emit(&mut again);
        prop_assert_eq!(again, out);
    }

    #[test]
    fn an_ack_keeps_to_its_limit(pairs in proptest::collection::vec((0u64..1 << 40, 0u64..1 << 20), 1..64), limit in 0usize..400) {
        let mut out = Vec::new();
        let ranges = ranges(&pairs);
        let wrote = emit_ack(7, ranges.iter().cloned(), limit, &mut out);
        prop_assert!(out.len() <= limit);
        prop_assert_eq!(wrote, !out.is_empty());
        if wrote {
            let Ok(Segment::Ack(ack)) = Segment::parse(&mut Reader::new(&out)) else { panic!("not an ACK") };
            let kept: Vec<_> = ack.ranges().collect();
            prop_assert_eq!(&kept[..], &ranges[..kept.len()]);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let mut reader = Reader::new(&bytes);
        while let Ok(segment) = Segment::parse(&mut reader) {
            if let Segment::Ack(ack) = segment {
                ack.ranges().count();
            }
            if reader.is_empty() {
                break;
            }
        }
    }
}

#[test]
fn forbidden_values_are_refused() {
    let huge = varint::MAX.to_be_bytes().map(|byte| byte | 0xc0);
    let cases: &[&[u8]] = &[
        &[0x03, 0, 0, 0, 0],        // ACK with ECN counts is not used
        &[0x07, 0],                 // NEW_TOKEN
        &[0x13, 1],                 // unidirectional streams
        &[0x1f],                    // never assigned
        &[0x40, 0x01],              // a code in two bytes
        &[0x02, 1, 0, 0, 2],        // first range below zero
        &[0x02, 5, 0, 1, 1, 3, 0],  // second range below zero
        &[0x02, 5, 0, 60, 1, 0, 0], // ranges missing
        &[0x0a, 0, 5, 1, 2, 3, 4],  // piece cut short
    ];
    for bytes in cases {
        assert!(Segment::parse(&mut Reader::new(bytes)).is_err(), "{bytes:02x?}");
    }
    for code in [0x12, 0x16] {
        assert!(Segment::parse(&mut Reader::new(&[&[code], &huge[..]].concat())).is_err());
    }
    let beyond = [&[0x0c, 0][..], &[0xff; 8], &[1]].concat();
    assert_eq!(Segment::parse(&mut Reader::new(&beyond)), Err(Malformed::Field("offset")));
}

#[test]
fn a_piece_without_length_takes_the_rest() {
    let segment = Segment::parse(&mut Reader::new(&[0x0d, 4, 2, b'h', b'i']));
    assert_eq!(segment, Ok(Segment::Stream { stream: 4, offset: 2, fin: true, data: b"hi" }));
}
