//! What can be measured.

use crate::work::fault;

/// One thing to measure.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) family: &'static str,
    pub(crate) about: &'static str,
    /// Accounts it needs; 0: as many as `--users` says.
    pub(crate) users: u64,
    /// Measured on Kamailio, too.
    pub(crate) compared: bool,
    /// Not part of `--all` without `--long`.
    pub(crate) long: bool,
}

/// Any SIP server can do it.
const fn both(
    name: &'static str,
    family: &'static str,
    users: u64,
    about: &'static str,
) -> Workload {
    Workload {
        name,
        family,
        about,
        users,
        compared: true,
        long: false,
    }
}

/// Ours only.
const fn ours(
    name: &'static str,
    family: &'static str,
    users: u64,
    about: &'static str,
) -> Workload {
    Workload {
        compared: false,
        ..both(name, family, users, about)
    }
}

const fn long(workload: Workload) -> Workload {
    Workload {
        long: true,
        ..workload
    }
}

/// All of them, in the order they are run.
#[rustfmt::skip] // one line each
pub(crate) const WORKLOADS: [Workload; 25] = [
    both("register", "sip", 400, "REGISTER refresh with Digest, UDP"),
    both("sip-sip", "sip", 400, "MESSAGE relayed with Digest, UDP"),
    both("sip-sip-tcp", "sip", 400, "the same over TCP"),
    both("publish", "sip", 400, "PUBLISH that changes state, nobody watches"),
    both("notify-20x50", "sip", 400, "NOTIFY: 20 people publish, 50 watch each"),
    both("notify-1x500", "sip", 700, "NOTIFY: one publishes, 500 watch"),
    ours("fanout-sip", "sip", 400, "NOTIFY at full rate, 100 x 100"),
    ours("rvp-rvp", "rvp", 400, "NOTIFY relayed, against a bare HTTP echo"),
    ours("renew", "rvp", 400, "lease renewals"),
    ours("change-500", "rvp", 700, "one change to 500 callbacks"),
    ours("fanout-rvp", "rvp", 400, "presence to callbacks at full rate, 100 x 100"),
    ours("sip-rvp", "bridge", 400, "texts from SIP to RVP"),
    ours("rvp-sip", "bridge", 400, "texts from RVP to SIP"),
    ours("archive", "archive", 400, "texts with the archive off, on, required"),
    long(ours("archive-1m", "archive", 10, "search and export of a million archived messages")),
    ours("signed-in", "memory", 0, "memory of --users people, half on each stack"),
    both("idle", "memory", 10, "memory per idle TCP and TLS connection, 4,000 each"),
    both("users", "memory", 20_000, "memory per registered SIP user (takes 70 s)"),
    both("subscriptions", "memory", 400, "memory per SIP subscription (takes 70 s)"),
    ours("dead", "faults", fault::dead::USERS, "5,000 dead callbacks"),
    ours("slow", "faults", 400, "one of 100 watchers reads an octet per second"),
    ours("slowloris", "faults", 400, "2,000 connections with heads that never end"),
    ours("restart", "faults", fault::restart::LEASES, "kill -9 with 10,000 leases"),
    long(ours("half-open", "faults", 10, "clients vanish without a word (root)")),
    long(both("churn", "soak", 400, "people come and go; memory stays flat")),
];
