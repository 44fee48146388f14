//! Documents, see the coming commits.
