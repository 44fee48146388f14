//! Authentication exchanges as values: challenge, answer, verdict.

pub mod ntlm;
