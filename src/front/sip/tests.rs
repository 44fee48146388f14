//! The front over loopback sockets with raw text.
