//! Counts answers over a span of time and makes a row of them.

use crate::report::{Latencies, Row};
use crate::server::process::Process;
use std::time::{Duration, Instant};

/// Before counting starts.
const WARM_UP: Duration = Duration::from_secs(1);

/// Operations of a measured span, after a second of warm-up. CPU is counted over both, for all
/// operations of both.
pub(crate) struct Meter {
    start: Instant,
    span: Duration,
    counted: u64,
    all: u64,
    latencies: Latencies,
    failures: u64,
    first_failure: Option<String>,
    cpu: f64,
}

impl Meter {
    /// Starts now.
    pub(crate) fn start(seconds: u64, process: &Process) -> Self {
        Self {
            start: Instant::now(),
            span: Duration::from_secs(seconds),
            counted: 0,
            all: 0,
            latencies: Latencies::default(),
            failures: 0,
            first_failure: None,
            cpu: process.cpu(),
        }
    }

    /// Whether nothing more is to be started.
    pub(crate) fn over(&self) -> bool {
        self.start.elapsed() > WARM_UP + self.span
    }

    /// An operation has ended.
    pub(crate) fn add(&mut self, good: bool, taken: Duration, what: impl FnOnce() -> String) {
        if !good {
            self.failures += 1;
            self.first_failure.get_or_insert_with(what);
            return;
        }
        self.all += 1;
        if self.start.elapsed() > WARM_UP && !self.over() {
            self.counted += 1;
            self.latencies.add(taken);
        }
    }

    /// Operations that nobody answered.
    pub(crate) fn lost(&mut self, count: u64) {
        if count > 0 {
            self.failures += count;
            self.first_failure
                .get_or_insert_with(|| "no answer".to_owned());
        }
    }

    /// Operations per second, with CPU per operation.
    pub(crate) fn row(mut self, name: &str, process: &Process) -> Row {
        if let Some(failure) = &self.first_failure {
            eprintln!("load: {name}: first failure: {failure}");
        }
        let cpu = process.cpu() - self.cpu;
        Row {
            name: name.to_owned(),
            value: self.counted as f64 / self.span.as_secs_f64(),
            unit: "per s",
            p50: self.latencies.quantile(0.5),
            p99: self.latencies.quantile(0.99),
            cpu: (self.all > 0).then(|| cpu * 1e6 / self.all as f64),
            failures: self.failures,
            ..Row::default()
        }
    }
}
