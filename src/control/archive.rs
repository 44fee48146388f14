//! The archive's part of the control socket; the CLI uses the same answers on a storage that no
//! server runs on.

use crate::archive::seal::Seal;
use crate::archive::verify::Report;
use crate::archive::{Archivist, Asker, Found, Selection};
use crate::core::address::Address;
use crate::core::archive::{Archive, Held, Hold};
use crate::core::id::ConversationId;
use crate::telemetry::utc;
use serde::{Deserialize, Serialize};

/// What the CLI asks of the archive. Answers: [`ArchiveDone`].
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum ArchiveRequest {
    /// The newest messages that a query finds.
    Search {
        /// The query.
        query: String,
        /// Older than this row only.
        below: Option<u64>,
        /// At most so many.
        limit: usize,
        /// Who and why.
        asker: Asker,
    },
    /// Notes down that a selection is shown or exported.
    Begin {
        /// Exported, not only shown.
        export: bool,
        /// What.
        selection: Selection,
        /// Who and why.
        asker: Asker,
    },
    /// A page of a selection that was begun.
    Page {
        /// What.
        selection: Selection,
        /// Behind this row.
        above: u64,
        /// With what came in.
        originals: bool,
    },
    /// Checks the chain.
    Verify {
        /// Against these.
        seals: Vec<Seal>,
        /// Who and why.
        asker: Asker,
    },
    /// Seals the chain.
    Seal {
        /// Who and why.
        asker: Asker,
    },
    /// Adds a legal hold.
    Hold {
        /// The case.
        case: String,
        /// `person` or `conversation`.
        kind: String,
        /// Which.
        value: String,
        /// Who and why.
        asker: Asker,
    },
    /// Releases one hold of a case, or all of them.
    Release {
        /// The case.
        case: String,
        /// Kind and value; none = all of the case.
        held: Option<(String, String)>,
        /// Who and why.
        asker: Asker,
    },
    /// All legal holds.
    Holds,
}

/// What came of it.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveDone {
    /// Messages.
    Found(Found),
    /// What a check came to.
    Report(Report),
    /// A seal and its file; `None`: there is nothing to seal.
    Sealed(Option<(String, Seal)>),
    /// Holds.
    Holds(Vec<HoldRow>),
    /// So many are changed.
    Changed(usize),
}

/// One legal hold.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct HoldRow {
    /// The case.
    pub case: String,
    /// `person` or `conversation`.
    pub kind: String,
    /// Which.
    pub value: String,
    /// Since when (RFC 3339).
    pub since: String,
    /// Who ordered it.
    pub who: String,
    /// Why.
    pub why: String,
}

impl ArchiveRequest {
    /// Who asks, where that is noted down.
    pub fn asker(&mut self) -> Option<&mut Asker> {
        match self {
            Self::Search { asker, .. }
            | Self::Begin { asker, .. }
            | Self::Verify { asker, .. }
            | Self::Seal { asker }
            | Self::Hold { asker, .. }
            | Self::Release { asker, .. } => Some(asker),
            Self::Page { .. } | Self::Holds => None,
        }
    }
}

/// Does what is asked.
///
/// # Errors
/// In words for the operator.
pub async fn answer<A: Archive>(
    archivist: &Archivist<A>,
    mut request: ArchiveRequest,
) -> Result<ArchiveDone, String> {
    if let Some(asker) = request.asker()
        && asker.why.trim().is_empty()
    {
        return Err("say why: --reason TEXT (it is noted down in the archive)".to_owned());
    }
    let done = match request {
        ArchiveRequest::Search {
            query,
            below,
            limit,
            asker,
        } => {
            let found = archivist.search(&asker, &query, below, limit).await;
            found.map(ArchiveDone::Found)
        }
        ArchiveRequest::Begin {
            export,
            selection,
            asker,
        } => {
            let act = if export { "export" } else { "show" };
            let begun = archivist.begin(act, &asker, &selection).await;
            begun.map(|()| ArchiveDone::Changed(0))
        }
        ArchiveRequest::Page {
            selection,
            above,
            originals,
        } => {
            let found = archivist.page(&selection, above, originals).await;
            found.map(ArchiveDone::Found)
        }
        ArchiveRequest::Verify { seals, asker } => {
            let report = archivist.verify(&asker, seals).await;
            report.map(ArchiveDone::Report)
        }
        ArchiveRequest::Seal { asker } => archivist.seal(&asker).await.map(|sealed| {
            ArchiveDone::Sealed(sealed.map(|(path, seal)| (path.display().to_string(), seal)))
        }),
        ArchiveRequest::Hold {
            case,
            kind,
            value,
            asker,
        } => {
            let held = held(&kind, &value)?;
            let held = archivist.hold(&asker, &case, held).await;
            held.map(|()| ArchiveDone::Changed(1))
        }
        ArchiveRequest::Release {
            case,
            held: which,
            asker,
        } => {
            let which = which.map(|(kind, value)| held(&kind, &value)).transpose()?;
            let released = archivist.release(&asker, &case, which).await;
            released.map(ArchiveDone::Changed)
        }
        ArchiveRequest::Holds => {
            let holds = archivist.holds().await;
            holds.map(|holds| ArchiveDone::Holds(holds.iter().map(hold_row).collect()))
        }
    };
    done.map_err(|error| error.to_string())
}

/// In the one spelling that rows have.
fn held(kind: &str, value: &str) -> Result<Held, String> {
    let value = match kind {
        "person" => Address::parse(value)
            .map_err(|error| format!("{value:?} is no address: {error}"))?
            .to_string(),
        _ => value
            .parse::<ConversationId>()
            .map_err(|error| format!("{value:?} is no conversation: {error}"))?
            .to_string(),
    };
    Held::from_parts(kind, &value).ok_or_else(|| format!("{kind:?} can't be held"))
}

fn hold_row(hold: &Hold) -> HoldRow {
    let (kind, value) = hold.held.parts();
    HoldRow {
        case: hold.case.clone(),
        kind: kind.to_owned(),
        value: value.to_owned(),
        since: utc(hold.since.0),
        who: hold.who.clone(),
        why: hold.why.clone(),
    }
}
