//! Bodies of the fuzz targets, also run by the properties of `cargo test`.

use crate::body::compose::{Overall, Part, Published, compose};
use crate::body::dialog_info::{Dialog, DialogInfo};
use crate::body::winfo::WatcherInfo;
use crate::body::{composing::Composing, pidf::Presence};
use crate::edit::Edit;
use crate::header::{Date, Uri, Warning};
use crate::raw::{
    Datagram, HeaderId, Limits, RawMessage, StreamEvent, StreamFramer, frame_datagram,
    frame_websocket,
};
use crate::stun;
use crate::verdict::verdict;
use bytes::Bytes;
use std::net::SocketAddr;

fn parse(data: &[u8]) -> Option<RawMessage> {
    match frame_datagram(Bytes::copy_from_slice(data), &Limits::default()) {
        Ok(Datagram::Message(message)) => Some(message),
        Ok(Datagram::KeepAlive) | Err(_) => None,
    }
}

/// Any octets as datagram and as stream: no panic, limits hold, chunks make no difference.
///
/// # Panics
/// When that does not hold: that is the finding.
pub fn framing(data: &[u8]) {
    let limits = Limits::default();
    if let Some(message) = parse(data) {
        assert!(message.head().len() <= limits.head && message.body().len() <= limits.body);
        assert!(message.header_count() <= limits.headers);
        assert!(memchr::memmem::find(data, message.as_bytes()).is_some());
    }
    let size = usize::from(data.first().copied().unwrap_or(0)) % 7 + 1;
    assert!(stream(&mut data.chunks(size)) == stream(&mut std::iter::once(data)));
}

fn stream(chunks: &mut dyn Iterator<Item = &[u8]>) -> Vec<Result<StreamEvent, u16>> {
    let mut framer = StreamFramer::new(Limits::default());
    let mut out = Vec::new();
    for chunk in chunks {
        framer.push(chunk);
        while let Some(event) = framer.next() {
            out.push(event.map_err(|refusal| refusal.status()));
        }
    }
    out
}

/// Every body: no panic, and what was read is written so that it is read again.
///
/// # Panics
/// When that does not hold: that is the finding.
pub fn bodies(data: &[u8]) {
    let _ = (Presence::parse(data), Composing::parse(data));
    if let Ok(info) = WatcherInfo::parse(data) {
        let again = WatcherInfo::parse(info.write().as_bytes());
        assert!(again.is_ok_and(|again| again.watchers.len() == info.watchers.len()));
    }
    if let Ok(info) = DialogInfo::parse(data) {
        let again = DialogInfo::parse(info.write().as_bytes());
        assert!(again.is_ok_and(|again| again.dialogs.len() == info.dialogs.len()));
        for dialog in &info.dialogs {
            assert!(Dialog::from_detail(&dialog.detail()).is_ok());
        }
    }
    if let Ok(document) = Published::parse(data) {
        let part = |leads| Part {
            name: "d1",
            leads,
            document: &document,
        };
        for leads in [false, true] {
            let text = compose("sip:a@b", &Overall::default(), &[part(leads), part(false)]);
            assert!(Published::parse(text.as_bytes()).is_ok());
        }
    }
}

/// Every typed view of a message: no panic, and a URI that was read is read again.
///
/// # Panics
/// When that does not hold: that is the finding.
pub fn views(data: &[u8]) {
    if let Some(uri) = std::str::from_utf8(data)
        .ok()
        .and_then(|text| Uri::parse(text).ok())
    {
        assert!(uri.equivalent(&uri) && uri.to_string() == uri.text);
    }
    let _ = (
        Date::parse(data),
        Warning::parse(data),
        Presence::parse(data),
        Composing::parse(data),
    );
    let Some(message) = parse(data) else { return };
    let _ = verdict(&message);
    let _ = (
        message.from().map(|from| from.display_name().is_some()),
        message.to().map(|to| to.tag().is_some()),
    );
    let _ = (
        message.cseq(),
        message.call_id().is_ok(),
        message.max_forwards(),
        message.expires(),
    );
    let _ = (
        message.event().is_ok(),
        message.subscription_state().is_ok(),
        message.content_type().is_ok(),
    );
    let _ = (
        message.vias().count(),
        message.accept().count(),
        message.tokens(HeaderId::Allow).count(),
    );
    let _ = (
        message.retry_after(),
        message.date(),
        message.etag().is_ok(),
        message.if_match().is_ok(),
    );
    if let Ok(crate::header::Contacts::List(list)) = message.contacts() {
        for contact in &list {
            assert!(contact.q() <= 1000);
            let _ = (
                contact.expires(),
                contact.instance(),
                contact.reg_id(),
                contact.uri().user_decoded(),
            );
        }
    }
}

/// Edits of a message: without any it is identical, with some it is still one message with the
/// same body, and no value is lost.
///
/// # Panics
/// When that does not hold: that is the finding.
pub fn edits(data: &[u8]) {
    let Some(message) = parse(data) else { return };
    assert!(Edit::new(&message).write() == message.as_bytes());
    let vias = message.values(HeaderId::Via).count();
    let out = Edit::new(&message)
        .insert_before(HeaderId::Via, "SIP/2.0/UDP us")
        .write();
    let Some(added) = parse(&out) else {
        assert!(
            message.header_count() == Limits::default().headers
                || out.len() > Limits::default().head
        );
        return;
    };
    assert!(added.values(HeaderId::Via).count() == vias + 1 && added.body() == message.body());
    let back = Edit::new(&added).remove(HeaderId::Via, 0).write();
    assert!(back == message.as_bytes());
}

