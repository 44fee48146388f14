//! Presence states in each protocol's words. `presence-mapping.toml` is the one table; nothing else
//! maps states (`design.md` 7).

use crate::core::presence::{Origin, State};
use serde::Deserialize;
use std::sync::LazyLock;

/// One row: how a neutral state is written.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    /// Name of the neutral state.
    pub name: String,
    /// Name of the state that watchers see.
    pub visible_as: String,
    /// RVP element name, as its owner sets it.
    pub rvp: String,
    /// RVP element name as watchers see it, where that differs.
    pub rvp_visible: Option<String>,
    /// `open` or `closed`.
    pub pidf_basic: String,
    /// RFC 4480 activities to send.
    pub rpid_activities: Vec<String>,
    /// RFC 4480 user-input; empty = none.
    pub rpid_user_input: String,
    /// Text for clients that read a bare activity inside the tuple's status; empty = none.
    pub pidf_legacy: String,
    /// XPIDF status, `open` or `closed`.
    pub xpidf_status: String,
    /// XPIDF msnsubstatus.
    pub xpidf_substatus: String,
}

impl Row {
    /// Whether PIDF says `open`.
    pub fn is_open(&self) -> bool {
        self.pidf_basic == "open"
    }
}

#[derive(Deserialize)]
struct Table {
    state: Vec<Row>,
}

/// The whole table.
#[derive(Clone, Debug)]
pub struct Mapping {
    rows: Vec<(State, Row)>,
}

/// The table, read once.
pub fn mapping() -> &'static Mapping {
    static MAPPING: LazyLock<Mapping> = LazyLock::new(|| {
        // The text is part of the program; a test reads it.
        let table: Table =
            toml::from_str(include_str!("presence-mapping.toml")).expect("the embedded table");
        let rows = table.state.into_iter();
        Mapping {
            rows: rows
                .map(|row| (state(&row.name).expect("a known state"), row))
                .collect(),
        }
    });
    &MAPPING
}

/// The neutral state of that name.
pub fn state(name: &str) -> Option<State> {
    Some(match name {
        "registered" => State::Registered,
        "online" => State::Online,
        "idle" => State::Idle,
        "busy" => State::Busy,
        "do-not-disturb" => State::DoNotDisturb,
        "on-phone" => State::OnPhone,
        "at-lunch" => State::AtLunch,
        "away" => State::Away,
        "back-soon" => State::BackSoon,
        "invisible" => State::Invisible,
        "offline" => State::Offline,
        _ => return None,
    })
}

/// What a PIDF document says, reduced to what the table needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    /// Any tuple is open.
    pub open: bool,
    /// All activities named, RFC 4480 and legacy ones, in lower case.
    pub activities: Vec<String>,
    /// The machine is unattended (RFC 4480 user-input `idle`).
    pub idle: bool,
}

/// Which of several activities counts (`decisions.md` 10).
const RANK: [State; 5] = [
    State::OnPhone,
    State::Busy,
    State::AtLunch,
    State::BackSoon,
    State::Away,
];

impl Mapping {
    /// How a state is written. `Registered` is written as online.
    pub fn row(&self, state: State) -> &Row {
        let wanted = match state {
            State::Registered => State::Online,
            other => other,
        };
        let found = self.rows.iter().find(|(state, _)| *state == wanted);
        // Every state has a row (a test says so); the first is online.
        &found.unwrap_or(&self.rows[0]).1
    }

    /// The state that an RVP element names; the first row wins where two share a word.
    pub fn read_rvp(&self, element: &str) -> Option<State> {
        self.rows
            .iter()
            .find(|(_, row)| row.rvp == element)
            .map(|(state, _)| *state)
    }

    /// The element that watchers on RVP are shown for a state.
    pub fn rvp_shown(&self, state: State) -> &str {
        let row = self.row(state);
        row.rvp_visible.as_deref().unwrap_or(&row.rvp)
    }

