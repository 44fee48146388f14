//! Authentication exchanges as values: challenge, answer, verdict.
