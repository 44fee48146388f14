use super::*;

fn reply(
    engine: &mut Engine<Text>,
    now: u64,
    tx: TxId,
    status: u16,
    to: &str,
) -> Result<(), Absorbed> {
    engine.respond(
        now,
        tx,
        status,
        octets(&response(status, to)),
        Retention::Transaction,
    )
}

#[test]
fn repeats_before_an_answer_are_absorbed_and_after_it_answered() {
    let mut engine = engine();
    let text = request("MESSAGE", "z9hG4bK1");
    let tx = accept(&mut engine, 0, &text, UDP);
    receive(&mut engine, 500, &text, UDP);
    assert!(drain(&mut engine).is_empty());
    reply(&mut engine, 600, tx, 200, &text).unwrap();
    assert_eq!(drain(&mut engine), ["send 200"]);
    receive(&mut engine, 1_500, &text, UDP);
    assert_eq!(drain(&mut engine), ["send 200"]);
    assert_eq!(
        reply(&mut engine, 1_600, tx, 500, &text),
        Err(Absorbed::Answered)
    );
    // Timer J.
    assert_eq!(wake_at(&mut engine), Some(32_600));
    assert!(timeline(&mut engine, 40_000).is_empty());
    assert!(engine.is_empty());
    assert_eq!(
        reply(&mut engine, 41_000, tx, 200, &text),
        Err(Absorbed::Gone)
    );
}

#[test]
fn timer_j_is_zero_on_streams() {
    let mut engine = engine();
    let text = request("MESSAGE", "z9hG4bK1");
    let tx = accept(&mut engine, 0, &text, TCP);
    reply(&mut engine, 1, tx, 200, &text).unwrap();
    assert_eq!(drain(&mut engine), ["send 200"]);
    assert!(engine.is_empty());
    assert_eq!(wake_at(&mut engine), None);
}

#[test]
fn rfc_4320_on_other_requests() {
    let mut engine = engine();
    let text = request("MESSAGE", "z9hG4bK1");
    let tx = accept(&mut engine, 0, &text, UDP);
    assert_eq!(
        reply(&mut engine, 1, tx, 408, &text),
        Err(Absorbed::Forbidden)
    );
    assert_eq!(
        reply(&mut engine, 1, tx, 180, &text),
        Err(Absorbed::Forbidden)
    );
    assert_eq!(
        timeline(&mut engine, 3_500),
        [(3_500, "trying due".to_owned())]
    );
    reply(&mut engine, 3_500, tx, 100, &text).unwrap();
    assert_eq!(drain(&mut engine), ["send 100"]);
    receive(&mut engine, 3_600, &text, UDP);
    assert_eq!(drain(&mut engine), ["send 100"]);
    // Nobody may hear of it after timer F of the client.
    assert_eq!(
        timeline(&mut engine, 60_000),
        [(32_000, "expired".to_owned())]
    );
    assert_eq!(
        reply(&mut engine, 33_000, tx, 200, &text),
        Err(Absorbed::Gone)
    );
}

#[test]
fn invite_asks_for_100_after_200_ms_unless_answered() {
    let mut engine = engine();
    let text = request("INVITE", "z9hG4bK1");
    let tx = accept(&mut engine, 1_000, &text, UDP);
    assert_eq!(
        timeline(&mut engine, 1_200),
        [(1_200, "trying due".to_owned())]
    );
    reply(&mut engine, 1_200, tx, 100, &text).unwrap();
    reply(&mut engine, 1_300, tx, 180, &text).unwrap();
    assert_eq!(drain(&mut engine), ["send 100", "send 180"]);
    receive(&mut engine, 1_500, &text, UDP);
    assert_eq!(drain(&mut engine), ["send 180"]);

    let fast = request("INVITE", "z9hG4bK2");
    let tx = accept(&mut engine, 2_000, &fast, UDP);
    reply(&mut engine, 2_100, tx, 180, &fast).unwrap();
    drain(&mut engine);
    assert!(timeline(&mut engine, 10_000).is_empty());
}

#[test]
fn timers_g_and_h() {
    let mut udp = engine();
    let text = request("INVITE", "z9hG4bK1");
    let tx = accept(&mut udp, 0, &text, UDP);
    reply(&mut udp, 0, tx, 486, &text).unwrap();
    drain(&mut udp);
    let line = timeline(&mut udp, 60_000);
    let sent = times(&line, "send 486");
    assert_eq!(
        sent,
        [
            500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
        ]
    );
    assert_eq!(times(&line, "unacknowledged"), [32_000]);

    let mut tcp = engine();
    let tx = accept(&mut tcp, 0, &text, TCP);
    reply(&mut tcp, 0, tx, 486, &text).unwrap();
    drain(&mut tcp);
    assert_eq!(
        timeline(&mut tcp, 60_000),
        [(32_000, "unacknowledged".to_owned())]
    );
}

