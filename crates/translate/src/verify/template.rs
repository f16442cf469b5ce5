//! URI templates: `/users/*/files/**`, `/users/{id}`. A bad one in a route is refused; a bad one in
//! an RBAC policy ends the process, so this follows Envoy's own grammar to the letter.

use super::report::Report;
use meltemi_proto::envoy::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;

const MAX_VARIABLES: usize = 5;
const MAX_NAME: usize = 16;

/// A template to match paths with.
pub(super) fn match_config(config: &UriTemplateMatchConfig, report: &mut Report) {
    report.at("path_template", |report| {
        report.add_some(parse(&config.path_template).err().map(|problem| {
            let template = &config.path_template;
            format!("must be a template that Envoy can parse, not {template:?}: {problem}")
        }));
    });
}

/// The names of a template's variables, or what is wrong with it.
pub(super) fn parse(template: &str) -> Result<Vec<&str>, String> {
    let path = template
        .strip_prefix('/')
        .ok_or("it does not start with a slash")?;
    let mut state = State::default();
    let segments = segments(path);
    let last = segments.len().saturating_sub(1);
    for (index, segment) in segments.into_iter().enumerate() {
        // A path may end in a slash.
        if segment.is_empty() && index == last {
            continue;
        }
        state.segment(segment, index == last)?;
    }
    Ok(state.variables)
}

/// The names of a rewrite's variables, or what is wrong with it.
pub(super) fn parse_rewrite(rewrite: &str) -> Result<Vec<&str>, String> {
    let mut rest = rewrite
        .strip_prefix('/')
        .ok_or("it does not start with a slash")?;
    let mut variables = Vec::new();
    while let Some((literal, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or("a brace is not closed")?;
        is_rewrite_literal(literal)?;
        is_name(name)?;
        variables.push(name);
        rest = after;
    }
    is_rewrite_literal(rest)?;
    Ok(variables)
}

fn is_rewrite_literal(literal: &str) -> Result<(), String> {
    let is_part = |part: &str| part.is_empty() || is_literal(part).is_ok();
    match literal.split('/').all(is_part) && !literal.contains(['*', '}']) {
        true => Ok(()),
        false => Err(format!(
            "{literal:?} has characters that cannot stand in a path"
        )),
    }
}

/// Splits at slashes outside of braces.
fn segments(path: &str) -> Vec<&str> {
    let mut inside = false;
    path.split(|c| {
        match c {
            '{' => inside = true,
            '}' => inside = false,
            _ => {}
        }
        c == '/' && !inside
    })
    .collect()
}

#[derive(Default)]
struct State<'t> {
    variables: Vec<&'t str>,
    /// `**` came already; no other wildcard may follow.
    had_rest: bool,
}

impl<'t> State<'t> {
    fn segment(&mut self, segment: &'t str, is_last: bool) -> Result<(), String> {
        if let Some((before, after)) = segment.split_once('{') {
            if !before.is_empty() {
                is_literal(before)?;
                if before.starts_with('*') {
                    return Err(format!("{segment:?} has two wildcards"));
                }
            }
            let (variable, suffix) = after.split_once('}').ok_or("a brace is not closed")?;
            // Envoy ends a literal at the next slash, also at one inside of braces.
            if !before.is_empty() && variable.contains('/') {
                return Err(format!(
                    "{before:?} precedes a variable of several segments"
                ));
            }
            self.variable(variable)?;
            return match suffix {
                "" => Ok(()),
                suffix => is_literal(suffix),
            };
        }
        let Some(after) = segment.strip_prefix('*') else {
            return is_literal(segment);
        };
        let suffix = after.strip_prefix('*');
        self.wildcard(suffix.is_some())?;
        match suffix.unwrap_or(after) {
            "" => Ok(()),
            suffix if is_last => is_literal(suffix),
            suffix => Err(format!(
                "{suffix:?} follows a wildcard before the last segment"
            )),
        }
    }

    fn wildcard(&mut self, is_rest: bool) -> Result<(), String> {
        if self.had_rest {
            return Err("a wildcard follows **".to_owned());
        }
        self.had_rest = is_rest;
        Ok(())
    }

    /// `name` or `name=pattern`.
    fn variable(&mut self, text: &'t str) -> Result<(), String> {
        let (name, pattern) = text.split_once('=').unwrap_or((text, "*"));
        is_name(name)?;
        if self.variables.contains(&name) {
            return Err(format!("the variable {name:?} comes twice"));
        }
        self.variables.push(name);
        if self.variables.len() > MAX_VARIABLES {
            return Err(format!("it has more than {MAX_VARIABLES} variables"));
        }
        for part in pattern.split('/') {
            match part {
                "*" => self.wildcard(false)?,
                "**" => self.wildcard(true)?,
                part if part.starts_with('*') => {
                    return Err(format!("{part:?} begins with a wildcard"));
                }
                part => is_literal(part)?,
            }
        }
        Ok(())
    }
}

fn is_name(name: &str) -> Result<(), String> {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match starts && name.len() <= MAX_NAME && name.chars().all(is_part) {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is no name of a variable: a letter, then at most {} letters, digits and \
             underscores",
            MAX_NAME - 1
        )),
    }
}

fn is_literal(text: &str) -> Result<(), String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&'()+,;:@=*".contains(c);
    match !text.is_empty() && text.chars().all(is_part) {
        true => Ok(()),
        false if text.is_empty() => Err("two slashes follow each other".to_owned()),
        false => Err(format!(
            "{text:?} has characters that cannot stand in a path"
        )),
    }
}