    /// The state that a PIDF document means, and who said so (`decisions.md` 10): open if any tuple
    /// is; of several activities on-phone > busy > at-lunch > back-soon > away. Away that came with
    /// an idle mark is the machine's word. Activities that the table does not know change nothing.
    pub fn read_pidf(&self, spoken: &Spoken) -> (State, Origin) {
        if !spoken.open {
            return (State::Offline, Origin::Automatic);
        }
        let said = |state: &State| {
            spoken
                .activities
                .iter()
                .any(|word| self.activity_state(word) == Some(*state))
        };
        match RANK.into_iter().find(said) {
            Some(State::Away) if spoken.idle => (State::Away, Origin::Automatic),
            Some(state) => (state, Origin::Manual),
            None if spoken.idle => (State::Idle, Origin::Automatic),
            None => (State::Online, Origin::Automatic),
        }
    }

    /// The state that one activity means. A word of several rows means the one it names by itself:
    /// `away` is away, though back-soon is written with it too.
    fn activity_state(&self, word: &str) -> Option<State> {
        if let Some(state) = state(word) {
            return Some(state);
        }
        // Words of other dialects for the same things.
        match word {
            "dnd" | "appointment" | "meeting" | "in-transit" | "performance" | "presentation"
            | "working" => return Some(State::Busy),
            "lunch" | "breakfast" | "dinner" => return Some(State::AtLunch),
            "brb" | "be-right-back" | "berightback" => return Some(State::BackSoon),
            "permanent-absence" | "sleeping" | "vacation" | "holiday" => return Some(State::Away),
            _ => {}
        }
        self.rows
            .iter()
            .find(|(_, row)| row.rpid_activities.iter().any(|a| a == word))
            .map(|(state, _)| *state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [State; 11] = [
        State::Registered,
        State::Online,
        State::Idle,
        State::Busy,
        State::DoNotDisturb,
        State::OnPhone,
        State::AtLunch,
        State::Away,
        State::BackSoon,
        State::Invisible,
        State::Offline,
    ];

    #[test]
    fn every_state_has_its_row() {
        for want in ALL.into_iter().skip(1) {
            let row = mapping().row(want);
            assert_eq!(state(&row.name), Some(want));
            assert!(state(&row.visible_as).is_some());
        }
        assert_eq!(mapping().row(State::Registered).name, "online");
    }

    #[test]
    fn rvp_words_come_back() {
        for want in ALL.into_iter().skip(1) {
            let word = &mapping().row(want).rvp;
            let read = mapping().read_rvp(word);
            let shared = matches!(want, State::DoNotDisturb);
            assert_eq!(read, Some(if shared { State::Busy } else { want }));
        }
        assert_eq!(mapping().read_rvp("extended-away"), None);
        assert_eq!(mapping().rvp_shown(State::Invisible), "offline");
    }

    #[test]
    fn pidf_is_read_by_rank() {
        let read = |open, words: &[&str], idle| {
            mapping().read_pidf(&Spoken {
                open,
                activities: words.iter().map(|&w| w.to_owned()).collect(),
                idle,
            })
        };
        let manual = |state| (state, Origin::Manual);
        assert_eq!(
            read(false, &["busy"], false),
            (State::Offline, Origin::Automatic)
        );
        assert_eq!(
            read(true, &["away", "busy", "on-the-phone"], false),
            manual(State::OnPhone)
        );
        assert_eq!(read(true, &["away", "meal"], false), manual(State::AtLunch));
        assert_eq!(read(true, &["away"], false), manual(State::Away));
        assert_eq!(
            read(true, &["away"], true),
            (State::Away, Origin::Automatic)
        );
        assert_eq!(read(true, &[], true), (State::Idle, Origin::Automatic));
        assert_eq!(
            read(true, &["gardening"], false),
            (State::Online, Origin::Automatic)
        );
    }
}
