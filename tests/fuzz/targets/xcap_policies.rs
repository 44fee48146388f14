//! Presence rules of any kind, validated and mirrored.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| xcap::fuzz::policies(data));
