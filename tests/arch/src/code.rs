//! Just enough of Rust's lexis to tell code from comments and strings, without a parser.

/// A string literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// From 1.
    pub line: usize,
    /// Between the quotes, escapes as written.
    pub text: String,
}

/// What a stretch of source is. Quotes are code; characters are comments, nobody asks for them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    Text,
}

/// The source with comments and the insides of strings and characters turned into spaces; lines
/// stay where they are.
#[must_use]
pub fn blank(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    for (part, text) in parts(source) {
        if part == Part::Code {
            out.push_str(text);
        } else {
            out.extend(text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
    }
    out
}

/// The string literals outside of comments.
#[must_use]
pub fn literals(source: &str) -> Vec<Literal> {
    let mut found = Vec::new();
    let mut line = 1;
    for (part, text) in parts(source) {
        if part == Part::Text {
            let text = text.to_owned();
            found.push(Literal { line, text });
        }
        line += text.matches('\n').count();
    }
    found
}

/// The source without its `#[cfg(test)]` items: they become empty lines.
#[must_use]
pub fn strip_tests(source: &str) -> String {
    let code = blank(source);
    let mut out = String::with_capacity(source.len());
    // Blanking changes lengths in bytes, so lines are what both have in common.
    let code: Vec<&str> = code.lines().collect();
    let mut skip_to = 0;
    for (index, line) in source.lines().enumerate() {
        let trimmed = code.get(index).map_or("", |line| line.trim());
        if index >= skip_to && trimmed.starts_with("#[cfg(test)]") {
            skip_to = end_of_item(&code, index) + 1;
        }
        if index >= skip_to {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

/// The line in which the item that starts here ends: at its semicolon or closing brace.
fn end_of_item(code: &[&str], start: usize) -> usize {
    let mut depth = 0_usize;
    for (index, line) in code.iter().enumerate().skip(start) {
        for c in line.chars() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' if depth == 1 => return index,
                '}' | ')' | ']' => depth = depth.saturating_sub(1),
                ';' if depth == 0 => return index,
                _ => {}
            }
        }
    }
    code.len()
}

fn parts(source: &str) -> Vec<(Part, &str)> {
    let mut found: Vec<(Part, &str)> = Vec::new();
    let mut rest = source;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let (part, length) = part(rest, first, before);
        let (text, after) = rest.split_at(length.max(first.len_utf8()).min(rest.len()));
        if part == Part::Text {
            let inner = open_quote(text);
            let (open, inner) = text.split_at(inner);
            let close = inner.len() - close_quote(open).min(inner.len());
            let (inner, close) = inner.split_at(close);
            found.extend([(Part::Code, open), (Part::Text, inner), (Part::Code, close)]);
        } else {
            found.push((part, text));
        }
        before = text.chars().next_back().unwrap_or(' ');
        rest = after;
    }
    found
}

/// What comes next and how many bytes it has.
fn part(rest: &str, first: char, before: char) -> (Part, usize) {
    if rest.starts_with("//") {
        return (Part::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Part::Comment, block_comment(rest));
    }
    let in_word = before.is_alphanumeric() || before == '_';
    match first {
        '"' => (
            Part::Text,
            1 + quoted(rest.get(1..).unwrap_or_default(), '"'),
        ),
        'r' if !in_word || before == 'b' => match raw(rest) {
            Some(length) => (Part::Text, length),
            None => (Part::Code, 1),
        },
        '\'' => match character(rest) {
            Some(length) => (Part::Comment, length),
            None => (Part::Code, 1),
        },
        _ => (Part::Code, first.len_utf8()),
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(here) = rest.get(at..).filter(|here| !here.is_empty()) {
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Bytes up to and with the closing quote.
fn quoted(inner: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return index + c.len_utf8(),
            _ => {}
        }
    }
    inner.len()
}

/// Bytes of a raw string; `None` when it is none, `r#type` for example.
fn raw(rest: &str) -> Option<usize> {
    let open = open_quote(rest);
    let text = rest.get(..open)?;
    text.ends_with('"').then_some(())?;
    let close = format!("\"{}", "#".repeat(close_quote(text) - 1));
    let inner = rest.get(open..)?;
    Some(
        open + inner
            .find(&close)
            .map_or(inner.len(), |at| at + close.len()),
    )
}

/// Bytes of `"` or `r##"` at the start.
fn open_quote(text: &str) -> usize {
    let after = text
        .strip_prefix('r')
        .unwrap_or(text)
        .trim_start_matches('#');
    text.len() - after.strip_prefix('"').unwrap_or(after).len()
}

/// Bytes of what closes a string that is opened so.
fn close_quote(open: &str) -> usize {
    1 + open.matches('#').count()
}

/// Bytes of a character; `None` when it is a lifetime.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.get(1..)?;
    let mut chars = inner.chars();
    let first = chars.next()?;
    if first == '\\' || chars.next() == Some('\'') {
        return Some(1 + quoted(inner, '\''));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_become_spaces() {
        let source = "a /* b /* c */ d */ e // f\n\"g\\\"h\" 'i' '\\'' 'j: r#\"k\"l\"# r#type m";
        let blanked = blank(source);
        let words: String = blanked.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words, "a e \" \" 'j: r#\" \"# r#type m");
        assert_eq!(blanked.lines().count(), 2);
        let texts: Vec<String> = literals(source).into_iter().map(|one| one.text).collect();
        assert_eq!(texts, ["g\\\"h", "k\"l"]);
    }

    #[test]
    fn literals_know_their_lines() {
        let found = literals("a\n\"b\nc\" br\"d\"");
        let shown: Vec<(usize, &str)> = found
            .iter()
            .map(|one| (one.line, one.text.as_str()))
            .collect();
        assert_eq!(shown, [(2, "b\nc"), (3, "d")]);
    }

    #[test]
    fn tests_are_left_out() {
        let source = "a\n#[cfg(test)]\nmod t {\n \"}\"\n}\nb\n#[cfg(test)]\nmod u;\nc";
        let kept: Vec<String> = strip_tests(source)
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        assert_eq!(kept, ["a", "b", "c"]);
    }
}
