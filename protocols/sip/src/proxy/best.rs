//! The choice among final responses (RFC 3261 16.7 step 6).

/// The place of the best status; `None` if there is none. The earliest wins among equals.
///
/// A 6xx wins over all. Otherwise the lowest class does; within 4xx what tells the client how to
/// ask better comes first, and a real answer goes before a time-out or the end of a branch that we
/// cancelled; a 503 is the last of its class, since it says something about one server only.
pub(super) fn best(statuses: impl IntoIterator<Item = u16>) -> Option<usize> {
    let ranked = statuses.into_iter().enumerate();
    ranked
        .min_by_key(|(at, status)| (rank(*status), *at))
        .map(|(at, _)| at)
}

fn rank(status: u16) -> (u16, u16) {
    let within = match status {
        401 | 407 => 0,
        415 | 420 | 484 => 1,
        408 | 487 | 503 => 3,
        _ => 2,
    };
    match status / 100 {
        6 => (0, within),
        class => (class, within),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(statuses: &[u16]) -> Option<u16> {
        best(statuses.iter().copied()).and_then(|at| statuses.get(at).copied())
    }

    #[test]
    fn each_rule_of_the_choice() {
        for (statuses, wins) in [
            (&[486][..], 486),
            // 6xx before all others, even 3xx.
            (&[302, 486, 603], 603),
            (&[503, 600, 407], 600),
            // The lowest class.
            (&[503, 486, 302], 302),
            (&[500, 486], 486),
            // Within 4xx: what helps to ask again.
            (&[486, 404, 407], 407),
            (&[404, 420], 420),
            (&[415, 401], 401),
            (&[486, 484], 484),
            // An answer before a time-out or an end that we made.
            (&[408, 486], 486),
            (&[487, 480], 480),
            // 503 only if there is nothing else of its class.
            (&[503, 500], 500),
            (&[503], 503),
            // The earliest among equals.
            (&[480, 486], 480),
        ] {
            assert_eq!(of(statuses), Some(wins), "{statuses:?}");
        }
        assert_eq!(of(&[]), None);
    }
}
