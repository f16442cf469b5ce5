//! `meltemi proxy-config`: what a proxy runs, as its Envoy says, with istioctl's columns.

mod bootstrap;
mod cluster;
mod endpoint;
mod extension;
mod listener;
mod log;
mod route;
mod secret;

use crate::args::Format;
use crate::args::live::{
    Look, LookFormat, OnlyClusters, OnlyEndpoints, OnlyListeners, ProxyConfig, What,
};
use crate::clock;
use crate::dump::{Dump, Found, Section, field, text};
use crate::failure::{Answer, Failure, UNREADABLE};
use crate::live::{self, proxy};
use crate::output::{API_VERSION, render};
use crate::table::Table;
use log::Levels;
use serde_json::{Value, json};

/// Everything that Envoy knows, endpoints too.
const DUMP: &str = "/config_dump?include_eds";

/// Answers.
pub(crate) fn run(args: &ProxyConfig) -> Result<Answer, Failure> {
    live::ask(show(&args.what))
}

async fn show(what: &What) -> Result<Answer, Failure> {
    match what {
        What::Cluster { look, only } => {
            let keep = |found: &Found| cluster::shown(&found.name, only);
            section(look, Section::Cluster, keep, cluster::table).await
        }
        What::Listener { look, only } => {
            let keep = |found: &Found| listener::shown(&found.body, only);
            section(look, Section::Listener, keep, listener::table).await
        }
        What::Route { look, name } => {
            let keep = |found: &Found| name.as_ref().is_none_or(|name| *name == found.name);
            section(look, Section::Route, keep, route::table).await
        }
        What::Endpoint { look, only } => endpoints(look, only).await,
        What::Bootstrap { look } => started(look).await,
        What::Log { look, level, reset } => match reset {
            true => log::run(look, Levels::Reset).await,
            false => log::run(look, Levels::Set(level)).await,
        },
        What::Secret { look } => {
            let table = |all: &[Found]| secret::table(all, clock::now());
            section(look, Section::Secret, |_| true, table).await
        }
        What::Ecds { look } => section(look, Section::Extension, |_| true, extension::table).await,
        What::All { look } => everything(look).await,
    }
}

/// The dump of a proxy, and what to say beside it.
async fn dump(look: &Look) -> Result<(Dump, Subject), Failure> {
    let found = proxy::find(&look.whose).await?;
    let document = found.json(DUMP).await?;
    let dump = Dump::open(document).map_err(|why| {
        let message = format!("{} gave no configuration: {why}", found.name);
        Failure::new(UNREADABLE, message)
    })?;
    Ok((dump, Subject::of(found)))
}

/// Whose configuration it is.
struct Subject {
    name: String,
    notes: Vec<String>,
}

impl Subject {
    fn of(proxy: proxy::Proxy) -> Self {
        Self {
            name: proxy.name,
            notes: proxy.notes,
        }
    }

    /// The answer with a note when it is empty.
    fn answer(mut self, text: String, (what, count): (&str, usize)) -> Answer {
        if count == 0 {
            let name = &self.name;
            self.notes
                .push(format!("note: {name} has no {what} that is asked for"));
        }
        Answer {
            notes: self.notes,
            ..Answer::fine(text)
        }
    }

    fn document(&self, kind: &str, (field, value): (&str, Value)) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": "ProxyConfig",
            "proxy": self.name,
            "type": kind,
            field: value,
        })
    }
}

async fn section(
    look: &Look,
    section: Section,
    keep: impl Fn(&Found) -> bool,
    table: impl Fn(&[Found]) -> Table,
) -> Result<Answer, Failure> {
    let (dump, subject) = dump(look).await?;
    let mut found = dump.section(section);
    found.retain(keep);
    let (what, _) = section.words();
    let document = || {
        let bodies = found.iter().map(|one| one.body.clone()).collect();
        subject.document(what, ("resources", bodies))
    };
    let text = match look.output {
        None | Some(LookFormat::Table) if found.is_empty() => String::new(),
        None | Some(LookFormat::Table) => table(&found).text(),
        Some(LookFormat::Json) => render(Format::Json, &document()),
        Some(LookFormat::Yaml) => render(Format::Yaml, &document()),
    };
    let count = found.len();
    Ok(subject.answer(text, (what, count)))
}

