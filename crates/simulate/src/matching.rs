//! Texts against Envoy's matchers.

use crate::outcome::Stop;
use meltemi_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use meltemi_proto::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use regex::Regex;

/// True when the whole text matches.
pub(crate) fn regex(matcher: &RegexMatcher, text: &str) -> Result<bool, Stop> {
    let whole = format!("^(?:{})$", matcher.regex);
    let regex = Regex::new(&whole)
        .map_err(|_| Stop::unsupported(format!("the regular expression {:?}", matcher.regex)))?;
    Ok(regex.is_match(text))
}

/// True when the text matches.
pub(crate) fn string(matcher: &StringMatcher, text: &str) -> Result<bool, Stop> {
    let fold = |text: &str| match matcher.ignore_case {
        true => text.to_ascii_lowercase(),
        false => text.to_owned(),
    };
    let folded = fold(text);
    match &matcher.match_pattern {
        Some(MatchPattern::Exact(wanted)) => Ok(folded == fold(wanted)),
        Some(MatchPattern::Prefix(wanted)) => Ok(folded.starts_with(&fold(wanted))),
        Some(MatchPattern::Suffix(wanted)) => Ok(folded.ends_with(&fold(wanted))),
        Some(MatchPattern::Contains(wanted)) => Ok(folded.contains(&fold(wanted))),
        Some(MatchPattern::SafeRegex(matcher)) => regex(matcher, text),
        Some(MatchPattern::Custom(_)) | None => Err(Stop::unsupported("a custom string matcher")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: MatchPattern, ignore_case: bool, text: &str) -> bool {
        let matcher = StringMatcher {
            ignore_case,
            match_pattern: Some(pattern),
        };
        string(&matcher, text).unwrap()
    }

    #[test]
    fn each_pattern_means_what_it_says() {
        assert!(matches(MatchPattern::Exact("Ab".into()), true, "aB"));
        assert!(!matches(MatchPattern::Exact("Ab".into()), false, "aB"));
        assert!(matches(MatchPattern::Prefix("a".into()), false, "abc"));
        assert!(matches(MatchPattern::Suffix("c".into()), false, "abc"));
        assert!(matches(MatchPattern::Contains("b".into()), false, "abc"));
        let regex = |text: &str| {
            let regex = text.into();
            MatchPattern::SafeRegex(RegexMatcher {
                regex,
                ..RegexMatcher::default()
            })
        };
        assert!(matches(regex("a.c"), false, "abc"));
        assert!(!matches(regex("b|a"), false, "abc"));
    }
}
