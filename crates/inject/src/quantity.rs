//! Kubernetes quantities in the form that an API server stores: `2000m` is `2`, `1024Mi` is `1Gi`.

const DECIMAL: [(&str, u32); 10] = [
    ("n", 0),
    ("u", 3),
    ("m", 6),
    ("", 9),
    ("k", 12),
    ("M", 15),
    ("G", 18),
    ("T", 21),
    ("P", 24),
    ("E", 27),
];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The canonical form; `None` for a text that is no quantity. Exponents stay as they are written.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let at = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(at);
    let nanos = nanos(number)?;
    if let Some(power) = BINARY.iter().skip(1).position(|known| *known == suffix) {
        let unit = 1024_i128.checked_pow(u32::try_from(power).ok()? + 1)?;
        return Some(format!("{sign}{}", binary(nanos.checked_mul(unit)?)));
    }
    if let Some((_, exponent)) = DECIMAL.iter().find(|(known, _)| *known == suffix) {
        let value = match exponent.checked_sub(9) {
            Some(up) => nanos.checked_mul(10_i128.checked_pow(up)?)?,
            // What is below a billionth is rounded up, as Kubernetes does.
            None => up(nanos, 10_i128.checked_pow(9 - exponent)?),
        };
        return Some(format!("{sign}{}", decimal(value)));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    exponent.parse::<i8>().ok().map(|_| text.to_owned())
}

/// A decimal number in billionths.
fn nanos(number: &str) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: i128 = match whole {
        "" => 0,
        _ => whole.parse().ok()?,
    };
    let padded: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    whole
        .checked_mul(1_000_000_000)?
        .checked_add(padded.parse().ok()?)
}

fn up(value: i128, by: i128) -> i128 {
    value / by + i128::from(value % by != 0)
}

fn decimal(nanos: i128) -> String {
    if nanos == 0 {
        return "0".to_owned();
    }
    let fits = |exponent: u32| Some(10_i128.pow(exponent)).filter(|unit| nanos % unit == 0);
    let found = DECIMAL
        .iter()
        .rev()
        .find_map(|(suffix, exponent)| Some(format!("{}{suffix}", nanos / fits(*exponent)?)));
    found.unwrap_or_default()
}

fn binary(nanos: i128) -> String {
    let mut bytes = up(nanos, 1_000_000_000);
    let mut power = 0;
    while bytes != 0 && bytes % 1024 == 0 && power + 1 < BINARY.len() {
        bytes /= 1024;
        power += 1;
    }
    format!("{bytes}{}", BINARY.get(power).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn quantities_are_written_as_an_api_server_does() {
        for (text, expected) in [
            ("2000m", "2"),
            ("100m", "100m"),
            ("0.5", "500m"),
            ("1.", "1"),
            (".1", "100m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("128Mi", "128Mi"),
            ("1000M", "1G"),
            ("4000", "4k"),
            ("0", "0"),
            ("0Mi", "0"),
            ("-1", "-1"),
            ("1e3", "1e3"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "m", "1 Gi", "1GB", "one", "1.2.3", "1e", "--1"] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
