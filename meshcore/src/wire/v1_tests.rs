//! Golden bytes and properties of the v1 formats.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    frames: Vec<Vector>,
    malformed_frames: Vec<Malformation>,
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    frame: String,
    padding: usize,
    #[serde(rename = "type")]
    kind: u8,
    origin: String,
    destination: String,
    ttl: u8,
    message_id: u64,
    payload: String,
    segment: Option<SegmentVector>,
}

#[derive(Deserialize)]
struct SegmentVector {
    stream: u16,
    flags: u8,
    seq: u32,
    ack: u32,
    data: String,
}

#[derive(Deserialize)]
struct Malformation {
    name: String,
    frame: String,
}

#[derive(Deserialize)]
struct Text {
    name: String,
    payload: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../tests/vectors/v1.json")).unwrap()
}

fn address(hex_digits: &str) -> V1Address {
    V1Address(hex::decode(hex_digits).unwrap().try_into().unwrap())
}

fn emitted(header: &FrameHeader, payload: &[u8]) -> Vec<u8> {
    let mut out = [0xa5; HEADER_LEN];
    header.emit(&mut out);
    [&out[..], payload].concat()
}

fn emitted_segment(segment: &Segment, data: &[u8]) -> Vec<u8> {
    let mut out = [0xa5; SEGMENT_HEADER_LEN];
    segment.emit(&mut out);
    [&out[..], data].concat()
}

#[test]
fn golden_frames_hold_in_both_directions() {
    for vector in vectors().frames {
        let header = FrameHeader {
            kind: vector.kind.into(),
            origin: address(&vector.origin),
            destination: address(&vector.destination),
            ttl: vector.ttl,
            id: vector.message_id,
        };
        let payload = hex::decode(&vector.payload).unwrap();
        let mut frame = emitted(&header, &payload);
        assert_eq!(hex::encode(&frame), vector.frame, "{}", vector.name);
        frame.resize(frame.len() + vector.padding, 0);
        let (parsed, padded) = FrameHeader::parse(&frame).unwrap();
        assert_eq!((parsed, without_padding(padded)), (header, without_padding(&payload)), "{}", vector.name);
    }
}

#[test]
fn golden_segments_hold_in_both_directions() {
    let mut kinds = Vec::new();
    for vector in vectors().frames {
        let payload = hex::decode(&vector.payload).unwrap();
        let Some(fields) = vector.segment else {
            assert_eq!(Segment::parse(&payload), None, "{}", vector.name);
            continue;
        };
        let kind = SegmentKind::from_flags(fields.flags).unwrap();
        let segment = Segment { stream: fields.stream, kind, seq: fields.seq, ack: fields.ack };
        let data = hex::decode(&fields.data).unwrap();
        let mut bytes = emitted_segment(&segment, &data);
        assert_eq!(bytes, payload, "{}", vector.name);
        bytes.resize(bytes.len() + vector.padding, 0);
        let (parsed, padded) = Segment::parse(&bytes).unwrap();
        assert_eq!((parsed, without_padding(padded)), (segment, &data[..]), "{}", vector.name);
        kinds.push(kind);
    }
    assert_eq!(kinds.len(), 5);
}

#[test]
fn golden_malformations_are_refused() {
    for bad in vectors().malformed_frames {
        assert!(FrameHeader::parse(&hex::decode(bad.frame).unwrap()).is_err(), "{}", bad.name);
    }
}

#[test]
fn golden_texts_are_no_segments() {
    for text in vectors().texts {
        assert_eq!(Segment::parse(&hex::decode(text.payload).unwrap()), None, "{}", text.name);
    }
}

#[test]
fn acknowledgements() {
    assert_eq!(ack_text(1_732_255_200_123), "ACK:1732255200123");
    assert_eq!(ack_of(b"ACK:1732255200123\0\0\0"), Some(1_732_255_200_123));
    assert_eq!(ack_of(b"ACK:18446744073709551615"), Some(u64::MAX));
    let bad: [&[u8]; 10] = [
        b"",
        b"ACK:",
        b"ACK:+5",
        b"ACK:-5",
        b"ACK: 5",
        b"ack:5",
        b"ACK:5x",
        b"ACK:5\0x",
        b"NAK:5",
        b"ACK:18446744073709551616",
    ];
    for status in bad {
        assert_eq!(ack_of(status), None, "{status:?}");
    }
}

proptest! {
    #[test]
    fn codes_round_trip(code: u8) {
        prop_assert_eq!(u8::from(FrameType::from(code)), code);
        if let Some(kind) = SegmentKind::from_flags(code) {
            prop_assert_eq!(kind.flags(), code);
        }
    }

    #[test]
    fn frames_round_trip(
        kind: u8, origin: [u8; 6], destination: [u8; 6], ttl: u8, id: u64,
        payload in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let (origin, destination) = (V1Address(origin), V1Address(destination));
        prop_assume!(origin.is_station());
        prop_assume!(destination.is_station() || destination == V1Address::EVERYONE);
        let header = FrameHeader { kind: kind.into(), origin, destination, ttl, id };
        let frame = emitted(&header, &payload);
        prop_assert_eq!(FrameHeader::parse(&frame), Ok((header, &payload[..])));
        for cut in 0..HEADER_LEN {
            prop_assert_eq!(FrameHeader::parse(&frame[..cut]), Err(Malformed::Truncated));
        }
    }

    #[test]
    fn segments_round_trip(
        stream: u16, flags in prop::sample::select(vec![1u8, 2, 3, 4, 8]), seq: u32, ack: u32,
        data in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let kind = SegmentKind::from_flags(flags).unwrap();
        let segment = Segment { stream, kind, seq, ack };
        let bytes = emitted_segment(&segment, &data);
        prop_assert_eq!(Segment::parse(&bytes), Some((segment, &data[..])));
        for cut in 0..SEGMENT_HEADER_LEN {
            prop_assert_eq!(Segment::parse(&bytes[..cut]), None);
        }
    }

    #[test]
    fn arbitrary_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), version: bool) {
        let mut bytes = bytes;
        if let (Some(first), true) = (bytes.first_mut(), version) {
            *first = VERSION;
        }
        if let Ok((header, payload)) = FrameHeader::parse(&bytes) {
            prop_assert_eq!(emitted(&header, payload), bytes.clone());
        }
        if let Some((segment, data)) = Segment::parse(&bytes) {
            prop_assert_eq!(emitted_segment(&segment, data), bytes.clone());
        }
        let _ = ack_of(&bytes);
    }

    #[test]
    fn printable_text_is_never_a_segment(text in "[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f]{0,60}", padding in 0..50usize) {
        let mut bytes = text.clone().into_bytes();
        bytes.resize(bytes.len() + padding, 0);
        prop_assert_eq!(Segment::parse(&bytes), None);
        prop_assert_eq!(without_padding(&bytes), text.as_bytes());
    }

    #[test]
    fn acknowledgements_round_trip(id: u64, padding in 0..50usize) {
        let mut status = ack_text(id).into_bytes();
        status.resize(status.len() + padding, 0);
        prop_assert_eq!(ack_of(&status), Some(id));
    }
}
