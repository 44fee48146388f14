//! Export bundles: a folder that `sha256sum -c` and `openssl` check without us.
//!
//! Messages come page by page and are written at once; what is kept in memory is the names of the
//! conversations.

mod eml;
mod html;

use super::chain::hex;
use super::record::MessageHead;
use super::seal::Signer;
use super::service::Item;
use crate::telemetry::utc;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// The list of digests.
const SUMS: &str = "SHA256SUMS";
const LINES: &str = "messages.jsonl";
const INDEX: &str = "index.html";

/// A form of export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// One file, a JSON document per message and line.
    Jsonl,
    /// A MIME file per conversation, a part per message.
    Eml,
    /// A page per conversation, to read.
    Html,
}

/// What an export is, for its readers.
#[derive(Clone, Debug)]
pub struct Title {
    /// Whose archive.
    pub server: String,
    /// What was selected.
    pub what: String,
    /// Who exported it.
    pub who: String,
    /// Why.
    pub why: String,
    /// When (Unix milliseconds).
    pub at: u64,
}

/// A bundle being written.
#[derive(Debug)]
pub struct Bundle {
    folder: PathBuf,
    title: Title,
    forms: BTreeSet<Form>,
    lines: Option<BufWriter<File>>,
    conversations: BTreeSet<String>,
    messages: u64,
}

