//! The tristack binary.

fn main() {}
