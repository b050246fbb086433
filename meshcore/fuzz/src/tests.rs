//! Runs the targets without a fuzzer: over the inputs that are kept in `seeds`, and over random ones.

#![allow(clippy::disallowed_methods)] // tests are drivers

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::{frames, stream_operations, stream_packets};

/// Runs a target over the inputs that are kept for it.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut inputs: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!inputs.is_empty());
    inputs.sort();
    for input in inputs {
        println!("{}", input.display());
        run(&fs::read(input).unwrap());
    }
}

#[test]
fn kept_inputs_of_stream_operations() {
    replay("stream_operations", stream_operations::run);
}

#[test]
fn kept_inputs_of_stream_packets() {
    replay("stream_packets", stream_packets::run);
}

#[test]
fn kept_inputs_of_frames() {
    replay("frames", frames::run);
}

fn input() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..4000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn operations_never_deadlock(data in input()) {
        stream_operations::run(&data);
    }

    #[test]
    fn any_packets_of_a_proved_peer_are_harmless(data in input()) {
        stream_packets::run(&data);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_frames_are_harmless(data in input()) {
        frames::run(&data);
    }
}
