//! The page that a plain demo prints.

use super::super::serve::Server;
use super::DemoUser;

pub(super) fn page(server: &Server, users: &[DemoUser], domain: &str) -> String {
    let addresses = server.addresses();
    let (Some(rvp), Some(udp), Some(tcp), Some(tls), Some(ws)) = (
        addresses.rvp.first(),
        addresses.udp.first(),
        addresses.tcp.first(),
        addresses.tls.first(),
        addresses.ws.first(),
    ) else {
        return String::new();
    };
    let names: Vec<_> = users
        .iter()
        .map(|user| format!("{}@{domain}", user.name))
        .collect();
    format!(
        "\
Tristack is running, for this machine only.

  People     {names}
             (the password is the name before the @)
  RVP        http://{rvp}      Exchange 2000 Instant Messaging
  SIP        {udp} over UDP, {tcp} over TCP, {tls} over TLS
  Web        ws://{ws}/ws      SIP over WebSocket, for pages
  Health     http://{admin}/readyz

See the bridge with two terminals:
  tristack chat --as alice@{domain} --stack rvp --server {rvp}
  tristack chat --as bob@{domain} --stack sip --server {tcp}
  then type /to bob in the first one, and talk.

Or with tools at hand:
  curl -s --digest -u alice:alice -X PROPFIND -H 'Depth: 0' -d '<D:propfind xmlns:D=\"DAV:\"><D:allprop/></D:propfind>' http://{rvp}/instmsg/aliases/bob
  sipsak -v -s sip:{udp}

A softphone on this machine: server {udp}, user bob, domain {domain}, password bob.
Other machines, old clients: tristack demo --lan.    A show: tristack demo --script.
Ctrl-C ends it; nothing is kept.

",
        names = names.join(", "),
        admin = server.admin(),
    )
}
