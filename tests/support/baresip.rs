//! baresip as a peer: its own configuration, driven by its control socket (netstrings of JSON).

use super::server::Server;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A running baresip.
pub struct Baresip {
    child: Child,
    control: TcpStream,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Baresip {
    /// Starts one that registers as `user` (password = name) and watches `contact`.
    pub fn start(server: &Server, user: &str, contact: &str, transport: &str) -> Self {
        let folder = server.scratch(&format!("baresip-{user}-{transport}"));
        let control = free_port();
        let at = match transport {
            "tls" => server.sip_tls.expect("[sip] tls"),
            "tcp" => server.sip_tcp,
            _ => server.sip_udp,
        };
        let authority = match transport {
            "tls" => format!("sip_cafile {}\n", server.certificate().display()),
            _ => String::new(),
        };
        let config = format!(
            "module_path /usr/lib/baresip/modules\nsip_listen 127.0.0.1:0\nmodule ctrl_tcp.so\n\
             module g711.so\nmodule aubridge.so\naudio_source aubridge,a\n\
             audio_player aubridge,a\naudio_alert aubridge,b\nmodule_tmp uuid.so\nmodule_tmp account.so\nmodule_app contact.so\n\
             module_app menu.so\nmodule_app presence.so\nctrl_tcp_listen 127.0.0.1:{control}\n{authority}"
        );
        let account = format!(
            "<sip:{user}@example.com;transport={transport}>;auth_user={user};auth_pass={user};\
             outbound=\"sip:{at};transport={transport}\";regint=60;pubint=0\n"
        );
        let contact = format!("\"{contact}\" <sip:{contact}@example.com>;presence=p2p\n");
        for (file, text) in [
            ("config", config),
            ("accounts", account),
            ("contacts", contact),
        ] {
            std::fs::write(folder.join(file), text).expect("a configuration");
        }
        // Line by line: it would hold its output back from a pipe.
        let mut child = Command::new("stdbuf")
            .args(["-oL", "baresip"])
            .arg("-f")
            .arg(&folder)
            // Its own trace of SIP shows texts that its user interface would.
            .args(["-v", "-s"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("baresip runs");
        let stdout = child.stdout.take().expect("its output");
        let (tell, lines) = mpsc::channel();
        let told = tell.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
        // Texts are printed there.
        let stderr = child.stderr.take().expect("its messages");
        let told = tell.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
        let control = connect(control);
        let mut events = control.try_clone().expect("the control connection");
        std::thread::spawn(move || {
            let mut buffer = [0u8; 4096];
            while let Ok(count @ 1..) = events.read(&mut buffer) {
                let _ = tell.send(String::from_utf8_lossy(&buffer[..count]).into_owned());
            }
        });
        Self {
            child,
            control,
            lines,
            seen: Vec::new(),
        }
    }

    /// Gives a command.
    pub fn command(&mut self, command: &str, parameters: &str) {
        let json =
            format!("{{\"command\":\"{command}\",\"params\":\"{parameters}\",\"token\":\"t\"}}");
        let netstring = format!("{}:{json},", json.len());
        self.control
            .write_all(netstring.as_bytes())
            .expect("a command");
    }

    /// Forgets what it has said so far.
    pub fn forget(&mut self) {
        self.seen.clear();
        while self.lines.try_recv().is_ok() {}
    }

    /// Waits until it prints or tells something with this text.
    pub fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        assert!(
            self.until(text, end),
            "baresip did not say {text:?}:\n{}",
            self.seen.join("\n")
        );
    }

    /// Waits until its contact list shows this word.
    pub fn wait_for_contact(&mut self, word: &str) {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            self.seen.clear();
            self.command("contacts", "");
            let soon = Instant::now() + Duration::from_millis(500);
            if self.until("--- Contacts", soon) && self.seen.iter().any(|line| line.contains(word))
            {
                return;
            }
        }
        panic!("baresip's contact is not {word}:\n{}", self.seen.join("\n"));
    }

    fn until(&mut self, text: &str, end: Instant) -> bool {
        if self.seen.iter().any(|line| line.contains(text)) {
            return true;
        }
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                return false;
            };
            let found = line.contains(text);
            self.seen.push(line);
            if found {
                return true;
            }
        }
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn connect(port: u16) -> TcpStream {
    let end = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < end, "baresip's control socket: {error}"),
        }
        std::thread::yield_now();
    }
}
