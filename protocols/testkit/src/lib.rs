//! Engine pairs on virtual time, lossy links, transcripts (dev only).
