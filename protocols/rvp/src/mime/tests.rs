use super::*;
use proptest::prelude::*;

const SESSION: &str = "{5D3E02AB-6190-11D3-BBBB-00C04F795683}";

#[test]
fn rvp_5_notify_payloads_are_written_literally() {
    assert_eq!(
        Block::text("Hello\r\n\r\nthere", SESSION, None).to_string(),
        format!(
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\nX-MMS-IM-Format: FN=Tahoma; EF=; CO=0; CS=0; PF=22\r\nSession-Id: {SESSION}\r\n\r\nHello\r\n\r\nthere"
        )
    );
    assert_eq!(
        Block::typing("alice@example.com", SESSION).to_string(),
        format!(
            "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgscontrol\r\nTypingUser: alice@example.com\r\nSession-Id: {SESSION}\r\n\r\n\r\n"
        )
    );
    assert!(
        Block::join(SESSION)
            .to_string()
            .ends_with(&format!("Session-Id: {SESSION}\r\n\r\n\r\n"))
    );
}

#[test]
fn rvp_5_notify_kinds() {
    for (head, kind) in [
        ("Content-Type: text/plain; charset=UTF-8", Kind::Text),
        ("content-type: TEXT/PLAIN", Kind::Text),
        (
            "Content-Type: text/x-msmsgscontrol\nTypingUser: a",
            Kind::Typing,
        ),
        (
            "Content-Type: text/x-msmsscontrol\nTypingUser: a",
            Kind::Typing,
        ),
        ("Content-Type: text/x-msmsgscontrol", Kind::Join),
        ("Content-Type: text/x-imleave", Kind::Leave),
        (
            "Content-Type: text/x-msmsgsinvite; charset=UTF-8",
            Kind::Invite,
        ),
        ("Content-Type: image/gif", Kind::Other),
        ("MIME-Version: 1.0", Kind::Other),
    ] {
        assert_eq!(Block::parse(head).unwrap().kind(), kind, "{head}");
    }
}

#[test]
fn rvp_8_11_any_header_order_and_line_end() {
    let block = Block::parse("Session-Id: {x}\nX-Mine: y\r\nContent-Type: text/plain\n\r\n a\n\nb")
        .unwrap();
    assert_eq!(
        (block.session(), block.body.as_str()),
        (Some("{x}"), " a\n\nb")
    );
    assert_eq!(block.headers().count(), 3);
    assert_eq!(Block::parse("Session-Id:\r\n\r\n").unwrap().session(), None);
    for bad in [
        "",
        "\r\n\r\nx",
        "no colon\r\n\r\n",
        ": x",
        "a b: c",
        "A: b\0",
        "A: b\rC: d\r\n",
    ] {
        assert!(
            matches!(Block::parse(bad), Err(ParseError::Mime(_))),
            "{bad:?}"
        );
    }
    assert!(Block::parse(&"A: b\n".repeat(65)).is_err());
    assert!(Block::parse(&format!("A: {}", "x".repeat(4096))).is_err());
}

#[test]
fn a_value_cannot_start_another_header() {
    let block = Block::typing("a\r\nX: y", "{s}");
    assert_eq!(Block::parse(&block.to_string()).unwrap().get("X"), None);
}

#[test]
fn rvp_5_invitations_hold_a_second_block_and_can_be_rejected() {
    let text = "Content-Type: text/x-msmsgsinvite\r\nSession-Id: {s}\r\n\r\nApplication-Name: File Transfer\r\nInvitation-Command: INVITE\r\nInvitation-Cookie: 33267\r\n\r\n";
    let invite = Block::parse(text).unwrap();
    assert_eq!(
        invite.invitation().unwrap().get("application-name"),
        Some("File Transfer")
    );
    let reject = Block::reject(&invite, "{s}").unwrap();
    let renamed = Block::text("hi", "{s}", None).renamed("{t}");
    assert_eq!(
        (renamed.session(), renamed.body.as_str()),
        (Some("{t}"), "hi")
    );
    let inner = reject.invitation().unwrap();
    assert_eq!(
        (inner.get("Invitation-Cookie"), inner.get("Cancel-Code")),
        (Some("33267"), Some("REJECT"))
    );
    assert_eq!(reject.kind(), Kind::Invite);
}

#[test]
fn formats_carry_bgr_colour_and_encoded_fonts() {
    let format = Format::parse("FN=MS%20Sans%20Serif; EF=ubX; CO=ff8001; CS=ee; PF=22");
    assert_eq!(
        (format.font.as_str(), format.effects.as_str()),
        ("MS Sans Serif", "BU")
    );
    assert_eq!(
        format.colour,
        Colour {
            red: 1,
            green: 0x80,
            blue: 0xFF
        }
    );
    assert_eq!(
        format.to_string(),
        "FN=MS%20Sans%20Serif; EF=BU; CO=ff8001; CS=ee; PF=22"
    );
    assert_eq!(
        Format::parse("FN=%zz; CO=+1; PF=999999; nonsense"),
        Format::default()
    );
    assert_eq!(
        Format::parse("CO=ff").colour,
        Colour {
            red: 255,
            green: 0,
            blue: 0
        }
    );
}

#[test]
fn session_ids_are_guids() {
    assert_eq!(session_id(session_bits(SESSION).unwrap()), SESSION);
    assert_eq!(
        session_bits("5d3e02ab-6190-11d3-bbbb-00c04f795683"),
        session_bits(SESSION)
    );
    for bad in [
        "",
        "{}",
        "{x}",
        "{5D3E02AB-6190-11D3-BBBB-00C04F795683",
        "5D3E02AB-6190-11D3-BBBB-00C04F79568+",
        "5D3E02AB619011D3BBBB00C04F795683",
    ] {
        assert_eq!(session_bits(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same(body in any::<String>(), session in "[ -~]{0,20}", font in "[ -~é]{1,20}", red in any::<u8>(), blue in any::<u8>()) {
        let format = Format { font, colour: Colour { red, green: 7, blue }, ..Format::default() };
        let block = Block::text(&body, &session, Some(&format));
        let read = Block::parse(&block.to_string());
        prop_assert_eq!(read.as_ref(), Ok(&block));
        prop_assert_eq!(block.format(), Some(format));
    }

    #[test]
    fn sessions_round_trip(bits in any::<u128>()) {
        prop_assert_eq!(session_bits(&session_id(bits)), Some(bits));
    }
}

#[test]
fn any_bytes_never_panic() {
    bolero::check!().for_each(crate::fuzz::mime);
}
