//! The torture messages of RFC 4475 and RFC 5118 with their manifests.
#![allow(dead_code, reason = "each test binary uses its own part")]

use bytes::Bytes;
use serde::Deserialize;
use sip::raw::{Datagram, Limits, RawMessage, Refusal, frame_datagram};

#[derive(Deserialize)]
struct Manifest {
    message: Vec<Row>,
}

#[derive(Deserialize)]
pub(crate) struct Row {
    pub(crate) file: String,
    pub(crate) size: usize,
    pub(crate) class: String,
    pub(crate) parse: String,
    #[serde(default)]
    pub(crate) status: Vec<u16>,
    pub(crate) faulty_header: Option<String>,
    pub(crate) expect: Option<Expect>,
    #[serde(skip)]
    pub(crate) octets: Bytes,
}

#[derive(Deserialize)]
pub(crate) struct Expect {
    pub(crate) kind: String,
    pub(crate) method: Option<String>,
    pub(crate) uri: Option<String>,
    pub(crate) status_code: Option<u16>,
    pub(crate) header_fields: usize,
    pub(crate) via_hops: usize,
    pub(crate) contacts: usize,
    pub(crate) routes: Option<usize>,
    pub(crate) body_len: usize,
}

/// Every row of both manifests.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for set in ["rfc4475", "rfc5118"] {
        let dir = format!("{}/../../tests/wire/{set}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(format!("{dir}/manifest.toml")).unwrap();
        let manifest: Manifest = toml::from_str(&text).unwrap();
        for mut row in manifest.message {
            row.octets = std::fs::read(format!("{dir}/{}", row.file)).unwrap().into();
            assert_eq!(row.octets.len(), row.size, "{} was altered", row.file);
            rows.push(row);
        }
    }
    assert_eq!(rows.len(), 65, "rows of both manifests");
    rows
}

pub(crate) fn row(file: &str) -> Row {
    rows().into_iter().find(|row| row.file == file).unwrap()
}

pub(crate) fn parse(octets: impl Into<Bytes>) -> Result<RawMessage, Refusal> {
    match frame_datagram(octets.into(), &Limits::default())? {
        Datagram::Message(message) => Ok(message),
        Datagram::KeepAlive => panic!("a keep-alive"),
    }
}

pub(crate) fn message(file: &str) -> RawMessage {
    parse(row(file).octets).unwrap()
}
