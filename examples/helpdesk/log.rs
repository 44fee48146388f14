//! The journal: JSON, one record a line, only ever appended to, on disk before it counts.

use super::vocabulary::Record;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// An open journal.
pub(crate) struct Log {
    file: File,
    /// Where the last whole record ends.
    end: u64,
}

/// Why there is no journal.
#[derive(Debug)]
#[allow(dead_code)] // Read by Debug.
pub(crate) enum LogError {
    Io(io::Error),
    /// That line is no record: somebody edited the file. Nothing is guessed.
    Line(usize, String),
}

impl From<io::Error> for LogError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Log {
    /// Opens it and reads what is there. A last line without an end was never acknowledged and is
    /// cut off.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Record>), LogError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path)?;
        // Two desks on one journal would tear it apart.
        file.try_lock().map_err(io::Error::from)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |at| at + 1);
        let mut records = Vec::new();
        let lines = text[..whole].split(|&b| b == b'\n');
        for (number, line) in (1..).zip(lines).filter(|(_, line)| !line.is_empty()) {
            let record = serde_json::from_slice(line);
            records.push(record.map_err(|error| LogError::Line(number, error.to_string()))?);
        }
        let end = whole as u64;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        file.sync_all()?;
        // The name too must survive.
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            File::open(folder)?.sync_all()?;
        }
        Ok((Self { file, end }, records))
    }

    /// Appends these, all or none, and returns when they are on disk.
    pub(crate) fn keep(&mut self, records: &[Record]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut text = Vec::new();
        for record in records {
            serde_json::to_writer(&mut text, record)?;
            text.push(b'\n');
        }
        let written = self
            .file
            .write_all(&text)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.file.set_len(self.end)?;
            self.file.seek(SeekFrom::Start(self.end))?;
            return Err(error);
        }
        self.end += text.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::vocabulary::What;
    use super::*;
    use std::path::PathBuf;

    /// A file of this test alone.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("tristack-desk-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = std::fs::remove_file(&path);
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn record(case: u64) -> Record {
        let what = What::Taken {
            agent: "ann@d".to_owned(),
        };
        Record { at: 1, case, what }
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_the_rest_is_whole() {
        let scratch = Scratch::new("torn");
        let path = scratch.0.clone();
        let (mut log, none) = Log::open(&path).expect("a log");
        assert!(none.is_empty());
        log.keep(&[record(1), record(2)]).expect("kept");
        assert!(Log::open(&path).is_err(), "two desks on one log");
        drop(log);
        let whole = std::fs::read(&path).expect("a file");
        let mut options = OpenOptions::new();
        let mut file = options.append(true).open(&path).expect("the file");
        file.write_all(b"{\"at\":1,\"ca").expect("a torn line");
        let (mut log, records) = Log::open(&path).expect("a log");
        assert_eq!(records, [record(1), record(2)]);
        assert_eq!(std::fs::read(&path).expect("a file"), whole);
        log.keep(&[record(3)]).expect("kept");
        drop(log);
        assert_eq!(Log::open(&path).expect("a log").1.len(), 3);
    }

    #[test]
    fn an_edited_line_is_named() {
        let scratch = Scratch::new("edited");
        let path = scratch.0.clone();
        let text = "{\"at\":1,\"case\":1,\"what\":\"closed\"}\nnonsense\n";
        std::fs::write(&path, text).expect("a file");
        let refused = Log::open(&path).err();
        assert!(matches!(refused, Some(LogError::Line(2, _))), "{refused:?}");
    }
}
