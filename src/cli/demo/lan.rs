//! `demo --lan`: the settings that clients on other machines need, for this very address.

use super::super::serve::Server;
use super::{DemoUser, capital};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Letters and digits that nobody confuses.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// The address that this machine uses towards others. No packet is sent.
pub(super) fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((IpAddr::from([0, 0, 0, 0]), 0)).ok()?;
    // A documentation address (RFC 5737): any route to the outside will do.
    socket.connect(SocketAddr::from(([192, 0, 2, 1], 9))).ok()?;
    let found = socket.local_addr().ok()?.ip();
    (!found.is_unspecified() && !found.is_loopback()).then_some(found)
}

/// Ten random characters, 50 bits.
pub(super) fn password() -> Result<String, getrandom::Error> {
    let mut random = [0u8; 10];
    getrandom::fill(&mut random)?;
    let letter = |octet: u8| {
        LETTERS
            .get(usize::from(octet % 32))
            .copied()
            .map(char::from)
    };
    Ok(random.into_iter().filter_map(letter).collect())
}

pub(super) fn page(server: &Server, users: &[DemoUser], domain: &str, ip: IpAddr) -> String {
    let addresses = server.addresses();
    let port = |list: &[SocketAddr]| list.first().map_or(0, SocketAddr::port);
    let (rvp, sip) = (port(&addresses.rvp), port(&addresses.tcp));
    let mut text = format!("Tristack is running on {ip}, for this network.\n\nPeople\n");
    for user in users {
        let _ = writeln!(
            text,
            "  {:6} {}@{domain}   password {}",
            capital(user.name),
            user.name,
            user.password
        );
    }
    let _ = write!(
        text,
        "
Every client machine: add to the hosts file
(Windows: %SystemRoot%\\system32\\drivers\\etc\\hosts, others: /etc/hosts)
  {ip}  im.{domain}
  {ip}  {domain}

Windows Messenger, MSN Messenger (Exchange service, RVP)
  Tools, Options, Accounts: use an Exchange account, sign-in name
    alice@im.{domain}      (without DNS records for {domain} the name needs the im.)
  or, as a URL:  http://im.{domain}/instmsg/aliases/alice
  Save as tristack.reg, open it, sign out of Windows and in again:
REGEDIT4

[HKEY_LOCAL_MACHINE\\Software\\Microsoft\\MessengerService\\Policies]
\"ExchangeConn\"=dword:00000002
\"IMWarning\"=\"Tristack demo on {ip}\"

[HKEY_CURRENT_USER\\Software\\Microsoft\\RTCIMSP]
\"Configuration Mode\"=dword:00000001
\"ServerAddress\"=\"{ip}\"
\"Transport\"=dword:00000002

  The last section is for the SIP service of Windows Messenger 5 (SIP over TCP).

Pidgin (SIMPLE)
  Protocol SIMPLE, username bob, server {domain}, his password;
  Advanced: connect port {sip}, transport TCP, use proxy {ip}, auth user bob, publish status on.

Softphone (Linphone, Jitsi, baresip ...)
  SIP address sip:carol@{domain}, user carol, her password,
  outbound proxy sip:{ip}:{sip};transport=tcp, presence: publish and subscribe on.

"
    );
    if rvp != 80 {
        let _ = writeln!(
            text,
            "Note: RVP is on port {rvp}, but old RVP clients always dial port 80: they will not\n\
             find it unless something forwards {ip}:80 to {ip}:{rvp}.\n"
        );
    }
    text.push_str("Ctrl-C ends it; nothing is kept.\n\n");
    text
}
