//! What was measured, and the table of it.

use std::time::Duration;

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: String,
    /// The figure.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Half of the answers came within this.
    pub(crate) p50: Option<Duration>,
    /// 99 of 100 came within this.
    pub(crate) p99: Option<Duration>,
    /// CPU time of the server per operation, in microseconds.
    pub(crate) cpu: Option<f64>,
    /// Failures counted (must be 0).
    pub(crate) failures: u64,
    /// First-day floor, if the issue names one.
    pub(crate) floor: Option<Floor>,
}

/// A goal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Floor {
    /// At least.
    AtLeast(f64),
    /// At most.
    AtMost(f64),
}

impl Row {
    /// Whether nothing failed and the floor, if any, is met.
    pub(crate) fn meets_floor(&self) -> bool {
        self.failures == 0
            && match self.floor {
                None => true,
                Some(Floor::AtLeast(floor)) => self.value >= floor,
                Some(Floor::AtMost(ceiling)) => self.value <= ceiling,
            }
    }
}

/// Latencies of one run, in whole microseconds.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    /// Adds one.
    pub(crate) fn add(&mut self, taken: Duration) {
        if self.0.len() < 4_000_000 {
            self.0
                .push(u32::try_from(taken.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// The value below which this share of them lies.
    pub(crate) fn quantile(&mut self, share: f64) -> Option<Duration> {
        if self.0.is_empty() {
            return None;
        }
        self.0.sort_unstable();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let at = ((self.0.len() - 1) as f64 * share) as usize;
        self.0
            .get(at)
            .map(|micros| Duration::from_micros(u64::from(*micros)))
    }
}

/// Prints the table.
pub(crate) fn print(rows: &[Row]) {
    println!(
        "{:<28} {:>10} {:<12} {:>9} {:>9} {:>8} {:>6}  goal",
        "workload", "value", "unit", "p50", "p99", "cpu us", "failed"
    );
    for row in rows {
        let time = |t: Option<Duration>| {
            t.map_or_else(
                || "-".to_owned(),
                |t| format!("{:.2} ms", t.as_secs_f64() * 1e3),
            )
        };
        let goal = match row.floor {
            None => String::new(),
            Some(Floor::AtLeast(n)) => format!(">= {n:.0} {}", verdict(row)),
            Some(Floor::AtMost(n)) => format!("<= {n:.0} {}", verdict(row)),
        };
        println!(
            "{:<28} {:>10.1} {:<12} {:>9} {:>9} {:>8} {:>6}  {goal}",
            row.name,
            row.value,
            row.unit,
            time(row.p50),
            time(row.p99),
            row.cpu
                .map_or_else(|| "-".to_owned(), |c| format!("{c:.1}")),
            row.failures,
        );
    }
}

fn verdict(row: &Row) -> &'static str {
    if row.meets_floor() { "met" } else { "MISSED" }
}
