#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| meshcore_fuzz::stream_operations::run(data));
