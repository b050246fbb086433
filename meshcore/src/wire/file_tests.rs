//! Records of files: golden vectors made by another program, properties, hostile bytes.

use bytes::Bytes;
use ciborium::Value;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    records: Vec<Vector>,
    malformed_bodies: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    hex: String,
}

#[derive(Deserialize)]
struct Vector {
    #[serde(flatten)]
    named: Named,
    #[serde(flatten)]
    fields: Fields,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Fields {
    Offer { id: String, size: String, sha256: String, file: String },
    Want { id: String },
    Noted,
    Accept { offset: String },
    Chunk { offset: String, data: String },
    Progress { offset: String },
    Finished,
    Cancel { id: String, reason: u8 },
    Unknown { code: u8 },
}

fn array<const N: usize>(hex: &str) -> [u8; N] {
    hex::decode(hex).unwrap().try_into().unwrap()
}

fn record(fields: Fields) -> FileRecord {
    let number = |text: String| text.parse().unwrap();
    match fields {
        Fields::Offer { id, size, sha256, file } => FileRecord::Offer(Offer {
            id: FileId(array(&id)),
            size: number(size),
            sha256: array(&sha256),
            name: file,
        }),
        Fields::Want { id } => FileRecord::Want(FileId(array(&id))),
        Fields::Noted => FileRecord::Noted,
        Fields::Accept { offset } => FileRecord::Accept(number(offset)),
        Fields::Chunk { offset, data } => {
            FileRecord::Chunk { offset: number(offset), data: hex::decode(data).unwrap().into() }
        }
        Fields::Progress { offset } => FileRecord::Progress(number(offset)),
        Fields::Finished => FileRecord::Finished,
        Fields::Cancel { id, reason } => {
            FileRecord::Cancel { id: FileId(array(&id)), reason: FileReason::from_code(reason) }
        }
        Fields::Unknown { code } => FileRecord::Unknown(code),
    }
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../tests/vectors/file.json")).unwrap()
}

#[test]
fn golden_records() {
    let records = vectors().records;
    assert!(!records.is_empty());
    for Vector { named: Named { name, hex }, fields } in records {
        let record = record(fields);
        let bytes = Bytes::from(hex::decode(&hex).unwrap());
        let (length, body) = bytes.split_first_chunk().unwrap();
        assert_eq!(parse_length(*length), Ok(body.len()), "{name}");
        assert_eq!(FileRecord::parse(&bytes.slice(LENGTH_LEN..)).as_ref(), Ok(&record), "{name}");
        if !matches!(record, FileRecord::Unknown(_)) {
            assert_eq!(hex::encode(record.emit()), hex, "{name}");
        }
    }
}

#[test]
fn malformed_bodies_are_refused() {
    for Named { name, hex } in vectors().malformed_bodies {
        let body = Bytes::from(hex::decode(hex).unwrap());
        assert!(FileRecord::parse(&body).is_err(), "{name}");
    }
}

fn any_record() -> impl Strategy<Value = FileRecord> {
    let id = || any::<[u8; 16]>().prop_map(FileId);
    let offset = || prop_oneof![0..=MAX_SIZE, 0..300u64, Just(MAX_SIZE)];
    let offer = (id(), offset(), any::<[u8; 32]>(), "\\PC{1,200}");
    prop_oneof![
        offer.prop_map(|(id, size, sha256, name)| FileRecord::Offer(Offer { id, size, sha256, name })),
        id().prop_map(FileRecord::Want),
        Just(FileRecord::Noted),
        offset().prop_map(FileRecord::Accept),
        (offset(), prop::collection::vec(any::<u8>(), 1..700))
            .prop_map(|(offset, data)| FileRecord::Chunk { offset, data: data.into() }),
        offset().prop_map(FileRecord::Progress),
        Just(FileRecord::Finished),
        (id(), any::<u8>())
            .prop_map(|(id, code)| FileRecord::Cancel { id, reason: FileReason::from_code(code) }),
        (9u8..).prop_map(FileRecord::Unknown),
    ]
}

/// What a common library makes of the same values.
fn by_ciborium(record: &FileRecord) -> Vec<u8> {
    let (uint, bytes) = (|n: u64| Value::from(n), |b: &[u8]| Value::Bytes(b.to_vec()));
    let items = match record {
        FileRecord::Offer(Offer { id, size, sha256, name }) => {
            vec![uint(1), bytes(&id.0), uint(*size), bytes(sha256), Value::Text(name.clone())]
        }
        FileRecord::Want(id) => vec![uint(2), bytes(&id.0)],
        FileRecord::Noted => vec![uint(3)],
        FileRecord::Accept(offset) => vec![uint(4), uint(*offset)],
        FileRecord::Chunk { offset, data } => vec![uint(5), uint(*offset), bytes(data)],
        FileRecord::Progress(offset) => vec![uint(6), uint(*offset)],
        FileRecord::Finished => vec![uint(7)],
        FileRecord::Cancel { id, reason } => vec![uint(8), bytes(&id.0), uint(reason.code().into())],
        FileRecord::Unknown(kind) => vec![uint((*kind).into())],
    };
    let mut out = Vec::new();
    ciborium::into_writer(&Value::Array(items), &mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn records_round_trip(record in any_record()) {
        let bytes = record.emit();
        let (length, body) = bytes.split_first_chunk().unwrap();
        prop_assert_eq!(parse_length(*length), Ok(body.len()));
        prop_assert_eq!(body, &by_ciborium(&record)[..]);
        prop_assert_eq!(FileRecord::parse(&bytes.slice(LENGTH_LEN..)), Ok(record));
    }

    /// Whatever is taken is the one encoding of what it means.
    #[test]
    fn arbitrary_bytes_never_panic(
        mut body in prop::collection::vec(any::<u8>(), 0..80),
        items in 0u8..8,
        kind in 0u8..10,
    ) {
        for _ in 0..2 {
            let bytes = Bytes::from(body.clone());
            if let Ok(record) = FileRecord::parse(&bytes) && !matches!(record, FileRecord::Unknown(_)) {
                prop_assert_eq!(record.emit().slice(LENGTH_LEN..), bytes);
            }
            if body.len() > 2 {
                (body[0], body[1]) = (0x80 | items, kind);
            }
        }
    }

    #[test]
    fn every_change_of_a_byte_is_seen(record in any_record(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        prop_assume!(!matches!(record, FileRecord::Unknown(_)));
        let mut body = record.emit()[LENGTH_LEN..].to_vec();
        let at = at.index(body.len());
        body[at] ^= flip;
        prop_assert_ne!(FileRecord::parse(&body.into()), Ok(record));
    }

    #[test]
    fn no_part_of_a_record_is_one(record in any_record(), end in any::<prop::sample::Index>()) {
        let body = record.emit().slice(LENGTH_LEN..);
        let end = end.index(body.len());
        prop_assert!(FileRecord::parse(&body.slice(..end)).is_err());
    }
}

#[test]
fn lengths_are_bounded() {
    assert!(parse_length([0; 4]).is_err());
    assert!(parse_length([0xff; 4]).is_err());
    assert_eq!(parse_length((MAX_BODY as u32).to_be_bytes()), Ok(MAX_BODY));
    assert!(parse_length((MAX_BODY as u32 + 1).to_be_bytes()).is_err());
    let largest = FileRecord::Chunk { offset: MAX_SIZE, data: vec![7; MAX_CHUNK].into() };
    let bytes = largest.emit();
    let longer = FileRecord::Chunk { offset: 0, data: vec![7; MAX_CHUNK + 1].into() };
    assert!(FileRecord::parse(&longer.emit().slice(LENGTH_LEN..)).is_err());
    assert!(bytes.len() <= LENGTH_LEN + MAX_BODY);
    // No byte of a chunk is copied when it is parsed.
    let Ok(FileRecord::Chunk { data, .. }) = FileRecord::parse(&bytes.slice(LENGTH_LEN..)) else { panic!() };
    assert_eq!(data.as_ptr_range().end, bytes.as_ptr_range().end);
}
