//! Command sequences over a few people: the invariants of the core hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tristack::core::exercise::operations(data);
});
