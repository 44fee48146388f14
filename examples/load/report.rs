//! What was measured, the goals, and the table.

use std::fmt::Write as _;
use std::time::Duration;

/// One line of the table.
#[derive(Debug, Clone, Default)]
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
    /// What it is compared by with the same measurement on another server.
    pub(crate) compare: Option<Compare>,
    /// The other server's figure.
    pub(crate) other: Other,
    /// What the figure should be.
    pub(crate) goals: Vec<Goal>,
}

/// Which of our figures stands beside the other server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    /// CPU per operation.
    Cpu,
    /// The value itself (memory).
    Value,
}

/// The other server's figure.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Other {
    /// It has no such thing.
    #[default]
    None,
    /// It was not there to be measured.
    Missing,
    /// It failed at it, or its figure is not worth dividing by.
    Failed,
    /// Measured.
    Figure(f64),
}

/// A goal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// The value is at least this.
    AtLeast(f64),
    /// The value is at most this.
    AtMost(f64),
    /// Our figure is at most that part of the other server's.
    OfOther(f64),
}

/// How a goal was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// There was nothing to compare with. Neither success nor failure.
    NotJudged,
}

impl Row {
    /// A row that is only a figure.
    pub(crate) fn figure(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            ..Self::default()
        }
    }

    /// The same with a goal.
    #[must_use]
    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goals.push(goal);
        self
    }

    /// Shown beside the other server's.
    #[must_use]
    pub(crate) fn beside(mut self, compare: Compare) -> Self {
        self.compare = Some(compare);
        self.other = Other::Missing;
        self
    }

    /// Compared with the other server: ours is to be at most that part of it.
    #[must_use]
    pub(crate) fn against(self, compare: Compare, part: f64) -> Self {
        self.beside(compare).goal(Goal::OfOther(part))
    }

    /// Our figure for the comparison.
    pub(crate) fn compared(&self) -> Option<f64> {
        match self.compare? {
            Compare::Cpu => self.cpu,
            Compare::Value => Some(self.value),
        }
    }

    /// Ours by the other's.
    fn ratio(&self) -> Option<f64> {
        match (self.compared(), self.other) {
            (Some(ours), Other::Figure(other)) if other > 0.0 => Some(ours / other),
            _ => None,
        }
    }

    /// A figure with failures in it meets nothing.
    pub(crate) fn verdict(&self, goal: Goal) -> Verdict {
        let met = match goal {
            Goal::AtLeast(floor) => self.value >= floor,
            Goal::AtMost(ceiling) => self.value <= ceiling,
            Goal::OfOther(part) => match self.ratio() {
                Some(ratio) => ratio <= part,
                None => return Verdict::NotJudged,
            },
        };
        if met && self.failures == 0 {
            Verdict::Met
        } else {
            Verdict::Missed
        }
    }

    /// Whether nothing failed and no goal was missed.
    pub(crate) fn is_good(&self) -> bool {
        let missed = |goal: &Goal| self.verdict(*goal) == Verdict::Missed;
        self.failures == 0 && !self.goals.iter().any(missed)
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
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let at = ((self.0.len() - 1) as f64 * share) as usize;
        self.0
            .get(at)
            .map(|micros| Duration::from_micros(u64::from(*micros)))
    }
}

/// Prints the table. The other server's columns are there if it was.
pub(crate) fn print(rows: &[Row], other_there: bool) {
    let mut head = format!(
        "{:<34} {:>10} {:<10} {:>9} {:>9} {:>8}",
        "workload", "value", "unit", "p50", "p99", "cpu us"
    );
    if other_there {
        let _ = write!(head, " {:>9} {:>6}", "kamailio", "ratio");
    }
    println!("{head} {:>6}  goal", "failed");
    for row in rows {
        let mut line = format!(
            "{:<34} {:>10} {:<10} {:>9} {:>9} {:>8}",
            row.name,
            amount(row.value),
            row.unit,
            millis(row.p50),
            millis(row.p99),
            row.cpu.map_or_else(dash, |cpu| format!("{cpu:.1}")),
        );
        if other_there {
            let other = match row.other {
                Other::None | Other::Missing => dash(),
                Other::Failed => "failed".to_owned(),
                Other::Figure(figure) => amount(figure),
            };
            let ratio = row.ratio().map_or_else(dash, |ratio| format!("{ratio:.2}"));
            let _ = write!(line, " {other:>9} {ratio:>6}");
        }
        let goals: Vec<String> = row.goals.iter().map(|goal| judged(row, *goal)).collect();
        println!("{line} {:>6}  {}", row.failures, goals.join("; "));
    }
}

fn judged(row: &Row, goal: Goal) -> String {
    let number = |n: f64| {
        if n.fract() == 0.0 {
            format!("{n:.0}")
        } else {
            format!("{n}")
        }
    };
    let text = match goal {
        Goal::AtLeast(floor) => format!(">= {}", number(floor)),
        Goal::AtMost(ceiling) => format!("<= {}", number(ceiling)),
        Goal::OfOther(part) => format!("<= {} x kamailio", number(part)),
    };
    let verdict = match row.verdict(goal) {
        Verdict::Met => "met",
        Verdict::Missed => "MISSED",
        Verdict::NotJudged => "not judged",
    };
    format!("{text} {verdict}")
}

/// Small figures with two places.
fn amount(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.1}")
    }
}

fn dash() -> String {
    "-".to_owned()
}

fn millis(time: Option<Duration>) -> String {
    time.map_or_else(dash, |t| format!("{:.2} ms", t.as_secs_f64() * 1e3))
}
