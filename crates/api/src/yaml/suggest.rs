//! "Did you mean": the nearest of the words that would have been right.

/// The candidate that `text` is probably a misspelling of.
pub(crate) fn nearest<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = text.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            (distance, candidate)
        })
        .min()
        .filter(|(distance, candidate)| {
            let length = lower.chars().count().max(candidate.chars().count());
            *distance <= (length / 4).clamp(1, 3)
        })
        .map(|(_, candidate)| candidate)
}

/// Words for a remedy: `"a", "b" or "c"`, at most twelve, else `None`.
pub(crate) fn choice(words: &[&str]) -> Option<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        None => None,
        Some((last, [])) => Some(last.clone()),
        Some(_) if quoted.len() > 12 => None,
        Some((last, rest)) => Some(format!("{} or {last}", rest.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_finds_its_word() {
        let words = ["perTryTimeout", "attempts", "retryOn"];
        assert_eq!(nearest("perTryTimout", words), Some("perTryTimeout"));
        assert_eq!(nearest("retryon", words), Some("retryOn"));
        assert_eq!(nearest("unrelated", words), None);
        assert_eq!(nearest("x", ["y"]), Some("y"));
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn choices_read_as_a_sentence() {
        assert_eq!(choice(&["A", "B", "C"]).unwrap(), r#""A", "B" or "C""#);
        assert_eq!(choice(&["A"]).unwrap(), r#""A""#);
        assert_eq!(choice(&[]), None);
    }
}
