//! Walks a whole resource by reflection, into every `Any` that is known, and looks at each message
//! that has a trap of its own wherever it stands: in a filter, a per-route configuration, a log.

use super::report::Report;
use super::{address, format, header, http, jwt, rbac, regex, route, template, tls};
use crate::format::{Operators, problem};
use meltemi_proto::{pool, rules, urls};
use prost::{Message, Name};
use prost_reflect::{DynamicMessage, FieldDescriptor, MapKey, ReflectMessage, Value};

/// Looks at everything in a resource.
pub(super) fn resource<M: Name>(body: &[u8], report: &mut Report) {
    match pool::decode(&M::full_name(), body) {
        Ok(message) => {
            for violation in rules::violations_in(&message) {
                report.add(violation);
            }
            let mut walk = Walk {
                report,
                operators: Operators::BuiltIn,
                depth: 0,
            };
            walk.message(&message);
        }
        Err(error) => report.add(error),
    }
}

struct Walk<'r> {
    report: &'r mut Report,
    operators: Operators,
    depth: usize,
}

impl Walk<'_> {
    /// What is nested too deep or cannot be decoded is told by the rules' own walk.
    fn message(&mut self, message: &DynamicMessage) {
        let descriptor = message.descriptor();
        let name = descriptor.full_name();
        if self.depth > pool::MAX_DEPTH {
            return;
        }
        self.depth += 1;
        if name == "google.protobuf.Any" {
            self.any(message);
        } else if !name.starts_with("google.protobuf.") {
            let outer = self.operators;
            if has_formatters(message) {
                self.operators = Operators::Extended;
            }
            self.traps(name, message);
            for (field, value) in message.fields() {
                self.field(&field, value);
            }
            self.operators = outer;
        }
        self.depth -= 1;
    }

    fn any(&mut self, message: &DynamicMessage) {
        let url = message.get_field_by_number(1);
        let bytes = message.get_field_by_number(2);
        let url = url.as_deref().and_then(Value::as_str).unwrap_or_default();
        let bytes = bytes.as_deref().and_then(Value::as_bytes);
        let name = urls::message_name(url);
        if let Ok(inner) = pool::decode(name, bytes.map_or(&[], |bytes| bytes)) {
            self.message(&inner);
        }
    }

    fn field(&mut self, field: &FieldDescriptor, value: &Value) {
        match value {
            Value::Message(message) => self.at(field.name(), |walk| walk.message(message)),
            Value::List(items) => self.list(field.name(), items),
            Value::Map(entries) => {
                let mut sorted: Vec<(&MapKey, &Value)> = entries.iter().collect();
                sorted.sort_by_key(|(key, _)| *key);
                for (key, value) in sorted {
                    if let Value::Message(message) = value {
                        let shown = shown_key(key);
                        self.at(field.name(), |walk| {
                            walk.at(&shown, |walk| walk.message(message));
                        });
                    }
                }
            }
            Value::Bool(_)
            | Value::I32(_)
            | Value::I64(_)
            | Value::U32(_)
            | Value::U64(_)
            | Value::F32(_)
            | Value::F64(_)
            | Value::String(_)
            | Value::Bytes(_)
            | Value::EnumNumber(_) => {}
        }
    }

    fn list(&mut self, name: &str, items: &[Value]) {
        let removals = name.ends_with("headers_to_remove");
        // Plain header values are formats and forbidden names in these fields only.
        let additions = name.ends_with("headers_to_add") || name == "initial_metadata";
        if !removals && !matches!(items.first(), Some(Value::Message(_))) {
            return;
        }
        for (index, item) in items.iter().enumerate() {
            self.at(name, |walk| {
                walk.at(&format!("[{index}]"), |walk| {
                    if let Value::Message(message) = item {
                        walk.item(message, additions);
                    } else if removals && let Some(removed) = item.as_str() {
                        walk.report.add_some(header::removal(removed));
                    }
                });
            });
        }
    }

    fn item(&mut self, message: &DynamicMessage, is_addition: bool) {
        let operators = self.operators;
        if is_addition && message.descriptor().full_name() == HEADER_VALUE {
            look(message, self.report, |value, report| {
                header::value(value, operators, report);
            });
        }
        self.message(message);
    }

    fn at(&mut self, step: &str, act: impl FnOnce(&mut Walk<'_>)) {
        let (operators, depth) = (self.operators, self.depth);
        self.report.at(step, |report| {
            act(&mut Walk {
                report,
                operators,
                depth,
            });
        });
    }

    /// The messages with traps, by name.
    fn traps(&mut self, name: &str, message: &DynamicMessage) {
        let operators = self.operators;
        let report = &mut *self.report;
        match name {
            "envoy.type.matcher.v3.RegexMatcher" => look(message, report, regex::matcher),
            "envoy.config.core.v3.CidrRange" => look(message, report, address::cidr),
            "envoy.config.core.v3.BindConfig" => look(message, report, address::bind),
            "envoy.config.core.v3.HeaderValueOption" => {
                look(message, report, |option, report| {
                    header::option(option, operators, report);
                });
            }
            "envoy.config.core.v3.SubstitutionFormatString" => {
                look(message, report, |string, report| {
                    format::substitution(string, operators, report);
                });
            }
            "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig" => {
                look(message, report, |log, report| {
                    format::open_telemetry(log, operators, report);
                });
            }
            "envoy.config.route.v3.RouteConfiguration" => look(message, report, route::check),
            "envoy.config.rbac.v3.Permission" => look(message, report, rbac::permission),
            "envoy.extensions.filters.network.rbac.v3.RBAC" => {
                look(message, report, rbac::network);
            }
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager" => {
                look(message, report, http::check);
            }
            "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication" => {
                look(message, report, jwt::check);
            }
            "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig" => {
                look(message, report, template::match_config);
            }
            "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext" => {
                look(message, report, tls::common);
            }
            "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext" => {
                look(message, report, tls::downstream);
            }
            "envoy.extensions.load_balancing_policies.maglev.v3.Maglev" => {
                look(message, report, super::cluster::maglev);
            }
            _ => formats(name, message, operators, report),
        }
    }
}

