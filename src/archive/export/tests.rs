//! What a bundle holds, and that tools which are not ours find any change of it.

use super::*;
use crate::archive::record::{Head, ResultHead, head, message, tests};
use crate::core::archive::Row;
use std::process::Command;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("tristack-bundle-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn item(id: u128, text: &str) -> Item {
    let entry = message(&tests::sample(id, text, text), tests::ABOUT);
    let row = Row {
        seq: 1,
        at: entry.at,
        head: entry.head,
        body: entry.body,
        link: [7; 32],
    };
    let Ok(Head::Message(message)) = head(&row) else {
        panic!("no message");
    };
    Item {
        seq: 1,
        link: hex(&row.link),
        text: Some(text.to_owned()),
        original: Some("eA==".to_owned()),
        erased: false,
        message: *message,
        results: vec![ResultHead {
            what: "delivered".into(),
            stack: "rvp".into(),
            ..ResultHead::default()
        }],
    }
}

fn title() -> Title {
    Title {
        server: "example.com".into(),
        what: "case <17>".into(),
        who: "root".into(),
        why: "a court asked".into(),
        at: 1_000,
    }
}

fn bundle(folder: &Path) {
    let signer = Signer::open(&folder.join("key")).unwrap();
    let forms = [Form::Jsonl, Form::Eml, Form::Html];
    let mut bundle = Bundle::create(&folder.join("out"), title(), &forms).unwrap();
    bundle.add(&[item(1, "<script>alert(1)</script>")]).unwrap();
    bundle
        .add(&[item(2, "gr\u{fc}n"), item(3, "third")])
        .unwrap();
    assert_eq!(bundle.finish(&signer).unwrap(), 3);
}

/// Whether `sha256sum` and `openssl` are content.
fn is_sound(folder: &Path) -> (bool, bool) {
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        let output = command.args(arguments).current_dir(folder).output();
        output.expect(program).status.success()
    };
    let signature = "dgst -sha256 -verify public.pem -signature SHA256SUMS.sig SHA256SUMS";
    let signature: Vec<&str> = signature.split(' ').collect();
    (
        run("sha256sum", &["--strict", "-c", "SHA256SUMS"]),
        run("openssl", &signature),
    )
}

#[test]
fn sha256sum_and_openssl_find_any_change() {
    let folder = Folder::new("tools");
    bundle(&folder.0);
    let out = folder.0.join("out");
    assert_eq!(is_sound(&out), (true, true));
    let lines = std::fs::read_to_string(out.join(LINES)).unwrap();
    std::fs::write(out.join(LINES), lines.replace("third", "fourth")).unwrap();
    assert_eq!(is_sound(&out), (false, true));
    // With a list to match, the signature is wrong.
    let digest = hex(&digest_of(&out.join(LINES)).unwrap());
    let sums = std::fs::read_to_string(out.join(SUMS)).unwrap();
    let line = |line: &str| {
        if line.ends_with(LINES) {
            format!("{digest}  {LINES}\n")
        } else {
            format!("{line}\n")
        }
    };
    std::fs::write(out.join(SUMS), sums.lines().map(line).collect::<String>()).unwrap();
    assert_eq!(is_sound(&out), (true, false));
}

#[test]
fn every_form_holds_every_message_and_nothing_gets_out_of_it() {
    let folder = Folder::new("forms");
    bundle(&folder.0);
    let read = |name: &str| std::fs::read_to_string(folder.0.join("out").join(name)).unwrap();
    let lines = read(LINES);
    assert_eq!(lines.lines().count(), 3);
    let first: Item = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first.text.as_deref(), Some("<script>alert(1)</script>"));
    let id = first.message.conversation;
    let page = read(&format!("conversations/{id}.html"));
    assert!(
        page.contains("&lt;script&gt;") && !page.contains("<script"),
        "{page}"
    );
    assert_eq!(page.matches("<tr id=").count(), 3);
    assert!(page.ends_with(html::END));
    let mail = read(&format!("conversations/{id}.eml"));
    assert_eq!(mail.matches("message/rfc822").count(), 3);
    assert!(mail.ends_with(&eml::end(&id)));
    let index = read(INDEX);
    assert!(
        index.contains(&id) && index.contains("case &lt;17&gt;"),
        "{index}"
    );
    assert!(Bundle::create(&folder.0.join("out"), title(), &[]).is_err());
}
