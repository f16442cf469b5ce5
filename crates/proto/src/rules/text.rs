//! Rules on strings and bytes.

use regex::Regex;

use crate::validate;

/// What a string must be. Lengths count characters, sizes count bytes.
#[derive(Debug, Default)]
pub(super) struct Text {
    rules: validate::StringRules,
    pattern: Option<Regex>,
    form: Option<Form>,
}

/// A well-known form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Ip,
    Ipv4,
    Ipv6,
    HeaderName,
    HeaderValue,
    /// A header's name or value whose rule is not strict: no end of line and no zero byte.
    OneLine,
}

impl Text {
    /// The rules, and whether all of them are understood.
    pub(super) fn new(rules: validate::StringRules) -> (Self, bool) {
        use validate::{KnownRegex, string_rules::WellKnown};
        let mut understood = true;
        let pattern = rules.pattern.as_deref().and_then(|pattern| {
            let compiled = Regex::new(pattern).ok();
            understood &= compiled.is_some();
            compiled
        });
        let strict = rules.strict();
        let form = match rules.well_known {
            Some(WellKnown::Ip(true)) => Some(Form::Ip),
            Some(WellKnown::Ipv4(true)) => Some(Form::Ipv4),
            Some(WellKnown::Ipv6(true)) => Some(Form::Ipv6),
            Some(WellKnown::WellKnownRegex(regex)) => match KnownRegex::try_from(regex) {
                Ok(KnownRegex::HttpHeaderName) if strict => Some(Form::HeaderName),
                Ok(KnownRegex::HttpHeaderValue) if strict => Some(Form::HeaderValue),
                Ok(KnownRegex::HttpHeaderName | KnownRegex::HttpHeaderValue) => Some(Form::OneLine),
                Ok(KnownRegex::Unknown) | Err(_) => None,
            },
            Some(_) => {
                understood = false;
                None
            }
            None => None,
        };
        (
            Self {
                rules,
                pattern,
                form,
            },
            understood,
        )
    }

    /// What is wrong with the value.
    pub(super) fn broken(&self, value: &str) -> Option<String> {
        if self.rules.ignore_empty() && value.is_empty() {
            return None;
        }
        self.broken_size(value)
            .or_else(|| self.broken_content(value))
    }

    fn broken_size(&self, value: &str) -> Option<String> {
        let rules = &self.rules;
        if rules.min_len.is_some() || rules.max_len.is_some() || rules.len.is_some() {
            let length = value.chars().count();
            let limits = (rules.min_len.or(rules.len), rules.max_len.or(rules.len));
            if let Some(broken) = broken_count(length, limits, "character") {
                return Some(broken);
            }
        }
        let limits = (
            rules.min_bytes.or(rules.len_bytes),
            rules.max_bytes.or(rules.len_bytes),
        );
        broken_count(value.len(), limits, "byte")
    }

