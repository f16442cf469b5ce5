//! What is wrong with a WasmPlugin or a TrafficExtension by itself.

use super::{EnvValueSource, TrafficExtension, TrafficSelector, VmConfig, WasmConfig, WasmPlugin};
use crate::check::value::port;
use crate::check::{Check, Findings};
use crate::security::check::Attachment;
use meltemi_types::FieldPath;
use std::collections::BTreeSet;

/// What a program may be fetched by. No scheme at all means OCI.
const SCHEMES: &[&str] = &["http", "https", "file", "oci"];
/// Lua programs are part of the configuration of every proxy that they are for.
const MAX_LUA: usize = 65536;

impl Check for WasmPlugin {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            selector,
            target_ref,
            target_refs,
            url,
            sha256,
            vm_config,
            r#match,
            ..
        } = self;
        let attachment = Attachment {
            selector: selector.as_ref(),
            target_ref: target_ref.as_ref(),
            target_refs,
        };
        attachment.check(at, out);
        program(at, (url, sha256.as_deref()), out);
        vm_config.check(&at.field("vmConfig"), out);
        r#match.check(&at.field("match"), out);
    }
}

impl Check for TrafficExtension {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            selector,
            target_refs,
            phase: _,
            priority: _,
            r#match,
            wasm,
            lua,
        } = self;
        let attachment = Attachment {
            selector: selector.as_ref(),
            target_ref: None,
            target_refs,
        };
        attachment.check(at, out);
        r#match.check(&at.field("match"), out);
        wasm.check(&at.field("wasm"), out);
        let code_at = at.field("lua").field("inlineCode");
        match lua {
            Some(lua) if lua.inline_code.is_empty() => out.required(&code_at, "the program"),
            Some(lua) if lua.inline_code.len() > MAX_LUA => out.out_of_range(
                &code_at,
                format!("the program has {} bytes", lua.inline_code.len()),
                "use at most 65536 bytes",
            ),
            Some(_) | None => {}
        }
        match (wasm, lua) {
            (None, None) => out.required(&at.field("wasm"), "the program, wasm or lua,"),
            (Some(_), Some(_)) => out.conflict(
                &at.field("lua"),
                "wasm and lua are both set",
                "keep one of them",
            ),
            (Some(_), None) | (None, Some(_)) => {}
        }
    }
}

impl Check for WasmConfig {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            url,
            sha256,
            vm_config,
            ..
        } = self;
        program(at, (url, sha256.as_deref()), out);
        vm_config.check(&at.field("vmConfig"), out);
    }
}

/// Where a program is and what its hash is.
fn program(at: &FieldPath, (url, hash): (&str, Option<&str>), out: &mut Findings) {
    let url_at = at.field("url");
    if url.is_empty() {
        out.required(&url_at, "where the program is");
    } else if let Some((scheme, _)) = url.split_once("://")
        && !SCHEMES.contains(&scheme)
    {
        out.invalid(
            &url_at,
            format!("a program cannot be fetched by {scheme:?}"),
            "use oci, http, https or file",
        );
    }
    let hash = hash.unwrap_or_default();
    let hexadecimal = hash
        .bytes()
        .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !hash.is_empty() && (hash.len() != 64 || !hexadecimal) {
        out.invalid(
            &at.field("sha256"),
            format!("{hash:?} is not a SHA-256"),
            "write 64 hexadecimal digits in lower case",
        );
    }
}

impl Check for VmConfig {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self { env } = self;
        let mut names = BTreeSet::new();
        for (index, variable) in env.iter().enumerate() {
            let at = at.field("env").index(index);
            if variable.name.is_empty() {
                out.required(&at.field("name"), "the name");
            } else if !names.insert(&variable.name) {
                out.conflict(
                    &at.field("name"),
                    format!("duplicate env {:?}", variable.name),
                    "set each variable once",
                );
            }
            let host = variable.value_from == Some(EnvValueSource::Host);
            if host && variable.value.is_some() {
                out.conflict(
                    &at.field("value"),
                    "a variable that is taken from the proxy has no value of its own",
                    "remove value, or use INLINE",
                );
            }
        }
    }
}

impl Check for TrafficSelector {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self { mode: _, ports } = self;
        let mut numbers = BTreeSet::new();
        for (index, selected) in ports.iter().enumerate() {
            let at = at.field("ports").index(index).field("number");
            port(&at, selected.number, out);
            if !numbers.insert(selected.number) {
                out.conflict(&at, "the port is there twice", "name each port once");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn programs_have_a_place() {
        table::<WasmPlugin>(&[
            ("{url: 'oci://a/b'}", ""),
            ("{url: 'a.b/c:latest'}", ""),
            ("{}", "Required spec.url"),
            ("{url: 'ftp://a'}", "InvalidValue spec.url"),
            ("{url: a, sha256: ABC}", "InvalidValue spec.sha256"),
            (
                "{url: a, match: [{ports: [{}]}]}",
                "OutOfRange spec.match[0].ports[0].number",
            ),
            (
                "{url: a, vmConfig: {env: [{name: x}, {name: x, valueFrom: HOST, value: y}]}}",
                "Conflict spec.vmConfig.env[1].name|Conflict spec.vmConfig.env[1].value",
            ),
        ]);
    }

    #[test]
    fn an_extension_has_one_program() {
        table::<TrafficExtension>(&[
            ("{lua: {inlineCode: x}}", ""),
            ("{}", "Required spec.wasm"),
            ("{lua: {}}", "Required spec.lua.inlineCode"),
            (
                "{lua: {inlineCode: x}, wasm: {url: x}}",
                "Conflict spec.lua",
            ),
        ]);
    }
}
