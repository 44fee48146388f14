//! What the portal shows. Everything that is not ours goes through [`escape`].

use crate::config::Config;
use std::fmt::Write as _;

/// The one stylesheet.
pub(super) const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f3f5f7;color:#1c2733}\
main{max-width:42rem;margin:3rem auto;padding:2rem;background:#fff;border:1px solid #d5dce3;border-radius:8px}\
h1{font-size:1.5rem;margin-top:0}h2{font-size:1.1rem;margin-top:2rem}\
label{display:block;margin:1rem 0 .25rem}input{width:100%;box-sizing:border-box;padding:.6rem;font:inherit;border:1px solid #8595a5;border-radius:4px}\
button{margin-top:1.5rem;padding:.6rem 1.4rem;font:inherit;color:#fff;background:#14589c;border:0;border-radius:4px}\
pre,.secret{font-family:ui-monospace,monospace;background:#f3f5f7;padding:.8rem;overflow-x:auto;border-radius:4px}\
.secret{font-size:1.4rem;letter-spacing:.05em}.wrong{background:#fdecea;padding:.8rem;border-left:4px solid #b3261e}\n";

/// Text as HTML, also inside quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Where clients find this server.
#[derive(Clone, Debug)]
pub(super) struct Places {
    rvp: Option<String>,
    sip: Option<String>,
}

impl Places {
    pub(super) fn of(config: &Config) -> Self {
        let host = config.rvp.hosts.first();
        let host = host.or(config.server.domains.first()).cloned();
        let host = host.unwrap_or_default();
        let rvp = !config.rvp.listen.is_empty() || !config.rvp.tls_listen.is_empty();
        let sip = config.sip.tcp.first().or(config.sip.udp.first());
        Self {
            sip: sip.map(|at| format!("{host}:{}", at.port())),
            rvp: rvp.then_some(host),
        }
    }
}

fn frame(body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Instant messaging password</title>\
         <link rel=\"stylesheet\" href=\"/style.css\"></head><body><main>{body}</main></body></html>\n"
    )
}

/// The form; `wrong` is told above it.
pub(super) fn form(token: &str, address: &str, wrong: Option<&str>) -> String {
    let wrong = wrong.map_or_else(String::new, |text| {
        format!("<p class=\"wrong\" role=\"alert\">{}</p>", escape(text))
    });
    frame(&format!(
        "<h1>Get a password for instant messaging</h1>{wrong}\
         <p>Enter your address and the one-time code that your administrator gave you. \
         You get a new password for your messaging programs; an earlier one stops working.</p>\
         <form method=\"post\" action=\"/password\" autocomplete=\"off\">\
         <input type=\"hidden\" name=\"token\" value=\"{}\">\
         <label for=\"address\">Address</label>\
         <input id=\"address\" name=\"address\" placeholder=\"you@example.com\" required value=\"{}\">\
         <label for=\"code\">One-time code</label><input id=\"code\" name=\"code\" required>\
         <button>Show my new password</button></form>",
        escape(token),
        escape(address)
    ))
}

/// The password, once, and how to use it.
pub(super) fn shown(address: &str, password: &str, places: &Places) -> String {
    let (who, secret) = (escape(address), escape(password));
    let mut body = format!(
        "<h1>Your new password</h1><p>For <b>{who}</b>. It is shown only now; \
         programs that still use the former one will be asked for it.</p>\
         <p class=\"secret\">{secret}</p>"
    );
    if let Some(host) = &places.rvp {
        let _ = write!(
            body,
            "<h2>MSN Messenger and Windows Messenger, Exchange service</h2>\
             <p>Sign-in name <b>{who}</b>, server <b>{}</b>. As a registry file \
             (MSN Messenger 2 and 3):</p><pre>{}</pre>",
            escape(host),
            escape(
                "REGEDIT4\n\n[HKEY_LOCAL_MACHINE\\Software\\Microsoft\\MessengerService\\Policies]\n\"ExchangeConn\"=dword:00000002\n"
            )
        );
    }
    if let Some(at) = &places.sip {
        let _ = write!(
            body,
            "<h2>Windows Messenger, SIP service</h2><pre>{}</pre>\
             <h2>Pidgin</h2><p>Protocol SIMPLE, user and domain of <b>{who}</b>, \
             proxy <b>{at}</b>, \u{201c}Use UDP\u{201d} off.</p>\
             <h2>Softphones</h2><p>SIP address <b>sip:{who}</b>, outbound proxy <b>{at}</b>, \
             authentication name <b>{who}</b>.</p>",
            escape(&format!(
                "REGEDIT4\n\n[HKEY_CURRENT_USER\\Software\\Microsoft\\RTCIMSP]\n\"Configuration Mode\"=dword:00000001\n\"ServerAddress\"=\"{at}\"\n\"Transport\"=dword:00000002\n"
            )),
            at = escape(at),
        );
    }
    frame(&body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_becomes_markup() {
        let evil = "\"><script>alert('x')</script>&";
        let places = Places {
            rvp: Some(evil.into()),
            sip: Some(evil.into()),
        };
        for page in [form(evil, evil, Some(evil)), shown(evil, evil, &places)] {
            assert!(!page.contains("<script"), "{page}");
            assert!(page.contains("&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)"));
        }
    }

    #[test]
    fn no_scripts_and_no_inline_styles() {
        let places = Places {
            rvp: Some("im.example.com".into()),
            sip: Some("im.example.com:5060".into()),
        };
        for page in [
            form("t", "a@example.com", None),
            shown("a@example.com", "p", &places),
        ] {
            assert!(
                !page.contains("<script") && !page.contains("style=") && !page.contains("<style")
            );
        }
    }
}
