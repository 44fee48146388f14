//! Directory passwords: a Samba domain controller from Debian on a loopback of its own, asked
//! through `ntlm_auth`; people sign in with the password they have there.
//!
//! The controller runs in its own network, mount and process namespaces (root is needed), so it
//! touches nothing of the machine and ends with the test.

mod support;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use support::peer::{have_by, said};
use support::server::Server;

/// Longest wait for the controller.
const START: Duration = Duration::from_secs(120);

/// A Samba Active Directory domain controller for ADTEST.
struct Controller {
    child: Child,
    folder: PathBuf,
    /// Samba itself, as seen from outside its namespaces.
    samba: u32,
}

impl Controller {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("tristack-ad-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let made = Command::new("samba-tool")
            .args(["domain", "provision", "--realm=AD.TEST", "--domain=ADTEST"])
            .args([
                "--adminpass=Admin.Pw1",
                "--server-role=dc",
                "--dns-backend=SAMBA_INTERNAL",
            ])
            .args([
                "--host-name=dc1",
                "--host-ip=127.0.0.1",
                "--option=interfaces=lo",
            ])
            .args(["--option=bind interfaces only=yes", "--option=vfs objects="])
            .arg(format!("--targetdir={}", folder.display()))
            .output()
            .expect("samba-tool runs");
        assert!(made.status.success(), "{}", said(&made));
        let file = folder.join("etc/smb.conf");
        configure(&file, &folder);
        for (user, password) in [("alice", "alice.Pw1"), ("carol", "carol.Pw1")] {
            let added = Command::new("samba-tool")
                .args(["user", "create", user, password, "-s"])
                .arg(&file)
                .output()
                .expect("samba-tool runs");
            assert!(added.status.success(), "{}", said(&added));
        }
        let script = format!(
            "ip link set lo up && mkdir -p /run/samba && mount -t tmpfs tmpfs /run/samba && \
             exec samba -i -M single --debug-stdout -s {}",
            file.display()
        );
        let mut child = Command::new("unshare")
            .args(["-n", "-m", "-p", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("unshare runs");
        let lines = lines_of(&mut child);
        let mut controller = Self {
            child,
            folder,
            samba: 0,
        };
        controller.wait(&lines);
        controller
    }

    /// Until the helper is answered: that is what the server needs.
    fn wait(&mut self, lines: &mpsc::Receiver<String>) {
        let until = Instant::now() + START;
        let mut heard = String::new();
        loop {
            let own = self.child.id();
            let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
            let first = children.unwrap_or_default();
            self.samba = first
                .split(' ')
                .next()
                .and_then(|id| id.parse().ok())
                .unwrap_or(0);
            if self.samba != 0 && self.answers() {
                return;
            }
            assert!(
                Instant::now() < until,
                "the controller does not come up:\n{heard}"
            );
            if let Ok(line) = lines.recv_timeout(Duration::from_millis(300)) {
                let _ = writeln!(heard, "{line}");
            }
        }
    }

    fn answers(&self) -> bool {
        let helper = self.helper();
        let asked = Command::new(&helper[0])
            .args(&helper[1..helper.len() - 1])
            .args([
                "--username=alice",
                "--domain=ADTEST",
                "--password=alice.Pw1",
            ])
            .output();
        asked.is_ok_and(|asked| asked.status.success())
    }

    /// The helper, where it sees this controller's winbind.
    fn helper(&self) -> Vec<String> {
        vec![
            "nsenter".into(),
            format!("--mount=/proc/{}/ns/mnt", self.samba),
            "ntlm_auth".into(),
            format!(
                "--configfile={}",
                self.folder.join("etc/smb.conf").display()
            ),
            "--helper-protocol=ntlm-server-1".into(),
        ]
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // unshare takes all of its namespace with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn lines_of(child: &mut Child) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel();
    let output = child.stdout.take().expect("its output");
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    told
}

/// Everything below the folder, and no more services than sign-ins need.
fn configure(file: &Path, folder: &Path) {
    let text = std::fs::read_to_string(file).expect("a configuration");
    let global = text.split("[homes]").next().unwrap_or(&text);
    let kept = global.lines().filter(|line| {
        let key = line.split('=').next().unwrap_or("").trim();
        !["log file", "panic action"].contains(&key)
    });
    let kept: Vec<&str> = kept.collect();
    let root = folder.display();
    let more = format!(
        "log file = {root}/log\npid directory = {root}\nncalrpc dir = {root}/ncalrpc\n\
         ntp signd socket directory = {root}/ntp\n\
         server services = rpc, ldap, cldap, kdc, winbindd, drepl\n"
    );
    std::fs::write(file, format!("{}\n{more}", kept.join("\n"))).expect("written");
}

/// PROPFIND by curl with NTLM: the status.
fn sign_in(server: &Server, user: &str, password: &str) -> String {
    let name = user
        .rsplit('\\')
        .next()
        .unwrap_or(user)
        .split('@')
        .next()
        .unwrap_or(user);
    let own = format!("http://im.example.com/instmsg/aliases/{name}");
    let output = Command::new("curl")
        .args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--ntlm",
            "-u",
        ])
        .arg(format!("{user}:{password}"))
        .args(["-H", "RVP-Notifications-Version: 0.2", "-H"])
        .arg(format!("RVP-From-Principal: {own}"))
        .args([
            "-H",
            "Notification-Type: pragma/notify",
            "-H",
            "Subscription-Lifetime: 600",
        ])
        .args([
            "-H",
            "Call-Back: http://127.0.0.1:1025/",
            "-X",
            "SUBSCRIBE",
            "--connect-to",
        ])
        .arg(format!("im.example.com:80:127.0.0.1:{}", server.rvp.port()))
        .arg(own)
        .output()
        .expect("curl runs");
    said(&output)
}

#[test]
fn people_sign_in_with_their_directory_password() {
    let needed = "command -v samba-tool samba ntlm_auth nsenter ip curl && \
        ls /usr/share/samba/setup/provision.ldif && unshare -n -m -p --fork true";
    if !have_by("a Samba domain controller (as root)", needed) {
        return;
    }
    let controller = Controller::start();
    let words: Vec<String> = controller
        .helper()
        .iter()
        .map(|word| format!("{word:?}"))
        .collect();
    let auth = format!(
        "[auth]\nntlm = \"winbind\"\nwinbind_helper = [{}]\n",
        words.join(", ")
    );
    let server = Server::start_rvp(&["alice", "bob"], "auth = [\"ntlm\"]", &auth);
    let explain = |address: &str| {
        let output = server.command(&["explain", address]).output();
        said(&output.expect("runs"))
    };
    // The password kept here is "alice"; it counts for nothing.
    for (user, password, expected) in [
        ("ADTEST\\alice", "alice.Pw1", "200"),
        ("ADTEST\\ALICE", "alice.Pw1", "200"),
        ("ADTEST\\alice", "alice", "401"),
        ("ADTEST\\bob", "bob", "401"),
        ("ADTEST\\carol", "carol.Pw1", "401"),
    ] {
        let heard = sign_in(&server, user, password);
        assert_eq!(heard, expected, "{user} {password}\n{}", server.log_tail(6));
    }
    assert!(explain("alice@example.com").contains("bad password"));
    // Not in the directory; and in the directory but without an account here.
    assert!(explain("bob@example.com").contains("unknown user"));
    assert!(explain("carol@example.com").contains("unknown user"));
    drop(controller);
    assert_eq!(sign_in(&server, "ADTEST\\alice", "alice.Pw1"), "503");
    assert!(explain("alice@example.com").contains("does not answer"));
}
