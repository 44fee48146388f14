//! The commands as operators run them: the real binary, exit codes, control socket, demo.

mod support;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use support::server::Server;

fn tristack(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tristack"));
    command.args(arguments);
    command
}

fn text(output: &Output) -> (String, String) {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn with_input(mut command: Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input.as_bytes()).expect("written");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

#[test]
fn the_scripted_conversation_arrives_whole() {
    let output = tristack(&["demo", "--script"]).output().expect("runs");
    let (out, err) = text(&output);
    assert!(output.status.success(), "{out}{err}");
    for part in [
        "bob is busy",
        "alice is typing",
        "<&>",
        "bob is offline",
        "everything arrived",
    ] {
        assert!(out.contains(part), "{part} is missing:\n{out}");
    }
}

#[test]
fn accounts_change_while_the_server_runs_and_while_it_is_down() {
    let mut server = Server::start(&["alice"]);
    let add = |server: &Server, who: &str| {
        let command = server.command(&["user", "add", who, "--password-stdin", "--json"]);
        with_input(command, "secret\n")
    };
    let up = add(&server, "eve@example.com");
    assert!(up.status.success(), "{:?}", text(&up));
    let again = add(&server, "eve@example.com");
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again).0.contains("exists"), "{:?}", text(&again));
    let foreign = add(&server, "eve@elsewhere.example");
    assert!(text(&foreign).0.contains("not a domain served here"));
    assert_eq!(server.stop(), Some(0), "SIGTERM drains");

    let down = add(&server, "fay@example.com");
    assert!(down.status.success(), "{:?}", text(&down));
    let who = server.command(&["who"]).output().expect("runs");
    assert_eq!(who.status.code(), Some(5), "{:?}", text(&who));
    server.launch();
    let list = server.command(&["user", "list"]).output().expect("runs");
    let (out, _) = text(&list);
    for name in ["alice", "eve", "fay"] {
        assert!(out.contains(&format!("{name}@example.com")), "{out}");
    }
    let gone = server
        .command(&["user", "remove", "eve@example.com"])
        .output();
    assert!(gone.expect("runs").status.success());
    let unknown = server
        .command(&["user", "remove", "eve@example.com"])
        .output();
    assert_eq!(unknown.expect("runs").status.code(), Some(1));
}

#[test]
fn an_import_answers_every_row() {
    let server = Server::start(&[]);
    let file = server.scratch("import").join("people.csv");
    let mut csv = String::from("\u{feff}address,password,display_name\r\n");
    for number in 0..2000 {
        let _ = write!(
            csv,
            "u{number}@example.com,secret{number},\"User, {number}\"\r\n"
        );
    }
    csv.push_str("nobody,x,\nv@example.com,,\n");
    std::fs::write(&file, csv).expect("written");
    let name = file.to_string_lossy().into_owned();
    let output = server
        .command(&["user", "import", &name, "--json"])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1), "two rows are refused");
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let count = |state: &str| rows.iter().filter(|row| row["result"] == state).count();
    assert_eq!(
        (rows.len(), count("added"), count("refused")),
        (2002, 2000, 2)
    );
}

#[test]
fn faults_have_their_exit_codes() {
    let folder = std::env::temp_dir().join(format!("tristack-cli-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("bad.toml");
    std::fs::write(&file, "[rvp]\nlistne = 1\n").expect("written");
    let name = file.to_string_lossy().into_owned();
    let check = tristack(&["check", "--config", &name])
        .output()
        .expect("runs");
    let (_, err) = text(&check);
    assert_eq!(check.status.code(), Some(3), "{err}");
    assert!(
        err.contains("bad.toml:2:1") && err.contains("did you mean `listen`"),
        "{err}"
    );

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let text_of = format!(
        "[server]\ndata_dir = \"d\"\n[rvp]\nlisten = [\"127.0.0.1:{port}\"]\n[sip]\nudp = [\"127.0.0.1:0\"]\n\
         tcp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n"
    );
    std::fs::write(&file, text_of).expect("written");
    let serve = tristack(&["serve", "--config", &name])
        .output()
        .expect("runs");
    let (_, err) = text(&serve);
    assert_eq!(serve.status.code(), Some(4), "{err}");
    assert!(
        err.contains(&format!("port {port}")) && err.contains("taken"),
        "{err}"
    );

    let usage = tristack(&["sevre"]).output().expect("runs");
    assert_eq!(usage.status.code(), Some(2));
    assert!(
        text(&usage).1.contains("serve"),
        "suggests the near command"
    );
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn two_servers_do_not_share_a_data_directory() {
    let server = Server::start(&[]);
    let second = server.command(&["serve"]).output().expect("runs");
    let (_, err) = text(&second);
    assert_eq!(second.status.code(), Some(4), "{err}");
    assert!(
        err.contains("in use by a running server (process "),
        "{err}"
    );
}
