//! The procedure of RFC 3263 4.1 and 4.2, a round of questions at a time.

use super::order::{Dice, Lead, leads, srv};
use super::{Abilities, Answer, Hop, Place, Question, Target};
use crate::flow::Transport;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// NAPTR records followed.
const LEADS: usize = 8;
/// SRV targets whose addresses are asked for.
const HOSTS: usize = 8;
/// Addresses of one host and family that are tried.
const ADDRESSES: usize = 3;
/// Hops of one search.
const HOPS: usize = 16;

/// A host to be looked up, with what is known of it.
#[derive(Debug, Clone)]
struct Host {
    transport: Transport,
    name: Arc<str>,
    port: u16,
}

#[derive(Debug, Clone)]
enum Stage {
    Naptr,
    /// Services asked for, in order of preference; hosts that need no SRV among them.
    Srv(Vec<Lead>),
    Addresses(Vec<Host>),
    Done,
}

/// One search. Ask [`Search::questions`], hand the answers to [`Search::answers`], until there are
/// no questions; three rounds at most, whatever the answers.
#[derive(Debug, Clone)]
pub struct Search {
    target: Target,
    abilities: Abilities,
    dice: Dice,
    stage: Stage,
    asked: Vec<Question>,
    hops: Vec<Hop>,
    failed: bool,
}

impl Search {
    /// A search; `random` decides between SRV records of one priority.
    #[must_use]
    pub fn new(target: &Target, abilities: Abilities, random: u64) -> Self {
        let mut search = Self {
            target: target.clone(),
            abilities,
            dice: Dice(random),
            stage: Stage::Done,
            asked: Vec::new(),
            hops: Vec::new(),
            failed: false,
        };
        search.begin();
        search
    }

    /// What to ask now; none: it is over.
    #[must_use]
    pub fn questions(&self) -> &[Question] {
        &self.asked
    }

