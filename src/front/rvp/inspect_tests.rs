//! What is refused and what passes, octet for octet.

use super::*;

fn sift_all(input: &[u8], chunk: usize) -> (Vec<u8>, Option<BadHead>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    let _guard = runtime.enter();
    let verdict = Arc::new(Verdict::default());
    let mut inspect = Inspect::new(
        tokio::io::empty(),
        HeadLimits::default(),
        Arc::clone(&verdict),
        Arc::default(),
    );
    let mut out = Vec::new();
    for piece in input.chunks(chunk.max(1)) {
        if verdict.get().is_some() {
            break;
        }
        inspect.raw.extend_from_slice(piece);
        inspect.sift();
        out.extend_from_slice(&inspect.ready);
        inspect.ready.clear();
    }
    (out, verdict.get())
}

#[test]
fn rvp_8_1_smuggling_table() {
    let head = |lines: &str| format!("NOTIFY /x HTTP/1.1\r\n{lines}\r\n");
    for (input, why) in [
        (head("Host: a\r\nX: a\rb\r\n"), BadHead::BareCr),
        (
            head("Host: a\r\nContent-Length : 5\r\n"),
            BadHead::SpaceBeforeColon,
        ),
        (head("Host: a\r\nX: a\r\n b\r\n"), BadHead::Folding),
        (head("Host: a\nX: a\n\tb\n"), BadHead::Folding),
        (
            head("Host: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n"),
            BadHead::DoubledLength,
        ),
        (
            head("Host: a\r\nContent-Length: 5\r\ncontent-length: 5\r\n"),
            BadHead::DoubledLength,
        ),
        (
            head("Host: a\r\nContent-Length: 5, 5\r\n"),
            BadHead::DoubledLength,
        ),
        (
            head("Host: a\r\nContent-Length: +5\r\n"),
            BadHead::BadLength,
        ),
        (
            head("Host: a\r\nContent-Length: 0x5\r\n"),
            BadHead::BadLength,
        ),
        (
            head("Host: a\r\nContent-Length: 99999999999999999999\r\n"),
            BadHead::BadLength,
        ),
        (head("Host: a\r\nContent-Length:\r\n"), BadHead::BadLength),
        (
            head("Host: a\r\nTransfer-Encoding: chunked\r\n"),
            BadHead::TransferEncoding,
        ),
        (
            head("Host: a\r\nTransfer-Encoding: identity\r\n"),
            BadHead::TransferEncoding,
        ),
        (
            head("Host: a\r\nTransfer-Encoding: \x0bchunked\r\n"),
            BadHead::Control,
        ),
        (
            head("Host: a\r\nTransfer-Encoding : chunked\r\n"),
            BadHead::SpaceBeforeColon,
        ),
        (head("X: y\r\n"), BadHead::NoHost),
        (head("Host: a\r\nHost: a\r\n"), BadHead::TwoHosts),
        (head("Host: a\r\nnocolon\r\n"), BadHead::HeaderLine),
        (head("Host: a\r\n: empty\r\n"), BadHead::HeaderLine),
        (head("Host: a\r\nX: \0\r\n"), BadHead::Control),
        (
            head(&format!("Host: a\r\nX: {}\r\n", "y".repeat(33_000))),
            BadHead::TooLarge,
        ),
        (head(&"X: y\r\n".repeat(65)), BadHead::TooMany),
        (format!("GET /{}", "y".repeat(33_000)), BadHead::TooLarge),
        (
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            BadHead::RequestLine,
        ),
        (
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(),
            BadHead::RequestLine,
        ),
        ("GET /\r\nHost: a\r\n\r\n".into(), BadHead::RequestLine),
        (
            "G(T / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            BadHead::RequestLine,
        ),
        (
            "TRISTACK-REFUSED / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            BadHead::RequestLine,
        ),
        (
            "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            BadHead::Target,
        ),
        (
            "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            BadHead::RequestLine,
        ),
    ] {
        for chunk in [1, 7, usize::MAX] {
            let (out, got) = sift_all(input.as_bytes(), chunk);
            assert_eq!(got, Some(why), "{input:.80?} in pieces of {chunk}");
            assert_eq!(out, STAND_IN_HEAD, "{input:.80?}");
        }
    }
}

#[test]
fn lf_alone_ends_lines_and_bodies_pass_untouched() {
    let input = b"\r\nA /x HTTP/1.1\nHost: a\nContent-Length: 7\n\n1\n2\r\r\n3B / HTTP/1.0\r\n\r\nC / HTTP/1.1\r\nHost: b\n\r\n";
    let want: &[u8] = b"A /x HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n1\n2\r\r\n3B / HTTP/1.0\r\n\r\nC / HTTP/1.1\r\nHost: b\r\n\r\n";
    for chunk in 1..input.len() {
        let (out, bad) = sift_all(input, chunk);
        assert_eq!(bad, None);
        assert_eq!(
            String::from_utf8_lossy(&out),
            String::from_utf8_lossy(want),
            "{chunk}"
        );
    }
}

#[test]
fn any_octets_in_any_pieces_are_judged_alike() {
    bolero::check!()
        .with_type::<(Vec<u8>, u8)>()
        .for_each(|(input, chunk)| {
            let whole = sift_all(input, usize::MAX);
            let pieces = sift_all(input, usize::from(*chunk));
            assert_eq!(whole.1, pieces.1);
            assert_eq!(whole.0, pieces.0);
        });
}
