//! Random command sequences against the invariants.

use crate::core::exercise::operations;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_over_random_commands(data in proptest::collection::vec(any::<u8>(), 0..500)) {
        operations(&data);
    }

    #[test]
    fn decision_32_the_same_inputs_give_the_same_effects(
        data in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        prop_assert!(operations(&data) == operations(&data));
    }
}

#[test]
fn operation_sequences_by_bolero() {
    bolero::check!()
        .with_iterations(300)
        .for_each(|data: &[u8]| {
            operations(data);
        });
}
