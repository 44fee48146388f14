//! MIME block.
