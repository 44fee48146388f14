//! One request from head to answer, in the order of `decisions.md` 7: what is malformed or not
//! implemented is said at once (400, 405, 501), then comes the challenge, then all else.

use super::auth::{self, Entrance, Way};
use super::callback::gate::Gates;
use super::callback::policy::Policy;
use super::callback::sightings::Sightings;
use super::encoding::Dialects;
use super::head::BadHead;
use super::listen::{Answered, App, Arrived, Ends, Payload};
use super::method;
use super::names::{Names, NotOurs};
use super::peer::{Peers, Place, is_peer};
pub(super) use super::reply::{Refused, Reply};
use crate::core::address::Address;
use crate::core::command::{Caller, Command, Reply as Done};
use crate::core::error::Error;
use crate::core::id::PersonId;
use crate::core::port::Account;
use crate::gate::{Cause, Gate, Granted};
use crate::hub::{Hub, Resolution};
use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue, WWW_AUTHENTICATE};
use rvp::request::{Action, Request};
use rvp::{ParseError, Stage, Status, Version};
use std::sync::Arc;

/// What all requests share.
pub(super) struct Front {
    pub(super) hub: Hub,
    pub(super) gate: Arc<Gate>,
    pub(super) entrance: Entrance,
    pub(super) names: Names,
    pub(super) policy: Policy,
    pub(super) sightings: Sightings,
    pub(super) gates: Gates,
    pub(super) dialects: Arc<Dialects>,
    pub(super) peers: Arc<Peers>,
    /// Octets of a body.
    pub(super) body: usize,
    /// Paths that become nodes by their first use.
    pub(super) patterns: Vec<String>,
    /// Nodes that one person may own by such use.
    pub(super) nodes: usize,
}

/// A request that has passed all general checks.
pub(super) struct Asked<'a> {
    pub(super) front: &'a Front,
    pub(super) request: &'a Request,
    pub(super) body: &'a method::Body,
    pub(super) caller: &'a Caller,
    /// The account whose node is asked.
    pub(super) account: &'a Account,
    /// The address that the request named it by.
    pub(super) address: &'a Address,
    pub(super) ends: Ends,
    /// The caller's machine, where the proof named it.
    pub(super) machine: Option<Arc<str>>,
}

impl Asked<'_> {
    /// Asks the core about the node.
    pub(super) async fn call(&self, command: Command) -> Result<Done, Error> {
        self.call_as(self.caller, command).await
    }

    /// The same in somebody else's name.
    pub(super) async fn call_as(&self, who: &Caller, command: Command) -> Result<Done, Error> {
        let (hub, person) = (&self.front.hub, self.account.person);
        hub.call(person, who, command).await
    }

    /// Keeps for `explain` what the caller is not told.
    pub(super) fn explain(&self, cause: Cause) {
        let peer = self.ends.peer.ip();
        auth::note(
            &self.front.gate,
            peer,
            &self.caller.address,
            self.front.hub.now(),
            cause,
        );
    }

    /// Whether the node is the caller's own.
    pub(super) fn is_own(&self) -> bool {
        let owner = self.account.node.as_ref().and_then(|node| node.owner);
        self.caller.person == Some(self.account.person)
            || (owner.is_some() && self.caller.person == owner)
    }

    /// Whether it is no person's.
    pub(super) fn is_node(&self) -> bool {
        self.account.node.is_some()
    }

    /// How this client spells our host, without port (`rvp.md` 8.8).
    pub(super) fn spoken(&self) -> String {
        self.request.node.authority.host.to_string()
    }

    /// The node's URL as this client knows it.
    pub(super) fn href(&self) -> String {
        self.front.names.href(self.address, &self.spoken())
    }

    /// Whether two addresses lead to the same person.
    pub(super) fn same_person(&self, one: &Address, person: Option<PersonId>) -> bool {
        self.front.is_person(one, person)
    }
}

/// How far a request got before its caller was known.
enum Judged {
    /// Well-formed.
    Fine(Box<Request>, method::Body),
    /// To be refused, after the challenge; the head, if that can be read.
    Later(Option<Box<Request>>, Refused),
}

impl Judged {
    fn request(&self) -> Option<&Request> {
        match self {
            Self::Fine(request, _) => Some(request),
            Self::Later(request, _) => request.as_deref(),
        }
    }
}

impl App for Front {
    async fn answer(self: Arc<Self>, arrived: Arrived) -> Answered {
        let version = Version::from_header(
            arrived
                .headers
                .get("rvp-notifications-version")
                .and_then(|value| value.to_str().ok()),
        );
        let mut proof = None;
        let outcome = self.process(&arrived, &mut proof).await;
        let mut answered = match outcome {
            Ok((reply, after)) => Answered {
                status: reply.status.code(),
                reason: reply.status.reason(),
                headers: reply.headers,
                content_type: Some("text/xml"),
                body: reply.xml.map(Bytes::from).unwrap_or_default(),
                close: false,
                after,
            },
            Err(refusal) => refusal.answer(&arrived),
        };
        // The end of Negotiate belongs to the answer, whatever that is.
        let proof = proof.and_then(|value: String| HeaderValue::try_from(value).ok());
        answered
            .headers
            .extend(proof.map(|value| (WWW_AUTHENTICATE, value)));
        with_version(answered, &version)
    }

