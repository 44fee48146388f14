//! Selectors, bodies and documents of any kind.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| xcap::fuzz::edits(data));
