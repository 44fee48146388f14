//! Reading the facts of a transaction from messages, and choosing where responses go.

/// The branch of the top Via of octets that we wrote ourselves.
pub(super) fn branch_of(request: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(request, b";branch=")?;
    let value = request.get(at + b";branch=".len()..)?;
    value
        .split(|b| matches!(b, b';' | b',' | b'\r' | b' ' | b'\t'))
        .next()
}
