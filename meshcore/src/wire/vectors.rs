//! Golden bytes of AlexMesh, read in both directions; made by a program that knows the specification alone.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;

use super::broadcast::Broadcast;
use super::echo::{Echo, EchoKind};
use super::frame::FrameHeader;
use super::hello::{Heard, Hello};
use super::identity::{IdentityRequest, parse_record};
use super::probe::Probe;
use super::update::{Advert, INFINITE, Seqno, SeqnoRequest, Update, UpdateRequest};
use crate::types::Address;

#[derive(Deserialize)]
struct Vectors {
    subkey: Subkey,
    frames: Vec<Vector>,
    malformed_frames: Vec<Malformation>,
    malformed_payloads: Vec<Malformation>,
}

#[derive(Deserialize)]
struct Subkey {
    public: String,
}

#[derive(Deserialize)]
struct Malformation {
    name: String,
    #[serde(rename = "type", default)]
    kind: u8,
    #[serde(alias = "frame", alias = "payload")]
    bytes: String,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    frame: String,
    padding: usize,
    #[serde(rename = "type")]
    kind: u8,
    hop_limit: u8,
    traffic_class: u8,
    source: String,
    destination: String,
    payload: String,
    hello: Option<HelloFields>,
    identity_request: Option<IdentityRequestFields>,
    identity_record: Option<RecordFields>,
    update: Option<UpdateFields>,
    update_request: Option<UpdateRequestFields>,
    seqno_request: Option<SeqnoRequestFields>,
    probe: Option<ProbeFields>,
    echo: Option<EchoFields>,
    broadcast: Option<BroadcastFields>,
}

#[derive(Deserialize)]
struct HelloFields {
    seqno: u16,
    interval: u16,
    instance: u64,
    version: u64,
    total: u16,
    heard: Vec<HeardFields>,
}

#[derive(Deserialize)]
struct HeardFields {
    node: String,
    seqno: u16,
    rxcost: u16,
    instance: u32,
}

#[derive(Deserialize)]
struct IdentityRequestFields {
    heard: u16,
    node: String,
}

#[derive(Deserialize)]
struct RecordFields {
    node: String,
    record: String,
}

#[derive(Deserialize)]
struct UpdateFields {
    instance: u64,
    floor: u64,
    from: u64,
    to: u64,
    entries: Vec<EntryFields>,
}

#[derive(Deserialize)]
struct EntryFields {
    destination: String,
    record: u64,
    count: u32,
    metric: u16,
    mtu: u16,
    hops: u8,
    signature: String,
}

#[derive(Deserialize)]
struct UpdateRequestFields {
    heard: u16,
    floor: u64,
    since: u64,
}

#[derive(Deserialize)]
struct SeqnoRequestFields {
    heard: u16,
    destination: String,
    record: u64,
    count: u32,
    hop_limit: u8,
}

#[derive(Deserialize)]
struct ProbeFields {
    answer: bool,
    nonce: u32,
}

#[derive(Deserialize)]
struct EchoFields {
    kind: u8,
    id: u64,
}

#[derive(Deserialize)]
struct BroadcastFields {
    record: u64,
    sequence: u64,
    signature: String,
    content: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../tests/vectors/mesh.json")).unwrap()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// The payload as written behind a byte that must stay, and as the vector has it.
fn check(vector: &Vector, emit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0xa5];
    emit(&mut out);
    assert_eq!(hex::encode(&out), format!("a5{}", vector.payload), "{}", vector.name);
    out.split_off(1)
}

#[test]
fn frames_hold_in_both_directions() {
    for vector in vectors().frames {
        let header = FrameHeader {
            kind: vector.kind.into(),
            hop_limit: vector.hop_limit,
            class: vector.traffic_class.into(),
            source: address(&vector.source),
            destination: address(&vector.destination),
        };
        let payload = hex::decode(&vector.payload).unwrap();
        let mut frame = header.emit(payload.len() as u16).to_vec();
        frame.extend(&payload);
        assert_eq!(hex::encode(&frame), vector.frame, "{}", vector.name);
        frame.resize(frame.len() + vector.padding, 0);
        assert_eq!(FrameHeader::parse(&frame), Ok((header, &payload[..])), "{}", vector.name);
    }
}

#[test]
fn hellos_hold_in_both_directions() {
    for vector in vectors().frames {
        let Some(HelloFields { seqno, interval, instance, version, total, heard }) = &vector.hello else {
            continue;
        };
        let hello = Hello {
            seqno: *seqno,
            interval: *interval,
            instance: *instance,
            version: *version,
            total: *total,
        };
        let heard: Vec<Heard> = heard
            .iter()
            .map(|h| Heard { node: address(&h.node), seqno: h.seqno, rxcost: h.rxcost, instance: h.instance })
            .collect();
        let payload = check(&vector, |out| hello.emit(heard.iter().copied(), out));
        let (parsed, list) = Hello::parse(&payload).unwrap();
        assert_eq!((parsed, list.iter().collect()), (hello, heard), "{}", vector.name);
    }
}

