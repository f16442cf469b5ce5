//! Limits on ordered values: numbers and durations.

/// What a value may be. With `lower > upper` the value must lie outside of the gap.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Limits<T> {
    pub(super) exactly: Option<T>,
    pub(super) gt: Option<T>,
    pub(super) gte: Option<T>,
    pub(super) lt: Option<T>,
    pub(super) lte: Option<T>,
    pub(super) one_of: Vec<T>,
    pub(super) none_of: Vec<T>,
    pub(super) ignore_zero: bool,
}

impl<T: PartialOrd + Copy + Default> Limits<T> {
    /// What is wrong with the value; `show` writes one.
    pub(super) fn broken(&self, value: T, show: impl Fn(T) -> String) -> Option<String> {
        if self.ignore_zero && value == T::default() {
            return None;
        }
        let not = |rule: String| Some(format!("must be {rule}, not {}", show(value)));
        if let Some(exactly) = self.exactly
            && value != exactly
        {
            return not(show(exactly));
        }
        if !self.one_of.is_empty() && !self.one_of.contains(&value) {
            let allowed: Vec<String> = self.one_of.iter().copied().map(&show).collect();
            return not(format!("one of {}", allowed.join(", ")));
        }
        if self.none_of.contains(&value) {
            return Some(format!("must not be {}", show(value)));
        }
        let lower = self.gt.map(|bound| (bound, value > bound));
        let lower = lower.or(self.gte.map(|bound| (bound, value >= bound)));
        let upper = self.lt.map(|bound| (bound, value < bound));
        let upper = upper.or(self.lte.map(|bound| (bound, value <= bound)));
        let inverted = matches!((lower, upper), (Some((low, _)), Some((high, _))) if low > high);
        let above = lower.is_none_or(|(_, holds)| holds);
        let below = upper.is_none_or(|(_, holds)| holds);
        let holds = if inverted {
            above || below
        } else {
            above && below
        };
        if holds {
            return None;
        }
        let words = self.words(&show);
        not(words.join(if inverted { " or " } else { " and " }))
    }

    fn words(&self, show: impl Fn(T) -> String) -> Vec<String> {
        let word = |bound: Option<T>, word: &str| bound.map(|b| format!("{word} {}", show(b)));
        [
            word(self.gt, "more than"),
            word(self.gte, "at least"),
            word(self.lt, "less than"),
            word(self.lte, "at most"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// The most seconds that Envoy can hold in 64 bits of nanoseconds.
const MOST_SECONDS: i64 = 9_223_372_036;

/// A duration of this many nanoseconds as protobuf JSON writes it, trailing zeros cut.
pub(super) fn show_nanos(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let (seconds, rest) = (
        nanos.unsigned_abs() / 1_000_000_000,
        nanos.unsigned_abs() % 1_000_000_000,
    );
    let fraction = format!("{rest:09}");
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{seconds}{point}{fraction}s")
}

/// What is wrong with a duration wherever it stands.
pub(super) fn broken_duration(seconds: i64, nanos: i32) -> Option<String> {
    if !(-999_999_999..=999_999_999).contains(&nanos) {
        return Some(format!(
            "must have less than a second of nanoseconds, not {nanos}"
        ));
    }
    if (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0) {
        return Some("must have seconds and nanoseconds of the same sign".to_owned());
    }
    if seconds < 0 || nanos < 0 {
        return Some(format!(
            "must not be negative, not {}",
            show_nanos(nanos_of(seconds, nanos))
        ));
    }
    (seconds > MOST_SECONDS).then(|| format!("must be at most {MOST_SECONDS}s, not {seconds}s"))
}

/// The duration in nanoseconds.
pub(super) fn nanos_of(seconds: i64, nanos: i32) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(limits: &Limits<i128>, value: i128) -> Option<String> {
        limits.broken(value, |value| value.to_string())
    }

    #[test]
    fn both_bounds_hold() {
        let limits = Limits {
            gte: Some(200),
            lt: Some(600),
            ..Limits::default()
        };
        assert_eq!(broken(&limits, 200), None);
        assert_eq!(
            broken(&limits, 600).unwrap(),
            "must be at least 200 and less than 600, not 600"
        );
    }

    #[test]
    fn inverted_bounds_leave_a_gap() {
        let limits = Limits {
            gt: Some(10),
            lt: Some(5),
            ..Limits::default()
        };
        assert_eq!(broken(&limits, 11), None);
        assert_eq!(broken(&limits, 4), None);
        assert_eq!(
            broken(&limits, 7).unwrap(),
            "must be more than 10 or less than 5, not 7"
        );
    }

    #[test]
    fn zero_may_be_ignored() {
        let limits = Limits {
            gte: Some(100),
            ignore_zero: true,
            ..Limits::default()
        };
        assert_eq!(broken(&limits, 0), None);
        assert!(broken(&limits, 1).is_some());
    }

    #[test]
    fn lists_allow_and_forbid() {
        let limits = Limits {
            one_of: vec![1, 2],
            ..Limits::default()
        };
        assert_eq!(broken(&limits, 3).unwrap(), "must be one of 1, 2, not 3");
        let limits = Limits {
            none_of: vec![0],
            ..Limits::default()
        };
        assert_eq!(broken(&limits, 0).unwrap(), "must not be 0");
    }

    #[test]
    fn durations_are_shown_and_bounded() {
        assert_eq!(show_nanos(1_500_000_000), "1.5s");
        assert_eq!(show_nanos(-1), "-0.000000001s");
        assert_eq!(show_nanos(0), "0s");
        assert_eq!(broken_duration(5, 0), None);
        assert!(broken_duration(5, -1).is_some());
        assert!(broken_duration(0, 1_000_000_000).is_some());
        assert!(broken_duration(9_223_372_037, 0).is_some());
        assert_eq!(
            broken_duration(-1, 0).unwrap(),
            "must not be negative, not -1s"
        );
    }
}
