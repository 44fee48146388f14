//! Subscriptions that are served (RFC 6665 4.2): by their watch, and by their dialog.

use super::list::Listed;
use super::members::is_member;
use super::{Writer, package};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Change, Route};
use crate::core::id::{PersonId, WatchId};
use crate::front::SIP;
use crate::front::sip::handle::{Way, restore_watch};
use crate::front::sip::shard::Shard;
use sip::subscription::Notifier;
use std::time::Duration;

/// One subscription that is served.
pub(in crate::front::sip) struct Served {
    pub(super) notifier: Notifier,
    /// How its SUBSCRIBE came last.
    pub(super) way: Way,
    /// Whom it watches.
    pub(super) person: PersonId,
    /// The address that is watched.
    pub(super) of: Address,
    /// Who watches.
    pub(super) caller: Caller,
    pub(super) writer: Writer,
    /// The newest that came while a NOTIFY was under way.
    pub(super) latest: Option<Change>,
}

impl Served {
    /// Its dialog's state.
    pub(super) fn notifier(&self) -> &Notifier {
        &self.notifier
    }
}

impl Shard {
    pub(super) fn serve(&mut self, watch: WatchId, served: Served) {
        let dialog = served.notifier.dialog();
        let key = dialog_key(&dialog.call_id, &dialog.local_tag);
        let list = self.dialogs.entry(key).or_default();
        if !list.contains(&watch) {
            list.push(watch);
        }
        self.served.insert(watch, served);
    }

    pub(super) fn forget(&mut self, watch: WatchId) {
        self.missed.remove(&watch);
        self.front.notified.forget(watch);
        let Some(served) = self.served.remove(&watch) else {
            return;
        };
        self.end_members(&served);
        if let Some(keeper) = self.front.keeper(served.person, &served.caller.address) {
            // If it was somebody at a neighbour, nobody may need to know him any more.
            keeper.look((served.person, served.caller.address.clone()));
        }
        let dialog = served.notifier.dialog();
        let key = dialog_key(&dialog.call_id, &dialog.local_tag);
        if let Some(list) = self.dialogs.get_mut(&key) {
            list.retain(|other| *other != watch);
            if list.is_empty() {
                self.dialogs.remove(&key);
            }
        }
    }

    /// A subscription that was there before the restart. Its NOTIFY follows with the next change
    /// or refresh.
    pub(in crate::front::sip) fn watch_restored(
        &mut self,
        (person, of, watcher): (PersonId, &Address, Address),
        watch: WatchId,
        handle: &[u8],
    ) {
        if self.served.contains_key(&watch) || is_member(handle) {
            return;
        }
        let restored = restore_watch(handle).and_then(|(way, notifier, kind)| {
            let package = package(&notifier.event().package)?;
            let of_list = Listed::of_kind(&kind);
            let name = of_list.as_ref().map_or(kind.as_str(), |(_, kind)| *kind);
            let kind = package.kind(name).or(package.types.first().copied())?;
            let mut writer = Writer::new(package, kind);
            if let Some((address, _)) = of_list {
                let left = notifier.expires_at().saturating_sub(self.front.now());
                let lease = Duration::from_millis(left);
                writer.list = Some(Box::new(Listed::new(address, lease)));
            }
            Some((way, notifier, writer))
        });
        let Some((way, notifier, writer)) = restored else {
            tracing::warn!(%watcher, "SIP subscription can't be restored: unreadable state");
            return;
        };
        let caller = self.watcher(watcher);
        self.serve(
            watch,
            Served {
                notifier,
                way,
                person,
                of: of.clone(),
                caller,
                writer,
                latest: None,
            },
        );
    }

    pub(super) fn watcher(&self, address: Address) -> Caller {
        let person = match self.front.hub.directory().resolve(&address) {
            crate::hub::Resolution::Local(account) => Some(account.person),
            _ => None,
        };
        let (scheme, route) = if self.front.places.is_ours(address.domain()) {
            (Scheme::Digest, Route::Point(SIP))
        } else {
            (Scheme::Peer, Route::Peer(SIP))
        };
        Caller {
            address,
            person,
            scheme,
            route,
        }
    }
}

pub(super) fn dialog_key(call_id: &str, tag: &str) -> Box<str> {
    format!("{call_id} {tag}").into()
}