    fn broken_content(&self, value: &str) -> Option<String> {
        let rules = &self.rules;
        let wrong = |holds: bool, words: &str, what: &str| {
            (!holds).then(|| format!("must {words} {what:?}, not {value:?}"))
        };
        let all = |parts: &[String]| parts.join(", ");
        let text = |part: &Option<String>, words: &str, holds: fn(&str, &str) -> bool| {
            part.as_deref()
                .and_then(|part| wrong(holds(value, part), words, part))
        };
        text(&rules.r#const, "be", |value, part| value == part)
            .or_else(|| {
                text(&rules.prefix, "start with", |value, part| {
                    value.starts_with(part)
                })
            })
            .or_else(|| {
                text(&rules.suffix, "end with", |value, part| {
                    value.ends_with(part)
                })
            })
            .or_else(|| {
                text(&rules.contains, "contain", |value, part| {
                    value.contains(part)
                })
            })
            .or_else(|| {
                text(&rules.not_contains, "not contain", |value, part| {
                    !value.contains(part)
                })
            })
            .or_else(|| {
                let listed = rules.r#in.is_empty() || rules.r#in.iter().any(|one| one == value);
                wrong(listed, "be one of", &all(&rules.r#in))
            })
            .or_else(|| {
                let listed = rules.not_in.iter().any(|one| one == value);
                wrong(!listed, "be none of", &all(&rules.not_in))
            })
            .or_else(|| {
                let pattern = self.pattern.as_ref()?;
                wrong(
                    pattern.is_match(value),
                    "match the pattern",
                    pattern.as_str(),
                )
            })
            .or_else(|| {
                self.form
                    .filter(|form| !form.holds(value))
                    .map(|form| form.words(value))
            })
    }
}

impl Form {
    fn holds(self, value: &str) -> bool {
        use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
        match self {
            Self::Ip => value.parse::<IpAddr>().is_ok(),
            Self::Ipv4 => value.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => value.parse::<Ipv6Addr>().is_ok(),
            Self::HeaderName => {
                let name = value.strip_prefix(':').unwrap_or(value);
                !name.is_empty() && name.bytes().all(is_header_name_byte)
            }
            Self::HeaderValue => value
                .bytes()
                .all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)),
            Self::OneLine => !value.bytes().any(|byte| matches!(byte, 0 | b'\n' | b'\r')),
        }
    }

    fn words(self, value: &str) -> String {
        let form = match self {
            Self::Ip => "an ip address",
            Self::Ipv4 => "an ipv4 address",
            Self::Ipv6 => "an ipv6 address",
            Self::HeaderName => "an http header name",
            Self::HeaderValue => "an http header value without control characters",
            Self::OneLine => "one line without zero bytes",
        };
        format!("must be {form}, not {value:?}")
    }
}

fn is_header_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+,-.^_|~`".contains(&byte)
}

/// The lengths of bytes; their contents have no rules in Envoy's API.
pub(super) fn broken_bytes(rules: &validate::BytesRules, value: &[u8]) -> Option<String> {
    if rules.ignore_empty() && value.is_empty() {
        return None;
    }
    let limits = (rules.min_len.or(rules.len), rules.max_len.or(rules.len));
    broken_count(value.len(), limits, "byte")
}

/// What is wrong with a count of things.
pub(super) fn broken_count(
    count: usize,
    limits: (Option<u64>, Option<u64>),
    thing: &str,
) -> Option<String> {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    let plural = |number: u64| if number == 1 { "" } else { "s" };
    match limits {
        (Some(least), _) if count < least => Some(match count {
            0 if least == 1 => "must not be empty".to_owned(),
            _ => format!(
                "must have at least {least} {thing}{}, not {count}",
                plural(least)
            ),
        }),
        (_, Some(most)) if count > most => Some(format!(
            "must have at most {most} {thing}{}, not {count}",
            plural(most)
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use validate::{KnownRegex, StringRules, string_rules::WellKnown};

    fn broken(rules: StringRules, value: &str) -> Option<String> {
        let (text, understood) = Text::new(rules);
        assert!(understood);
        text.broken(value)
    }

    fn header(kind: KnownRegex, strict: Option<bool>) -> StringRules {
        let well_known = Some(WellKnown::WellKnownRegex(kind.into()));
        StringRules {
            well_known,
            strict,
            ..Default::default()
        }
    }

    #[test]
    fn lengths_count_characters_and_sizes_bytes() {
        let rules = StringRules {
            max_len: Some(2),
            ..Default::default()
        };
        assert_eq!(broken(rules.clone(), "éé"), None);
        assert_eq!(
            broken(rules, "ééé").unwrap(),
            "must have at most 2 characters, not 3"
        );
        let rules = StringRules {
            max_bytes: Some(2),
            ..Default::default()
        };
        assert_eq!(
            broken(rules, "éé").unwrap(),
            "must have at most 2 bytes, not 4"
        );
        let rules = StringRules {
            min_len: Some(1),
            ..Default::default()
        };
        assert_eq!(broken(rules, "").unwrap(), "must not be empty");
    }

    #[test]
    fn an_empty_value_may_be_ignored() {
        let rules = StringRules {
            prefix: Some("%".to_owned()),
            ignore_empty: Some(true),
            ..Default::default()
        };
        assert_eq!(broken(rules.clone(), ""), None);
        assert_eq!(
            broken(rules, "x").unwrap(),
            "must start with \"%\", not \"x\""
        );
    }

    #[test]
    fn header_forms_depend_on_strictness() {
        assert_eq!(
            broken(header(KnownRegex::HttpHeaderName, None), ":path"),
            None
        );
        assert!(broken(header(KnownRegex::HttpHeaderName, None), "a b").is_some());
        assert!(broken(header(KnownRegex::HttpHeaderName, None), "").is_some());
        assert_eq!(
            broken(header(KnownRegex::HttpHeaderName, Some(false)), "a b"),
            None
        );
        assert!(broken(header(KnownRegex::HttpHeaderName, Some(false)), "a\nb").is_some());
        assert_eq!(
            broken(header(KnownRegex::HttpHeaderValue, None), "a\tb é"),
            None
        );
        assert!(broken(header(KnownRegex::HttpHeaderValue, None), "a\u{1}").is_some());
        assert_eq!(
            broken(header(KnownRegex::HttpHeaderValue, Some(false)), "a\u{1}"),
            None
        );
    }

    #[test]
    fn bytes_have_a_least_length() {
        let rules = validate::BytesRules {
            min_len: Some(1),
            ..Default::default()
        };
        assert_eq!(broken_bytes(&rules, b"").unwrap(), "must not be empty");
        assert_eq!(broken_bytes(&rules, b"x"), None);
    }
}
