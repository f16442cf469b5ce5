//! The samples, on a real Envoy: for every workload everything that it is told is taken whole, and
//! every cluster that has an endpoint answers, asked by itself and through the routes.
//!
//! Envoy stands where no traffic is captured, so a listener of the test's own stands before the
//! clusters: one that goes where a header says, and one for each route configuration. A gateway
//! binds its own ports and is asked there, too.

use anyhow::{Context, Result, bail, ensure};
use meltemi_bootstrap::XdsProtocol;
use meltemi_golden::compose::{self, Composed};
use meltemi_golden::judge::stage::{Stage, script};
use meltemi_golden::sample::{self, Sample};
use meltemi_proto::pool;
use meltemi_proto::resource::{Encoded, TypeSet};
use meltemi_testkit::http::{Client, Request};
use meltemi_testkit::lease::Lease;
use meltemi_testkit::process::{Process, Spec};
use meltemi_testkit::{paths, wait};
use meltemi_types::ProxyKind;
use meltemi_types::xds::{ENDPOINT, LISTENER, ROUTE};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const START: Duration = Duration::from_secs(20);

/// Addresses behind a cluster.
type Endpoints = BTreeMap<String, BTreeSet<(Ipv4Addr, u16)>>;

#[test]
fn every_sample_is_taken_whole_and_every_cluster_answers() -> Result<()> {
    let client = Client::new(Duration::from_secs(10));
    for (name, paths) in sample::list()? {
        let sample = Sample::read(&name, &paths)?;
        let mut stage = Stage::start(&format!("sample-{name}"), XdsProtocol::Delta)?;
        if let Err(error) = play(&sample, &mut stage, &client) {
            stage.keep();
            let dir = stage.dir().display();
            return Err(error.context(format!("sample {name}, logs in {dir}")));
        }
    }
    Ok(())
}

fn play(sample: &Sample, stage: &mut Stage, client: &Client) -> Result<()> {
    let routers = sample.pods.iter();
    let routers = routers.filter(|pod| pod.proxy.kind() == ProxyKind::Router);
    let gateways: BTreeSet<_> = routers.map(|pod| pod.lease.address()).collect();
    let composed = sample.pods.iter().map(|pod| {
        let composed = compose::compose(sample.changes.clone(), &pod.proxy);
        let mut endpoints = endpoints(&composed)?;
        // The gateway is an Envoy of its own, and none runs while others are asked.
        for behind in endpoints.values_mut() {
            behind.retain(|(ip, _)| !gateways.contains(ip));
        }
        Ok((pod, endpoints, composed))
    });
    let composed = composed.collect::<Result<Vec<_>>>()?;
    let mut wanted = BTreeSet::new();
    for (_, endpoints, composed) in &composed {
        let wrong = composed.diagnostics.iter().find(|d| d.is_error());
        ensure!(wrong.is_none(), "{wrong:?}");
        wanted.extend(endpoints.values().flatten().copied());
    }
    let _running = echoes(sample, &wanted, stage.dir())?;
    for (pod, endpoints, composed) in &composed {
        let mut asked =
            ask(composed, endpoints, (stage, client)).with_context(|| pod.name.clone())?;
        if pod.proxy.kind() == ProxyKind::Router {
            asked += enter(composed, &sample.doors, client)?;
        }
        eprintln!("{}: {} answered {asked} requests", sample.name, pod.name);
    }
    ensure!(stage.rejected()? == 0, "Envoy has refused something");
    Ok(())
}

/// The text at a path.
fn text<'a>(value: &'a Value, path: &str) -> Result<&'a str> {
    let found = value.pointer(path).and_then(Value::as_str);
    found.with_context(|| format!("no {path} in {value}"))
}

/// The items at a path; none where it leads nowhere.
fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    let found = value.pointer(path).and_then(Value::as_array);
    found.map(Vec::as_slice).unwrap_or_default()
}

/// The addresses of every load assignment.
fn endpoints(composed: &Composed) -> Result<Endpoints> {
    let mut all = Endpoints::new();
    let resources = compose::resources(&composed.assigned);
    for assignment in compose::all_json(&resources, ENDPOINT)? {
        let name = text(&assignment, "/cluster_name")?;
        let of = all.entry(name.to_owned()).or_default();
        for group in list(&assignment, "/endpoints") {
            for one in list(group, "/lb_endpoints") {
                let address = one.pointer("/endpoint/address/socket_address");
                let address = address.context("an address")?;
                let port = address.get("port_value").and_then(Value::as_u64);
                let port = u16::try_from(port.context("a port")?)?;
                of.insert((text(address, "/address")?.parse()?, port));
            }
        }
    }
    Ok(all)
}

/// An application for each Pod that has endpoints, on all ports where it is expected.
fn echoes(sample: &Sample, wanted: &BTreeSet<(Ipv4Addr, u16)>, dir: &Path) -> Result<Vec<Process>> {
    let mut running = Vec::new();
    for pod in &sample.pods {
        let at = pod.lease.address();
        let ports = wanted.iter().filter(|(ip, _)| *ip == at).map(|(_, p)| *p);
        let ports: Vec<u16> = ports.collect();
        if ports.is_empty() {
            continue;
        }
        let file = dir.join(format!("{}.ports", pod.name));
        let mut spec = Spec::new(&pod.name, &paths::binary("meltemi-echo")?, dir)
            .option("--address", at.to_string())
            .option("--name", &pod.name)
            .option("--port-file", &file);
        for port in ports {
            spec = spec.option("--port", port.to_string());
        }
        let mut process = Process::start(&spec)?;
        wait::until(&format!("{} to listen", pod.name), START, || {
            process.expect_running()?;
            Ok(file.exists().then_some(()))
        })?;
        running.push(process);
    }
    let hosts: BTreeSet<_> = sample.pods.iter().map(|p| p.lease.address()).collect();
    let stray = wanted.iter().find(|(ip, _)| !hosts.contains(ip));
    ensure!(stray.is_none(), "{stray:?} belongs to no Pod");
    Ok(running)
}

