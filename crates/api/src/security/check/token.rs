//! RequestAuthentications.

use super::super::{JwtRule, RequestAuthentication};
use super::{Attachment, no_empty_text};
use crate::check::value::duration;
use crate::check::{Check, Finding, Findings, header};
use meltemi_types::{Code, FieldPath};

impl Check for RequestAuthentication {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            selector,
            target_ref,
            target_refs,
            jwt_rules,
        } = self;
        Attachment {
            selector: selector.as_ref(),
            target_ref: target_ref.as_ref(),
            target_refs,
        }
        .check(at, out);
        jwt_rules.check(&at.field("jwtRules"), out);
    }
}

impl Check for JwtRule {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            issuer,
            audiences,
            jwks_uri,
            jwks,
            from_headers,
            from_params,
            from_cookies,
            output_payload_to_header,
            forward_original_token: _,
            output_claim_to_headers,
            timeout,
            space_delimited_claims,
        } = self;
        if issuer.is_empty() {
            out.required(&at.field("issuer"), "the issuer");
        }
        keys(jwks_uri.as_deref(), jwks.as_deref(), at, out);
        for (field, values) in [
            ("audiences", audiences),
            ("fromParams", from_params),
            ("fromCookies", from_cookies),
            ("spaceDelimitedClaims", space_delimited_claims),
        ] {
            no_empty_text(&at.field(field), values, out);
        }
        for (index, from) in from_headers.iter().enumerate() {
            let at = at.field("fromHeaders").index(index).field("name");
            header::name(&at, &from.name, out);
        }
        if let Some(name) = output_payload_to_header
            .as_deref()
            .filter(|n| !n.is_empty())
        {
            header::name(&at.field("outputPayloadToHeader"), name, out);
        }
        for (index, copy) in output_claim_to_headers.iter().enumerate() {
            let at = at.field("outputClaimToHeaders").index(index);
            output_header(&at.field("header"), &copy.header, out);
            if copy.claim.is_empty() {
                out.required(&at.field("claim"), "the claim");
            }
        }
        duration(&at.field("timeout"), *timeout, out);
    }
}

fn keys(uri: Option<&str>, inline: Option<&str>, at: &FieldPath, out: &mut Findings) {
    let uri = uri.filter(|uri| !uri.is_empty());
    let inline = inline.filter(|keys| !keys.is_empty());
    if uri.is_some() && inline.is_some() {
        out.conflict(
            &at.field("jwks"),
            "jwks and jwksUri are both set",
            "keep one of them",
        );
    }
    if let Some(uri) = uri
        && !["http://", "https://"].iter().any(|scheme| {
            uri.strip_prefix(scheme)
                .is_some_and(|rest| !rest.is_empty())
        })
    {
        out.invalid(
            &at.field("jwksUri"),
            format!("{uri:?} is not an http or https address"),
            "use https://HOST/PATH",
        );
    }
    if let Some(keys) = inline {
        key_set(&at.field("jwks"), keys, out);
    }
}

/// Keys that stand in the object itself.
fn key_set(at: &FieldPath, text: &str, out: &mut Findings) {
    let document = serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    let keys = document.get("keys").and_then(serde_json::Value::as_array);
    match keys.map(Vec::as_slice) {
        None | Some([]) => out.invalid(
            at,
            "the key set is not JSON with a list of keys",
            "paste the issuer's JSON web key set",
        ),
        Some(keys) if keys.iter().any(|key| key.get("d").is_some()) => {
            out.push(Finding::warning(
                Code::InvalidValue,
                at,
                "the key set holds a private key, which everybody who reads the object can use",
                "paste public keys alone, and replace the key",
            ));
        }
        Some(_) => {}
    }
}

fn output_header(at: &FieldPath, name: &str, out: &mut Findings) {
    let well = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if name.is_empty() {
        out.required(at, "the header");
    } else if !well {
        out.invalid(
            at,
            format!("{name:?} is not a header for a claim"),
            "use letters, digits, '-' and '_'",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn tokens() {
        table::<RequestAuthentication>(&[
            ("{}", ""),
            ("{jwtRules: [{issuer: a, jwksUri: 'https://a/b'}]}", ""),
            ("{jwtRules: [{issuer: a, jwks: '{\"keys\": [{}]}'}]}", ""),
            ("{jwtRules: [{}]}", "Required spec.jwtRules[0].issuer"),
            (
                "{jwtRules: [{issuer: a, jwksUri: a.com, jwks: '{}', audiences: [''], \
                 fromHeaders: [{}], outputClaimToHeaders: [{header: 'a b'}], timeout: 0s}]}",
                "Conflict spec.jwtRules[0].jwks|InvalidValue spec.jwtRules[0].jwksUri|\
                 InvalidValue spec.jwtRules[0].jwks|Required spec.jwtRules[0].audiences[0]|\
                 InvalidHeader spec.jwtRules[0].fromHeaders[0].name|\
                 InvalidValue spec.jwtRules[0].outputClaimToHeaders[0].header|\
                 Required spec.jwtRules[0].outputClaimToHeaders[0].claim|\
                 InvalidDuration spec.jwtRules[0].timeout",
            ),
        ]);
    }
}
