//! An RVP client behind network address translation (`decisions.md` 28): three network
//! namespaces, the middle one translates. Needs root, iproute2, nftables and curl.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const SERVER: &str = "203.0.113.1";
const CLIENT: &str = "192.168.77.2";

fn run(line: &str) -> Result<Output, String> {
    let mut words = line.split(' ');
    let program = words.next().unwrap_or_default();
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| format!("{line}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!(
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Server, translator and client, each in a namespace of its own.
struct World {
    id: u32,
    folder: PathBuf,
    server: Option<Child>,
}

impl World {
    /// `None` (with a word) where there are no namespaces to be had.
    fn new() -> Option<Self> {
        let id = std::process::id();
        let folder = std::env::temp_dir().join(format!("tristack-nat-{id}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        let world = Self {
            id,
            folder,
            server: None,
        };
        match world.lay() {
            Ok(()) => Some(world),
            Err(why) if std::env::var_os("TRISTACK_TEST_REQUIRE_PEERS").is_some() => {
                panic!("{why}")
            }
            Err(why) => {
                eprintln!("left out: {why}");
                None
            }
        }
    }

    fn name(&self, part: &str) -> String {
        format!("ts{part}{}", self.id)
    }

    fn lay(&self) -> Result<(), String> {
        run("curl --version")?;
        run("nft --version")?;
        let [srv, nat, cli] = ["srv", "nat", "cli"].map(|part| self.name(part));
        for name in [&srv, &nat, &cli] {
            run(&format!("ip netns add {name}"))?;
            run(&format!("ip -n {name} link set lo up"))?;
        }
        for (one, a, two, b) in [
            (&srv, "203.0.113.1/24", &nat, "203.0.113.2/24"),
            (&cli, "192.168.77.2/24", &nat, "192.168.77.1/24"),
        ] {
            let port = if one == &srv { "out" } else { "in" };
            run(&format!(
                "ip -n {one} link add wire type veth peer name {port} netns {two}"
            ))?;
            run(&format!("ip -n {one} addr add {a} dev wire"))?;
            run(&format!("ip -n {two} addr add {b} dev {port}"))?;
            run(&format!("ip -n {one} link set wire up"))?;
            run(&format!("ip -n {two} link set {port} up"))?;
        }
        run(&format!("ip -n {cli} route add default via 192.168.77.1"))?;
        run(&format!(
            "ip netns exec {nat} sysctl -qw net.ipv4.ip_forward=1"
        ))?;
        let nft = format!("ip netns exec {nat} nft");
        run(&format!("{nft} add table ip nat"))?;
        run(&format!(
            "{nft} add chain ip nat post {{ type nat hook postrouting priority 100 ; }}"
        ))?;
        run(&format!(
            "{nft} add rule ip nat post oifname out masquerade"
        ))?;
        Ok(())
    }

    fn tristack(&self, arguments: &str) -> Output {
        let config = self.folder.join("tristack.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tristack"));
        command
            .args(arguments.split(' '))
            .arg("--config")
            .arg(config);
        command.output().expect("the binary runs")
    }

    fn start(&mut self) {
        let config = format!(
            "[server]\ndata_dir = \"data\"\ndomains = [\"example.com\"]\n\
             [rvp]\nlisten = [\"{SERVER}:80\"]\nhosts = [\"{SERVER}\"]\n\
             [sip]\nudp = []\ntcp = []\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"info\"\n"
        );
        std::fs::write(self.folder.join("tristack.toml"), config).expect("a configuration");
        let users = self.folder.join("users.csv");
        let rows = "address,password\nalice@example.com,alice\nbob@example.com,bob\n";
        std::fs::write(&users, rows).expect("users");
        let imported = self.tristack(&format!("user import {}", users.display()));
        assert!(imported.status.success(), "{imported:?}");
        let log = std::fs::File::create(self.folder.join("log")).expect("a log");
        let mut server = Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.name("srv"),
                env!("CARGO_BIN_EXE_tristack"),
            ])
            .args(["serve", "--config"])
            .arg(self.folder.join("tristack.toml"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the server starts");
        let out = server.stdout.take().expect("its output");
        self.server = Some(server);
        let mut lines = BufReader::new(out).lines().map_while(Result::ok);
        let ready = lines.any(|line| line.starts_with("tristack ready"));
        assert!(ready, "{}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// A request with Digest; status and answer.
    fn ask(
        &self,
        place: &str,
        who: &str,
        method: &str,
        of: &str,
        more: &[&str],
        body: &str,
    ) -> (u16, String) {
        let url = |name: &str| format!("http://{SERVER}/instmsg/aliases/{name}");
        let mut curl = Command::new("ip");
        curl.args([
            "netns",
            "exec",
            &self.name(place),
            "curl",
            "-s",
            "-i",
            "--digest",
        ]);
        curl.args([
            "--max-time",
            "30",
            "-u",
            &format!("{who}:{who}"),
            "-X",
            method,
        ]);
        curl.args(["-H", "RVP-Notifications-Version: 0.2"]);
        curl.args(["-H", &format!("RVP-From-Principal: {}", url(who))]);
        for header in more {
            curl.args(["-H", header]);
        }
        if !body.is_empty() {
            curl.args(["-H", "Content-Type: text/xml", "--data-binary", body]);
        }
        let output = curl.arg(url(of)).output().expect("curl runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // A multistatus has status lines, too, but not after an empty line.
        let later = text.rfind("\r\n\r\nHTTP/1.1 ").map(|at| at + 4);
        let last = later.unwrap_or(0);
        let status = text[last + 9..]
            .split(' ')
            .next()
            .and_then(|s| s.parse().ok());
        (status.expect("a status"), text[last..].to_owned())
    }

    fn state(&self, place: &str, who: &str, state: &str) {
        let body = format!(
            "<d:propertyupdate xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"><d:set><d:prop><r:state><r:leased-value><r:value><r:{state}/></r:value><r:default-value><r:offline/></r:default-value><d:timeout>1200</d:timeout></r:leased-value></r:state></d:prop></d:set></d:propertyupdate>"
        );
        let (status, text) = self.ask(place, who, "PROPPATCH", who, &[], &body);
        assert!(matches!(status, 200 | 207), "{text}");
    }

    fn sees(&self, place: &str, who: &str, of: &str) -> String {
        let body = "<d:propfind xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"><d:prop><r:state/></d:prop></d:propfind>";
        let (status, text) = self.ask(place, who, "PROPFIND", of, &["Depth: 0"], body);
        assert_eq!(status, 207, "{text}");
        text
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // `ip netns exec` becomes the program, so this is the server itself.
            let _ = server.kill();
            let _ = server.wait();
        }
        for part in ["srv", "nat", "cli"] {
            let _ = run(&format!("ip netns del {}", self.name(part)));
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn decision_28_a_client_behind_nat_is_send_only_and_everybody_is_told() {
    let Some(mut world) = World::new() else {
        return;
    };
    world.start();
    let call_back = format!("Call-Back: http://{CLIENT}:4000");
    let sign_in = [
        "Notification-Type: pragma/notify",
        "Subscription-Lifetime: 3600",
        &call_back,
    ];
    let (status, text) = world.ask("cli", "alice", "SUBSCRIBE", "alice", &sign_in, "");
    assert_eq!(status, 200, "{text}");
    assert!(text.to_lowercase().contains("subscription-id:"), "{text}");

    // The log and `explain` say why; once.
    let log = world.log();
    assert_eq!(
        log.matches("notifications can't reach this client").count(),
        1,
        "{log}"
    );
    let explained = String::from_utf8(world.tristack("explain alice@example.com").stdout);
    let explained = explained.expect("text");
    assert!(
        explained.contains("send-only") && explained.contains(CLIENT),
        "{explained}"
    );
    assert!(explained.contains("203.0.113.2"), "whence: {explained}");
    let callbacks = String::from_utf8(world.tristack("callbacks").stdout).expect("text");
    assert!(
        callbacks.contains("send-only") && callbacks.contains(CLIENT),
        "{callbacks}"
    );

    // It reads presence by asking, and others read its own.
    world.state("cli", "alice", "online");
    world.state("srv", "bob", "busy");
    assert!(world.sees("cli", "alice", "bob").contains("busy"));
    assert!(world.sees("srv", "bob", "alice").contains("online"));

    // Texts to it fail at once, not after the four seconds of a silent client.
    let message = |from: &str, to: &str| {
        format!(
            "<r:notification xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"><r:message><r:notification-from><r:contact><d:href>http://{SERVER}/instmsg/aliases/{from}</d:href><r:description/></r:contact></r:notification-from><r:notification-to><r:contact><d:href>http://{SERVER}/instmsg/aliases/{to}</d:href><r:description/></r:contact></r:notification-to><r:msgbody><r:mime-data><![CDATA[MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\nSession-Id: {{11112222-3333-4444-5555-666677778888}}\r\n\r\nhello]]></r:mime-data></r:msgbody></r:message></r:notification>"
        )
    };
    let ack = ["RVP-Ack-Type: DeepOr", "RVP-Hop-Count: 1"];
    let from = Instant::now();
    let (status, text) = world.ask(
        "srv",
        "bob",
        "NOTIFY",
        "alice",
        &ack,
        &message("bob", "alice"),
    );
    assert_eq!(status, 412, "{text}");
    assert!(
        from.elapsed() < Duration::from_secs(4),
        "{:?}",
        from.elapsed()
    );

    // It can send: the text gets as far as bob's listener, where nobody answers.
    let call_back = format!("Call-Back: http://{SERVER}:4000");
    let listener = [
        "Notification-Type: pragma/notify",
        "Subscription-Lifetime: 3600",
        &call_back,
    ];
    let (status, text) = world.ask("srv", "bob", "SUBSCRIBE", "bob", &listener, "");
    assert_eq!(status, 200, "{text}");
    let (status, text) = world.ask(
        "cli",
        "alice",
        "NOTIFY",
        "bob",
        &ack,
        &message("alice", "bob"),
    );
    let traced = String::from_utf8(world.tristack("trace --user bob@example.com").stdout);
    let traced = traced.expect("text");
    assert!(
        matches!(status, 200 | 412) && traced.contains("alice@example.com"),
        "{text} {traced}"
    );
}
