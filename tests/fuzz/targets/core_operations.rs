//! Command sequences over a few people: the invariants of the core hold.
#![no_main]

// By its path: as part of the server it would bring everything else along.
#[allow(dead_code, unused_imports)]
#[path = "../../../src/core/mod.rs"]
mod core;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    crate::core::exercise::operations(data);
});
