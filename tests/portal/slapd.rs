//! OpenLDAP's server from Debian in a folder and on a loopback address of its own.

use crate::support::peer::said;
use crate::support::temporary::Temporary;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Where Debian has the program.
const SLAPD: &str = "/usr/sbin/slapd";

/// Alice's password: whatever a form, a filter or a shell could trip over.
pub(crate) const ALICES: &str = "al(ice)*\\ &+%=\u{fc}";

/// The directory; ends when dropped.
pub(crate) struct Slapd {
    folder: Temporary,
    child: Child,
    /// LDAP, with StartTLS.
    pub(crate) ldap: SocketAddr,
    /// LDAP over TLS.
    pub(crate) ldaps: SocketAddr,
}

impl Slapd {
    /// With people; `strict` refuses passwords outside TLS. A bind without a password succeeds, as
    /// careless directories let it. References lead to `elsewhere`.
    pub(crate) fn start(strict: bool, elsewhere: SocketAddr) -> Self {
        let folder = Temporary::new("slapd");
        let (ldap, ldaps) = (free(), free());
        let at = folder.path().display().to_string();
        std::fs::create_dir(folder.path().join("db")).expect("a folder");
        let made = rcgen::generate_simple_self_signed(vec![ldaps.ip().to_string()]);
        let made = made.expect("a certificate");
        let security = if strict {
            "security simple_bind=64\n"
        } else {
            ""
        };
        let configuration = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\nmodulepath /usr/lib/ldap\n\
             moduleload back_mdb\npidfile {at}/pid\nallow bind_anon_cred bind_anon_dn\n{security}\
             TLSCertificateFile {at}/certificate.pem\nTLSCertificateKeyFile {at}/key.pem\n\
             database mdb\nsuffix \"dc=example,dc=com\"\nrootdn \"cn=admin,dc=example,dc=com\"\n\
             directory {at}/db\nmaxsize 10485760\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by dn.exact=\"cn=reader,dc=example,dc=com\" read by * none\n"
        );
        for (name, text) in [
            ("certificate.pem", made.cert.pem()),
            ("key.pem", made.signing_key.serialize_pem()),
            ("slapd.conf", configuration),
            ("people.ldif", people(elsewhere)),
        ] {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        let file = |name: &str| folder.path().join(name);
        let loaded = Command::new("/usr/sbin/slapadd")
            .arg("-f")
            .arg(file("slapd.conf"))
            .arg("-l")
            .arg(file("people.ldif"))
            .output()
            .expect("slapadd runs");
        assert!(loaded.status.success(), "{}", said(&loaded));
        let child = launch(&file("slapd.conf"), ldap, ldaps);
        Self {
            folder,
            child,
            ldap,
            ldaps,
        }
    }

    /// Its certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// A file with the password of the one who may read.
    pub(crate) fn password_file(&self) -> PathBuf {
        let file = self.folder.path().join("reader");
        std::fs::write(&file, "reads\n").expect("written");
        file
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ready when it says so.
fn launch(configuration: &std::path::Path, ldap: SocketAddr, ldaps: SocketAddr) -> Child {
    let mut child = Command::new(SLAPD)
        .args(["-d", "stats", "-f"])
        .arg(configuration)
        .args(["-h", &format!("ldap://{ldap} ldaps://{ldaps}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("slapd runs");
    let mut heard = String::new();
    let mut lines = BufReader::new(child.stderr.take().expect("its log"));
    while !heard.contains("slapd starting") {
        let count = lines.read_line(&mut heard).expect("its log");
        if count == 0 {
            let _ = child.wait();
            panic!("the directory does not start:\n{heard}");
        }
    }
    // Read on, so that it never waits for us.
    std::thread::spawn(move || for _ in lines.lines() {});
    child
}

fn people(elsewhere: SocketAddr) -> String {
    let mut text = "dn: dc=example,dc=com\nobjectClass: organization\nobjectClass: dcObject\n\
        o: Example\ndc: example\n\n\
        dn: cn=reader,dc=example,dc=com\nobjectClass: person\ncn: reader\nsn: reader\n\
        userPassword: reads\n\n\
        dn: ou=people,dc=example,dc=com\nobjectClass: organizationalUnit\nou: people\n\n"
        .to_owned();
    let _ = write!(
        text,
        "dn: ou=away,ou=people,dc=example,dc=com\nobjectClass: referral\n\
         objectClass: extensibleObject\nou: away\nref: ldap://{elsewhere}/ou=away,dc=example,dc=com\n\n"
    );
    for (name, mail, password) in [
        ("alice", "alice@example.com", ALICES),
        ("bob", "bob@example.com", "bobs"),
        // In the directory, but no account here.
        ("dora", "dora@example.com", "doras"),
        ("twin1", "twin@example.com", "twins"),
        ("twin2", "twin@example.com", "twins"),
    ] {
        let _ = write!(
            text,
            "dn: uid={name},ou=people,dc=example,dc=com\nobjectClass: inetOrgPerson\nuid: {name}\n\
             cn: {name}\nsn: {name}\nmail: {mail}\nuserPassword:: {}\n\n",
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, password)
        );
    }
    text
}

/// A port that nobody has, at an address that only this process uses.
fn free() -> SocketAddr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let address = IpAddr::from([127, 89, high, low.max(1)]);
    let listener = TcpListener::bind((address, 0)).expect("a port");
    listener.local_addr().expect("its address")
}
