//! Numbers as people read them, alike on the status page and in a terminal.

use std::time::SystemTime;

/// A length of time in its two largest units: `4 min 12 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(seconds: f64) -> String {
    // Saturates, and what is no number is 0.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating is what is wanted")]
    let whole = seconds.max(0.0).round() as u64;
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut parts = units.iter().zip(units.iter().skip(1)).filter(|((size, _), _)| whole >= *size);
    match parts.next() {
        None => format!("{whole} s"),
        Some(((size, unit), (lesser, below))) => match whole % size / lesser {
            0 => format!("{} {unit}", whole / size),
            rest => format!("{} {unit} {rest} {below}", whole / size),
        },
    }
}

/// A time that something takes, with up to three digits that matter: `0.42 ms`, `12 ms`, `1.25 s`.
pub fn latency(seconds: f64) -> String {
    let (number, unit) = if seconds < 1.0 { (seconds * 1000.0, "ms") } else { (seconds, "s") };
    format!("{} {unit}", digits(number))
}

/// A rate: `0.4/s`, `1250/s`.
pub fn rate(per_second: f64) -> String {
    format!("{}/s", digits(per_second))
}

/// A share: `0 %`, `0.3 %`, `100 %`.
pub fn share(of_one: f64) -> String {
    let percent = of_one * 100.0;
    if percent > 0.0 && percent < 0.1 { "< 0.1 %".to_owned() } else { format!("{} %", digits(percent)) }
}

/// A count with its thousands apart: `12,408`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A size: `0 B`, `64 KiB`.
pub fn bytes(count: u64) -> String {
    bytesize::ByteSize::b(count).display().iec().to_string()
}

/// A point in time, UTC to the second: `2026-11-29 07:44:51 UTC`.
pub fn time(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| "unknown".to_owned(), |at| at.strftime("%F %T UTC").to_string())
}

/// The same in RFC 3339, for programs.
pub fn timestamp(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| String::new(), |at| at.strftime("%FT%TZ").to_string())
}

/// Text of others, in one piece and without what moves a terminal's cursor or turns the direction of reading.
pub fn harmless(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

fn digits(number: f64) -> String {
    let places = match number {
        n if n >= 100.0 => 0,
        n if n >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{number:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (seconds, wanted) in [
            (0.0, "0 s"),
            (0.6, "1 s"),
            (59.4, "59 s"),
            (60.0, "1 min"),
            (252.0, "4 min 12 s"),
            (7_500.0, "2 h 5 min"),
            (3_600.0, "1 h"),
            (273_600.0, "3 d 4 h"),
            (-4.0, "0 s"),
        ] {
            assert_eq!(duration(seconds), wanted);
        }
        for (seconds, wanted) in [
            (0.000_42, "0.42 ms"),
            (0.012, "12 ms"),
            (0.0123, "12.3 ms"),
            (1.25, "1.25 s"),
            (0.999, "999 ms"),
            (60.0, "60 s"),
        ] {
            assert_eq!(latency(seconds), wanted);
        }
        for (of_one, wanted) in
            [(0.0, "0 %"), (0.0004, "< 0.1 %"), (0.003, "0.3 %"), (1.0, "100 %"), (0.1234, "12.3 %")]
        {
            assert_eq!(share(of_one), wanted);
        }
        assert_eq!((rate(0.0), rate(0.4), rate(1250.4)), ("0/s".to_owned(), "0.4/s".to_owned(), "1250/s".to_owned()));
        assert_eq!(
            (count(7), count(999), count(12_408), count(1_000_000)),
            ("7".into(), "999".into(), "12,408".into(), "1,000,000".into())
        );
        assert_eq!((bytes(0), bytes(64 << 10)), ("0 B".to_owned(), "64.0 KiB".to_owned()));
        assert_eq!(time(SystemTime::UNIX_EPOCH), "1970-01-01 00:00:00 UTC");
        assert_eq!(timestamp(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn what_moves_a_cursor_or_turns_the_direction_is_taken_out() {
        assert_eq!(harmless("a\u{1b}[2Jb\u{202e}c\r\nd é 日"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}\nd é 日");
    }
}
