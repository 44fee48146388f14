#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| xml::fuzz::gate(data));
