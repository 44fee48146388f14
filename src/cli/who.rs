//! `tristack who`: who is signed in, and one person as a tree of devices and sign-ins.

use super::out::Out;
use super::table::Table;
use super::user::connect;
use super::{Exit, Failure};
use crate::config::Config;
use crate::control::{DeviceRow, Done, PersonRow, PointRow, Request};
use std::fmt::Write as _;

pub(super) async fn run(
    config: Config,
    address: Option<String>,
    out: &Out,
) -> Result<Exit, Failure> {
    let one = address.is_some();
    let done = connect(&config)
        .await?
        .ask(&Request::Who { address })
        .await?;
    let Done::People(people) = done else {
        return Err(Failure::new(Exit::Failed, format!("unexpected: {done:?}")));
    };
    out.value(&people, || match people.as_slice() {
        [person] if one => person_text(person),
        people => people_text(people),
    });
    Ok(Exit::Done)
}

fn people_text(people: &[PersonRow]) -> String {
    if people.is_empty() {
        return "Nobody is signed in.\n".into();
    }
    let mut table = Table::new(&["ADDRESS", "STATE", "STACKS", "SINCE", "NOTE"]);
    for person in people {
        let mut stacks: Vec<&str> = person.points.iter().map(|p| p.stack.as_str()).collect();
        stacks.sort_unstable();
        table.row([
            person.address.clone(),
            person.state.clone(),
            stacks.join("+"),
            person.since.clone(),
            person.note.clone().unwrap_or_default(),
        ]);
    }
    table.print()
}

fn person_text(person: &PersonRow) -> String {
    let mut text = format!("{}  {}", person.address, person.state);
    if !person.display_name.is_empty() {
        let _ = write!(text, "  \"{}\"", person.display_name);
    }
    if let Some(note) = &person.note {
        let _ = write!(text, "  ({note})");
    }
    let _ = write!(
        text,
        "\nsince {}, {} messages under way",
        person.since, person.pending
    );
    if person.away > 0 {
        let _ = write!(text, ", {} kept until a sign-in", person.away);
    }
    text.push('\n');
    if !person.aliases.is_empty() {
        let _ = writeln!(text, "also {}", person.aliases.join(", "));
    }
    if person.points.is_empty() {
        text.push_str("\nNot signed in.\n");
    } else {
        let _ = writeln!(text, "texts go to: {}\n", person.delivery);
    }
    for (at, device) in person.devices.iter().enumerate() {
        device_text(&mut text, person, device, at + 1 == person.devices.len());
    }
    for ruling in &person.rulings {
        let _ = writeln!(text, "\n{ruling}");
    }
    if !person.watchers.is_empty() {
        let _ = writeln!(text, "\nwatched by {}", person.watchers.join(", "));
    }
    text
}

fn device_text(text: &mut String, person: &PersonRow, device: &DeviceRow, last: bool) {
    let (branch, stem) = if last { ("`- ", "   ") } else { ("|- ", "|  ") };
    let _ = write!(text, "{branch}device {}", device.id);
    if let Some(why) = &device.why {
        let _ = write!(text, "  ({why})");
    }
    text.push('\n');
    for (at, id) in device.points.iter().enumerate() {
        let Some(point) = person.points.iter().find(|point| point.id == *id) else {
            continue;
        };
        let last = at + 1 == device.points.len();
        let (branch, inner) = if last { ("`- ", "   ") } else { ("|- ", "|  ") };
        for (line, part) in point_lines(point).iter().enumerate() {
            let lead = if line == 0 { branch } else { inner };
            let _ = writeln!(text, "{stem}{lead}{part}");
        }
    }
}

/// A sign-in in a few lines: what it is, how it is doing, where it comes from.
fn point_lines(point: &PointRow) -> Vec<String> {
    let idle = if point.idle { ", idle" } else { "" };
    let mut lines = vec![format!(
        "point {}  {}  {}{idle}  {} s left  last active {}",
        point.id, point.stack, point.condition, point.left, point.active
    )];
    if let Some(doubt) = &point.doubt {
        lines.push(format!("doubted: {doubt}"));
    }
    let mut from = format!("since {}", point.since);
    if let Some(source) = &point.source {
        let _ = write!(from, " from {source}");
    }
    if let Some(machine) = &point.machine {
        let _ = write!(from, ", machine {machine}");
    }
    if !point.client.is_empty() {
        let _ = write!(from, ", {}", point.client);
    }
    lines.push(from);
    lines.push(format!("at {}", point.inbox));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(id: u32, stack: &str) -> PointRow {
        PointRow {
            id,
            stack: stack.into(),
            inbox: format!("{stack}:there"),
            client: "Messenger".into(),
            source: Some("192.0.2.7".into()),
            condition: "live".into(),
            expires: String::new(),
            left: 60,
            since: "S".into(),
            active: "A".into(),
            idle: id == 2,
            machine: None,
            family: None,
            doubt: (id == 3).then(|| "no answer".into()),
        }
    }

    #[test]
    fn a_person_is_a_tree_of_devices_and_points() {
        let person = PersonRow {
            address: "alice@example.com".into(),
            display_name: String::new(),
            state: "online".into(),
            note: None,
            since: "T".into(),
            points: vec![point(1, "rvp"), point(2, "sip"), point(3, "rvp")],
            devices: vec![
                DeviceRow {
                    id: 1,
                    why: Some("same source and machine".into()),
                    points: vec![1, 2],
                },
                DeviceRow {
                    id: 3,
                    why: None,
                    points: vec![3],
                },
            ],
            delivery: "all".into(),
            rulings: Vec::new(),
            aliases: vec!["a@example.com".into()],
            away: 2,
            watchers: Vec::new(),
            pending: 0,
        };
        let expected = "\
alice@example.com  online
since T, 0 messages under way, 2 kept until a sign-in
also a@example.com
texts go to: all

|- device 1  (same source and machine)
|  |- point 1  rvp  live  60 s left  last active A
|  |  since S from 192.0.2.7, Messenger
|  |  at rvp:there
|  `- point 2  sip  live, idle  60 s left  last active A
|     since S from 192.0.2.7, Messenger
|     at sip:there
`- device 3
   `- point 3  rvp  live  60 s left  last active A
      doubted: no answer
      since S from 192.0.2.7, Messenger
      at rvp:there
";
        assert_eq!(person_text(&person), expected);
    }
}
