//! Any sequence of requests, responses, timers, losses and cancels.

use crate::proxy::exercise::exercise;

#[test]
fn the_invariants_hold_in_any_order() {
    bolero::check!()
        .with_type::<Vec<(u8, u8, u16)>>()
        .for_each(|operations| exercise(operations));
}

/// Long ones, from a generator of our own: random vectors are short.
#[test]
fn the_invariants_hold_over_long_runs() {
    for seed in 0..300 {
        let mut rng = testkit::Rng::new(seed);
        let mut number = |below: u64| rng.below(below);
        let operations: Vec<_> = (0..200)
            .map(|_| {
                // Mostly short spans, sometimes one over all timers.
                let span = if number(10) == 0 { 60_000 } else { number(700) };
                let (what, which) = (number(8), number(256));
                (
                    u8::try_from(what).unwrap(),
                    u8::try_from(which).unwrap(),
                    u16::try_from(span).unwrap(),
                )
            })
            .collect();
        exercise(&operations);
    }
}