/// Any datagram as STUN: no panic, and an answer is itself sound, never a request, and bounded.
///
/// # Panics
/// When that does not hold: that is the finding.
pub fn stun(data: &[u8]) {
    let peer = if data.len().is_multiple_of(2) {
        SocketAddr::from(([192, 0, 2, 1], 1))
    } else {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 1))
    };
    if let Some(answer) = stun::answer(data, peer) {
        assert!(stun::is_stun(data) && stun::is_stun(&answer));
        assert!(answer.get(8..20) == data.get(8..20));
        assert!(stun::answer(&answer, peer).is_none());
        assert!(2 * (answer.len() + 28) <= 3 * (data.len() + 28));
    }
}

/// Any WebSocket message: no panic, and what is taken is the whole of it.
///
/// # Panics
/// When that does not hold: that is the finding.
pub fn websocket(data: &[u8]) {
    let limits = Limits::default();
    if let Ok(StreamEvent::Message(message)) =
        frame_websocket(&Bytes::copy_from_slice(data), &limits)
    {
        assert!(message.head().len() <= limits.head && message.body().len() <= limits.body);
        let whole = |octet: &u8| !matches!(octet, b'\r' | b'\n' | 0);
        let inside = data.iter().filter(|octet| whole(octet)).count();
        let kept = message.as_bytes().iter().filter(|octet| whole(octet));
        assert!(kept.count() == inside);
    }
}

/// Octets as a sequence of operations against the proxy.
///
/// # Panics
/// When something that must hold does not: that is the finding.
pub fn proxy(data: &[u8]) {
    let (operations, _) = data.as_chunks::<4>();
    let operations: Vec<_> = operations
        .iter()
        .map(|[what, which, high, low]| (*what, *which, u16::from_be_bytes([*high, *low])))
        .collect();
    crate::proxy::exercise::exercise(&operations);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &[u8] = b"MESSAGE sip:a@[::1];x=%41 SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1;rport,\r\n SIP/2.0/TCP i\r\nf: \"a \\\" b\" <sip:a@b>;tag=1\r\nTo : sip:c@d;tag=2\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\nm: <sip:a@b>;q=0.5;+sip.instance=\"<u>\", \"x,y\" <sip:c@d>;expires=9\r\no: presence;id=1\r\nc: text/plain;charset=\"x\"\r\nl: 5\r\n\r\nhelloMESSAGE sip:b SIP/2.0\r\nl: 0\r\n\r\n";

    /// The seed with octets replaced, put in and taken out: random octets alone are never a message.
    fn mutated(changes: &[(u16, u8, u8)]) -> Vec<u8> {
        mutated_from(SEED, changes)
    }

    fn mutated_from(seed: &[u8], changes: &[(u16, u8, u8)]) -> Vec<u8> {
        let mut out = seed.to_vec();
        for (at, what, octet) in changes.iter().take(6) {
            let at = usize::from(*at) % out.len();
            let octet = if what & 4 == 0 {
                b"\r\n ,;:\"<>%\0\\=/@?"[usize::from(*octet) % 16]
            } else {
                *octet
            };
            match what % 3 {
                0 => out[at] = octet,
                1 => out.insert(at, octet),
                _ => drop(out.remove(at)),
            }
        }
        out
    }

    #[test]
    fn the_seed_reaches_every_target() {
        assert!(parse(SEED).is_some_and(|message| verdict(&message).is_ok()));
        assert_eq!(stream(&mut std::iter::once(SEED)).len(), 2);
    }

    const BODIES: [&[u8]; 3] = [
        b"<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' version='0' state='full'><watcher-list resource='sip:a@b' package='presence'><watcher id='1' status='active' event='subscribe' display-name='&lt;'>sip:c@d</watcher></watcher-list></watcherinfo>",
        b"<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info' version='0' state='full' entity='sip:a@b'><dialog id='1'><state event='cancelled'>terminated</state><local><identity display='x'>sip:a@b</identity></local></dialog></dialog-info>",
        b"<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' entity='sip:a@b'><tuple id='t'><status><basic>open</basic></status><note>x</note></tuple><d:person id='t'><x/></d:person></presence>",
    ];

    #[test]
    fn bodies_that_are_read_are_written_to_be_read() {
        for seed in BODIES {
            bodies(seed);
        }
        assert!(WatcherInfo::parse(BODIES[0]).is_ok() && DialogInfo::parse(BODIES[1]).is_ok());
        assert!(Published::parse(BODIES[2]).is_ok());
        bolero::check!()
            .with_type::<(u8, Vec<(u16, u8, u8)>)>()
            .for_each(|(which, changes)| {
                let seed = BODIES[usize::from(*which) % BODIES.len()];
                bodies(&mutated_from(seed, changes));
            });
    }

    #[test]
    fn nothing_panics_on_any_octets() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|data| {
            framing(data);
            views(data);
            edits(data);
            stun(data);
            websocket(data);
        });
    }

    /// A sound request with octets replaced: random ones alone are never STUN.
    #[test]
    fn nothing_panics_on_broken_stun() {
        let sound = b"\0\x01\0\x14\x21\x12\xa4\x42transaction!\x80\x22\0\x05clien\0\0\0\0\x24\0\x04\0\0\0\0";
        bolero::check!()
            .with_type::<[(u8, u8); 4]>()
            .for_each(|changes| {
                let mut data = sound.to_vec();
                for (at, octet) in changes {
                    let place = usize::from(*at) % data.len();
                    data[place] = *octet;
                }
                stun(&data);
            });
    }

    #[test]
    fn nothing_panics_on_broken_messages() {
        bolero::check!()
            .with_type::<Vec<(u16, u8, u8)>>()
            .for_each(|changes| {
                let data = mutated(changes);
                framing(&data);
                views(&data);
                edits(&data);
                websocket(&data);
            });
    }
}
