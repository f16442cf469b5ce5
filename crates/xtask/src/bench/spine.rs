//! `bench spine`: what the control plane costs, with 500 services and 200 equal proxies.
//!
//! A release build on one core, driven by `meltemi-xload` on another. Equal proxies must share
//! all work; a change must cost what changed; a restart must send nothing.

mod load;
mod world;

use super::cost::Cost;
use super::table::Table;
use crate::shell::{output, say};
use anyhow::{Context, Result};
use load::Load;
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::plane::{Options, Plane};
use meltemi_testkit::wait;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use world::World;

/// Proxies beside the first one.
const FURTHER: u64 = 199;
const PROXIES: u64 = FURTHER + 1;
const CPU_MS: f64 = 6.0;
const RSS_MIB: f64 = 120.0;
/// Clusters, endpoints, listeners, routes.
const SUBSCRIPTIONS: usize = 4;
const DEADLINE: Duration = Duration::from_secs(60);
const BUILDS: &str = "meltemi_translate_builds_total";
const ENCODES: &str = "meltemi_encodes_total";
const SENT: &str = "meltemi_resources_sent_total";

struct Bench {
    plane: Plane,
    options: Options,
    load: Load,
    world: World,
    table: Table,
}

/// True when the bounds hold.
pub(crate) fn run() -> Result<bool> {
    say("500 services with 20 endpoints each, 200 equal delta proxies, control plane on one core");
    let dir = super::release()?;
    let scratch = Scratch::new("bench-spine")?;
    let world = World::write(&scratch.path().join("config"))?;
    let config = world.dir().display().to_string();
    let meltemid = paths::binary_in(&dir, "meltemid")?;
    let mut options = Options::new(meltemid, config, scratch.path().to_path_buf());
    options.through = pinned("0");
    let plane = Plane::start(&options)?;
    options.grpc = plane.grpc();
    let xload = paths::binary_in(&dir, "meltemi-xload")?;
    let load = Load::start(&pinned("1"), &xload, plane.grpc())?;
    let mut bench = Bench {
        plane,
        options,
        load,
        world,
        table: Table::default(),
    };
    bench.connect()?;
    bench.flip()?;
    bench.annotate()?;
    bench.restart()?;
    bench.load.end()?;
    bench.plane.stop()?;
    Ok(bench.table.end())
}

/// On one core, where taskset is there and the machine has several.
pub(super) fn pinned(core: &str) -> Vec<std::ffi::OsString> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 || output("taskset", &["--version"]).is_none() {
        say("taskset (util-linux) or a second core is missing: processes are not pinned");
        return Vec::new();
    }
    ["taskset", "--cpu-list", core].map(Into::into).to_vec()
}

impl Bench {
    fn counter(&self, name: &str) -> Result<u64> {
        // Counters are whole numbers.
        Ok(self.plane.metrics()?.sum(name) as u64)
    }

    fn memory(&mut self, when: &str) -> Result<()> {
        let resident = Cost::of(self.plane.pid())?.resident_mib();
        self.table.note(when, &format!("{resident:.2} MiB"));
        Ok(())
    }

    /// The first proxy pays for building and encoding; the others only for being served.
    fn connect(&mut self) -> Result<()> {
        self.memory("resident memory without a proxy")?;
        let first = self.load.ask("connect 1")?;
        self.table
            .note("resources of one proxy", &first.resources.to_string());
        self.table
            .note("bytes of one proxy", &first.bytes.to_string());
        self.memory("resident memory with one proxy")?;
        let built = self.counter(BUILDS)?;
        let before = Cost::of(self.plane.pid())?;
        let all = self.load.ask(&format!("connect {FURTHER}"))?;
        let after = Cost::of(self.plane.pid())?;
        let cpu = after.since(&before).as_secs_f64() * 1000.0 / FURTHER as f64;
        self.table.exactly(
            "builds after the first proxy",
            self.counter(BUILDS)? - built,
            0,
        );
        self.table
            .exactly("resources of all", all.resources, first.resources * PROXIES);
        self.table
            .at_most("CPU for each connecting proxy", cpu, (CPU_MS, "ms"));
        self.table.at_most(
            "resident memory with all",
            after.resident_mib(),
            (RSS_MIB, "MiB"),
        );
        self.load.ask("reset")?;
        Ok(())
    }

