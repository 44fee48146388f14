use super::*;

fn start(engine: &mut Engine<Text>, method: &str, on: Transport) -> TxId {
    let text = request(method, "z9hG4bKc");
    let tx = engine.start(
        0,
        Outgoing {
            method: method.as_bytes(),
            branch: b"z9hG4bKc",
            flow: flow(on),
            bytes: octets(&text),
            token: 7,
        },
    );
    assert_eq!(drain(engine), vec![format!("send {method}")]);
    tx
}

fn answer(
    engine: &mut Engine<Text>,
    now: u64,
    status: u16,
    method: &str,
    on: Transport,
) -> Vec<String> {
    receive(
        engine,
        now,
        &response(status, &request(method, "z9hG4bKc")),
        on,
    );
    drain(engine)
}

#[test]
fn timers_a_and_b() {
    let mut engine = engine();
    start(&mut engine, "INVITE", UDP);
    let line = timeline(&mut engine, 60_000);
    assert_eq!(
        times(&line, "send INVITE"),
        [500, 1_500, 3_500, 7_500, 15_500, 31_500]
    );
    assert_eq!(times(&line, "failed Timeout"), [32_000]);
    assert!(engine.is_empty());
}

#[test]
fn timers_e_and_f() {
    let mut engine = engine();
    start(&mut engine, "MESSAGE", UDP);
    let line = timeline(&mut engine, 60_000);
    let sent = times(&line, "send MESSAGE");
    assert_eq!(
        sent,
        [
            500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
        ]
    );
    assert_eq!(times(&line, "failed Timeout"), [32_000]);
}

#[test]
fn reliable_transports_repeat_nothing() {
    for method in ["INVITE", "MESSAGE"] {
        let mut engine = engine();
        start(&mut engine, method, TCP);
        assert_eq!(
            timeline(&mut engine, 60_000),
            [(32_000, "failed Timeout".to_owned())]
        );
    }
}

#[test]
fn timer_e_is_t2_once_a_provisional_came() {
    let mut engine = engine();
    start(&mut engine, "MESSAGE", UDP);
    assert_eq!(
        answer(&mut engine, 100, 100, "MESSAGE", UDP),
        ["response 100"]
    );
    let line = timeline(&mut engine, 60_000);
    assert_eq!(times(&line, "send MESSAGE")[..3], [500, 4_500, 8_500]);
    assert_eq!(times(&line, "failed Timeout"), [32_000]);
}

#[test]
fn timer_k_absorbs_repeats_on_udp_only() {
    let mut udp = engine();
    start(&mut udp, "MESSAGE", UDP);
    assert_eq!(answer(&mut udp, 100, 200, "MESSAGE", UDP), ["response 200"]);
    assert!(answer(&mut udp, 200, 200, "MESSAGE", UDP).is_empty());
    assert_eq!(wake_at(&mut udp), Some(5_100));
    assert!(timeline(&mut udp, 60_000).is_empty());
    assert!(udp.is_empty());

    let mut tcp = engine();
    start(&mut tcp, "MESSAGE", TCP);
    assert_eq!(answer(&mut tcp, 100, 200, "MESSAGE", TCP), ["response 200"]);
    assert!(tcp.is_empty());
    assert_eq!(wake_at(&mut tcp), None);
}

#[test]
fn timer_d_acknowledges_each_repeat_of_a_failure() {
    let mut udp = engine();
    start(&mut udp, "INVITE", UDP);
    assert_eq!(answer(&mut udp, 100, 180, "INVITE", UDP), ["response 180"]);
    assert_eq!(
        answer(&mut udp, 1_000, 486, "INVITE", UDP),
        ["send ACK", "response 486"]
    );
    assert_eq!(answer(&mut udp, 2_000, 486, "INVITE", UDP), ["send ACK"]);
    assert_eq!(wake_at(&mut udp), Some(33_000));
    assert!(timeline(&mut udp, 60_000).is_empty());
    assert!(udp.is_empty());

    let mut tcp = engine();
    start(&mut tcp, "INVITE", TCP);
    assert_eq!(
        answer(&mut tcp, 100, 486, "INVITE", TCP),
        ["send ACK", "response 486"]
    );
    assert!(tcp.is_empty());
}