/// Tells Envoy everything of one proxy and asks every cluster and every virtual host; how often.
fn ask(
    composed: &Composed,
    endpoints: &Endpoints,
    (stage, client): (&mut Stage, &Client),
) -> Result<u32> {
    let resources = compose::resources(&composed.assigned);
    let routes = compose::all_json(&resources, ROUTE)?;
    let lease = Lease::take(&[])?;
    let any = door(&lease)?;
    let mut doors = vec![probe("probe", any, &by_header())?];
    let mut tables = Vec::new();
    for table in &routes {
        let name = text(table, "/name")?;
        let at = door(&lease)?;
        let rds = json!({ "rds": { "route_config_name": name, "config_source": {
            "ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s" } } });
        doors.push(probe(&format!("probe-{name}"), at, &rds)?);
        tables.push((at, table));
    }
    let mut script = script(&composed.assigned);
    let doors = doors.into_iter().map(|d| (d.name.clone(), Arc::new(d)));
    script.push((LISTENER, TypeSet::next(None, doors.collect())));
    stage.tell(&script)?;
    let mut asked = 0;
    for (cluster, behind) in endpoints.iter().filter(|(_, all)| !all.is_empty()) {
        let headers = [("x-cluster", cluster.as_str())];
        let request = Request::get(any, "probe", "/");
        let answer = client.send(&Request {
            headers: &headers,
            ..request
        })?;
        let who = answer.header("x-workload");
        ensure!(
            answer.status == 200 && !who.is_empty(),
            "{cluster} with {behind:?} answers {} {:?}",
            answer.status,
            answer.text()
        );
        asked += 1;
    }
    for (at, table) in tables {
        for host in list(table, "/virtual_hosts") {
            asked += through(client, at, host)?;
        }
    }
    Ok(asked)
}

/// Asks a virtual host under its first name, where its first route leads; those for hosts that
/// nobody knows are left out.
fn through(client: &Client, at: SocketAddr, host: &Value) -> Result<u32> {
    let (name, domain) = (text(host, "/name")?, text(host, "/domains/0")?);
    if matches!(name, "allow_any" | "block_all") || name.starts_with("blackhole:") {
        return Ok(0);
    }
    let domain = if domain == "*" {
        "any.example.com"
    } else {
        domain
    };
    let kinds = ["prefix", "path", "path_separated_prefix"].into_iter();
    let mut paths = kinds.filter_map(|kind| text(host, &format!("/routes/0/match/{kind}")).ok());
    let path = paths.next().unwrap_or("/");
    let answer = client.send(&Request::get(at, domain, path))?;
    if answer.status != 200 {
        let said = answer.text();
        bail!("{domain}{path} answers {} {said:?}", answer.status);
    }
    Ok(1)
}

/// Asks at the ports that a gateway binds: each virtual host, or whoever is behind TCP.
fn enter(composed: &Composed, doors: &[u16], client: &Client) -> Result<u32> {
    let resources = compose::resources(&composed.assigned);
    let tables = compose::all_json(&resources, ROUTE)?;
    let mut asked = 0;
    for listener in compose::all_json(&resources, LISTENER)? {
        let port = listener.pointer("/address/socket_address/port_value");
        let port = u16::try_from(port.and_then(Value::as_u64).context("a port")?)?;
        ensure!(doors.contains(&port), "port {port} is none of {doors:?}");
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let filter = "/filter_chains/0/filters/0/typed_config";
        let Ok(table) = text(&listener, &format!("{filter}/rds/route_config_name")) else {
            let answer = client.send(&Request::get(at, "tcp", "/"))?;
            ensure!(
                answer.status == 200,
                "port {port} answers {}",
                answer.status
            );
            asked += 1;
            continue;
        };
        let mut tables = tables.iter();
        let table = tables.find(|t| text(t, "/name").is_ok_and(|name| name == table));
        let mut through_it = 0;
        for host in list(table.context("a route configuration")?, "/virtual_hosts") {
            through_it += through(client, at, host)?;
        }
        ensure!(through_it > 0, "nothing is behind port {port}");
        asked += through_it;
    }
    Ok(asked)
}

/// A free port of an address that is ours.
fn door(lease: &Lease) -> Result<SocketAddr> {
    Ok(TcpListener::bind((lease.address(), 0))?.local_addr()?)
}

fn by_header() -> Value {
    let route = json!({ "match": { "prefix": "/" }, "route": { "cluster_header": "x-cluster" } });
    let host = json!({ "name": "probe", "domains": ["*"], "routes": [route] });
    json!({ "route_config": { "name": "probe", "virtual_hosts": [host] } })
}

/// A listener that reads HTTP at this address, with these routes.
fn probe(name: &str, at: SocketAddr, routes: &Value) -> Result<Encoded> {
    const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters";
    let mut manager = json!({
        "@type": format!("{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "probe",
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": format!("{FILTERS}.http.router.v3.Router") },
        }],
    });
    if let (Some(manager), Some(routes)) = (manager.as_object_mut(), routes.as_object()) {
        manager.extend(routes.clone());
    }
    let listener = json!({
        "name": name,
        "address": { "socket_address": {
            "address": at.ip().to_string(), "port_value": at.port() } },
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        }] }],
    });
    let body = pool::from_json("envoy.config.listener.v3.Listener", &listener)?;
    Ok(Encoded::new(name, LISTENER, body))
}
