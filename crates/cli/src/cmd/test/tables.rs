//! What the proxies of a scenario hold, as tables, each beside what is expected of it.

use super::judge::{self, Exact, Lists};
use crate::scenario::{ByCluster, Content, ProxyExpectation};
use meltemi_simulate::Config;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What the names of a workload's own clusters begin with.
const INBOUND: &str = "inbound";

/// One table.
#[derive(Debug)]
pub(super) struct Table {
    /// `virtualHosts`, `clusters`, ...
    pub(super) kind: &'static str,
    /// What else tells it from others: the route configuration, the proxy.
    pub(super) about: Option<(&'static str, String)>,
    /// The content, with what goes beside it.
    pub(super) fields: Map<String, Value>,
    /// What is expected; null when nothing is.
    pub(super) expected: Value,
    /// The names that differ from it.
    pub(super) mismatch: Vec<String>,
}

/// The tables of the proxy that makes the calls.
pub(super) fn of_proxy(content: &Content, config: Option<&Config>, tables: &mut Vec<Table>) {
    let unknown = Config::default();
    let config = config.unwrap_or(&unknown);
    tables.extend(virtual_hosts(content, config));
    tables.push(clusters(content, config));
    tables.push(services(content, config));
    if content.proxies.is_empty() {
        let wanted = content.endpoints.as_ref();
        let mismatch = wanted.map(|w| judge::lists(w, &config.endpoints(), Exact::No));
        tables.push(endpoints(
            "",
            config,
            (shown(wanted), mismatch.unwrap_or_default()),
        ));
    }
    tables.push(name_table(content));
}

/// The endpoints of one of several proxies.
pub(super) fn of_one_of_many(expected: &ProxyExpectation, config: Option<&Config>) -> Table {
    let unknown = Config::default();
    let config = config.unwrap_or(&unknown);
    let mut mismatch = Vec::new();
    let exact = match expected.exact {
        true => Exact::Content,
        false => Exact::No,
    };
    if let Some(wanted) = &expected.endpoints {
        mismatch = judge::lists(wanted, &config.endpoints(), exact);
    }
    if let Some(wanted) = &expected.weighted_endpoints {
        let got = weights(config);
        mismatch.extend(judge::values(wanted, &got));
        let more = got
            .keys()
            .filter(|name| expected.exact && !wanted.contains_key(*name));
        mismatch.extend(more.cloned());
    }
    let wanted = match &expected.weighted_endpoints {
        Some(weighted) => json!(weighted),
        None => shown(expected.endpoints.as_ref()),
    };
    let id = expected.proxy.id.as_deref().unwrap_or_default();
    endpoints(id, config, (wanted, mismatch))
}

fn virtual_hosts(content: &Content, config: &Config) -> Vec<Table> {
    let got = config.domains();
    let mut names: Vec<&String> = got.keys().chain(content.virtual_hosts.keys()).collect();
    names.sort();
    names.dedup();
    let table = |name: &String| {
        let wanted = content.virtual_hosts.get(name);
        let got = got.get(name);
        Table {
            kind: "virtualHosts",
            about: Some(("routeConfig", name.clone())),
            fields: Map::from_iter([("got".to_owned(), json!(got.cloned().unwrap_or_default()))]),
            expected: json!(wanted),
            mismatch: wanted
                .map(|wanted| judge::domains(wanted, got))
                .unwrap_or_default(),
        }
    };
    names.into_iter().map(table).collect()
}

fn clusters(content: &Content, config: &Config) -> Table {
    let all = config.endpoints();
    let own = all
        .into_iter()
        .filter(|(name, _)| name.starts_with(INBOUND));
    let got: Lists = own.collect();
    let wanted = content.clusters.as_ref();
    let mismatch = wanted.map(|wanted| judge::lists(wanted, &got, Exact::Names));
    // As expectations are written: nothing where there are no endpoints.
    let got: BTreeMap<&String, Option<&Vec<String>>> = got
        .iter()
        .map(|(name, list)| (name, Some(list).filter(|list| !list.is_empty())))
        .collect();
    table(
        "clusters",
        json!(got),
        (shown(wanted), mismatch.unwrap_or_default()),
    )
}

fn services(content: &Content, config: &Config) -> Table {
    let all = config.services();
    let own = all
        .into_iter()
        .filter(|(name, _)| name.starts_with(INBOUND));
    let got: Lists = own.collect();
    let wanted = content.cluster_services.as_ref();
    let mismatch = wanted.map(|wanted| judge::lists(wanted, &got, Exact::Content));
    table(
        "clusterServices",
        json!(got),
        (shown(wanted), mismatch.unwrap_or_default()),
    )
}

fn name_table(content: &Content) -> Table {
    let wanted = content.name_table.clone().unwrap_or_default();
    let mismatch = match &wanted {
        Value::Object(fields) => fields.keys().cloned().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Vec::new()
        }
    };
    table("nameTable", json!({}), (wanted, mismatch))
}

fn table(kind: &'static str, got: Value, (expected, mismatch): (Value, Vec<String>)) -> Table {
    Table {
        kind,
        about: None,
        fields: Map::from_iter([("got".to_owned(), got)]),
        expected,
        mismatch,
    }
}

fn endpoints(proxy: &str, config: &Config, judged: (Value, Vec<String>)) -> Table {
    let all = config.endpoints().into_iter();
    let got: Lists = all.filter(|(_, list)| !list.is_empty()).collect();
    let mut table = table("endpoints", json!(got), judged);
    table.about = Some(("proxy", proxy.to_owned()));
    table
        .fields
        .insert("weighted".into(), Value::Object(weights(config)));
    table
}

fn weights(config: &Config) -> Map<String, Value> {
    let all = config.weights().into_iter();
    all.map(|(name, places)| (name, json!(places))).collect()
}

fn shown(wanted: Option<&ByCluster>) -> Value {
    json!(wanted)
}