    fn refuse(&self, ends: Ends, why: BadHead) -> Answered {
        tracing::info!(peer = %ends.peer, status = 400, cause = %why, "rvp head refused");
        let status = Status::BadRequest;
        let mut answered = error(status, &why.to_string());
        answered.close = true;
        with_version(answered, &Version::default())
    }
}

/// Every way to say no.
pub(super) enum No {
    /// With this status.
    Refused(Refused, Option<Address>),
    /// What the gate said, and has logged.
    Judged(Status, String),
    /// Ask again with one of these `WWW-Authenticate` values.
    Challenge(Vec<String>),
}

impl No {
    fn answer(self, arrived: &Arrived) -> Answered {
        let (peer, method, target) = (arrived.ends.peer, &arrived.method, &arrived.target);
        match self {
            Self::Refused(refused, who) => {
                let Refused {
                    status,
                    cause,
                    told,
                    ..
                } = refused;
                let who = who.map(|who| who.to_string()).unwrap_or_default();
                tracing::info!(%peer, %method, %target, who, status = status.code(), cause, "rvp request refused");
                error(status, told.unwrap_or(&cause))
            }
            Self::Judged(status, told) => error(status, &told),
            // The gate has logged it, if it was more than a first request without credentials.
            Self::Challenge(values) => {
                let mut answered = error(Status::AccessDenied, "Access denied");
                for value in values {
                    if let Ok(value) = HeaderValue::try_from(value) {
                        answered.headers.push((WWW_AUTHENTICATE, value));
                    }
                }
                answered
            }
        }
    }
}

type After = Option<Box<dyn std::any::Any + Send>>;

impl Front {
    async fn process(
        &self,
        arrived: &Arrived,
        proof: &mut Option<String>,
    ) -> Result<(Reply, After), No> {
        let no = |refused: Refused| No::Refused(refused, None);
        let target = arrived.target.to_string();
        let judged = self.judge(arrived, &target).map_err(no)?;
        let vouched = match judged.request() {
            Some(request) => self.vouch(arrived, &target, request, proof).await?,
            None => None,
        };
        let (caller, machine) = match vouched {
            Some(caller) => (caller, None),
            None => {
                let granted = self.authenticate(arrived, &target, &judged).await?;
                let Granted {
                    caller,
                    answer,
                    machine,
                    ..
                } = granted;
                if let (Some(person), false) = (caller.person, is_peer(&caller)) {
                    let at = arrived.ends.peer.ip();
                    self.sightings.note(person, at, &arrived.channel.alive);
                }
                *proof = answer;
                (caller, machine)
            }
        };
        let no = |refused: Refused| {
            if let Some(cause) = refused.explained() {
                let (peer, now) = (arrived.ends.peer.ip(), self.hub.now());
                auth::note(&self.gate, peer, &caller.address, now, cause);
            }
            No::Refused(refused, Some(caller.address.clone()))
        };
        let (request, body) = match judged {
            Judged::Fine(request, body) => (request, body),
            Judged::Later(_, refused) => return Err(no(refused)),
        };
        // What another server says of its own people is bound already.
        if !is_peer(&caller) {
            self.bind(&request, &caller, arrived.ends).map_err(no)?;
        }
        let ends = self.ends(arrived, &caller);
        let place = self.place(arrived, &request, &caller, ends).await;
        let (account, address) = match place.map_err(no)? {
            Place::Here(account, address) => (account, address),
            Place::Answered(reply) => return Ok((reply, None)),
        };
        // Answers precede the notifications they cause (`rvp.md` 8.5).
        let hold = match (&request.action, caller.person) {
            (Action::Notify(_) | Action::Propfind | Action::Subscriptions(_), _) | (_, None) => {
                None
            }
            (_, Some(person)) => Some(self.gates.hold(person)),
        };
        let asked = Asked {
            front: self,
            request: &request,
            body: &body,
            caller: &caller,
            account: &account,
            address: &address,
            ends,
            machine,
        };
        let reply = method::run(&asked).await.map_err(no)?;
        let after = hold.map(|hold| Box::new(hold) as Box<dyn std::any::Any + Send>);
        Ok((reply, after))
    }

