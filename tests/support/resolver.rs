//! A name server for tests: a few A, AAAA, SRV and NAPTR records, everything else does not exist.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const NAPTR: u16 = 35;

/// The data of all records, by name and type.
type Records = HashMap<String, Vec<(u16, Vec<u8>)>>;

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

    fn put(&self, name: &str, kind: u16, data: Vec<u8>, instead: bool) {
        let mut records = self.records.lock().expect("records");
        let all = records.entry(name.to_owned()).or_default();
        if instead {
            all.retain(|(known, _)| *known != kind);
        }
        all.push((kind, data));
    }

    /// A host has that address.
    pub fn host(&self, name: &str, ip: Ipv4Addr) {
        self.put(name, A, ip.octets().to_vec(), true);
    }

    /// A host has that IPv6 address.
    pub fn host6(&self, name: &str, ip: Ipv6Addr) {
        self.put(name, AAAA, ip.octets().to_vec(), true);
    }

    /// `_rvp._tcp.DOMAIN` is that host and port.
    pub fn service(&self, domain: &str, host: &str, port: u16) {
        let data = srv(0, 1, host, port);
        self.put(&format!("_rvp._tcp.{domain}"), SRV, data, true);
    }

    /// One more SRV record of a name, `_sip._udp.DOMAIN`.
    pub fn sip_service(&self, name: &str, priority: u16, weight: u16, host: &str, port: u16) {
        self.put(name, SRV, srv(priority, weight, host, port), false);
    }

    /// One more NAPTR record of a domain, leading to SRV records.
    pub fn pointer(&self, domain: &str, order: u16, service: &str, to: &str) {
        let mut data = order.to_be_bytes().to_vec();
        data.extend(1u16.to_be_bytes());
        for text in ["s", service, ""] {
            data.push(u8::try_from(text.len()).expect("a short text"));
            data.extend(text.as_bytes());
        }
        data.extend(written(to));
        self.put(domain, NAPTR, data, false);
    }

    /// All records of a name are gone.
    pub fn forget(&self, name: &str) {
        self.records.lock().expect("records").remove(name);
    }

    /// Questions so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn srv(priority: u16, weight: u16, host: &str, port: u16) -> Vec<u8> {
    let mut data = Vec::new();
    for number in [priority, weight, port] {
        data.extend(number.to_be_bytes());
    }
    data.extend(written(host));
    data
}

fn written(name: &str) -> Vec<u8> {
    let mut data = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        data.push(u8::try_from(label.len()).expect("a short label"));
        data.extend(label.as_bytes());
    }
    data.push(0);
    data
}

fn answer(query: &[u8], records: &Records) -> Option<Vec<u8>> {
    let (name, end) = read_name(query, 12)?;
    let kind = u16::from_be_bytes(query.get(end..end + 2)?.try_into().ok()?);
    let question = query.get(12..end + 4)?;
    let all = records.get(&name);
    let found: Vec<&Vec<u8>> = all
        .into_iter()
        .flatten()
        .filter(|(known, _)| *known == kind)
        .map(|(_, data)| data)
        .collect();
    let code: u8 = if all.is_some() { 0 } else { 3 };
    let count = u8::try_from(found.len()).ok()?;
    let mut out = query.get(..2)?.to_vec();
    out.extend([0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    out.extend(question);
    for data in found {
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
