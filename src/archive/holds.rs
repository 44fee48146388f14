//! Legal holds, by case.

use super::record::JournalHead;
use super::service::{Archivist, Asker, Failed};
use crate::core::archive::{Archive, Held, Hold};
use crate::core::port::Write;

impl<A: Archive> Archivist<A> {
    /// All legal holds.
    pub async fn holds(&self) -> Result<Vec<Hold>, Failed> {
        Ok(self.store().archive_holds().await?)
    }

    /// Adds a hold to a case.
    pub async fn hold(&self, asker: &Asker, case: &str, held: Held) -> Result<(), Failed> {
        if case.trim().is_empty() {
            return Err(Failed::Other("a case needs a name".to_owned()));
        }
        let (kind, value) = held.parts();
        let what = format!("{case}: {kind} {value}");
        let hold = Hold {
            case: case.to_owned(),
            held,
            since: self.now(),
            who: asker.who.clone(),
            why: asker.why.clone(),
        };
        let noted = self.entry(JournalHead::of("hold", &asker.who, &asker.why, what));
        self.write(vec![Write::PutHold(hold), noted]).await
    }

    /// Releases all holds of a case, or the one that keeps `held`.
    pub async fn release(
        &self,
        asker: &Asker,
        case: &str,
        held: Option<Held>,
    ) -> Result<usize, Failed> {
        let holds = self.holds().await?.into_iter();
        let mine =
            |hold: &Hold| hold.case == case && held.as_ref().is_none_or(|held| *held == hold.held);
        let gone: Vec<Hold> = holds.filter(mine).collect();
        if gone.is_empty() {
            let what = format!(
                "no such hold of the case {case:?}; `tristack archive hold list` shows all"
            );
            return Err(Failed::Other(what));
        }
        let count = gone.len();
        let mut writes = Vec::new();
        for hold in gone {
            let (kind, value) = hold.held.parts();
            let what = format!("{case}: {kind} {value}");
            writes.push(self.entry(JournalHead::of("release", &asker.who, &asker.why, what)));
            writes.push(Write::DeleteHold(hold.case, hold.held));
        }
        self.write(writes).await?;
        Ok(count)
    }
}
