//! What a browser does with the portal, by curl: forms, cookies, TLS.

use crate::support::peer::said;
use crate::support::server::Server;
use std::process::Command;

/// An answer.
pub(crate) struct Page {
    /// The status.
    pub(crate) status: u16,
    head: String,
    /// The document.
    pub(crate) body: String,
}

impl Page {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut named = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim())
    }

    /// What the form hides.
    pub(crate) fn token(&self) -> String {
        between(&self.body, "name=\"token\" value=\"", "\"").to_owned()
    }

    /// `NAME=VALUE` of the cookie it sets.
    pub(crate) fn cookie(&self) -> String {
        let line = self.header("set-cookie").expect("a cookie");
        line.split(';').next().unwrap_or_default().to_owned()
    }

    /// The new password.
    pub(crate) fn password(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.body);
        between(&self.body, "class=\"secret\">", "<").to_owned()
    }

    /// The document without what differs by chance or was typed.
    pub(crate) fn likeness(&self) -> String {
        let mut text = self.body.replace(&self.token(), "TOKEN");
        while let Some(at) = text.find("required value=\"") {
            let rest = &text[at + 16..];
            let end = rest.find('"').expect("its end");
            text = format!("{}required{}", &text[..at], &rest[end + 1..]);
        }
        format!("{} {text}", self.status)
    }
}

pub(crate) fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("{before}: {text}"));
    rest.split_once(after).expect(after).0
}

/// A browser at the portal of that server.
pub(crate) struct Browser<'s> {
    server: &'s Server,
    root: String,
}

impl<'s> Browser<'s> {
    /// At the address in its ready line.
    pub(crate) fn new(server: &'s Server) -> Self {
        Self {
            root: server.portal.clone().expect("a portal"),
            server,
        }
    }

    /// One request.
    pub(crate) fn ask(&self, method: &str, path: &str, more: &[&str]) -> Page {
        let certificate = self.server.scratch("data").join("tls-certificate.pem");
        let output = Command::new("curl")
            .args(["-sS", "-i", "--max-time", "30", "-X", method])
            .args(["-H", "Expect:", "--cacert"])
            .arg(certificate)
            .args(more)
            .arg(format!("{}{path}", self.root))
            .output()
            .expect("curl runs");
        assert!(output.status.success(), "{}", said(&output));
        let text = String::from_utf8(output.stdout).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        Page {
            status: head[9..12].parse().expect("a status"),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// The form, filled in and sent.
    pub(crate) fn send(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let form = self.ask("GET", "/", &[]);
        self.send_with(path, Some(&form.cookie()), Some(&form.token()), fields)
    }

    /// The same with a cookie and a token of one's own choice.
    pub(crate) fn send_with(
        &self,
        path: &str,
        cookie: Option<&str>,
        token: Option<&str>,
        fields: &[(&str, &str)],
    ) -> Page {
        let mut more = Vec::new();
        let cookie = cookie.map(|cookie| format!("Cookie: {cookie}"));
        if let Some(cookie) = &cookie {
            more.extend(["-H", cookie]);
        }
        let token = token.map(|token| format!("token={token}"));
        let fields: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={v}")).collect();
        for field in token.iter().chain(&fields) {
            more.extend(["--data-urlencode", field]);
        }
        self.ask("POST", path, &more)
    }

    /// Signing in by the directory.
    pub(crate) fn directory(&self, login: &str, secret: &str) -> Page {
        self.send("/directory", &[("login", login), ("secret", secret)])
    }
}
