//! Bracket expressions.

use super::escape::{Place, escape};
use super::walk::Cursor;

const POSIX: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// Reads the class at the cursor, which stands on the bracket: why RE2 refuses it, or a warning.
pub(super) fn class(cursor: &mut Cursor<'_>) -> Result<Option<String>, String> {
    cursor.next();
    cursor.eat("^");
    let (mut first, mut warning) = (true, None);
    loop {
        let Some(next) = cursor.peek() else {
            return Err("a '[' is not closed".into());
        };
        if next == ']' && !first {
            cursor.next();
            return Ok(warning);
        }
        first = false;
        for operator in ["&&", "~~"] {
            if cursor.starts_with(operator) {
                warning.get_or_insert(format!(
                    "'{operator}' in brackets stands for '{next}' itself: RE2 knows no set operations"
                ));
            }
        }
        if posix(cursor)? {
            continue;
        }
        let Some(low) = member(cursor)? else {
            continue;
        };
        range(cursor, low)?;
    }
}

/// `[:name:]` at the cursor.
fn posix(cursor: &mut Cursor<'_>) -> Result<bool, String> {
    let closed = cursor.starts_with("[:") && {
        let mut ahead = Cursor::new(cursor.text());
        ahead.eat("[:");
        ahead.until(":]").is_some()
    };
    if !closed {
        return Ok(false);
    }
    cursor.eat("[:");
    let name = cursor.until(":]").unwrap_or_default();
    if POSIX.contains(&name.trim_start_matches('^')) {
        Ok(true)
    } else {
        Err(format!("RE2 has no class '[:{name}:]'"))
    }
}

/// One member at the cursor: the character, or `None` for a set such as `\d`.
fn member(cursor: &mut Cursor<'_>) -> Result<Option<char>, String> {
    if cursor.peek() == Some('\\') {
        return Ok(escape(cursor, Place::Class)?.character);
    }
    Ok(cursor.next())
}

/// `-high` after `low`, if there is one.
fn range(cursor: &mut Cursor<'_>, low: char) -> Result<(), String> {
    if !cursor.starts_with("-") || cursor.starts_with("-]") || cursor.text() == "-" {
        return Ok(());
    }
    cursor.eat("-");
    match member(cursor)? {
        Some(high) if low <= high => Ok(()),
        Some(high) => Err(format!("the range '{low}-{high}' is the wrong way round")),
        None => Err(format!("the range from '{low}' ends in a set")),
    }
}
