//! The walk over a pattern: groups, repetitions, literals.

use super::{class, escape};

/// The largest count, also the largest product of nested counts.
const MAX_COUNT: u64 = 1000;

/// The rest of a pattern.
pub(super) struct Cursor<'p> {
    rest: &'p str,
}

impl<'p> Cursor<'p> {
    pub(super) fn new(pattern: &'p str) -> Self {
        Self { rest: pattern }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    pub(super) fn eat(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub(super) fn starts_with(&self, prefix: &str) -> bool {
        self.rest.starts_with(prefix)
    }

    /// The text up to `end`, which is passed over; `None` when it does not come.
    pub(super) fn until(&mut self, end: &str) -> Option<&'p str> {
        let (found, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(found)
    }

    pub(super) fn text(&self) -> &'p str {
        self.rest
    }

    pub(super) fn drop_rest(&mut self) {
        self.rest = "";
    }
}

/// What stands before the cursor, for the repetition that may follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing that could be repeated.
    Nothing,
    /// Something, whose nested counts multiply to this.
    Atom(u64),
    /// A repetition of it.
    Repetition(u64),
}

struct Walk<'p> {
    cursor: Cursor<'p>,
    before: Before,
    /// Largest nested count of each open group, outermost first.
    groups: Vec<u64>,
    /// Largest nested count of the current group.
    largest: u64,
    warning: Option<String>,
}

/// Walks `pattern`: why RE2 refuses it, or a warning.
pub(super) fn walk(pattern: &str) -> Result<Option<String>, String> {
    let mut walk = Walk {
        cursor: Cursor::new(pattern),
        before: Before::Nothing,
        groups: Vec::new(),
        largest: 1,
        warning: None,
    };
    while let Some(next) = walk.cursor.peek() {
        walk.step(next)?;
    }
    if walk.groups.is_empty() {
        Ok(walk.warning)
    } else {
        Err("a '(' is not closed".into())
    }
}

impl Walk<'_> {
    fn step(&mut self, next: char) -> Result<(), String> {
        match next {
            '(' => self.open(),
            ')' => self.close(),
            '|' => {
                self.cursor.next();
                self.before = Before::Nothing;
                Ok(())
            }
            '*' | '+' | '?' => {
                self.cursor.next();
                self.repeat(&next.to_string(), 1)
            }
            '{' => match counts(&self.cursor)? {
                Some((text, count)) => {
                    self.cursor.eat(&text);
                    self.repeat(&text, count)
                }
                None => self.literal(),
            },
            '[' => {
                let warning = class::class(&mut self.cursor)?;
                self.warning = self.warning.take().or(warning);
                self.atom(1)
            }
            '\\' => self.escape(),
            _ => self.literal(),
        }
    }

    fn literal(&mut self) -> Result<(), String> {
        self.cursor.next();
        self.atom(1)
    }

    fn atom(&mut self, count: u64) -> Result<(), String> {
        self.before = Before::Atom(count);
        self.largest = self.largest.max(count);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        if self.cursor.eat(r"\Q") {
            if self.cursor.until(r"\E").is_none() {
                self.cursor.drop_rest();
            }
            return self.atom(1);
        }
        let warning = escape::escape(&mut self.cursor, escape::Place::Outside)?.warning;
        self.warning = self.warning.take().or(warning);
        self.atom(1)
    }

    fn open(&mut self) -> Result<(), String> {
        self.cursor.next();
        if self.cursor.eat("?") && self.special()? {
            // Only flags: no group was opened.
            self.before = Before::Nothing;
            return Ok(());
        }
        self.groups.push(self.largest);
        self.largest = 1;
        self.before = Before::Nothing;
        Ok(())
    }

    /// What follows `(?`. True when it set flags for the rest, so no group is open.
    fn special(&mut self) -> Result<bool, String> {
        for (prefix, what) in [
            ("=", "look-ahead '(?='"),
            ("!", "look-ahead '(?!'"),
            ("<=", "look-behind '(?<='"),
            ("<!", "look-behind '(?<!'"),
            (">", "atomic group '(?>'"),
            ("#", "comment '(?#'"),
            ("|", "branch reset '(?|'"),
            ("P=", "back-reference '(?P='"),
            ("P>", "recursion '(?P>'"),
        ] {
            if self.cursor.starts_with(prefix) {
                return Err(format!("RE2 has no {what}"));
            }
        }
        if self.cursor.eat("P<") || self.cursor.eat("<") {
            self.cursor
                .until(">")
                .filter(|n| !n.is_empty() && n.chars().all(|c| c.is_alphanumeric() || c == '_'))
                .ok_or("a group has no valid name")?;
            return Ok(false);
        }
        let (mut minus, mut any) = (false, false);
        loop {
            match self.cursor.next() {
                Some('i' | 'm' | 's' | 'U') => any = true,
                Some('-') if !minus => (minus, any) = (true, false),
                Some(':') if any || !minus => return Ok(false),
                Some(')') if any || !minus => return Ok(true),
                Some(flag) => return Err(format!("RE2 has no flag '(?{flag}'")),
                None => return Err("a '(?' is not closed".into()),
            }
        }
    }

    fn close(&mut self) -> Result<(), String> {
        self.cursor.next();
        let outer = self.groups.pop().ok_or("a ')' was not opened")?;
        let inner = self.largest;
        self.largest = outer;
        self.atom(inner)
    }

    fn repeat(&mut self, text: &str, count: u64) -> Result<(), String> {
        let inner = match self.before {
            Before::Nothing => return Err(format!("nothing stands before '{text}'")),
            Before::Repetition(_) => {
                return Err(format!(
                    "'{text}' repeats a repetition; RE2 has no possessive quantifiers"
                ));
            }
            Before::Atom(inner) => inner,
        };
        let product = inner.saturating_mul(count.max(1));
        if product > MAX_COUNT {
            return Err(format!(
                "nested counts multiply to {product}; RE2 allows {MAX_COUNT}"
            ));
        }
        self.largest = self.largest.max(product);
        self.cursor.eat("?");
        self.before = Before::Repetition(product);
        Ok(())
    }
}

/// `{n}`, `{n,}` or `{n,m}` at the cursor: its text and the larger count. Anything else that
/// starts with a brace stands for itself.
fn counts(cursor: &Cursor<'_>) -> Result<Option<(String, u64)>, String> {
    let Some((inside, _)) = cursor
        .rest
        .strip_prefix('{')
        .and_then(|rest| rest.split_once('}'))
    else {
        return Ok(None);
    };
    let (low, high) = inside.split_once(',').unwrap_or((inside, inside));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(low) || !(high.is_empty() || is_number(high)) {
        return Ok(None);
    }
    let high = if high.is_empty() { low } else { high };
    // RE2 takes a number that it cannot hold for text.
    let (Ok(low), Ok(high)) = (low.parse::<u32>(), high.parse::<u32>()) else {
        return Ok(None);
    };
    let (low, high) = (u64::from(low), u64::from(high));
    let text = format!("{{{inside}}}");
    if low.max(high) > MAX_COUNT {
        return Err(format!("the count of '{text}' is above {MAX_COUNT}"));
    }
    if low > high {
        return Err(format!("the counts of '{text}' are the wrong way round"));
    }
    Ok(Some((text, high)))
}