async fn endpoints(look: &Look, only: &OnlyEndpoints) -> Result<Answer, Failure> {
    let found = proxy::find(&look.whose).await?;
    let document = found.json("/clusters?format=json").await?;
    let mut rows = match field(&document, "cluster_statuses") {
        Some(_) => endpoint::of_clusters(&document),
        // A saved /config_dump has them too, without what Envoy found out itself.
        None => {
            let dump = Dump::open(document);
            let dump = dump.map_err(|why| Failure::new(UNREADABLE, why))?;
            endpoint::of_dump(&dump.section(Section::Endpoint))
        }
    };
    rows.retain(|row| endpoint::shown(row, only));
    let subject = Subject::of(found);
    let document = || subject.document("endpoint", ("endpoints", endpoint::document(&rows)));
    let text = match look.output {
        None | Some(LookFormat::Table) if rows.is_empty() => String::new(),
        None | Some(LookFormat::Table) => endpoint::table(&rows).text(),
        Some(LookFormat::Json) => render(Format::Json, &document()),
        Some(LookFormat::Yaml) => render(Format::Yaml, &document()),
    };
    let count = rows.len();
    Ok(subject.answer(text, ("endpoint", count)))
}

async fn started(look: &Look) -> Result<Answer, Failure> {
    let (dump, subject) = dump(look).await?;
    let Some(bootstrap) = dump.bootstrap() else {
        let message = format!("the dump of {} has no bootstrap", subject.name);
        return Err(Failure::new(UNREADABLE, message));
    };
    let document = || subject.document("bootstrap", ("bootstrap", bootstrap.clone()));
    let text = match look.output {
        Some(LookFormat::Table) => bootstrap::table(bootstrap).text(),
        None | Some(LookFormat::Json) => render(Format::Json, &document()),
        Some(LookFormat::Yaml) => render(Format::Yaml, &document()),
    };
    Ok(subject.answer(text, ("bootstrap", 1)))
}

async fn everything(look: &Look) -> Result<Answer, Failure> {
    let (dump, subject) = dump(look).await?;
    let document = || subject.document("all", ("configs", dump.whole().clone()));
    let text = match look.output {
        None | Some(LookFormat::Table) => all_tables(&dump),
        Some(LookFormat::Json) => render(Format::Json, &document()),
        Some(LookFormat::Yaml) => render(Format::Yaml, &document()),
    };
    Ok(subject.answer(text, ("configuration", 1)))
}

fn all_tables(dump: &Dump) -> String {
    let of = |section| dump.section(section);
    let listeners = of(Section::Listener);
    let listeners = listeners
        .into_iter()
        .filter(|one| listener::shown(&one.body, &OnlyListeners::default()));
    let clusters = of(Section::Cluster);
    let clusters = clusters
        .into_iter()
        .filter(|one| cluster::shown(&one.name, &OnlyClusters::default()));
    let tables = [
        cluster::table(&clusters.collect::<Vec<_>>()),
        listener::table(&listeners.collect::<Vec<_>>()),
        route::table(&of(Section::Route)),
        endpoint::table(&endpoint::of_dump(&of(Section::Endpoint))),
        secret::table(&of(Section::Secret), clock::now()),
        extension::table(&of(Section::Extension)),
    ];
    let tables = tables.iter().filter(|table| !table.is_empty());
    tables.map(Table::text).collect::<Vec<_>>().join("\n")
}

/// The object that metadata names: `NAME.NAMESPACE`, with its kind when that is not the usual one.
fn object(body: &Value, usual: &str) -> String {
    let config = field(body, "metadata")
        .and_then(|metadata| field(metadata, "filter_metadata"))
        .and_then(|metadata| metadata.get("istio"))
        .map(|istio| text(istio, "config"))
        .unwrap_or_default();
    let words: Vec<&str> = config.split('/').collect();
    match words.as_slice() {
        ["", "apis", _, _, "namespaces", namespace, kind, name] if *kind == usual => {
            format!("{name}.{namespace}")
        }
        ["", "apis", _, _, "namespaces", namespace, kind, name] => {
            format!("{kind}/{name}.{namespace}")
        }
        _ => config,
    }
}

/// `ADDRESS:PORT` of an address of Envoy's.
pub(crate) fn address(address: &Value) -> String {
    match place(address) {
        (host, Some(port)) if host.contains(':') => format!("[{host}]:{port}"),
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host,
    }
}

/// Host and port of an address of Envoy's; what has no port is written as istioctl does.
fn place(address: &Value) -> (String, Option<u64>) {
    if let Some(socket) = field(address, "socket_address") {
        let port = field(socket, "port_value").and_then(Value::as_u64);
        return (text(socket, "address"), Some(port.unwrap_or(0)));
    }
    if let Some(pipe) = field(address, "pipe") {
        return (format!("unix://{}", text(pipe, "path")), None);
    }
    match field(address, "envoy_internal_address") {
        Some(internal) => {
            let name = text(internal, "server_listener_name");
            let id = text(internal, "endpoint_id");
            (format!("envoy://{name}/{id}"), None)
        }
        None => (String::new(), None),
    }
}