const HEADER_VALUE: &str = "envoy.config.core.v3.HeaderValue";

/// Other messages with string fields that are formats.
const FORMATS: [(&str, &[&str]); 5] = [
    (
        "envoy.config.route.v3.Tracing",
        &["operation", "upstream_operation"],
    ),
    (
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        &["format"],
    ),
    (
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing",
        &["operation", "upstream_operation"],
    ),
    (
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig",
        &["hostname"],
    ),
    ("envoy.type.tracing.v3.CustomTag", &["value"]),
];

fn formats(name: &str, message: &DynamicMessage, operators: Operators, report: &mut Report) {
    let Some((_, fields)) = FORMATS.iter().find(|(of, _)| *of == name) else {
        return;
    };
    for field in *fields {
        if let Some(value) = message.get_field_by_name(field)
            && let Some(text) = value.as_str()
        {
            report.at(field, |report| {
                report.add_some(problem(text, operators));
            });
        }
    }
}

/// Custom formatters bring operators that are not known here.
fn has_formatters(message: &DynamicMessage) -> bool {
    message
        .get_field_by_name("formatters")
        .is_some_and(|value| value.as_list().is_some_and(|list| !list.is_empty()))
}

/// Opens the message as what it is.
fn look<M: Message + Default>(
    message: &DynamicMessage,
    report: &mut Report,
    check: impl FnOnce(&M, &mut Report),
) {
    match message.transcode_to::<M>() {
        Ok(message) => check(&message, report),
        Err(error) => report.add(error),
    }
}

fn shown_key(key: &MapKey) -> String {
    match key.as_str() {
        Some(key) => format!("[{key:?}]"),
        None => format!("[{key:?}]"),
    }
}
