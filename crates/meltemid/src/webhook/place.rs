//! What the webhook's address says of the proxy (platform.md 1.3): pairs of path segments behind
//! `/inject`, `/cluster/east/net/one`, or the older `:ENV:cluster=east:ENV:net=one`.

use std::collections::BTreeMap;

/// Stands for a slash inside of a value.
const SLASH: &str = "--slash--";
const OLDER: &str = ":ENV:";
/// More than anybody needs.
const MOST: usize = 64;

/// The variables of the proxy that a path says.
///
/// # Errors
/// What is wrong with the path.
pub(super) fn variables(path: &str) -> Result<BTreeMap<String, String>, String> {
    let rest = path.strip_prefix("/inject").unwrap_or_default();
    let rest = rest.trim_matches('/');
    let mut all = BTreeMap::new();
    if rest.is_empty() {
        return Ok(all);
    }
    let pairs = match rest.starts_with(OLDER) {
        true => older(rest)?,
        false => newer(rest)?,
    };
    for (key, value) in pairs.into_iter().take(MOST) {
        let value = decoded(value)?.replace(SLASH, "/");
        all.insert(variable(&decoded(key)?)?, value);
    }
    Ok(all)
}

type Pairs<'a> = Vec<(&'a str, &'a str)>;

fn older(rest: &str) -> Result<Pairs<'_>, String> {
    let parts = rest.split(OLDER).filter(|part| !part.is_empty());
    let pair = |part: &'_ str| format!("{part:?} in the path is not KEY=VALUE");
    parts
        .map(|part| part.split_once('=').ok_or_else(|| pair(part)))
        .collect()
}

fn newer(rest: &str) -> Result<Pairs<'_>, String> {
    let mut parts = rest.split('/');
    let mut pairs = Vec::new();
    while let Some(key) = parts.next() {
        let value = parts.next();
        let value = value.ok_or_else(|| format!("{key:?} in the path has no value behind it"))?;
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// The name of the variable that a key means.
fn variable(key: &str) -> Result<String, String> {
    let name = match key {
        "cluster" => "ISTIO_META_CLUSTER_ID".to_owned(),
        "net" => "ISTIO_META_NETWORK".to_owned(),
        key => key.to_ascii_uppercase(),
    };
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match !name.is_empty() && name.chars().all(good) {
        true => Ok(name),
        false => Err(format!("{key:?} in the path is no name of a variable")),
    }
}

/// A segment without its percent signs.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} in the path is not encoded as it should be");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next(), bytes.next()];
        let [Some(high), Some(low)] = digits.map(|d| (d? as char).to_digit(16)) else {
            return Err(wrong());
        };
        out.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    let out = String::from_utf8(out).map_err(|_| wrong())?;
    match out.chars().any(char::is_control) {
        true => Err(wrong()),
        false => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_variables() {
        for (path, expected) in [
            ("/inject", vec![]),
            ("/inject/", vec![]),
            (
                "/inject/cluster/east/net/one",
                vec![
                    ("ISTIO_META_CLUSTER_ID", "east"),
                    ("ISTIO_META_NETWORK", "one"),
                ],
            ),
            (
                "/inject/cluster/a--slash--b/foo_bar/x%20y",
                vec![("FOO_BAR", "x y"), ("ISTIO_META_CLUSTER_ID", "a/b")],
            ),
            (
                "/inject/:ENV:cluster=east:ENV:rank=1=2",
                vec![("ISTIO_META_CLUSTER_ID", "east"), ("RANK", "1=2")],
            ),
        ] {
            let expected = expected.into_iter().map(|(k, v)| (k.into(), v.into()));
            assert_eq!(variables(path), Ok(expected.collect()), "{path}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (path, named) in [
            ("/inject/cluster", "\"cluster\""),
            ("/inject/:ENV:cluster", "KEY=VALUE"),
            ("/inject/a%2/b", "a%2"),
            ("/inject/a/b%0a", "b%0a"),
            ("/inject/a%3d/b", "a="),
            ("/inject/a/b//c", "name of a variable"),
        ] {
            let why = variables(path).unwrap_err();
            assert!(why.contains(named), "{path}: {why}");
        }
    }
}
