//! What may follow a backslash.

use super::walk::Cursor;

/// Where an escape stands: some stand for positions, which a class cannot hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Outside,
    Class,
}

/// An escape that RE2 knows.
pub(super) struct Escape {
    /// The character that it stands for; `None` for sets and positions.
    pub(super) character: Option<char>,
    /// What others read differently.
    pub(super) warning: Option<String>,
}

/// Reads the escape at the cursor, which stands on the backslash.
pub(super) fn escape(cursor: &mut Cursor<'_>, place: Place) -> Result<Escape, String> {
    cursor.next();
    let Some(letter) = cursor.next() else {
        return Err("it ends in a backslash".into());
    };
    let found = |character| {
        Ok(Escape {
            character,
            warning: None,
        })
    };
    match letter {
        'd' | 'D' | 's' | 'S' | 'w' | 'W' => found(None),
        'A' | 'z' | 'b' | 'B' | 'C' if place == Place::Outside => found(None),
        'p' | 'P' => property(cursor).and_then(|()| found(None)),
        'a' => found(Some('\u{7}')),
        'f' => found(Some('\u{c}')),
        'n' => found(Some('\n')),
        'r' => found(Some('\r')),
        't' => found(Some('\t')),
        'v' => found(Some('\u{b}')),
        'x' => hexadecimal(cursor).and_then(|c| found(Some(c))),
        '0' => found(Some(octal(cursor, 0)?)),
        '1'..='7' if matches!(cursor.peek(), Some('0'..='7')) => {
            found(Some(octal(cursor, letter.to_digit(8).unwrap_or(0))?))
        }
        '1'..='9' => Err(format!("RE2 has no back-references such as '\\{letter}'")),
        'Z' => Err(r"RE2 has no '\Z'; use '\z' or '$'".into()),
        letter if letter.is_ascii_alphabetic() => Err(format!("RE2 has no '\\{letter}'")),
        '<' | '>' => Ok(Escape {
            character: Some(letter),
            warning: Some(format!(
                "'\\{letter}' stands for '{letter}' itself, not for the edge of a word"
            )),
        }),
        letter if letter.is_ascii() => found(Some(letter)),
        letter => Err(format!("RE2 has no '\\{letter}'")),
    }
}

fn octal(cursor: &mut Cursor<'_>, first: u32) -> Result<char, String> {
    let mut value = first;
    for _ in 0..2 {
        let Some(digit) = cursor.peek().and_then(|c| c.to_digit(8)) else {
            break;
        };
        cursor.next();
        value = value * 8 + digit;
    }
    char::from_u32(value)
        .filter(|c| *c <= MAX_CHARACTER)
        .ok_or_else(|| format!("'\\{value:o}' is beyond a byte"))
}

fn hexadecimal(cursor: &mut Cursor<'_>) -> Result<char, String> {
    let wrong = || "'\\x' needs two hexadecimal digits, or some in braces".to_owned();
    let (digits, least): (String, usize) = if cursor.eat("{") {
        (cursor.until("}").ok_or_else(wrong)?.to_owned(), 1)
    } else {
        let two = [cursor.next(), cursor.next()];
        (two.into_iter().flatten().collect(), 2)
    };
    let well = digits.len() >= least && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let value = well
        .then(|| u32::from_str_radix(&digits, 16).ok())
        .flatten()
        .ok_or_else(wrong)?;
    char::from_u32(value)
        .filter(|c| *c <= MAX_CHARACTER)
        .ok_or_else(|| format!("'\\x{{{digits}}}' is beyond a byte; write the character itself"))
}

/// The last character that may be written as a number: Envoy reads patterns byte by byte.
const MAX_CHARACTER: char = '\u{FF}';

/// The general categories of Unicode by their short names, as RE2 knows them.
const CATEGORIES: &[&str] = &[
    "Any", "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn",
    "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm",
    "So", "Z", "Zl", "Zp", "Zs",
];

fn property(cursor: &mut Cursor<'_>) -> Result<(), String> {
    let name = if cursor.eat("{") {
        cursor
            .until("}")
            .ok_or_else(|| r"a '\p{' is not closed".to_owned())?
            .trim_start_matches('^')
            .to_owned()
    } else {
        cursor.next().map(String::from).unwrap_or_default()
    };
    let script = || {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && !name.starts_with("Is")
            && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_')
            && regex_syntax::parse(&format!("\\p{{sc={name}}}")).is_ok()
    };
    if CATEGORIES.contains(&name.as_str()) || (name.len() > 2 && script()) {
        Ok(())
    } else {
        Err(format!(
            "RE2 has no '\\p{{{name}}}'; use a category such as Lu or a script such as Greek"
        ))
    }
}
