//! Numbers, as Redis reads and prints them.

/// A whole number: digits as they would be printed, and nothing else.
pub(crate) fn read_integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let is_plain = !text.starts_with('+') && text != "-0" && {
        let digits = text.strip_prefix('-').unwrap_or(text);
        !digits.starts_with('0') || digits.len() == 1
    };
    if is_plain { text.parse().ok() } else { None }
}

/// A score.
pub(crate) fn read_score(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let score: f64 = text.parse().ok().filter(|score: &f64| !score.is_nan())?;
    // What does not fit is no number.
    let says_infinity = text.contains(['i', 'I']);
    let says_zero =
        || !text.split(['e', 'E']).next().unwrap_or_default().contains(|digit| matches!(digit, '1'..='9'));
    let is_exact = if score.is_infinite() { says_infinity } else { score != 0.0 || says_zero() };
    is_exact.then_some(score)
}

/// A score that bounds a range; nothing at all is zero.
pub(crate) fn read_bound(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?.trim_ascii_start();
    if text.is_empty() {
        return Some(0.0);
    }
    text.parse().ok().filter(|score: &f64| !score.is_nan())
}

/// As `%.17g` does.
pub(crate) fn print(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if number.fract() == 0.0 && number.abs() < 1e17 {
        let sign = if number.is_sign_negative() { "-" } else { "" };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, and not too large"
        )]
        return format!("{sign}{}", number.abs() as u64);
    }
    let scientific = format!("{number:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..17).contains(&exponent) {
        let decimals = usize::try_from(16 - exponent).unwrap_or(0);
        return without_zeros(&format!("{number:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs())
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_by_c() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1_800_000_000_000_001.0, "1800000000000001"),
            (2.5, "2.5"),
            (0.1, "0.10000000000000001"),
            (1e17, "1e+17"),
            (123_456_789_012_345_680_000.0, "1.2345678901234568e+20"),
            (-0.000_012_5, "-1.2500000000000001e-05"),
            (0.000_125, "0.000125"),
            (f64::INFINITY, "inf"),
            (5e-324, "4.9406564584124654e-324"),
        ] {
            assert_eq!(print(number), text);
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", " 1", "1 ", "+1", "01", "-0", "1.0", "9223372036854775808"] {
            assert_eq!(read_integer(text.as_bytes()), None, "{text}");
        }
        for text in ["", " 1", "nan", "1e999", "1e-999", "x"] {
            assert_eq!(read_score(text.as_bytes()), None, "{text}");
        }
        for (text, number) in [("-7", -7), ("0", 0), ("9223372036854775807", i64::MAX)] {
            assert_eq!(read_integer(text.as_bytes()), Some(number));
        }
        for (text, number) in [("+inf", f64::INFINITY), ("1e3", 1000.0), (".5", 0.5), ("0e5", 0.0)] {
            assert_eq!(read_score(text.as_bytes()), Some(number));
        }
        assert_eq!([read_bound(b""), read_bound(b" 1"), read_bound(b"x")], [Some(0.0), Some(1.0), None]);
    }
}
