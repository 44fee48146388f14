//! What the portal shows. Everything that is not ours goes through [`escape`].

use crate::config::Config;
use std::fmt::Write as _;

/// The one stylesheet.
pub(super) const STYLE: &str = include_str!("style.css");

const MARK: &str = "<div class=\"mark\"><svg viewBox=\"0 0 32 32\" fill=\"none\" \
    stroke=\"currentColor\" stroke-width=\"2.4\" stroke-linejoin=\"round\" aria-hidden=\"true\">\
    <path d=\"M4 7h15v11h-8l-4 4v-4H4z\"/><path d=\"M23 12h5v11h-3v4l-4-4h-8v-2\"/></svg>\
    <span>Instant messaging</span></div>";

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

/// How somebody proves who he is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A one-time code.
    Code,
    /// The directory's password.
    Directory,
}

/// What the form looks like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form<'a> {
    /// Ties it to its cookie.
    pub(super) token: &'a str,
    /// What was typed before.
    pub(super) name: &'a str,
    /// Told above it.
    pub(super) wrong: Option<&'a str>,
    /// Which one was sent.
    pub(super) way: Way,
    /// Whether there is a directory.
    pub(super) directory: bool,
}

fn frame(width: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>Instant messaging password</title>\
         <link rel=\"stylesheet\" href=\"/style.css\"></head>\
         <body><main class=\"{width}\">{MARK}<div class=\"card\">{body}</div></main></body></html>\n"
    )
}

/// The form; with a directory, one-time codes stand behind a fold.
pub(super) fn form(form: &Form<'_>) -> String {
    let wrong = form.wrong.map_or_else(String::new, |text| {
        format!("<p class=\"wrong\" role=\"alert\">{}</p>", escape(text))
    });
    let lead = "<h1>A password for your messenger</h1>\
        <p class=\"soft\">Messaging programs sign in with a password of their own. You get a new \
        one here; an earlier one stops working.</p>";
    let code = code_form(form);
    if !form.directory {
        return frame("", &format!("{lead}{wrong}{code}"));
    }
    let open = if form.way == Way::Code { " open" } else { "" };
    let directory = directory_form(form);
    frame(
        "",
        &format!(
            "{lead}{wrong}{directory}<details{open}><summary>I have a one-time code</summary>\
             {code}</details>"
        ),
    )
}

fn code_form(form: &Form<'_>) -> String {
    format!(
        "<form method=\"post\" action=\"/password\" autocomplete=\"off\">\
         <input type=\"hidden\" name=\"token\" value=\"{}\">\
         <label for=\"address\">Address</label>\
         <input id=\"address\" name=\"address\" placeholder=\"you@example.com\" required value=\"{}\">\
         <label for=\"code\">One-time code from your administrator</label>\
         <input id=\"code\" name=\"code\" spellcheck=\"false\" autocapitalize=\"none\" required>\
         <button>Show my new password</button></form>",
        escape(form.token),
        escape(typed(form, Way::Code))
    )
}

fn directory_form(form: &Form<'_>) -> String {
    format!(
        "<form method=\"post\" action=\"/directory\">\
         <input type=\"hidden\" name=\"token\" value=\"{}\">\
         <label for=\"login\">Your name or address at work</label>\
         <input id=\"login\" name=\"login\" autocomplete=\"username\" spellcheck=\"false\" \
         autocapitalize=\"none\" required value=\"{}\">\
         <label for=\"secret\">Your password at work</label>\
         <input id=\"secret\" name=\"secret\" type=\"password\" autocomplete=\"current-password\" required>\
         <button>Show my new password</button></form>",
        escape(form.token),
        escape(typed(form, Way::Directory))
    )
}

fn typed<'a>(form: &Form<'a>, way: Way) -> &'a str {
    if form.way == way { form.name } else { "" }
}

