//! Whom a certificate speaks for (RFC 5922 7): names in its subjectAltName, never the common name,
//! never a wildcard.

use super::authorities::Vouchers;
use super::der::value;
use std::net::IpAddr;

/// subjectAltName (RFC 5280 4.2.1.6).
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// Names of one certificate that are looked at.
const MOST: usize = 100;

/// What a certificate says about its holder. Says nothing about whether to believe it: that is
/// decided before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    /// Domains of `sip:` URIs without a user, lower case.
    pub sip: Vec<String>,
    /// DNS names, lower case, wildcards among them.
    pub dns: Vec<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
    /// Who vouches for all of this; nobody yet where it was only read.
    pub vouchers: Vouchers,
}

impl Identities {
    /// Reads a certificate in DER form. What can't be read speaks for nobody.
    pub fn of(certificate: &[u8]) -> Self {
        names(certificate).unwrap_or_default()
    }

    /// The SIP domains it speaks for (RFC 5922 7.1): those of SIP URIs if there are any, else its
    /// DNS names.
    pub fn domains(&self) -> &[String] {
        if self.sip.is_empty() {
            &self.dns
        } else {
            &self.sip
        }
    }

    /// Whether it counts for a peer: by the peer's own authorities if it has some, else by those
    /// for everybody.
    pub fn vouched(&self, own: Option<&str>) -> bool {
        let wanted = own.map_or_else(Vouchers::common, Vouchers::of);
        self.vouchers.cover(&wanted)
    }

    /// Whether it speaks for this domain or address (RFC 5922 7.2): the whole name, whatever its
    /// case; a wildcard stands for nothing.
    pub fn speaks_for(&self, domain: &str) -> bool {
        let bare = domain.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return self.ips.contains(&ip.to_canonical());
        }
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        !domain.contains('*')
            && self
                .domains()
                .iter()
                .any(|name| name.eq_ignore_ascii_case(domain))
    }
}

/// Certificate -> TBSCertificate -> \[3\] Extensions -> subjectAltName -> GeneralNames.
fn names(certificate: &[u8]) -> Option<Identities> {
    let (_, mut certificate) = value(&mut &*certificate)?;
    let (_, mut tbs) = value(&mut certificate)?;
    let extensions = loop {
        let (tag, content) = value(&mut tbs)?;
        if tag == 0xa3 {
            break content;
        }
    };
    let (_, mut extensions) = value(&mut &*extensions)?;
    while !extensions.is_empty() {
        let (_, mut extension) = value(&mut extensions)?;
        let (_, identifier) = value(&mut extension)?;
        if identifier != SUBJECT_ALT_NAME {
            continue;
        }
        let (mut tag, mut content) = value(&mut extension)?;
        if tag == 1 {
            // `critical` stands before the value.
            (tag, content) = value(&mut extension)?;
        }
        let octets = (tag == 4).then_some(content)?;
        let (_, list) = value(&mut &*octets)?;
        return general_names(list);
    }
    None
}

fn general_names(mut list: &[u8]) -> Option<Identities> {
    let mut found = Identities::default();
    for _ in 0..MOST {
        if list.is_empty() {
            break;
        }
        let (tag, content) = value(&mut list)?;
        match tag {
            0x82 => found.dns.extend(text(content)),
            0x86 => found
                .sip
                .extend(text(content).and_then(|uri| sip_domain(&uri))),
            0x87 => found.ips.extend(ip(content)),
            _ => {}
        }
    }
    Some(found)
}

fn text(content: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(content).ok()?;
    (text.bytes().all(|octet| octet.is_ascii_graphic())).then(|| text.to_ascii_lowercase())
}

/// RFC 5922 7.1: a `sip:` URI counts if it has no user part; what stands behind the host does not.
fn sip_domain(uri: &str) -> Option<String> {
    let rest = uri.strip_prefix("sip:")?;
    let host = rest.split([';', '?', ':']).next()?;
    (!host.is_empty() && !rest.contains('@')).then(|| host.to_owned())
}

fn ip(content: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(content).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(content).map(IpAddr::from);
    v4.or(v6).ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn certificate(names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let name = rcgen::DnType::CommonName;
        params.distinguished_name.push(name, "cn.example.com");
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    fn uri(uri: &str) -> SanType {
        SanType::URI(uri.try_into().unwrap())
    }

    #[test]
    fn sip_uris_count_before_dns_names_and_common_names_never() {
        let both = Identities::of(&certificate(vec![
            dns("host.example.com"),
            uri("sip:Example.com"),
            uri("sip:bob@other.example"),
            uri("https://web.example"),
        ]));
        assert_eq!(both.domains(), ["example.com"]);
        assert!(both.speaks_for("EXAMPLE.com."));
        assert!(!both.speaks_for("host.example.com"), "there is a SIP URI");
        assert!(!both.speaks_for("other.example"), "a user, no domain");
        let one = Identities::of(&certificate(vec![dns("host.example.com")]));
        assert!(one.speaks_for("host.example.com"));
        assert!(!one.speaks_for("example.com") && !one.speaks_for("a.host.example.com"));
        let none = Identities::of(&certificate(Vec::new()));
        assert_eq!(none, Identities::default());
        assert!(!none.speaks_for("cn.example.com"));
    }

    #[test]
    fn wildcards_stand_for_nothing() {
        let wild = Identities::of(&certificate(vec![dns("*.example.com")]));
        assert!(!wild.speaks_for("sip.example.com"));
        assert!(!wild.speaks_for("*.example.com"));
    }

    #[test]
    fn addresses_count_for_addresses() {
        let ip = SanType::IpAddress("192.0.2.1".parse().unwrap());
        let held = Identities::of(&certificate(vec![ip, dns("192.0.2.9")]));
        assert!(held.speaks_for("192.0.2.1") && held.speaks_for("::ffff:192.0.2.1"));
        assert!(!held.speaks_for("192.0.2.9"));
    }

    #[test]
    fn hostile_octets_never_panic() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|octets| {
            let _ = Identities::of(octets);
        });
        let sound = certificate(vec![dns("a.example"), uri("sip:b.example")]);
        bolero::check!()
            .with_type::<(u16, u8)>()
            .for_each(|(at, octet)| {
                let mut broken = sound.clone();
                let at = usize::from(*at) % broken.len();
                broken[at] = *octet;
                let _ = Identities::of(&broken);
            });
    }
}
