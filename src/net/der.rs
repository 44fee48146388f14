//! Just enough DER to look into certificates that somebody else has judged (X.690).

/// One DER value: tag and content; moves `rest` behind it.
pub(super) fn value<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, after) = rest.split_first()?;
    let (&first, after) = after.split_first()?;
    let (length, after) = if first < 0x80 {
        (usize::from(first), after)
    } else {
        let count = usize::from(first & 0x7f);
        if !(1..=3).contains(&count) {
            return None;
        }
        let (octets, after) = after.split_at_checked(count)?;
        let length = octets.iter().fold(0, |sum, o| sum << 8 | usize::from(*o));
        (length, after)
    };
    let (content, after) = after.split_at_checked(length)?;
    *rest = after;
    Some((tag, content))
}