#[test]
fn timer_i_absorbs_repeated_acks_on_udp_only() {
    let text = request("INVITE", "z9hG4bK1");
    let ack = request("ACK", "z9hG4bK1");
    let mut udp = engine();
    let tx = accept(&mut udp, 0, &text, UDP);
    reply(&mut udp, 0, tx, 486, &text).unwrap();
    drain(&mut udp);
    receive(&mut udp, 100, &ack, UDP);
    receive(&mut udp, 200, &ack, UDP);
    receive(&mut udp, 300, &text, UDP);
    assert!(drain(&mut udp).is_empty());
    assert_eq!(wake_at(&mut udp), Some(5_100));
    assert!(timeline(&mut udp, 60_000).is_empty());
    assert!(udp.is_empty());

    let mut tcp = engine();
    let tx = accept(&mut tcp, 0, &text, TCP);
    reply(&mut tcp, 0, tx, 486, &text).unwrap();
    drain(&mut tcp);
    receive(&mut tcp, 100, &ack, TCP);
    assert!(tcp.is_empty());
}

#[test]
fn timer_l_holds_an_accepted_invite() {
    for on in [UDP, TCP] {
        let mut engine = engine();
        let text = request("INVITE", "z9hG4bK1");
        let tx = accept(&mut engine, 0, &text, on);
        reply(&mut engine, 0, tx, 200, &text).unwrap();
        reply(&mut engine, 500, tx, 200, &text).unwrap();
        assert_eq!(drain(&mut engine), ["send 200", "send 200"]);
        receive(&mut engine, 600, &text, on);
        assert!(drain(&mut engine).is_empty(), "the user repeats it, not we");
        receive(&mut engine, 700, &request("ACK", "z9hG4bK1"), on);
        assert_eq!(drain(&mut engine), ["ack true"]);
        assert_eq!(
            reply(&mut engine, 800, tx, 486, &text),
            Err(Absorbed::Answered)
        );
        engine.handle(900, Input::SendFailed { tx });
        assert!(timeline(&mut engine, 31_999).is_empty());
        assert_eq!(engine.len(), 1);
        assert!(timeline(&mut engine, 32_000).is_empty());
        assert!(engine.is_empty());
    }
}

#[test]
fn cancel_finds_its_invite_while_that_is_open() {
    let mut engine = engine();
    let text = request("INVITE", "z9hG4bK1");
    let cancel = request("CANCEL", "z9hG4bK1");
    receive(&mut engine, 0, &cancel, UDP);
    assert_eq!(drain(&mut engine), ["cancel false"]);

    let text2 = text.replace("z9hG4bK1", "z9hG4bK2");
    let tx = accept(&mut engine, 0, &text2, UDP);
    receive(
        &mut engine,
        100,
        &cancel.replace("z9hG4bK1", "z9hG4bK2"),
        UDP,
    );
    assert_eq!(drain(&mut engine), ["cancel true"]);
    receive(
        &mut engine,
        150,
        &cancel.replace("z9hG4bK1", "z9hG4bK2"),
        UDP,
    );
    assert!(
        drain(&mut engine).is_empty(),
        "a repeated CANCEL is absorbed"
    );
    reply(&mut engine, 100, tx, 487, &text2).unwrap();

    let late = cancel
        .replace("z9hG4bK1", "z9hG4bK2")
        .replace(";branch", ";x=1;branch");
    receive(&mut engine, 40_000, &late, UDP);
    assert!(drain(&mut engine).contains(&"cancel false".to_owned()));
}

#[test]
fn requests_without_a_branch_match_as_rfc_2543_says() {
    let mut engine = engine();
    let text = request("INVITE", "").replace(";branch=", "");
    let tx = accept(&mut engine, 0, &text, UDP);
    receive(&mut engine, 100, &text, UDP);
    assert!(drain(&mut engine).is_empty());
    reply(&mut engine, 150, tx, 486, &text).unwrap();
    assert_eq!(drain(&mut engine), ["send 486"]);
    // The ACK bears the To tag that the response made up.
    let ack = text.replace("INVITE", "ACK").replace(
        "To: <sip:bob@example.com>",
        "To: <sip:bob@example.com>;tag=b1",
    );
    receive(&mut engine, 180, &ack, UDP);
    assert!(drain(&mut engine).is_empty());
    let line = timeline(&mut engine, 60_000);
    assert!(line.is_empty(), "acknowledged: {line:?}");
    let next = text.replace("CSeq: 1", "CSeq: 2");
    accept(&mut engine, 61_000, &next, UDP);
}

