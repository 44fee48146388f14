//! Documents that are made when they are read.

use super::Xcap;
use super::request::{No, Wanted, no};
use super::store::etag;
use crate::core::command::{Command, Reply};
use crate::core::port::Account;
use crate::core::time::Time;
use bytes::Bytes;
use hyper::StatusCode;
use sha2::{Digest, Sha256};
use xcap::usage::Usage;
use xcap::usage::pages::{self, Listed};

/// The directory of somebody's documents.
pub(super) async fn directory(
    xcap: &Xcap,
    wanted: &Wanted<'_>,
    owner: &Account,
) -> Result<Bytes, No> {
    xcap.mirror(owner).await;
    let reply = xcap
        .hub
        .call(owner.person, &wanted.caller, Command::Documents)
        .await?;
    let Reply::Documents(all) = reply else {
        return Err(no(
            StatusCode::INTERNAL_SERVER_ERROR,
            "another answer than asked for",
        ));
    };
    let listed = all.documents.iter().filter_map(|info| {
        let usage = Usage::of(&info.id.usage)?;
        let user = format!("sip:{}", owner.address);
        Some(Listed {
            usage,
            uri: format!("{}/{}", wanted.root, usage.selector(&user, &info.id.name)),
            etag: etag(info.tag),
            modified: date_time(info.modified),
            size: info.size,
        })
    });
    Ok(pages::directory(&listed.collect::<Vec<_>>()).into())
}

/// The global index of services, as far as the reader may know it: his own, or an operator all.
pub(super) async fn index(xcap: &Xcap, wanted: &Wanted<'_>, everything: bool) -> Result<Bytes, No> {
    let all = xcap.hub.documents(Usage::RlsServices.auid()).await?;
    let mut roots = Vec::new();
    for (person, _, content) in &all {
        if (everything || Some(*person) == wanted.caller.person)
            && let Ok(root) = xml::parse(content, &xcap.limits)
        {
            roots.push(root);
        }
    }
    Ok(pages::index(&roots).into())
}

/// The tag of a document that is not stored: its octets decide.
pub(super) fn tag(octets: &[u8]) -> String {
    let hash = Sha256::digest(octets);
    let mut first = [0; 8];
    first
        .iter_mut()
        .zip(hash.iter())
        .for_each(|(to, from)| *to = *from);
    etag(u64::from_be_bytes(first))
}

/// xs:dateTime in UTC.
fn date_time(at: Time) -> String {
    let seconds = at.0 / 1000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, in years that begin in March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

#[cfg(test)]
mod tests {
    use super::date_time;
    use crate::core::time::Time;

    #[test]
    fn times_are_written_as_xml_wants_them() {
        assert_eq!(date_time(Time(0)), "1970-01-01T00:00:00Z");
        assert_eq!(date_time(Time(951_825_600_500)), "2000-02-29T12:00:00Z");
        assert_eq!(date_time(Time(1_795_919_400_000)), "2026-11-29T02:30:00Z");
    }
}