    /// Head and body, as far as they can be judged without knowing who asks.
    fn judge(&self, arrived: &Arrived, target: &str) -> Result<Judged, Refused> {
        let headers: Vec<(&[u8], &[u8])> = arrived
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
            .collect();
        let request = match Request::parse(arrived.method.as_str(), target, &headers) {
            Ok(request) => request,
            Err(error) if error.stage() == Stage::AfterChallenge => {
                return Ok(Judged::Later(None, error.into()));
            }
            Err(error) => return Err(error.into()),
        };
        let Payload::Whole(octets) = &arrived.body else {
            let refused = Refused::new(Status::TooLarge, "body too large");
            return Ok(Judged::Later(Some(Box::new(request)), refused));
        };
        let later = |request, error: ParseError| Ok(Judged::Later(Some(request), error.into()));
        let request = Box::new(request);
        match method::Body::read(&request, octets, self.body) {
            Ok(body) => Ok(Judged::Fine(request, body)),
            // COMPAT(old HTTP libraries, curl): the first request, without credentials or with
            // NTLM's first message, has no body; its sender wants to be challenged.
            Err(ParseError::NoBody) => later(request, ParseError::NoBody),
            Err(error) if error.stage() == Stage::AfterChallenge => later(request, error),
            Err(error) => Err(error.into()),
        }
    }

    async fn authenticate(
        &self,
        arrived: &Arrived,
        target: &str,
        judged: &Judged,
    ) -> Result<Granted, No> {
        let local = Some(arrived.ends.local.ip());
        let request = judged.request();
        let host = request.map(|request| &request.node.authority.host);
        let domain = host.and_then(|host| self.names.domain_of(host, local));
        let domain = domain.or_else(|| self.hub.directory().domains().first().map(String::as_str));
        let claimed = request.and_then(|request| request.from.as_ref());
        let claimed = claimed.and_then(|claim| self.names.claimed(claim, local));
        let domain = domain.unwrap_or_default();
        let now = self.hub.now();
        let way = Way {
            target,
            domain,
            claimed: claimed.as_ref(),
        };
        self.entrance.check(&self.gate, arrived, &way, now).await
    }

    /// A claimed sender must be the authenticated one (`decisions.md` 8).
    fn bind(&self, request: &Request, caller: &Caller, ends: Ends) -> Result<(), Refused> {
        let Some(claim) = &request.from else {
            return Ok(());
        };
        let claimed = self.names.claimed(claim, Some(ends.local.ip()));
        let bound = claimed.map(|address| self.gate.bind(caller, Some(&address)));
        if matches!(bound, Some(Ok(_))) {
            return Ok(());
        }
        let cause = format!("RVP-From-Principal {claim} is not the authenticated user");
        let why = Cause::Spoofed(claim.to_string());
        Err(Refused::new(Status::Forbidden, cause).because(why))
    }

    /// Whether an address leads to this person.
    pub(super) fn is_person(&self, address: &Address, person: Option<PersonId>) -> bool {
        match self.hub.directory().resolve(address) {
            Resolution::Local(account) => Some(account.person) == person,
            Resolution::UnknownUser | Resolution::Foreign => false,
        }
    }

    pub(super) async fn node(
        &self,
        request: &Request,
        caller: &Caller,
        ends: Ends,
    ) -> Result<(Arc<Account>, Address), Refused> {
        let address = self
            .names
            .address(&request.node, Some(ends.local.ip()))
            .map_err(|why| {
                let node = &request.node;
                match why {
                    NotOurs::Host => {
                        let cause = "the host of the URL is none of [rvp] hosts";
                        let why = Cause::Host(node.authority.host.to_string());
                        Refused::new(Status::NotFound, cause).because(why)
                    }
                    NotOurs::Node => Refused::new(Status::NotFound, "no such node")
                        .because(Cause::Node(node.to_string())),
                }
            })?;
        match self.hub.directory().resolve(&address) {
            Resolution::Local(account) => Ok((account, address)),
            Resolution::UnknownUser | Resolution::Foreign => {
                if let Some(account) = self.first_use(request, caller, &address).await? {
                    return Ok((account, address));
                }
                let cause = format!("no account {address}");
                let why = Cause::Alias(address);
                Err(Refused::new(Status::NotFound, cause).because(why))
            }
        }
    }
}

/// A short page, as `rvp.md` 3 asks for.
fn error(status: Status, cause: &str) -> Answered {
    let mut text = String::with_capacity(cause.len() + 80);
    text.push_str("<html><body>");
    for c in cause.chars() {
        match c {
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '&' => text.push_str("&amp;"),
            c => text.push(c),
        }
    }
    text.push_str("</body></html>");
    Answered {
        status: status.code(),
        reason: status.reason(),
        content_type: Some("text/html"),
        body: text.into(),
        ..Answered::default()
    }
}

fn with_version(mut answered: Answered, version: &Version) -> Answered {
    if let Ok(value) = HeaderValue::from_str(version.as_str()) {
        let name = HeaderName::from_static("rvp-notifications-version");
        answered.headers.insert(0, (name, value));
    }
    answered
}
