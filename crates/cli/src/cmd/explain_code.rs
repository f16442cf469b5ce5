//! `meltemi explain-code`: the table of diagnostic codes, one row or all of it.

use crate::args::{ExplainCode, Format, TextFormat};
use crate::failure::{Answer, Failure};
use crate::output::{API_VERSION, render};
use meltemi_types::Code;
use meltemi_types::diagnostic::{CODES, CodeInfo, codes_page};
use serde_json::{Value, json};

/// How many near codes a message offers.
const NEAR: usize = 3;

/// Explains one code, or prints all.
pub(crate) fn run(args: &ExplainCode) -> Result<Answer, Failure> {
    let Some(code) = &args.code else {
        return Ok(Answer::fine(all(args.output)));
    };
    let parsed = code.trim().parse::<Code>().map_err(|_| unknown(code))?;
    Ok(Answer::fine(one(parsed.info(), args.output)))
}

fn one(info: &CodeInfo, format: TextFormat) -> String {
    let mut document = row(info);
    if let Some(fields) = document.as_object_mut() {
        fields.insert("apiVersion".into(), API_VERSION.into());
        fields.insert("kind".into(), "CodeExplanation".into());
    }
    match format {
        TextFormat::Text => format!("{}: {}\n\n{}\n", info.code, info.title, info.text),
        TextFormat::Json => render(Format::Json, &document),
        TextFormat::Yaml => render(Format::Yaml, &document),
    }
}

fn all(format: TextFormat) -> String {
    let document = json!({
        "apiVersion": API_VERSION,
        "kind": "CodeExplanations",
        "codes": CODES.iter().map(row).collect::<Vec<_>>(),
    });
    match format {
        TextFormat::Text => codes_page(),
        TextFormat::Json => render(Format::Json, &document),
        TextFormat::Yaml => render(Format::Yaml, &document),
    }
}

fn row(info: &CodeInfo) -> Value {
    json!({ "code": info.code.to_string(), "title": info.title, "text": info.text })
}

fn unknown(code: &str) -> Failure {
    let near: Vec<String> = nearest(code)
        .iter()
        .map(|info| format!("{} ({})", info.code, info.title))
        .collect();
    Failure::usage(format!(
        "there is no code {code:?}; the nearest are {}; `meltemi explain-code --all` prints all",
        near.join(", ")
    ))
}

/// By number where there is one, else by spelling.
fn nearest(code: &str) -> Vec<&'static CodeInfo> {
    let digits: String = code.chars().filter(char::is_ascii_digit).collect();
    let number: Option<u16> = digits.parse().ok();
    let wanted = code.to_ascii_uppercase();
    let distance = |info: &&CodeInfo| match number {
        Some(number) => usize::from(number.abs_diff(info.code as u16)),
        None => strsim::levenshtein(&wanted, &info.title.to_ascii_uppercase()),
    };
    let mut all: Vec<&'static CodeInfo> = CODES.iter().collect();
    all.sort_by_key(distance);
    all.truncate(NEAR);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_codes_are_near() {
        let codes = |text| -> Vec<String> {
            let near = nearest(text).into_iter();
            near.map(|info| info.code.to_string()).collect()
        };
        assert_eq!(codes("MLT0200")[0], "MLT0201");
        assert_eq!(codes("mlt9999")[0], CODES.last().unwrap().code.to_string());
        assert_eq!(codes("unknown kind")[0], "MLT0002");
    }
}