#[test]
fn updates_hold_in_both_directions_and_are_signed() {
    let vectors = vectors();
    let subkey = UnparsedPublicKey::new(&ED25519, hex::decode(&vectors.subkey.public).unwrap());
    for vector in vectors.frames {
        let Some(fields) = &vector.update else { continue };
        let UpdateFields { instance, floor, from, to, .. } = *fields;
        let update = Update { instance, floor, from, to };
        let adverts: Vec<Advert> = fields
            .entries
            .iter()
            .map(|e| Advert {
                destination: address(&e.destination),
                seqno: Seqno { record: e.record, count: e.count },
                metric: e.metric,
                mtu: e.mtu,
                hops: e.hops,
                signature: hex::decode(&e.signature).unwrap().try_into().unwrap(),
            })
            .collect();
        let payload = check(&vector, |out| {
            update.emit(out);
            adverts.iter().for_each(|advert| advert.emit(out));
        });
        let (parsed, list) = Update::parse(&payload).unwrap();
        assert_eq!((parsed, list.collect()), (update, adverts.clone()), "{}", vector.name);
        for advert in adverts.iter().filter(|advert| advert.metric != INFINITE) {
            let message = advert.seqno.signed_message(advert.destination);
            subkey.verify(&message, &advert.signature).expect(&vector.name);
        }
    }
}

#[test]
fn requests_and_records_hold_in_both_directions() {
    for vector in vectors().frames {
        if let Some(IdentityRequestFields { heard, node }) = &vector.identity_request {
            let request = IdentityRequest { heard: *heard, node: address(node) };
            assert_eq!(IdentityRequest::parse(&check(&vector, |out| request.emit(out))), Ok(request));
        }
        if let Some(RecordFields { node, record }) = &vector.identity_record {
            let payload = hex::decode(&vector.payload).unwrap();
            assert_eq!(parse_record(&payload), Ok((address(node), &hex::decode(record).unwrap()[..])));
        }
        if let Some(UpdateRequestFields { heard, floor, since }) = vector.update_request {
            let request = UpdateRequest { heard, floor, since };
            assert_eq!(UpdateRequest::parse(&check(&vector, |out| request.emit(out))), Ok(request));
        }
        if let Some(SeqnoRequestFields { heard, destination, record, count, hop_limit }) =
            &vector.seqno_request
        {
            let seqno = Seqno { record: *record, count: *count };
            let destination = address(destination);
            let request = SeqnoRequest { heard: *heard, destination, seqno, hop_limit: *hop_limit };
            assert_eq!(SeqnoRequest::parse(&check(&vector, |out| request.emit(out))), Ok(request));
        }
    }
}

#[test]
fn probes_and_echoes_hold_in_both_directions() {
    for vector in vectors().frames {
        if let Some(ProbeFields { answer, nonce }) = vector.probe {
            let probe = Probe { answer, nonce };
            assert_eq!(Probe::parse(&check(&vector, |out| probe.emit(out))), Ok(probe));
        }
        if let Some(EchoFields { kind, id }) = vector.echo {
            let kind = [EchoKind::Request, EchoKind::Reply, EchoKind::Exceeded][usize::from(kind)];
            let echo = Echo { kind, id };
            assert_eq!(Echo::parse(&check(&vector, |out| echo.emit(out))), Ok(echo));
        }
    }
}

#[test]
fn broadcasts_hold_in_both_directions_and_are_signed() {
    let vectors = vectors();
    let subkey = UnparsedPublicKey::new(&ED25519, hex::decode(&vectors.subkey.public).unwrap());
    for vector in vectors.frames {
        let Some(fields) = &vector.broadcast else { continue };
        let content = hex::decode(&fields.content).unwrap();
        let BroadcastFields { record, sequence, .. } = *fields;
        let signature = hex::decode(&fields.signature).unwrap().try_into().unwrap();
        let broadcast = Broadcast { record, sequence, signature, content: &content };
        assert_eq!(Broadcast::parse(&check(&vector, |out| broadcast.emit(out))), Ok(broadcast));
        subkey.verify(&broadcast.signed_message(address(&vector.source)), &signature).unwrap();
    }
}

#[test]
fn malformations_are_refused() {
    let vectors = vectors();
    for bad in vectors.malformed_frames {
        assert!(FrameHeader::parse(&hex::decode(bad.bytes).unwrap()).is_err(), "{}", bad.name);
    }
    for bad in vectors.malformed_payloads {
        let payload = hex::decode(bad.bytes).unwrap();
        let refused = match bad.kind {
            1 => Hello::parse(&payload).is_err(),
            2 => IdentityRequest::parse(&payload).is_err(),
            3 => parse_record(&payload).is_err(),
            5 => Update::parse(&payload).is_err(),
            6 => UpdateRequest::parse(&payload).is_err(),
            7 => SeqnoRequest::parse(&payload).is_err(),
            8 => Probe::parse(&payload).is_err(),
            9 => Echo::parse(&payload).is_err(),
            10 => Broadcast::parse(&payload).is_err(),
            other => panic!("{}: type {other}", bad.name),
        };
        assert!(refused, "{}", bad.name);
    }
}
