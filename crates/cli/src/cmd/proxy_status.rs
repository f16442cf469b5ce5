//! `meltemi proxy-status`: which proxies are connected and whether they took what they were sent;
//! for one proxy, what it should have against what it runs.

mod compare;
mod status;

pub(crate) use status::{proxies, version};

use crate::args::Format;
use crate::args::live::{ProxyStatus, StatusFormat, Whose};
use crate::clock;
use crate::dump::Dump;
use crate::failure::{Answer, FINE, Failure, NEGATIVE, UNREADABLE};
use crate::live::{self, planes, proxy};
use crate::output::render;
use serde_json::Value;

/// Answers.
pub(crate) fn run(args: &ProxyStatus) -> Result<Answer, Failure> {
    match &args.pod {
        None => live::ask(all(args)),
        Some(pod) => live::ask(one(args, pod)),
    }
}

async fn all(args: &ProxyStatus) -> Result<Answer, Failure> {
    let found = planes::find(&args.planes).await?;
    let (said, mut notes) = planes::each(&found, "/debug/syncz").await?;
    let mut proxies = Vec::new();
    for (plane, text) in &said {
        let document = planes::parse(plane, text)?;
        proxies.extend(status::read(&plane.name, &document));
    }
    proxies.sort();
    let namespace = args.planes.cluster.namespace.as_deref();
    if let Some(namespace) = namespace {
        let of = |name: &str| name.rsplit_once('.').is_some_and(|(_, ns)| ns == namespace);
        proxies.retain(|proxy| of(&proxy.name));
    }
    let refusing: Vec<&str> = proxies
        .iter()
        .filter(|proxy| proxy.refuses())
        .map(|proxy| proxy.name.as_str())
        .collect();
    let text = match args.output {
        StatusFormat::Table | StatusFormat::Wide if proxies.is_empty() => {
            notes.push("note: no proxy is connected".to_owned());
            String::new()
        }
        StatusFormat::Table => status::table(&proxies),
        StatusFormat::Wide => status::wide(&proxies, clock::now()),
        StatusFormat::Json => render(Format::Json, &status::document(&proxies)),
        StatusFormat::Yaml => render(Format::Yaml, &status::document(&proxies)),
    };
    if let Some(first) = refusing.first() {
        let count = refusing.len();
        notes.push(format!(
            "{count} of {} proxies refuse configuration; try: meltemi ps {first}",
            proxies.len()
        ));
    }
    Ok(Answer {
        text,
        notes,
        code: if refusing.is_empty() { FINE } else { NEGATIVE },
    })
}

async fn one(args: &ProxyStatus, pod: &str) -> Result<Answer, Failure> {
    let (name, envoy) = running(args, pod).await?;
    let dump = envoy.json("/config_dump?include_eds").await?;
    let runs = open(dump, &envoy.name)?;
    let found = planes::find(&args.planes).await?;
    let (plane, document) = planes::wanted(&found, &name).await?;
    let wanted = open(document, &plane.name)?;
    let compared = compare::compare(&wanted, &runs);
    let same = compared.iter().all(compare::Compared::matches);
    let text = match args.output {
        StatusFormat::Table | StatusFormat::Wide => compare::show(&compared),
        StatusFormat::Json => render(
            Format::Json,
            &compare::document(&name, &plane.name, &compared),
        ),
        StatusFormat::Yaml => render(
            Format::Yaml,
            &compare::document(&name, &plane.name, &compared),
        ),
    };
    Ok(Answer {
        text,
        notes: envoy.notes,
        code: if same { FINE } else { NEGATIVE },
    })
}

/// The proxy as control planes call it, and who answers for it.
async fn running(args: &ProxyStatus, pod: &str) -> Result<(String, proxy::Proxy), Failure> {
    let named = args.admin.is_some() || args.file.is_some();
    let whose = Whose {
        pod: (!named).then(|| pod.to_owned()),
        admin: args.admin.clone(),
        file: args.file.clone(),
        proxy_admin_port: 15000,
        cluster: args.planes.cluster.clone(),
    };
    let envoy = proxy::find(&whose).await?;
    let name = match (named, pod.contains('.'), &whose.cluster.namespace) {
        (false, _, _) => envoy.name.clone(),
        (true, false, Some(namespace)) => format!("{pod}.{namespace}"),
        (true, true, _) => pod.to_owned(),
        (true, false, None) => {
            let message = format!("{pod} needs a namespace: {pod}.NAMESPACE, or -n");
            return Err(Failure::usage(message));
        }
    };
    Ok((name, envoy))
}

fn open(document: Value, whose: &str) -> Result<Dump, Failure> {
    Dump::open(document).map_err(|why| {
        let message = format!("{whose} gave no configuration: {why}");
        Failure::new(UNREADABLE, message)
    })
}
