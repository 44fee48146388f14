//! Hides card and social-security numbers before anything is kept.
//!
//! A number that is spread over two messages is not found.

use std::ops::Range;

/// The text with the numbers masked; of cards the last four digits stay.
pub(crate) fn mask(text: &str) -> String {
    let mut out: Vec<char> = text.chars().collect();
    let lower = text.to_lowercase();
    let social = lower.contains("ssn") || lower.contains("social");
    let mut at = 0;
    while at < out.len() {
        if !out[at].is_ascii_digit() || (at > 0 && out[at - 1].is_alphanumeric()) {
            at += 1;
            continue;
        }
        let run = run(&out, at);
        let groups: Vec<Range<usize>> = groups(&out, run.clone());
        let mut first = 0;
        while first < groups.len() {
            let (count, kept) = hidden(&out, &groups[first..], social).unwrap_or((1, usize::MAX));
            let digits = groups[first..first + count].iter().cloned().flatten();
            let digits: Vec<usize> = digits.collect();
            for &index in &digits[..digits.len().saturating_sub(kept)] {
                out[index] = '*';
            }
            first += count;
        }
        at = run.end;
    }
    out.into_iter().collect()
}

/// Digits from there on with single spaces, dots or hyphens between them.
fn run(text: &[char], from: usize) -> Range<usize> {
    let mut end = from;
    while end < text.len() {
        let digit = text[end].is_ascii_digit();
        let joint = matches!(text[end], ' ' | '-' | '.')
            && text.get(end + 1).is_some_and(char::is_ascii_digit);
        if !digit && !joint {
            break;
        }
        end += 1;
    }
    from..end
}

/// The digits of a run without what joins them.
fn groups(text: &[char], run: Range<usize>) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for at in run.filter(|&at| text[at].is_ascii_digit()) {
        match groups.last_mut().filter(|last| last.end == at) {
            Some(last) => last.end += 1,
            None => groups.push(at..at + 1),
        }
    }
    groups
}

/// If a number to be hidden begins here: how many groups it has and how many last digits stay.
fn hidden(text: &[char], groups: &[Range<usize>], social: bool) -> Option<(usize, usize)> {
    let lengths: Vec<usize> = groups.iter().take(19).map(Range::len).collect();
    if lengths.starts_with(&[3, 2, 4]) {
        return Some((3, 0));
    }
    if social && lengths.first() == Some(&9) {
        return Some((1, 0));
    }
    for count in (1..=lengths.len()).rev() {
        let digits = groups[..count].iter().cloned().flatten().map(|at| text[at]);
        let digits: Vec<char> = digits.collect();
        match digits.len() {
            13..=19 if luhn(&digits) => return Some((count, 4)),
            // Without any gap: hidden altogether if a card may stand in it.
            20.. if count == 1 => {
                let any = (13..=19).any(|length| digits.windows(length).any(luhn));
                return any.then_some((1, 0));
            }
            _ => {}
        }
    }
    None
}

/// The check digit of card numbers.
fn luhn(digits: &[char]) -> bool {
    let values = digits
        .iter()
        .rev()
        .filter_map(|c| c.to_digit(10))
        .enumerate();
    let sum: u32 = values
        .map(|(place, digit)| match place % 2 {
            1 if digit > 4 => digit * 2 - 9,
            1 => digit * 2,
            _ => digit,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn card_and_social_security_numbers_are_hidden() {
        for (text, masked) in [
            (
                "my card 4111 1111 1111 1111 ok",
                "my card **** **** **** 1111 ok",
            ),
            ("4111111111111111", "************1111"),
            ("378282246310005,", "***********0005,"),
            ("ssn is 123-45-6789.", "ssn is ***-**-****."),
            ("123 45 6789", "*** ** ****"),
            ("SSN 123456789", "SSN *********"),
            (
                "pay 4111-1111-1111-1111 12/27",
                "pay ****-****-****-1111 12/27",
            ),
            (
                "4111 1111 1111 1111 4111 1111 1111 1111",
                "**** **** **** 1111 **** **** **** 1111",
            ),
        ] {
            assert_eq!(mask(text), masked, "{text}");
        }
    }

    #[test]
    fn other_numbers_stay() {
        for text in [
            "order 4111111111111112",
            "call +47 22 33 44 55",
            "part A123-45-6789",
            "2026-11-21 09:00",
            "123456789 pieces",
            "1Z999AA10123456784",
            "grüße 12, 13 und 14",
            "",
        ] {
            assert_eq!(mask(text), text);
        }
    }
}