    /// One endpoint changes: one build, one encode, one resource on each stream.
    fn flip(&mut self) -> Result<()> {
        let before = [
            self.counter(BUILDS)?,
            self.counter(ENCODES)?,
            self.counter(SENT)?,
        ];
        self.world.flip(0)?;
        let seen = self.load.ask("expect 1")?;
        let [built, encoded, sent] = before;
        self.table
            .exactly("endpoint flip: builds", self.counter(BUILDS)? - built, 1);
        self.table.exactly(
            "endpoint flip: encodes",
            self.counter(ENCODES)? - encoded,
            1,
        );
        self.table.exactly(
            "endpoint flip: resources sent",
            self.counter(SENT)? - sent,
            PROXIES,
        );
        self.table
            .exactly("endpoint flip: resources received", seen.resources, PROXIES);
        self.table.note(
            "endpoint flip: until the last proxy has it",
            &format!("{} ms", seen.ms),
        );
        self.load.ask("reset")?;
        Ok(())
    }

    /// An annotation says nothing to Envoy: the flip behind it is all that arrives.
    fn annotate(&mut self) -> Result<()> {
        let sent = self.counter(SENT)?;
        self.world.annotate(1)?;
        let quiet = self.load.ask("peek 1000")?;
        self.table
            .exactly("annotation edit: resources within 1 s", quiet.resources, 0);
        self.world.flip(2)?;
        let seen = self.load.ask("expect 1")?;
        let beside = seen.resources.saturating_sub(PROXIES);
        self.table.exactly(
            "annotation edit: resources beside the next change",
            beside,
            0,
        );
        let sent = self.counter(SENT)? - sent;
        self.table
            .exactly("annotation edit and flip: resources sent", sent, PROXIES);
        self.load.ask("reset")?;
        Ok(())
    }

    /// Has every proxy confirmed everything, as far as the control plane knows?
    fn synced(&self) -> Result<Option<()>> {
        let page = self.plane.json("/debug/syncz")?;
        let proxies = page.as_array().context("/debug/syncz is no list")?;
        let types = |proxy: &Value| proxy.get("types").and_then(Value::as_array).cloned();
        let state = |kind: &Value| kind.get("state").cloned().unwrap_or_default();
        let settled = proxies.iter().filter(|proxy| {
            let types = types(proxy).unwrap_or_default();
            types.len() >= SUBSCRIPTIONS && types.iter().all(|kind| state(kind) == "SYNCED")
        });
        Ok((settled.count() as u64 >= PROXIES).then_some(()))
    }

    /// A restart with unchanged content sends nothing, and the next real change still arrives.
    fn restart(&mut self) -> Result<()> {
        let held = self.load.states()?;
        self.plane.stop()?;
        self.plane = Plane::start(&self.options)?;
        self.load.ask("reconnect")?;
        wait::until("all proxies to be in sync again", DEADLINE, || {
            self.synced()
        })?;
        let quiet = self.load.ask("peek 2000")?;
        self.table.exactly("restart: resources", quiet.resources, 0);
        self.table
            .exactly("restart: resource bytes", quiet.bytes, 0);
        self.table
            .exactly("restart: removed names", quiet.removed, 0);
        let same = self.load.states()? == held && held.len() == 1;
        self.table.holds(
            "restart: one state, the same as before",
            &format!("{held:?}"),
            same,
        );
        self.world.flip(3)?;
        let seen = self.load.ask("expect 1")?;
        self.table.exactly(
            "restart: resources of the next change",
            seen.resources,
            PROXIES,
        );
        self.load.ask("connect 1")?;
        let states = self.load.states()?;
        let equal = states.len() == 1;
        self.table.holds(
            "restart: a fresh proxy holds what the others hold",
            &format!("{states:?}"),
            equal,
        );
        Ok(())
    }
}

/// Where a benchmark's files are.
fn file(dir: &std::path::Path, index: usize) -> PathBuf {
    dir.join(format!("service-{index:03}.yaml"))
}

/// Replaces a file by rename.
fn replace(path: &std::path::Path, text: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    let written = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}
