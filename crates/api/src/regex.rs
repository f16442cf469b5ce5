//! Whether Envoy takes a regular expression: RE2's syntax, checked before a proxy sees it.
//!
//! One bad expression makes Envoy refuse a whole route table. Rust's `regex` is close to RE2 but
//! neither wider nor narrower (it takes `a++` and `(?x)`, it refuses `a{,3}` and `\C`), so the
//! grammar is walked here, by RE2's rules; Rust's engine only measures the size.

mod class;
mod escape;
mod walk;

/// Why Envoy refuses `pattern`; `None` when it takes it.
#[must_use]
pub fn re2_problem(pattern: &str) -> Option<String> {
    walk::walk(pattern).err().or_else(|| too_large(pattern))
}

/// What in `pattern` means something else to Envoy than one may think; `None` for most.
#[must_use]
pub fn re2_warning(pattern: &str) -> Option<String> {
    walk::walk(pattern).ok().flatten()
}

/// Bytes of Rust's program beyond which RE2's certainly exceeds 32768 instructions, the limit
/// that our bootstrap sets. A generous estimate: it stops the absurd, not the borderline.
const SIZE_LIMIT: usize = 8 << 20;

fn too_large(pattern: &str) -> Option<String> {
    match regex::RegexBuilder::new(pattern)
        .size_limit(SIZE_LIMIT)
        .build()
    {
        Err(regex::Error::CompiledTooBig(_)) => {
            Some("it is far too large; Envoy allows 32768 instructions".into())
        }
        // What Rust cannot parse but RE2 can is not measured.
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verdicts of Envoy 1.40 (`--mode validate`).
    const ACCEPTED: &[&str] = &[
        "",
        "a",
        "^/api/(v1|v2)/.*$",
        r"\d+\.\w*\s?",
        r"(?i)abc(?-i:d)(?s).",
        "(?P<name>a)(?<other>b)",
        "a*?b+?c??d{2}?",
        "a{2,3}b{2,}c{0}",
        "a{,3}",
        "a{2",
        "a{x}",
        "{",
        "a{1000}",
        r"\Qa.b\E",
        r"\Q(",
        r"\C",
        r"\A\z\b\B",
        r"\a\f\n\r\t\v",
        r"\x41\x{41}\x{FF}",
        r"\123\0",
        r"\p{Greek}\p{L}\pN\P{Lu}\p{^Greek}",
        "[a-z]",
        "[^a-z]",
        "[]a]",
        "[^]a]",
        r"[\w-a]",
        r"[\d\-\]]",
        "[[:alpha:]]",
        "[[:^digit:]x]",
        "[a[b]",
        "[a-]",
        "[-a]",
        "[a&&b]",
        "[a~~b]",
        r"\<foo\>",
        "a||b",
        "()",
        "(|a)*",
        "^*",
        "(?:a|b)+",
        "(?)a(?-i)",
        "(?P<a>b)(?P<a>c)",
        "a{99999999999999999999}",
        "]",
        "}",
        "é+",
    ];

    const REFUSED: &[&str] = &[
        "(",
        ")",
        "a)",
        "(a",
        "[",
        "[a",
        "[]",
        "[z-a]",
        "[a--b]",
        "[[:nope:]]",
        r"[\d-\Z]",
        "*",
        "+a",
        "?",
        "a|*",
        "(*)",
        "a**",
        "a++",
        "a*+",
        "a{2}{3}",
        "a{2}*",
        "a{1001}",
        "a{1,1001}",
        "a{3,2}",
        "(a{10}){101}",
        "(a{10}*){100}",
        "((a{100}){11})",
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?<!a)",
        "(?>a)",
        "(?#a)",
        "(?x)a",
        "(?|a)",
        "(?P=a)",
        "(?P<>a)",
        "(?",
        r"(a)\1",
        r"\8",
        r"\Z",
        r"\h",
        r"\R",
        r"\K",
        r"\u0041",
        r"\e",
        r"\x{100}",
        r"\x{10FFFF}",
        r"\777",
        r"\xZ",
        r"\p{IsGreek}",
        r"\p{Alphabetic}",
        r"\p{Nope}",
        r"\p",
        r"a\",
    ];

    #[test]
    fn what_envoy_takes_is_taken() {
        for pattern in ACCEPTED {
            assert_eq!(re2_problem(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn what_envoy_refuses_is_refused() {
        for pattern in REFUSED {
            assert!(re2_problem(pattern).is_some(), "{pattern}");
        }
    }

    #[test]
    fn what_differs_from_other_engines_is_a_warning() {
        for pattern in ["[a&&b]", "[a~~b]", r"\<foo"] {
            assert!(re2_warning(pattern).is_some(), "{pattern}");
        }
        assert_eq!(re2_warning("[a-z]"), None);
    }

    #[test]
    fn absurd_sizes_are_refused() {
        assert!(re2_problem(r"(\pL{500}\pN{500}|\pL{400}x\pN{400})(\w{900})").is_some());
    }

    proptest::proptest! {
        #[test]
        fn any_text_gets_a_verdict(pattern in r"[a-c\\\[\]\(\){}\*\+\?\|\^\$\-:,0-9PpQE<>=!#&~é]{0,16}") {
            let _ = (re2_problem(&pattern), re2_warning(&pattern));
        }
    }
}
