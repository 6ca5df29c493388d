//! Spans of time as people write them: `300s`, `12h`, `90d`.

use std::time::Duration;

/// A whole number and `ms`, `s`, `m`, `h` or `d`.
#[must_use]
pub fn parse_span(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// A duration in the largest unit that expresses it whole.
#[must_use]
pub fn show_span(span: Duration) -> String {
    let milliseconds = span.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if milliseconds >= size && milliseconds.is_multiple_of(size) {
            return format!("{}{unit}", milliseconds / size);
        }
    }
    if milliseconds == 0 { "0s".into() } else { format!("{milliseconds}ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_as_it_is_shown() {
        for text in ["1ms", "90s", "5m", "36h", "90d", "1500ms"] {
            assert_eq!(parse_span(text).map(show_span).as_deref(), Some(text));
        }
        assert_eq!(parse_span("60s").map(show_span).as_deref(), Some("1m"));
        for text in ["", "d", "1", "-1d", "1 d", "99999999999999999999d", "9999999999999999d"] {
            assert_eq!(parse_span(text), None, "{text}");
        }
    }
}