    /// The answers, one per question in the same order; what is missing counts as failed.
    pub fn answers(&mut self, answers: Vec<Answer>) {
        let missing = answers.len() < self.asked.len();
        self.failed |= missing || answers.contains(&Answer::Failed);
        let asked = std::mem::take(&mut self.asked);
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Naptr => self.naptr(answers),
            Stage::Srv(services) => self.srv(services, answers),
            Stage::Addresses(hosts) => self.addresses(&hosts, &asked, answers),
            Stage::Done => {}
        }
    }

    /// The hops found, in the order to try them.
    #[must_use]
    pub fn hops(self) -> Vec<Hop> {
        self.hops
    }

    /// Whether a name server failed to answer: that nothing was found may be its fault.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed
    }

    fn begin(&mut self) {
        let Target {
            secure,
            port,
            transport,
            ..
        } = self.target;
        // 4.1: a written transport, an address or a port leave nothing to ask about that.
        let chosen = transport.unwrap_or(self.usual(secure));
        match self.target.place.clone() {
            Place::Ip(ip) => {
                let port = port.unwrap_or(usual_port(chosen));
                self.found(chosen, ip, port);
            }
            Place::Name(name) if port.is_some() => {
                let port = port.unwrap_or_default();
                self.look_up(vec![Host {
                    transport: chosen,
                    name,
                    port,
                }]);
            }
            Place::Name(name) if transport.is_some() => self.services(vec![chosen], &name),
            Place::Name(name) => {
                self.stage = Stage::Naptr;
                self.asked = vec![Question::Naptr(name)];
            }
        }
    }

    fn naptr(&mut self, answers: Vec<Answer>) {
        let records = match answers.into_iter().next() {
            Some(Answer::Naptr(records)) => records,
            _ => Vec::new(),
        };
        let abilities = self.abilities;
        let usable = |lead: &Lead| {
            let (Lead::Service(transport, _) | Lead::Host(transport, _)) = lead;
            abilities.has(*transport)
        };
        let found: Vec<Lead> = leads(records, self.target.secure)
            .filter(usable)
            .take(LEADS)
            .collect();
        if !found.is_empty() {
            return self.follow(found);
        }
        let Place::Name(name) = self.target.place.clone() else {
            return;
        };
        let all: &[Transport] = if self.target.secure {
            &[Transport::Tls]
        } else {
            &[Transport::Udp, Transport::Tcp, Transport::Tls]
        };
        self.services(all.to_vec(), &name);
    }

    /// Asks for the SRV records of a domain by these transports.
    fn services(&mut self, transports: Vec<Transport>, name: &str) {
        let abilities = self.abilities;
        let services = transports.into_iter().filter(|t| abilities.has(*t));
        let services = services.map(|transport| {
            let prefix = match transport {
                Transport::Udp => "_sip._udp",
                Transport::Tls => "_sips._tcp",
                Transport::Tcp | Transport::Ws | Transport::Wss => "_sip._tcp",
            };
            Lead::Service(transport, format!("{prefix}.{name}").into())
        });
        let services = services.collect();
        self.follow(services);
    }

    fn follow(&mut self, services: Vec<Lead>) {
        self.asked = services
            .iter()
            .filter_map(|lead| match lead {
                Lead::Service(_, name) => Some(Question::Srv(Arc::clone(name))),
                Lead::Host(..) => None,
            })
            .collect();
        if self.asked.is_empty() {
            return self.srv(services, Vec::new());
        }
        self.stage = Stage::Srv(services);
    }

    fn srv(&mut self, services: Vec<Lead>, answers: Vec<Answer>) {
        let mut answers = answers.into_iter();
        let mut hosts = Vec::new();
        let mut refused = false;
        for service in services {
            match service {
                Lead::Host(transport, name) => hosts.push(Host {
                    transport,
                    name,
                    port: usual_port(transport),
                }),
                Lead::Service(transport, _) => {
                    let Some(Answer::Srv(records)) = answers.next() else {
                        continue;
                    };
                    for record in srv(records, &mut self.dice) {
                        let name = super::lower(&record.target);
                        // RFC 2782: a root as target says that the service is decidedly not there.
                        refused |= name.is_empty();
                        if !name.is_empty() && record.port != 0 {
                            let port = record.port;
                            hosts.push(Host {
                                transport,
                                name,
                                port,
                            });
                        }
                    }
                }
            }
        }
        if hosts.is_empty() && !refused {
            hosts.extend(self.itself());
        }
        hosts.truncate(HOSTS);
        self.look_up(hosts);
    }

    /// 4.2: no SRV records at all: the domain itself on the usual port.
    fn itself(&self) -> Option<Host> {
        let Place::Name(name) = self.target.place.clone() else {
            return None;
        };
        let transport = self.target.transport;
        let transport = transport.unwrap_or(self.usual(self.target.secure));
        let port = usual_port(transport);
        Some(Host {
            transport,
            name,
            port,
        })
    }

    fn usual(&self, secure: bool) -> Transport {
        match (secure, self.abilities.udp) {
            (true, _) => Transport::Tls,
            (false, true) => Transport::Udp,
            (false, false) => Transport::Tcp,
        }
    }

    fn look_up(&mut self, mut hosts: Vec<Host>) {
        hosts.retain(|host| self.abilities.has(host.transport));
        let mut asked = Vec::new();
        for host in &hosts {
            // Hosts that stand for several services are asked for once. IPv6 first (RFC 7984 4).
            let questions = [
                Question::Aaaa(Arc::clone(&host.name)),
                Question::A(Arc::clone(&host.name)),
            ];
            for question in questions {
                let wanted = match question {
                    Question::Aaaa(_) => self.abilities.v6,
                    _ => self.abilities.v4,
                };
                if wanted && !asked.contains(&question) {
                    asked.push(question);
                }
            }
        }
        self.asked = asked;
        if !self.asked.is_empty() {
            self.stage = Stage::Addresses(hosts);
        }
    }

    fn addresses(&mut self, hosts: &[Host], asked: &[Question], answers: Vec<Answer>) {
        let known: Vec<(&Question, Answer)> = asked.iter().zip(answers).collect();
        for host in hosts {
            let of_host = |question: &Question| match question {
                Question::A(name) | Question::Aaaa(name) => *name == host.name,
                Question::Naptr(_) | Question::Srv(_) => false,
            };
            let found: Vec<IpAddr> = known
                .iter()
                .filter(|(question, _)| of_host(question))
                .filter_map(|(_, answer)| match answer {
                    Answer::Addresses(found) => Some(found),
                    _ => None,
                })
                .flat_map(|found| found.iter().copied().take(ADDRESSES))
                .collect();
            for ip in found {
                self.found(host.transport, ip, host.port);
            }
        }
    }

    fn found(&mut self, transport: Transport, ip: IpAddr, port: u16) {
        let ip = ip.to_canonical();
        if !self.abilities.has(transport) || !self.abilities.speaks(ip) || port == 0 {
            return;
        }
        let hop = Hop {
            transport,
            address: SocketAddr::new(ip, port),
            name: Arc::clone(&self.target.name),
        };
        if self.hops.len() < HOPS && !self.hops.contains(&hop) {
            self.hops.push(hop);
        }
    }
}

/// RFC 3263 4.2; RFC 3261 19.1.2.
fn usual_port(transport: Transport) -> u16 {
    match transport {
        Transport::Tls | Transport::Wss => 5061,
        Transport::Udp | Transport::Tcp | Transport::Ws => 5060,
    }
}