#[test]
fn challenges_leave_nothing_behind() {
    let mut engine = engine();
    let text = request("SUBSCRIBE", "z9hG4bK1");
    let tx = accept(&mut engine, 0, &text, UDP);
    let challenge = octets(&response(407, &text));
    engine
        .respond(1, tx, 407, challenge, Retention::Stateless)
        .unwrap();
    assert_eq!(drain(&mut engine), ["send 407"]);
    assert!(engine.is_empty());
    accept(&mut engine, 2, &text, UDP);
}

#[test]
fn compat_libpurple_the_answer_to_a_kept_challenge_is_new() {
    let mut engine = engine();
    let text = request("SUBSCRIBE", "z9hG4bK1");
    let tx = accept(&mut engine, 0, &text, UDP);
    reply(&mut engine, 1, tx, 407, &text).unwrap();
    drain(&mut engine);
    receive(&mut engine, 2, &text, UDP);
    assert_eq!(
        drain(&mut engine),
        ["send 407"],
        "without credentials it is a repeat"
    );
    let signed = text.replace("CSeq:", "Authorization: Digest x\r\nCSeq:");
    let second = accept(&mut engine, 3, &signed, UDP);
    assert_ne!(second, tx);
    reply(&mut engine, 4, second, 200, &signed).unwrap();
    drain(&mut engine);
    receive(&mut engine, 5, &signed, UDP);
    assert_eq!(drain(&mut engine), ["send 200"]);
}

#[test]
fn a_full_engine_says_so_and_recovers() {
    let settings = Settings {
        capacity: 2,
        ..Settings::default()
    };
    let mut engine = Engine::new(settings, [1, 2]);
    let first = request("MESSAGE", "z9hG4bK1");
    let tx = accept(&mut engine, 0, &first, TCP);
    accept(&mut engine, 0, &request("MESSAGE", "z9hG4bK2"), TCP);
    receive(&mut engine, 0, &request("MESSAGE", "z9hG4bK3"), TCP);
    assert_eq!(drain(&mut engine), ["overloaded"]);
    reply(&mut engine, 1, tx, 200, &first).unwrap();
    drain(&mut engine);
    accept(&mut engine, 2, &request("MESSAGE", "z9hG4bK3"), TCP);
}

#[test]
fn responses_follow_a_client_to_its_new_address() {
    let mut engine = engine();
    let text = request("MESSAGE", "z9hG4bK1");
    let tx = accept(&mut engine, 0, &text, UDP);
    let moved = Flow {
        peer: "192.0.2.7:9999".parse().unwrap(),
        ..flow(UDP)
    };
    let parsed = parse(&text);
    engine.handle(
        500,
        Input::Request {
            facts: parsed.facts(),
            flow: moved,
            reply: moved,
            message: text.clone(),
        },
    );
    reply(&mut engine, 600, tx, 200, &text).unwrap();
    let Output::Send { flow, .. } = engine.poll() else {
        panic!()
    };
    assert_eq!(flow, moved);
}

#[test]
fn memory_per_transaction_is_small_and_stale_timers_are_swept() {
    assert!(size_of::<store::Transaction>() <= 256);
    let mut engine = engine();
    for n in 0..20_000 {
        let text = request("MESSAGE", &format!("z9hG4bK{n}"));
        let tx = accept(&mut engine, 0, &text, TCP);
        reply(&mut engine, 0, tx, 200, &text).unwrap();
        drain(&mut engine);
    }
    assert!(engine.is_empty());
    assert!(engine.store.heap_len() < 5_000);
}

#[test]
fn a_full_table_makes_room_by_what_only_absorbs_repeats() {
    let settings = Settings {
        capacity: 2,
        ..Settings::default()
    };
    let mut engine = Engine::new(settings, [1, 2]);
    let open = request("MESSAGE", "z9hG4bKopen");
    accept(&mut engine, 0, &open, UDP);
    for number in 0..100 {
        let text = request("MESSAGE", &format!("z9hG4bK{number}"));
        let tx = accept(&mut engine, number, &text, UDP);
        reply(&mut engine, number, tx, 200, &text).unwrap();
        assert_eq!(drain(&mut engine), ["send 200"], "{number}");
        assert_eq!(engine.len(), 2);
    }
    // The newest answer is still repeated; the open request was never in danger.
    receive(&mut engine, 100, &request("MESSAGE", "z9hG4bK99"), UDP);
    assert_eq!(drain(&mut engine), ["send 200"]);
    receive(&mut engine, 100, &open, UDP);
    assert!(drain(&mut engine).is_empty());
    // Nothing that is still open makes room.
    accept(&mut engine, 101, &request("MESSAGE", "z9hG4bKsecond"), UDP);
    receive(&mut engine, 102, &request("MESSAGE", "z9hG4bKthird"), UDP);
    assert_eq!(drain(&mut engine), ["overloaded"]);
}
