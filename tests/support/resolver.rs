//! A name server for tests: a few A and SRV records, everything else does not exist.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const A: u16 = 1;
const SRV: u16 = 33;

#[derive(Default)]
struct Records {
    addresses: HashMap<String, Ipv4Addr>,
    services: HashMap<String, (u16, String)>,
}

/// Answers until the process ends.
pub struct Resolver {
    /// Where, over UDP.
    pub at: SocketAddr,
    records: Arc<Mutex<Records>>,
    asked: Arc<AtomicUsize>,
}

impl Resolver {
    /// On a free port of that address.
    pub fn start(ip: Ipv4Addr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).expect("a port");
        let at = socket.local_addr().expect("an address");
        let records = Arc::new(Mutex::new(Records::default()));
        let asked = Arc::new(AtomicUsize::new(0));
        let (known, count) = (Arc::clone(&records), Arc::clone(&asked));
        std::thread::spawn(move || {
            let mut buffer = [0u8; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                count.fetch_add(1, Ordering::Relaxed);
                let records = known.lock().expect("records");
                if let Some(answer) = answer(&buffer[..length], &records) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { at, records, asked }
    }

    /// A host has that address.
    pub fn host(&self, name: &str, ip: Ipv4Addr) {
        let mut records = self.records.lock().expect("records");
        records.addresses.insert(name.to_owned(), ip);
    }

    /// `_rvp._tcp.DOMAIN` is that host and port.
    pub fn service(&self, domain: &str, host: &str, port: u16) {
        let mut records = self.records.lock().expect("records");
        let name = format!("_rvp._tcp.{domain}");
        records.services.insert(name, (port, host.to_owned()));
    }

    /// Questions so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn answer(query: &[u8], records: &Records) -> Option<Vec<u8>> {
    let (name, end) = read_name(query, 12)?;
    let kind = u16::from_be_bytes(query.get(end..end + 2)?.try_into().ok()?);
    let question = query.get(12..end + 4)?;
    let found = match kind {
        A => records.addresses.get(&name).map(|ip| ip.octets().to_vec()),
        SRV => records.services.get(&name).map(|(port, host)| {
            let mut data = vec![0, 1, 0, 1];
            data.extend(port.to_be_bytes());
            for label in host.split('.') {
                data.push(u8::try_from(label.len()).expect("a short label"));
                data.extend(label.as_bytes());
            }
            data.push(0);
            data
        }),
        _ => None,
    };
    let exists = records.addresses.contains_key(&name) || records.services.contains_key(&name);
    let code: u8 = if exists { 0 } else { 3 };
    let mut out = query.get(..2)?.to_vec();
    out.extend([
        0x85,
        0x80 | code,
        0,
        1,
        0,
        u8::from(found.is_some()),
        0,
        0,
        0,
        0,
    ]);
    out.extend(question);
    if let Some(data) = found {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 5]);
        out.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        out.extend(data);
    }
    Some(out)
}

fn read_name(query: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = query.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}
