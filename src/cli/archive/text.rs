//! What the archive's answers look like.

use crate::archive::record::ResultHead;
use crate::archive::verify::Report;
use crate::archive::{Found, Item};
use crate::cli::table::Table;
use crate::control::HoldRow;
use crate::telemetry::{tame, utc};
use std::fmt::Write as _;

/// Characters of a text in a list.
const SHOWN: usize = 60;

pub(super) fn found_text(found: &Found) -> String {
    if found.items.is_empty() {
        return "Nothing was found.\n".to_owned();
    }
    let mut table = Table::new(&["WHEN", "FROM", "TO", "TEXT", "RESULT", "CONVERSATION"]);
    for item in &found.items {
        table.row([
            utc(item.message.at)
                .get(..19)
                .unwrap_or_default()
                .to_owned(),
            item.message.from.clone(),
            item.message.to.clone(),
            cut(&said(item)),
            outcome(item),
            item.message.conversation.clone(),
        ]);
    }
    let mut text = table.print();
    if let Some(next) = found.next {
        let _ = writeln!(text, "There may be more: go on with --below {next}");
    }
    text
}

fn said(item: &Item) -> String {
    if item.erased {
        return "[erased]".to_owned();
    }
    match (&item.text, &item.message.offer) {
        (Some(text), _) => text.clone(),
        (None, Some(offer)) => format!("[{} {}]", offer.application, offer.file),
        (None, None) => format!("[{}]", item.message.content),
    }
}

fn cut(text: &str) -> String {
    let line: String = tame(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SHOWN {
        return line;
    }
    let mut cut: String = line.chars().take(SHOWN - 1).collect();
    cut.push('\u{2026}');
    cut
}

/// The last word about a message.
fn outcome(item: &Item) -> String {
    let delivered = item.results.iter().any(|result| result.what == "delivered");
    match (delivered, item.results.last()) {
        (true, _) => "delivered".to_owned(),
        (false, Some(last)) => last.what.clone(),
        (false, None) => "-".to_owned(),
    }
}

pub(super) fn item_text(item: &Item) -> String {
    let message = &item.message;
    let mut text = format!(
        "{}  {} -> {}  ({}, row {}, message {})\n",
        utc(message.at),
        message.from,
        message.to,
        message.stack,
        item.seq,
        message.id
    );
    for line in said(item).lines() {
        let _ = writeln!(text, "    {}", tame(line));
    }
    for result in &item.results {
        let _ = writeln!(text, "    > {}", result_text(result));
    }
    text
}

fn result_text(result: &ResultHead) -> String {
    let mut text = format!("{} {} at {}", utc(result.at), result.what, result.to);
    if let Some(point) = result.point {
        let _ = write!(text, ", point {point} {}", result.stack);
    }
    if !result.why.is_empty() {
        let _ = write!(text, ": {}", tame(&result.why));
    }
    if !result.rendering.is_empty() {
        let _ = write!(text, ", sent sha256:{}", result.rendering);
    }
    text
}

pub(super) fn report_text(report: &Report) -> String {
    let mut text = String::new();
    for fault in &report.faults {
        let _ = writeln!(text, "row {} {}", fault.seq, fault.what);
    }
    let more = report.wrong - u64::try_from(report.faults.len()).unwrap_or(0);
    if more > 0 {
        let _ = writeln!(text, "... and {more} more");
    }
    let _ = writeln!(
        text,
        "{} rows, {} bodies erased with a journalled reason, {} seals, last row {}\nlink {}\n{}",
        report.rows,
        report.erased,
        report.seals,
        report.last,
        report.link,
        match report.wrong {
            0 => "The chain is sound.".to_owned(),
            wrong => format!("The chain is NOT sound: {wrong} faults."),
        }
    );
    text
}

pub(super) fn holds_text(holds: &[HoldRow]) -> String {
    if holds.is_empty() {
        return "Nothing is held.\n".to_owned();
    }
    let mut table = Table::new(&["CASE", "HOLDS", "WHICH", "SINCE", "BY", "REASON"]);
    for hold in holds {
        table.row([
            hold.case.clone(),
            hold.kind.clone(),
            hold.value.clone(),
            hold.since.clone(),
            hold.who.clone(),
            hold.why.clone(),
        ]);
    }
    table.print()
}
