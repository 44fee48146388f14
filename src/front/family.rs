//! Which program a client is, whatever it calls itself on a stack: one program that is signed in on
//! several stacks names itself differently on each.

use std::sync::Arc;

/// A part of the name (lower case) and the family it tells. The first that fits decides.
const KNOWN: [(&str, &str); 9] = [
    // COMPAT(libpurple): the plug-in stands behind the library's name.
    ("purple", "purple"),
    ("pidgin", "purple"),
    ("gaim", "purple"),
    // COMPAT(Windows Messenger): `MSMSGS/5.1.0701` in HTTP, `RTC/1.3.5470 (Messenger 5.1.0680)` in
    // SIP (microsoft-sip.md 1.2).
    ("msmsgs", "messenger"),
    ("(messenger", "messenger"),
    ("windows messenger", "messenger"),
    // COMPAT(Communicator): names its library first.
    ("communicator", "communicator"),
    ("uccapi", "communicator"),
    ("trillian", "trillian"),
];

/// The family of a User-Agent; `None` if it names nothing.
pub(super) fn family(agent: &str) -> Option<Arc<str>> {
    let lower = agent.to_ascii_lowercase();
    let known = KNOWN.iter().find(|(part, _)| lower.contains(part));
    if let Some((_, family)) = known {
        return Some((*family).into());
    }
    // `Product/1.2 (comment)`: the first product is the program.
    let product = lower.split(['/', ' ', '(']).next().unwrap_or_default();
    (!product.is_empty()).then(|| product.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_program_is_one_family_on_every_stack() {
        for (agent, want) in [
            ("MSMSGS/5.1.0701", Some("messenger")),
            ("msmsgs/4.7.3001 (Windows XP)", Some("messenger")),
            ("RTC/1.3.5470 (Messenger 5.1.0680)", Some("messenger")),
            ("Purple/2.14.12 Sipe/1.25.0 (linux-x86_64)", Some("purple")),
            ("Pidgin 2.14", Some("purple")),
            ("baresip v1.0.0 (x86_64/linux)", Some("baresip")),
            ("RTC/1.2", Some("rtc")),
            ("", None),
            (" x", None),
        ] {
            assert_eq!(family(agent).as_deref(), want, "{agent}");
        }
    }
}
