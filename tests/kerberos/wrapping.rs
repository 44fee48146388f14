//! Tickets inside SPNEGO whose list names something else first (RFC 4178 5): MIT's library makes
//! the tokens and the codes, the wrapping is made here.

use super::{HTTP, Kdc, installed, send, server};
use crate::support::keepalive::Connection;
use auth::spnego::{Continue, Token, parse};

const UNKNOWN: [u8; 4] = [6, 2, 0x2a, 3];
const KERBEROS: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2];
const WINDOWS: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 1, 2, 2];

/// DER with two octets of length.
fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).expect("short").to_be_bytes();
    [&[tag, 0x82], length.as_slice(), contents].concat()
}

/// The first token, and the list as the codes cover it.
fn init(mechanisms: &[&[u8]], token: Option<&[u8]>) -> (Vec<u8>, Vec<u8>) {
    let list = der(0x30, &mechanisms.concat());
    let mut fields = der(0xa0, &list);
    if let Some(token) = token {
        fields.extend(der(0xa2, &der(4, token)));
    }
    let spnego = [6u8, 6, 0x2b, 6, 1, 5, 5, 2];
    let body = [spnego.as_slice(), &der(0xa0, &der(0x30, &fields))].concat();
    (der(0x60, &body), list)
}

fn further(token: Option<&[u8]>, code: Option<&[u8]>) -> Vec<u8> {
    let mut fields = Vec::new();
    for (tag, octets) in [(0xa2, token), (0xa3, code)] {
        fields.extend(octets.map_or_else(Vec::new, |octets| der(tag, &der(4, octets))));
    }
    der(0xa1, &der(0x30, &fields))
}

fn read(octets: &[u8]) -> Continue {
    match parse(octets) {
        Ok(Token::Continue(further)) => further,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_list_is_protected_whenever_kerberos_was_not_first() {
    if !installed() {
        return;
    }
    let kdc = Kdc::start();
    let server = server(&kdc, "", "");
    let alice = kdc.person("alice");
    let (hello, list) = init(&[&UNKNOWN, &KERBEROS], Some(b"of the other one"));
    let (_, shortened) = init(&[&KERBEROS], None);
    for (signed, status) in [(Some(&list), 200), (Some(&shortened), 401), (None, 401)] {
        let mut client = alice.client(&[]);
        let mut connection = Connection::new(&server);
        assert_eq!(send(&mut connection, "alice", &hello).status, 401);
        let ticket = client.ticket(HTTP);
        let shown = send(&mut connection, "alice", &further(Some(&ticket), None));
        assert_eq!(shown.status, 401, "not yet");
        let shown = read(&shown.token("Negotiate").expect("a proof"));
        assert!(client.believes(&shown.token.expect("the server's token")));
        let code = shown.integrity.expect("the server's code");
        assert!(client.verify(&list, &code) && !client.verify(&shortened, &code));
        let code = signed.map(|list| client.sign(list));
        let last = further(None, code.as_deref());
        assert_eq!(send(&mut connection, "alice", &last).status, status);
        assert_eq!(connection.send("alice", None).status, status);
    }
    // As Windows does it: its own identifier first, the token of it at once.
    let (hello, _) = init(&[&WINDOWS, &KERBEROS], Some(&alice.ticket(HTTP)));
    let mut connection = Connection::new(&server);
    let answer = send(&mut connection, "alice", &hello);
    assert_eq!(answer.status, 200, "{}", server.log_tail(8));
    let answer = answer.token("Negotiate").expect("a proof");
    assert!(answer.windows(9).any(|window| window == &WINDOWS[2..]));
}
