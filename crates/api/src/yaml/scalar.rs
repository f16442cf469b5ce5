//! What a plain scalar means. YAML 1.1's words, as kubectl and Envoy read them: `yes`, `on` and
//! `y` are booleans, `017` is 15, `1_000` is 1000. Where a string belongs they are errors that
//! ask for quotes, instead of a surprise in a proxy.

/// The meaning of a scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text,
}

/// The meaning of a scalar without quotes and without a tag.
pub(crate) fn plain(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => {
            Scalar::Bool(true)
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => {
            Scalar::Bool(false)
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        _ => number(text).unwrap_or(Scalar::Text),
    }
}

fn number(text: &str) -> Option<Scalar> {
    let first = text
        .strip_prefix(['+', '-'])
        .unwrap_or(text)
        .chars()
        .next()?;
    if !first.is_ascii_digit() && first != '.' {
        return None;
    }
    integer(text).or_else(|| float(text))
}

fn integer(text: &str) -> Option<Scalar> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, digits.get(2..)?),
        Some("0o" | "0O") => (8, digits.get(2..)?),
        Some("0b" | "0B") => (2, digits.get(2..)?),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    let digits = digits.replace('_', "");
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let value = u64::from_str_radix(&digits, radix).ok()?;
    if negative {
        return Some(Scalar::Signed(0_i64.checked_sub_unsigned(value)?));
    }
    Some(Scalar::Unsigned(value))
}

/// Decimal floats as the YAML 1.2 core schema spells them; Rust alone would take `infinity`.
fn float(text: &str) -> Option<Scalar> {
    let shape = text
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !shape || !text.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().map(Scalar::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_mean_what_kubectl_reads() {
        assert_eq!(plain("on"), Scalar::Bool(true));
        assert_eq!(plain("017"), Scalar::Unsigned(15));
        assert_eq!(plain("1_000"), Scalar::Unsigned(1000));
        assert_eq!(plain("-3"), Scalar::Signed(-3));
        assert_eq!(plain("0x1F"), Scalar::Unsigned(31));
        assert_eq!(plain("0"), Scalar::Unsigned(0));
        assert_eq!(plain("1.10"), Scalar::Float(1.10));
        assert_eq!(plain("1e3"), Scalar::Float(1000.0));
        assert_eq!(plain("~"), Scalar::Null);
    }

    #[test]
    fn words_stay_words() {
        for text in [
            "1.1.1.1",
            "10s",
            "v1",
            "-",
            ".",
            "0x",
            "1.2.3",
            "infinity",
            "089a",
            "2024-01-01",
        ] {
            assert_eq!(plain(text), Scalar::Text, "{text}");
        }
    }
}