#[test]
fn timer_m_passes_every_2xx_up() {
    for on in [UDP, TCP] {
        let mut engine = engine();
        start(&mut engine, "INVITE", on);
        assert_eq!(
            answer(&mut engine, 400, 200, "INVITE", on),
            ["response 200"]
        );
        assert_eq!(
            answer(&mut engine, 2_000, 200, "INVITE", on),
            ["response 200"]
        );
        assert!(answer(&mut engine, 2_500, 486, "INVITE", on).is_empty());
        assert_eq!(wake_at(&mut engine), Some(32_400));
        assert!(timeline(&mut engine, 33_000).is_empty());
        assert_eq!(answer(&mut engine, 34_000, 200, "INVITE", on), ["stray"]);
    }
}

#[test]
fn provisionals_stop_timers_a_and_b() {
    let mut engine = engine();
    start(&mut engine, "INVITE", UDP);
    answer(&mut engine, 100, 180, "INVITE", UDP);
    assert!(timeline(&mut engine, 500_000).is_empty());
    assert_eq!(engine.len(), 1);
}

#[test]
fn late_responses_to_other_requests_are_absorbed() {
    let mut engine = engine();
    assert!(answer(&mut engine, 0, 200, "MESSAGE", UDP).is_empty());
    assert!(answer(&mut engine, 0, 486, "INVITE", UDP).is_empty());
}

#[test]
fn transport_failures_end_it_at_once() {
    for method in ["INVITE", "MESSAGE"] {
        let mut engine = engine();
        let tx = start(&mut engine, method, UDP);
        engine.handle(10, Input::SendFailed { tx });
        assert_eq!(drain(&mut engine), ["failed Transport"]);
        assert!(engine.is_empty());
    }
}

#[test]
fn a_closed_connection_fails_its_own_requests_only() {
    let mut engine = engine();
    for n in 0..5_u64 {
        let branch = format!("z9hG4bK{n}");
        let text = request("MESSAGE", &branch);
        let on = Flow {
            id: n % 2,
            ..flow(TCP)
        };
        let tx = engine.start(
            0,
            Outgoing {
                method: b"MESSAGE",
                branch: branch.as_bytes(),
                flow: on,
                bytes: octets(&text),
                token: n,
            },
        );
        // One of the middle goes before.
        if n == 2 {
            engine.forget(tx);
        }
    }
    drain(&mut engine);
    engine.handle(1, Input::FlowClosed { flow: 0 });
    assert_eq!(drain(&mut engine), ["failed Transport"; 2]);
    assert_eq!(engine.len(), 2);
    engine.handle(1, Input::FlowClosed { flow: 0 });
    assert!(drain(&mut engine).is_empty());
    engine.handle(1, Input::FlowClosed { flow: 1 });
    assert_eq!(drain(&mut engine).len(), 2);
    assert!(engine.is_empty());
}

#[test]
fn cancel_waits_for_a_provisional() {
    let mut engine = engine();
    let tx = start(&mut engine, "INVITE", TCP);
    engine.cancel(10, tx);
    assert!(drain(&mut engine).is_empty());
    assert_eq!(
        answer(&mut engine, 100, 180, "INVITE", TCP),
        ["send CANCEL", "response 180"]
    );
    engine.cancel(110, tx);
    assert!(drain(&mut engine).is_empty());
    // Its own 200 is nobody's business; the INVITE's 487 is.
    receive(
        &mut engine,
        120,
        &response(200, &request("CANCEL", "z9hG4bKc")),
        TCP,
    );
    assert!(drain(&mut engine).is_empty());
    assert_eq!(
        answer(&mut engine, 130, 487, "INVITE", TCP),
        ["send ACK", "response 487"]
    );
    assert!(engine.is_empty());
}

#[test]
fn a_cancelled_invite_ends_after_64_t1() {
    let mut engine = engine();
    let tx = start(&mut engine, "INVITE", TCP);
    answer(&mut engine, 100, 180, "INVITE", TCP);
    engine.cancel(1_000, tx);
    assert_eq!(drain(&mut engine), ["send CANCEL"]);
    let line = timeline(&mut engine, 60_000);
    assert_eq!(times(&line, "failed Timeout"), [33_000]);
    assert!(engine.is_empty());
}
