//! Random values for cnonces and conversation ids, from the standard library's seeds. Not for keys.

use std::hash::{BuildHasher, RandomState};

/// 128 bits.
pub(super) fn bits() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(std::thread::current().id()));
    half() << 64 | half()
}
