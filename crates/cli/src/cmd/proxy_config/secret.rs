//! Certificates and authorities:
//! `RESOURCE NAME, TYPE, STATUS, VALID CERT, SERIAL NUMBER, NOT AFTER, NOT BEFORE`.
//!
//! Only certificates are opened; a private key is not looked at, and is gone from the dump already.

use crate::clock;
use crate::dump::{Found, field, text};
use crate::table::Table;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use x509_parser::pem::Pem;

/// What is shown of a certificate.
struct Facts {
    serial: String,
    from: i64,
    to: i64,
}

/// The table; a certificate is valid when `now` is within its time.
pub(super) fn table(found: &[Found], now: i64) -> Table {
    let mut table = Table::new(&[
        "RESOURCE NAME",
        "TYPE",
        "STATUS",
        "VALID CERT",
        "SERIAL NUMBER",
        "NOT AFTER",
        "NOT BEFORE",
    ]);
    for one in found {
        let (kind, source) = kind(&one.body);
        let state = match one.state {
            "STATIC" => "ACTIVE",
            state => state,
        };
        let start = [&one.name, kind, state].map(|cell: &str| cell.to_owned());
        let facts = source.and_then(bytes).map(|pem| certificates(&pem));
        let facts = facts.unwrap_or_default();
        if facts.is_empty() {
            let none = std::iter::repeat_n(String::new(), 4);
            table.row(start.iter().cloned().chain(none).collect());
        }
        // Of a chain only the first is its own; of authorities each is.
        let shown = if kind == "CA" { facts.len() } else { 1 };
        for facts in facts.iter().take(shown) {
            let valid = facts.from <= now && now <= facts.to;
            let end = [
                valid.to_string(),
                facts.serial.clone(),
                clock::rfc3339(facts.to),
                clock::rfc3339(facts.from),
            ];
            table.row(start.iter().cloned().chain(end).collect());
        }
    }
    table
}

/// What a secret is, and where its certificates are.
fn kind(body: &Value) -> (&'static str, Option<&Value>) {
    if let Some(own) = field(body, "tls_certificate") {
        return ("Cert Chain", field(own, "certificate_chain"));
    }
    if let Some(trust) = field(body, "validation_context") {
        return ("CA", field(trust, "trusted_ca"));
    }
    ("Other", None)
}

/// What a data source holds, when it holds it itself.
fn bytes(source: &Value) -> Option<Vec<u8>> {
    let inline = text(source, "inline_string");
    if !inline.is_empty() {
        return Some(inline.into_bytes());
    }
    STANDARD.decode(text(source, "inline_bytes")).ok()
}

fn certificates(pem: &[u8]) -> Vec<Facts> {
    let blocks = Pem::iter_from_buffer(pem).filter_map(Result::ok);
    let blocks = blocks.filter(|block| block.label == "CERTIFICATE");
    blocks
        .filter_map(|block| {
            let certificate = block.parse_x509().ok()?;
            let time = certificate.validity();
            Some(Facts {
                serial: format!("{:x}", certificate.tbs_certificate.serial),
                from: time.not_before.timestamp(),
                to: time.not_after.timestamp(),
            })
        })
        .collect()
}
