//! The golden bytes of `tests/vectors/stream.json`, in both directions. They were computed apart from this code.

use super::*;
use crate::stream::params::Params;
use crate::stream::tls::initial_keys;
use crate::wire::packet::{Header, Kind, Retry, expand_number};
use crate::wire::reader::Reader;
use crate::wire::segment::{Ack, AckFrequency, Segment};
use crate::wire::varint;
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/vectors/stream.json")).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn id(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap(), 16).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn varints() {
    for vector in list(&vectors()["varint"]) {
        let mut out = Vec::new();
        varint::emit(number(&vector["value"]), &mut out);
        assert_eq!(out, bytes(&vector["hex"]));
        assert_eq!(varint::parse(&mut Reader::new(&out)), Ok(number(&vector["value"])));
    }
}

#[test]
fn packet_numbers() {
    for vector in list(&vectors()["packet_number"]) {
        let truncated = number(&vector["truncated"]) as u32;
        assert_eq!(expand_number(truncated, number(&vector["expected"])), number(&vector["number"]));
    }
}

#[test]
fn headers() {
    for vector in list(&vectors()["header"]) {
        let kind = match vector["kind"].as_str().unwrap() {
            "initial" => {
                let token =
                    vector["token"].as_str().map(|token| hex::decode(token).unwrap().try_into().unwrap());
                Kind::Initial { source: id(&vector["source"]), token }
            }
            "handshake" => Kind::Handshake { source: id(&vector["source"]) },
            _ => Kind::Data { phase: vector["phase"].as_bool().unwrap() },
        };
        let header = Header {
            kind,
            destination: id(&vector["destination"]),
            number: number(&vector["number"]) as u32,
        };
        let mut out = Vec::new();
        header.emit(&mut out);
        assert_eq!(out, bytes(&vector["hex"]));
        out.extend([0; 16]);
        assert_eq!(Header::parse(&out), Ok((header, out.len() - 16)));
    }
}

#[test]
fn retry() {
    let vector = &vectors()["retry"];
    let token = bytes(&vector["token"]).try_into().unwrap();
    let retry = Retry { destination: id(&vector["destination"]), original: id(&vector["original"]), token };
    let mut out = Vec::new();
    retry.emit(&mut out);
    assert_eq!(out, bytes(&vector["hex"]));
    assert_eq!(Retry::parse(&out), Some(Ok(retry)));
}

#[test]
fn segments() {
    let vectors = vectors();
    let segments = [
        ("padding", Segment::Padding),
        ("ping", Segment::Ping),
        ("reset_stream", Segment::ResetStream { stream: 8, code: 42, final_size: 100_000 }),
        ("stop_sending", Segment::StopSending { stream: 9, code: 43 }),
        ("crypto", Segment::Crypto { offset: 1200, data: b"abc" }),
        ("stream", Segment::Stream { stream: 4, offset: 0, fin: false, data: b"hi" }),
        ("stream_offset_fin", Segment::Stream { stream: 4, offset: 70_000, fin: true, data: b"hi" }),
        ("max_data", Segment::MaxData(4 << 20)),
        ("max_stream_data", Segment::MaxStreamData { stream: 4, max: 1 << 20 }),
        ("max_streams", Segment::MaxStreams(128)),
        ("data_blocked", Segment::DataBlocked(5)),
        ("stream_data_blocked", Segment::StreamDataBlocked { stream: 4, limit: 6 }),
        ("streams_blocked", Segment::StreamsBlocked(7)),
        ("close_transport", Segment::CloseTransport { code: 0x131, segment: 6, reason: b"no" }),
        ("close_application", Segment::CloseApplication { code: 7, reason: b"bye" }),
        ("handshake_done", Segment::HandshakeDone),
        (
            "ack_frequency",
            Segment::AckFrequency(AckFrequency { sequence: 3, threshold: 63, delay: 5000, reordering: 1 }),
        ),
        ("datagram", Segment::Datagram(b"ping")),
    ];
    assert_eq!(vectors["segment"].as_object().unwrap().len(), segments.len() + 1);
    for (name, segment) in segments {
        let golden = bytes(&vectors["segment"][name]);
        let mut out = Vec::new();
        segment.emit(&mut out);
        assert_eq!(out, golden, "{name}");
        assert_eq!(Segment::parse(&mut Reader::new(&golden)), Ok(segment));
    }
    let golden = bytes(&vectors["segment"]["ack"]);
    let Ok(Segment::Ack(ack)) = Segment::parse(&mut Reader::new(&golden)) else { panic!("not an ACK") };
    let Ack { largest, delay, .. } = ack;
    assert_eq!((largest, delay), (1000, 50));
    assert_eq!(ack.ranges().collect::<Vec<_>>(), [990..=1000, 985..=988, 913..=913]);
    let mut out = Vec::new();
    Segment::Ack(ack).emit(&mut out);
    assert_eq!(out, golden);
}

#[test]
fn transport_parameters() {
    let vector = &vectors()["transport_parameters"];
    let params = Params {
        original_destination: Some(id(&vector["original_destination"])),
        initial_source: id(&vector["initial_source"]),
        max_idle_timeout: Duration::from_millis(number(&vector["max_idle_timeout_ms"])),
        max_data: number(&vector["max_data"]),
        max_stream_data: number(&vector["max_stream_data"]),
        max_streams: number(&vector["max_streams"]),
        max_ack_delay: Duration::from_millis(number(&vector["max_ack_delay_ms"])),
        max_datagram: number(&vector["max_datagram"]),
        min_ack_delay: vector["min_ack_delay_us"].as_u64().map(Duration::from_micros),
    };
    assert_eq!(params.emit(), bytes(&vector["hex"]));
    assert_eq!(Params::parse(&bytes(&vector["hex"])), Ok(params));
}

#[test]
fn protection_of_initial_packets() {
    for vector in list(&vectors()["initial_packet"]) {
        let original = id(&vector["original_destination"]);
        let (sender, receiver) = match vector["sender"].as_str().unwrap() {
            "client" => (Side::Client, Side::Server),
            _ => (Side::Server, Side::Client),
        };
        let (header, mut plain) = (bytes(&vector["header"]), bytes(&vector["plaintext"]));
        let number = number(&vector["number"]);
        let keys = initial_keys(original, sender).unwrap();
        let tag = keys.local.packet.encrypt_in_place(number, &header, &mut plain).unwrap();
        let packet = bytes(&vector["packet"]);
        assert_eq!([&header, plain.as_slice(), tag.as_ref()].concat(), packet);
        let keys = initial_keys(original, receiver).unwrap();
        let mut body = packet[header.len()..].to_vec();
        let opened = keys.remote.packet.decrypt_in_place(number, &header, &mut body).unwrap();
        assert_eq!(opened, bytes(&vector["plaintext"]));
    }
}