impl Bundle {
    /// Begins in a folder that must not be there, or be empty.
    ///
    /// # Errors
    /// What the system says; a folder with something in it is refused.
    pub fn create(folder: &Path, title: Title, forms: &[Form]) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        if std::fs::read_dir(folder)?.next().is_some() {
            let what = "there is something in it already; name a new folder";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        }
        let forms: BTreeSet<Form> = forms.iter().copied().collect();
        let lines = if forms.contains(&Form::Jsonl) {
            Some(BufWriter::new(File::create(folder.join(LINES))?))
        } else {
            None
        };
        if forms.contains(&Form::Eml) || forms.contains(&Form::Html) {
            std::fs::create_dir_all(folder.join("conversations"))?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            title,
            forms,
            lines,
            conversations: BTreeSet::new(),
            messages: 0,
        })
    }

    /// Messages written so far.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Writes some messages, in their order.
    ///
    /// # Errors
    /// What the system says.
    pub fn add(&mut self, items: &[Item]) -> io::Result<()> {
        if let Some(lines) = &mut self.lines {
            for item in items {
                serde_json::to_writer(&mut *lines, item)?;
                lines.write_all(b"\n")?;
            }
        }
        let mut conversations: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
        for item in items {
            let id = item.message.conversation.as_str();
            // Ids are ours: 32 hexadecimal digits. Nothing else becomes a file's name.
            if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
                conversations.entry(id).or_default().push(item);
            }
        }
        for (id, items) in conversations {
            let new = self.conversations.insert(id.to_owned());
            self.conversation(id, &items, new)?;
        }
        self.messages += u64::try_from(items.len()).unwrap_or(0);
        Ok(())
    }

    fn conversation(&self, id: &str, items: &[&Item], new: bool) -> io::Result<()> {
        if self.forms.contains(&Form::Html) {
            let mut text = String::new();
            if new {
                text.push_str(&html::head(&self.title, id));
            }
            for item in items {
                html::message(&mut text, item);
            }
            self.append(&format!("conversations/{id}.html"), &text)?;
        }
        if self.forms.contains(&Form::Eml) {
            let mut text = String::new();
            if new {
                text.push_str(&eml::head(&self.title, id));
            }
            for item in items {
                eml::message(&mut text, item);
            }
            self.append(&format!("conversations/{id}.eml"), &text)?;
        }
        Ok(())
    }

    fn append(&self, name: &str, text: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .append(true)
            .open(self.folder.join(name))?;
        file.write_all(text.as_bytes())
    }

    /// Ends all files, writes the list of digests and signs it.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn finish(mut self, signer: &Signer) -> Result<u64, String> {
        self.close(signer).map_err(|error| {
            let folder = self.folder.display();
            format!("{folder}: {error}")
        })?;
        Ok(self.messages)
    }

    fn close(&mut self, signer: &Signer) -> io::Result<()> {
        if let Some(mut lines) = self.lines.take() {
            lines.flush()?;
        }
        for id in &self.conversations {
            if self.forms.contains(&Form::Html) {
                self.append(&format!("conversations/{id}.html"), html::END)?;
            }
            if self.forms.contains(&Form::Eml) {
                self.append(&format!("conversations/{id}.eml"), &eml::end(id))?;
            }
        }
        if self.forms.contains(&Form::Html) {
            let page = html::index(&self.title, &self.conversations, self.messages);
            std::fs::write(self.folder.join(INDEX), page)?;
        }
        std::fs::write(self.folder.join("README.txt"), self.readme())?;
        std::fs::write(self.folder.join("public.pem"), signer.public_pem())?;
        self.sums(signer)
    }

    fn sums(&self, signer: &Signer) -> io::Result<()> {
        let mut names = vec!["README.txt".to_owned(), "public.pem".to_owned()];
        if self.forms.contains(&Form::Jsonl) {
            names.push(LINES.to_owned());
        }
        if self.forms.contains(&Form::Html) {
            names.push(INDEX.to_owned());
        }
        let forms = [(Form::Html, "html"), (Form::Eml, "eml")];
        let forms = forms
            .into_iter()
            .filter(|(form, _)| self.forms.contains(form));
        let endings: Vec<&str> = forms.map(|(_, ending)| ending).collect();
        for id in &self.conversations {
            names.extend(
                endings
                    .iter()
                    .map(|end| format!("conversations/{id}.{end}")),
            );
        }
        let mut sums = String::new();
        for name in names {
            let digest = hex(&digest_of(&self.folder.join(&name))?);
            // Writing to a string cannot fail.
            let _ = writeln!(sums, "{digest}  {name}");
        }
        let signature = signer.sign(sums.as_bytes()).map_err(io::Error::other)?;
        std::fs::write(self.folder.join(SUMS), sums)?;
        std::fs::write(self.folder.join(format!("{SUMS}.sig")), signature)
    }

    fn readme(&self) -> String {
        let Title {
            server,
            what,
            who,
            why,
            at,
        } = &self.title;
        format!(
            "Export from the message archive of {server}\n\
             Selected: {what}\nBy: {who}\nReason: {why}\nAt: {}\nMessages: {}\n\n\
             To check that nothing was changed since (no program of ours is needed):\n\n  \
             sha256sum -c SHA256SUMS\n  \
             openssl dgst -sha256 -verify public.pem -signature SHA256SUMS.sig SHA256SUMS\n\n\
             The second command proves that the list was signed with the key whose public part is \
             in public.pem;\ncompare that file with the one kept beside the server's seals.\n\n\
             messages.jsonl: one JSON document per line; `original` is what came in, in Base64; \
             `link` is the row's\nplace in the archive's hash chain.\n\
             conversations/: a page (.html) and a MIME file (.eml) per conversation.\n",
            utc(*at),
            self.messages
        )
    }
}

/// What a message without a text says.
fn said(message: &MessageHead) -> String {
    match (&message.offer, message.content.as_str()) {
        (Some(offer), _) => {
            let size = offer
                .size
                .map_or_else(String::new, |size| format!(", {size} octets"));
            format!("[{} {}{size}]", offer.application, offer.file)
        }
        (None, "join") => "[joins the conversation]".to_owned(),
        (None, "leave") => "[leaves the conversation]".to_owned(),
        (None, other) => format!("[{other} {}]", message.media),
    }
}

fn digest_of(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hash.finalize().into());
        }
        hash.update(buffer.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;
