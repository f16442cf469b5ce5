//! A file cut at its document separators, so that a broken document harms no other.

/// The text of some documents, and the line of the file that it starts at, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: u32,
}

/// The parts of a text. A separator is `---` at the start of a line: YAML ends every open
/// scalar there, so no document is ever torn. Directives and comments before a separator stay
/// with the document that follows.
pub(crate) fn split(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut start, mut line, mut at, mut number) = (0, 1, 0, 1);
    let mut content = false;
    for row in text.split_inclusive('\n') {
        if content && is_separator(row) {
            parts.extend(text.get(start..at).map(|text| Part { text, line }));
            (start, line, content) = (at, number, false);
        }
        content |= !is_preamble(row);
        at += row.len();
        number += 1;
    }
    parts.extend(text.get(start..).map(|text| Part { text, line }));
    parts
}

fn is_separator(row: &str) -> bool {
    row.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// True for what may stand before the separator that starts the same document.
fn is_preamble(row: &str) -> bool {
    let row = row.trim();
    row.is_empty() || row.starts_with(['#', '%'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<(&str, u32)> {
        split(text).iter().map(|p| (p.text, p.line)).collect()
    }

    #[test]
    fn documents_are_cut_at_separators() {
        assert_eq!(
            parts("a: 1\n---\nb: 1\n--- # c\nc: 1"),
            [("a: 1\n", 1), ("---\nb: 1\n", 2), ("--- # c\nc: 1", 4)]
        );
    }

    #[test]
    fn a_head_of_comments_and_directives_stays_with_its_document() {
        assert_eq!(parts("# x\n%YAML 1.2\n---\na: 1\n").len(), 1);
    }

    #[test]
    fn indented_dashes_and_longer_ones_are_content() {
        assert_eq!(parts("a: |\n  ---\n  x\n----\n").len(), 1);
    }
}
