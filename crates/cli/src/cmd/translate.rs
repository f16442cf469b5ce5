//! `meltemi translate`: objects from files, through the registry and the translator of the control
//! plane, for one proxy. A version printed here is the version that ADS sends.

use crate::args::{Form, Kind, Translate};
use crate::failure::{Answer, FINE, Failure, INTERNAL, NEGATIVE, UNREADABLE};
use crate::input;
use crate::node::{self, INTERCEPTION_MODE, Node};
use crate::output::render;
use crate::scenario::{self, Scenario};
use meltemi_api::Change;
use meltemi_bootstrap::{AdminAddress, Resources};
use meltemi_model::{DnsCapture, Snapshot};
use meltemi_registry::{Registry, Settings};
use meltemi_translate::document::{self, Selection};
use meltemi_translate::{Assigned, Translator};
use meltemi_types::Diagnostic;
use meltemi_types::xds::{CLUSTER, ENDPOINT, LISTENER, ROUTE};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Translates for one proxy.
pub(crate) fn run(args: Translate) -> Result<Answer, Failure> {
    refuse_later(&args)?;
    let mut changes = input::read(&args.filename, args.mesh_config.as_deref())?;
    let (node, snapshot) = match args.scenario.as_deref() {
        Some(path) => {
            let (node, more) = scenario(path)?;
            changes.extend(more);
            (node, snapshot(Settings::default(), changes))
        }
        None => find(&args, changes)?,
    };
    let mut proxy = node.proxy()?;
    if args.kind == Kind::Nametable {
        // The table is what capture of DNS is for.
        proxy.dns = DnsCapture::On;
    }
    if !snapshot.serves(proxy.kind()) {
        let kind = proxy.kind().name();
        let message = format!("proxies of type {kind} are not served yet; use sidecar or router");
        return Err(Failure::usage(message));
    }
    let assigned = Translator::new(snapshot.clone()).assign(&proxy, None);
    let mut found: BTreeSet<Diagnostic> = snapshot.diagnostics.iter().cloned().collect();
    found.extend(assigned.diagnostics());
    let document = match args.form {
        Form::Resources => resources(&args, &node, &assigned, &found)?,
        Form::Static => bootstrap(&node, &assigned)?,
    };
    Ok(Answer {
        text: render(args.output, &document),
        notes: lines(&found),
        code: match found.iter().any(Diagnostic::is_error) {
            true => NEGATIVE,
            false => FINE,
        },
    })
}

/// What is fixed in the command line but not there yet, and what makes no sense together.
fn refuse_later(args: &Translate) -> Result<(), Failure> {
    let later = |what: &str| Err(Failure::usage(format!("{what} comes later")));
    if args.mesh_networks.is_some() {
        return later("--mesh-networks");
    }
    match args.kind {
        Kind::Secret => return later("--type secret"),
        Kind::Extension => return later("--type extension"),
        Kind::Listener
        | Kind::Route
        | Kind::Cluster
        | Kind::Endpoint
        | Kind::Nametable
        | Kind::All => {}
    }
    if args.form == Form::Static && (args.kind != Kind::All || args.name.is_some()) {
        let message = "--form static is a whole bootstrap; drop --type and --name";
        return Err(Failure::usage(message));
    }
    Ok(())
}

/// The proxy and the objects of the first scenario of a file.
fn scenario(path: &Path) -> Result<(Node, Vec<Change>), Failure> {
    let scenarios = scenario::read(&[path.to_owned()])?;
    let proxies = |scenario: &Scenario| {
        let many = scenario.content.proxies.first().map(|one| &one.proxy);
        scenario.content.proxy.as_ref().or(many).cloned()
    };
    let first = scenarios.first();
    let found = first.and_then(|scenario| Some((scenario, proxies(scenario)?)));
    let (scenario, proxy) = found.ok_or_else(|| {
        Failure::new(
            UNREADABLE,
            format!("{}: no scenario with a proxy", path.display()),
        )
    })?;
    Ok((scenario.node(&proxy)?, scenario.changes()?))
}

/// The proxy and the mesh. The id of a proxy says under which domain its services are; a Pod is
/// found once the mesh is read.
fn find(args: &Translate, changes: Vec<Change>) -> Result<(Node, Arc<Snapshot>), Failure> {
    let named = match (&args.proxy, &args.node) {
        (_, Some(path)) => Some(Node::from_file(path)?),
        (Some(proxy), None) if !proxy.starts_with("pod/") => Some(Node::from_id(proxy)?),
        (Some(_) | None, None) => None,
    };
    if let Some(node) = named {
        let mut settings = Settings::default();
        if let Some(domain) = node.domain() {
            settings.domain = domain.into();
        }
        return Ok((node, snapshot(settings, changes)));
    }
    let pod = args.proxy.as_deref().unwrap_or_default();
    let pod = pod.strip_prefix("pod/").and_then(|p| p.split_once('/'));
    let pod = pod.ok_or_else(|| Failure::usage("--proxy: write pod/NAMESPACE/NAME"))?;
    let findings = input::findings(&changes);
    let interception = input::pod_annotation(&changes, pod, INTERCEPTION_MODE);
    let interception = interception.map(str::to_owned);
    let snapshot = snapshot(Settings::default(), changes);
    let node = match node::find_pod(&snapshot, pod) {
        Ok(workload) => Node::from_workload(workload, interception.as_deref()),
        Err(failure) => {
            let notes = lines(&findings);
            return Err(Failure { notes, ..failure });
        }
    };
    Ok((node, snapshot))
}

fn snapshot(settings: Settings, changes: Vec<Change>) -> Arc<Snapshot> {
    let mut registry = Registry::new(settings);
    for change in changes {
        registry.apply(change);
    }
    registry.publish().snapshot
}

fn lines(found: &BTreeSet<Diagnostic>) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}

/// The name of a type in the document; `None` is all of them.
fn word(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Cluster => Some("cluster"),
        Kind::Endpoint => Some("endpoint"),
        Kind::Listener => Some("listener"),
        Kind::Route => Some("route"),
        Kind::Nametable => Some("nametable"),
        Kind::Secret | Kind::Extension | Kind::All => None,
    }
}

/// The answer to most questions: each resource with its version and origin.
fn resources(
    args: &Translate,
    node: &Node,
    assigned: &Assigned,
    found: &BTreeSet<Diagnostic>,
) -> Result<Value, Failure> {
    let selection = Selection {
        kind: word(args.kind),
        name: args.name.as_deref(),
    };
    document::proxy_resources(&node.document(), assigned, selection, found)
        .map_err(|message| Failure::new(INTERNAL, message))
}

/// Everything in one file for Envoy, without a control plane.
fn bootstrap(node: &Node, assigned: &Assigned) -> Result<Value, Failure> {
    let all = |type_url| -> Result<Vec<Value>, Failure> {
        let decoded = assigned.resources(type_url).map(|r| document::decoded(r));
        let decoded: Result<_, String> = decoded.collect();
        decoded.map_err(|message| Failure::new(INTERNAL, message))
    };
    let resources = Resources {
        clusters: all(CLUSTER)?,
        endpoints: all(ENDPOINT)?,
        listeners: all(LISTENER)?,
        routes: all(ROUTE)?,
    };
    let admin = AdminAddress {
        address: "127.0.0.1".into(),
        port: 0,
    };
    Ok(resources.static_form(&node.bootstrap(), &admin))
}
