//! The `process_*` metrics that every dashboard expects, out of `/proc/self`. Where that is
//! missing they are too.

use super::{Family, Shape};
use std::fs;

/// What is exposed about the process.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "process_cpu_seconds_total",
        help: "Total user and system CPU time spent in seconds.",
        shape: Shape::Gauge,
    },
    Family {
        name: "process_resident_memory_bytes",
        help: "Resident memory size in bytes.",
        shape: Shape::Gauge,
    },
    Family {
        name: "process_virtual_memory_bytes",
        help: "Virtual memory size in bytes.",
        shape: Shape::Gauge,
    },
    Family {
        name: "process_open_fds",
        help: "Number of open file descriptors.",
        shape: Shape::Gauge,
    },
];

/// Records the values of this moment.
pub(super) fn record() {
    if let Some(seconds) = cpu_seconds() {
        metrics::gauge!("process_cpu_seconds_total").set(seconds);
    }
    if let Some((total, resident)) = memory() {
        metrics::gauge!("process_virtual_memory_bytes").set(total);
        metrics::gauge!("process_resident_memory_bytes").set(resident);
    }
    if let Some(count) = descriptors() {
        metrics::gauge!("process_open_fds").set(count);
    }
}

/// User and system time: fields 14 and 15 of `stat`, counted behind the name in parentheses.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    let (user, system) = (ticks()?, ticks()?);
    let rate = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some((f64::from(user) + f64::from(system)) / f64::from(rate))
}

/// Virtual and resident size in bytes.
fn memory() -> Option<(f64, f64)> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let page = f64::from(u32::try_from(rustix::param::page_size()).ok()?);
    let mut fields = statm.split(' ');
    let mut pages = || Some(f64::from(fields.next()?.parse::<u32>().ok()?) * page);
    Some((pages()?, pages()?))
}

fn descriptors() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them reads the directory.
    Some(f64::from(u32::try_from(count.saturating_sub(1)).ok()?))
}
