//! Regular expressions in RE2's syntax, judged without RE2.

use meltemi_api::regex::{re2_problem, re2_warning};

/// Longer patterns only cost time.
const LONGEST: usize = 1 << 10;

/// The judge always answers, in the same way, and with a reason when it refuses.
pub(crate) fn pattern(bytes: &[u8]) {
    let Ok(pattern) = std::str::from_utf8(bytes) else {
        return;
    };
    if pattern.len() > LONGEST {
        return;
    }
    let problem = re2_problem(pattern);
    assert_eq!(
        problem,
        re2_problem(pattern),
        "the answer depends on the text alone"
    );
    if let Some(problem) = &problem {
        assert!(!problem.is_empty(), "a refusal says why");
    }
    let _warned = re2_warning(pattern);
    // Alternatives of a good pattern are good: nothing in it can reach outside of a group.
    if problem.is_none() && !pattern.contains("\\Q") && !pattern.contains('#') {
        let grouped = format!("(?:{pattern})|x");
        let judged = re2_problem(&grouped);
        let grew_too_large = judged.as_deref().is_some_and(|why| why.contains("large"));
        assert!(
            judged.is_none() || grew_too_large,
            "{pattern:?} is good, {grouped:?} is not: {judged:?}"
        );
    }
}
