use super::*;
use crate::dialog::{Corrupt, RESTORE_JUMP, Stamp};
use crate::raw::{Datagram, Limits, frame_datagram};

const STAMP: Stamp<'static> = Stamp {
    via: "SIP/2.0/UDP us:5060",
    branch: "z9hG4bKn",
};

fn read(bytes: impl AsRef<[u8]>) -> RawMessage {
    let bytes = Bytes::copy_from_slice(bytes.as_ref());
    match frame_datagram(bytes, &Limits::default()) {
        Ok(Datagram::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn subscribe(cseq: u32, tag: &str, expires: u32) -> RawMessage {
    read(format!(
        "SUBSCRIBE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{cseq}\r\n\
         From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>{tag}\r\nCall-ID: c\r\n\
         CSeq: {cseq} SUBSCRIBE\r\nContact: <sip:alice@10.0.0.1>\r\nEvent: presence;id=7\r\n\
         Expires: {expires}\r\nContent-Length: 0\r\n\r\n"
    ))
}

fn notifier() -> Notifier {
    Notifier::accept(&subscribe(1, "", 600), "b", "sip:us:5060", 600_000).unwrap()
}

fn content(text: &'static str) -> Content {
    Content::new("application/pidf+xml", text)
}

fn state(notify: &Notify) -> String {
    read(&notify.bytes)
        .text(HeaderId::SubscriptionState)
        .unwrap()
        .to_owned()
}

fn body(notify: &Notify) -> String {
    text(read(&notify.bytes).body())
}

#[test]
fn durations() {
    let rule = Durations {
        min: 60,
        max: 3_600,
        default: 1_800,
    };
    assert_eq!(rule.grant(None), Ok(1_800));
    assert_eq!(rule.grant(Some(0)), Ok(0));
    assert_eq!(rule.grant(Some(59)), Err(TooBrief { min: 60 }));
    assert_eq!(rule.grant(Some(60)), Ok(60));
    assert_eq!(rule.grant(Some(u32::MAX)), Ok(3_600));
}

#[test]
fn a_life() {
    let mut notifier = notifier();
    let first = notifier.notify(1_000, content("1"), STAMP).unwrap();
    let message = read(&first.bytes);
    assert_eq!(message.text(HeaderId::Event), Some("presence;id=7"));
    assert_eq!(
        message.text(HeaderId::From),
        Some("<sip:bob@example.com>;tag=b")
    );
    assert_eq!(message.text(HeaderId::Contact), Some("<sip:us:5060>"));
    assert_eq!(
        message.text(HeaderId::ContentType),
        Some("application/pidf+xml")
    );
    assert_eq!(
        (state(&first).as_str(), body(&first).as_str()),
        ("active;expires=599", "1")
    );
    assert_eq!(notifier.answered(100), After::Quiet);
    assert_eq!(notifier.answered(200), After::Quiet);

    assert!(notifier.holds(&subscribe(2, ";tag=b", 600)));
    assert!(!notifier.holds(&subscribe(2, "", 600)));
    notifier
        .refresh(&subscribe(2, ";tag=b", 600), 900_000)
        .unwrap();
    assert!(
        notifier.refresh(&subscribe(2, ";tag=b", 600), 1).is_err(),
        "a repeat is old"
    );
    assert_eq!(notifier.expires_at(), 900_000);
    assert!(notifier.expire(600_000, STAMP).is_none());

    let last = notifier.expire(900_000, STAMP).unwrap();
    assert_eq!(
        (state(&last).as_str(), last.last),
        ("terminated;reason=timeout", true)
    );
    assert!(notifier.notify(900_001, content("x"), STAMP).is_none());
    assert_eq!(notifier.answered(200), After::Ended);
}

#[test]
fn one_under_way_and_the_newest_wins() {
    let mut notifier = notifier();
    notifier.notify(0, content("1"), STAMP).unwrap();
    assert!(notifier.notify(1, content("2"), STAMP).is_none());
    assert!(notifier.notify(2, content("3"), STAMP).is_none());
    assert_eq!(notifier.answered(200), After::More);
    let next = notifier.next(3, STAMP).unwrap();
    assert_eq!(body(&next), "3");
    assert!(notifier.next(3, STAMP).is_none());
    assert_eq!(notifier.answered(200), After::Quiet);
}

#[test]
fn the_end_waits_its_turn_and_takes_what_waited() {
    let mut notifier = notifier();
    notifier.notify(0, content("1"), STAMP).unwrap();
    notifier.notify(1, content("2"), STAMP);
    assert!(
        notifier
            .terminate(2, Reason::Deactivated, None, STAMP)
            .is_none()
    );
    assert!(
        notifier
            .terminate(2, Reason::Rejected, None, STAMP)
            .is_none(),
        "once"
    );
    assert_eq!(notifier.answered(200), After::More);
    let last = notifier.next(3, STAMP).unwrap();
    assert_eq!(state(&last), "terminated;reason=deactivated");
    assert_eq!(body(&last), "2");
    assert_eq!(notifier.silent(), After::Ended);
}

#[test]
fn a_fetch_is_one_notify() {
    let mut fetch = Notifier::accept(&subscribe(1, "", 0), "b", "sip:us", 5).unwrap();
    let only = fetch
        .terminate(5, Reason::Timeout, Some(content("now")), STAMP)
        .unwrap();
    assert_eq!(
        (state(&only).as_str(), body(&only).as_str()),
        ("terminated;reason=timeout", "now")
    );
    assert_eq!(fetch.answered(200), After::Ended);
}

#[test]
fn pending_until_activated() {
    let mut notifier = notifier();
    notifier.pend();
    let first = notifier.notify(0, Content::default(), STAMP).unwrap();
    assert_eq!(state(&first), "pending;expires=600");
    assert!(!read(&first.bytes).has(HeaderId::ContentType));
    notifier.answered(200);
    notifier.activate();
    let next = notifier.notify(0, content("x"), STAMP).unwrap();
    assert_eq!(state(&next), "active;expires=600");
}

#[test]
fn failures_by_rule() {
    for (status, after) in [
        (481, After::Ended),
        (404, After::Ended),
        (489, After::Ended),
        (501, After::Ended),
        (415, After::Quiet),
        (401, After::Quiet),
        (500, After::Quiet),
        (503, After::Quiet),
    ] {
        let mut notifier = notifier();
        notifier.notify(0, content("1"), STAMP).unwrap();
        assert_eq!(notifier.answered(status), after, "{status}");
        assert_eq!(notifier.is_live(), after != After::Ended);
    }
    let mut gone = notifier();
    gone.notify(0, content("1"), STAMP).unwrap();
    assert_eq!(gone.unreachable(), After::Ended);
    assert!(gone.next(0, STAMP).is_none());
}

#[test]
fn compat_libpurple_one_silence_is_no_death() {
    let mut notifier = notifier();
    for round in 1..=2 {
        notifier.notify(round, content("1"), STAMP).unwrap();
        assert_eq!(notifier.answered(408), After::Quiet);
    }
    notifier.notify(3, content("1"), STAMP).unwrap();
    assert_eq!(notifier.answered(200), After::Quiet, "an answer forgives");
    for round in 1..=2 {
        notifier.notify(round, content("1"), STAMP).unwrap();
        assert_eq!(notifier.silent(), After::Quiet);
    }
    notifier.notify(9, content("1"), STAMP).unwrap();
    assert_eq!(notifier.silent(), After::Ended);
}

#[test]
fn a_restart_keeps_all_but_what_was_under_way() {
    let mut notifier = notifier();
    notifier.notify(0, content("1"), STAMP).unwrap();
    let saved = notifier.save();
    assert!(saved.len() < 200, "{}", saved.len());
    let mut back = Notifier::restore(&saved).unwrap();
    let next = back.notify(0, content("2"), STAMP).unwrap();
    let cseq = format!("{} NOTIFY", 1 + RESTORE_JUMP + 1);
    assert_eq!(read(&next.bytes).text(HeaderId::CSeq), Some(cseq.as_str()));
    assert_eq!(
        (back.event(), back.expires_at()),
        (notifier.event(), 600_000)
    );
    back.refresh(&subscribe(2, ";tag=b", 60), 1).unwrap();
    bolero::check!().for_each(|input: &[u8]| {
        let _ = Notifier::restore(input);
    });
    assert_eq!(Notifier::restore(&[9]), Err(Corrupt));
}

fn subscriber() -> Subscriber {
    let event = EventId {
        package: "presence".into(),
        id: None,
    };
    let accept = "application/pidf+xml";
    Subscriber::new(
        event,
        "sip:bob@example.com",
        "<sip:alice@example.com>",
        "sip:alice@me",
        accept,
        "c9",
        "a",
    )
}

/// The two halves talk.
#[test]
fn both_halves_agree() {
    let mut alice = subscriber();
    let request = read(alice.subscribe(600, STAMP, None));
    let mut bob = Notifier::accept(&request, "b", "sip:us", 600_000).unwrap();
    let first = bob.notify(0, content("1"), STAMP).unwrap();
    // The NOTIFY overtakes the 200.
    assert_eq!(alice.notified(0, &read(&first.bytes)), Told::State);
    assert_eq!(alice.notified(0, &read(&first.bytes)), Told::Stale);
    bob.answered(200);
    let ok = text(request.as_bytes())
        .replace("SUBSCRIBE sip:bob@example.com SIP/2.0", "SIP/2.0 200 OK")
        .replace(
            "To: <sip:bob@example.com>",
            "To: <sip:bob@example.com>;tag=b",
        );
    assert_eq!(alice.answered(0, &read(&ok)), Next::Wait);
    assert_eq!(alice.refresh_at(), 540_000);

    let refresh = read(alice.subscribe(600, STAMP, None));
    assert_eq!(refresh.text(HeaderId::CSeq), Some("2 SUBSCRIBE"));
    assert!(bob.holds(&refresh));
    bob.refresh(&refresh, 1_200_000).unwrap();
    let end = read(alice.subscribe(0, STAMP, None));
    bob.refresh(&end, 10).unwrap();
    let last = bob
        .terminate(10, Reason::Timeout, Some(content("2")), STAMP)
        .unwrap();
    assert_eq!(
        alice.notified(10, &read(&last.bytes)),
        Told::Ended {
            reason: Some(Reason::Timeout)
        }
    );
}

#[test]
fn answers_to_a_subscribe() {
    let answer = |status: &str, extra: &str| {
        let mut alice = subscriber();
        alice.subscribe(600, STAMP, None);
        let response = format!(
            "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP us\r\nFrom: <sip:alice@example.com>;tag=a\r\n\
             To: <sip:bob@example.com>;tag=b\r\nCall-ID: c9\r\nCSeq: 1 SUBSCRIBE\r\n{extra}\
             Content-Length: 0\r\n\r\n"
        );
        alice.answered(0, &read(response))
    };
    assert_eq!(answer("407 x", ""), Next::Challenge);
    assert_eq!(answer("423 x", "Min-Expires: 900\r\n"), Next::Longer(900));
    assert_eq!(
        answer("423 x", "Min-Expires: 60\r\n"),
        Next::Over,
        "no endless haggling"
    );
    assert_eq!(answer("481 x", ""), Next::Over, "there was no dialog");
    assert_eq!(answer("489 x", ""), Next::Over);
}

/// Any order of events: one NOTIFY under way at most, CSeq only rises, the newest content is the
/// last one sent, nothing after the end.
#[test]
fn operation_sequences() {
    bolero::check!()
        .with_type::<Vec<(u8, u8)>>()
        .for_each(|operations| {
            let mut notifier = notifier();
            let (mut now, mut under_way, mut last_cseq, mut ended) = (0, false, 0, false);
            let mut newest: Option<String> = None;
            for (step, (what, which)) in operations.iter().take(100).enumerate() {
                now += 1_000;
                let mut after = After::Quiet;
                let sent = match what % 8 {
                    0..=2 => {
                        let body = step.to_string();
                        if notifier.is_live() {
                            newest = Some(body.clone());
                        }
                        notifier.notify(now, Content::new("t/x", body), STAMP)
                    }
                    3 | 4 if under_way => {
                        let status =
                            [200, 200, 202, 415, 500, 481, 408, 100][usize::from(which % 8)];
                        after = notifier.answered(status);
                        under_way = status == 100 && after != After::Ended;
                        None
                    }
                    5 if under_way => {
                        after = notifier.silent();
                        under_way = false;
                        None
                    }
                    6 if which % 16 == 0 => notifier.terminate(now, Reason::GiveUp, None, STAMP),
                    7 => notifier.expire(now, STAMP),
                    _ => notifier.next(now, STAMP),
                };
                let sent = if after == After::More {
                    notifier.next(now, STAMP)
                } else {
                    sent
                };
                if let Some(notify) = sent {
                    assert!(!under_way, "one at a time");
                    assert!(!ended, "nothing after the end");
                    under_way = true;
                    let message = read(&notify.bytes);
                    let (cseq, _) =
                        crate::scan::cseq(message.first(HeaderId::CSeq).unwrap()).unwrap();
                    assert!(cseq > last_cseq);
                    last_cseq = cseq;
                    if let Some(newest) = newest.take() {
                        assert_eq!(body(&notify), newest);
                    }
                }
                ended |= after == After::Ended;
                assert!(!(ended && notifier.is_live()));
            }
        });
}
