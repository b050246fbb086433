#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| meshcore_fuzz::stream_packets::run(data));