/// The password, once, and how to use it.
pub(super) fn shown(address: &str, password: &str, places: &Places) -> String {
    let mut body = format!(
        "<h1>Your new password</h1><p class=\"soft\">For <b>{}</b>.</p>\
         <p class=\"secret\">{}</p>\
         <p class=\"soft\">Copy it now: it is not shown again. Programs that still use the former \
         one will ask for this one.</p><div class=\"clients\"><h2>Set up your program</h2>",
        escape(address),
        escape(password)
    );
    if let Some(host) = &places.rvp {
        exchange(&mut body, address, host);
    }
    if let Some(at) = &places.sip {
        sip(&mut body, address, at);
    }
    body.push_str("</div>");
    frame("wide", &body)
}

fn program(body: &mut String, name: &str, settings: &[(&str, &str)], registry: Option<&str>) {
    let _ = write!(body, "<details><summary>{}</summary><dl>", escape(name));
    for (key, value) in settings {
        let _ = write!(body, "<dt>{}</dt><dd>{}</dd>", escape(key), escape(value));
    }
    body.push_str("</dl>");
    if let Some(text) = registry {
        let _ = write!(
            body,
            "<p class=\"soft\">As a registry file (.reg):</p><pre>{}</pre>",
            escape(text)
        );
    }
    body.push_str("</details>");
}

fn exchange(body: &mut String, address: &str, host: &str) {
    program(
        body,
        "MSN Messenger, Windows Messenger: Exchange service",
        &[("Sign-in name", address), ("Server", host)],
        Some(
            "REGEDIT4\n\n[HKEY_LOCAL_MACHINE\\Software\\Microsoft\\MessengerService\\Policies]\n\"ExchangeConn\"=dword:00000002\n",
        ),
    );
}

fn sip(body: &mut String, address: &str, at: &str) {
    let registry = format!(
        "REGEDIT4\n\n[HKEY_CURRENT_USER\\Software\\Microsoft\\RTCIMSP]\n\"Configuration Mode\"=dword:00000001\n\"ServerAddress\"=\"{at}\"\n\"Transport\"=dword:00000002\n"
    );
    program(
        body,
        "Windows Messenger: SIP service",
        &[
            ("Sign-in name", address),
            ("Server", at),
            ("Transport", "TCP"),
        ],
        Some(&registry),
    );
    let (user, domain) = address.split_once('@').unwrap_or((address, ""));
    program(
        body,
        "Pidgin",
        &[
            ("Protocol", "SIMPLE"),
            ("Username", user),
            ("Server", domain),
            ("Proxy", at),
            ("Use UDP", "off"),
        ],
        None,
    );
    let uri = format!("sip:{address}");
    program(
        body,
        "Softphones",
        &[
            ("SIP address", &uri),
            ("Outbound proxy", at),
            ("Authentication name", address),
        ],
        None,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(text: &str, directory: bool, way: Way) -> String {
        form(&Form {
            token: text,
            name: text,
            wrong: Some(text),
            way,
            directory,
        })
    }

    #[test]
    fn nothing_foreign_becomes_markup() {
        let evil = "\"><script>alert('x')</script>&";
        let places = Places {
            rvp: Some(evil.into()),
            sip: Some(evil.into()),
        };
        for page in [
            both(evil, false, Way::Code),
            both(evil, true, Way::Code),
            both(evil, true, Way::Directory),
            shown(evil, evil, &places),
        ] {
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
            both("t", true, Way::Directory),
            shown("a@example.com", "p", &places),
        ] {
            assert!(
                !page.contains("<script") && !page.contains("style=") && !page.contains("<style")
            );
        }
    }

    #[test]
    fn what_was_typed_stays_where_it_was_typed() {
        let page = both("alice", true, Way::Directory);
        let (directory, code) = page.split_once("<details>").expect("folded");
        assert!(
            directory.contains("required value=\"alice\""),
            "{directory}"
        );
        assert!(code.contains("required value=\"\""), "{code}");
        assert!(both("alice", true, Way::Code).contains("<details open>"));
        let alone = both("alice", false, Way::Code);
        assert!(!alone.contains("<details") && !alone.contains("/directory"));
    }
}
