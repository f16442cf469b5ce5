//! What the demo shows of identity, with two pods whose agents got them certificates: who calls whom is
//! proved on both sides, the mode of a workload holds, and certificates change under traffic.

use super::lines::{Outcome, Step};
use super::pair::{HTTP, Pair, Seen, UNDECLARED, set_mode};
use super::scene::Scene;
use anyhow::{Result, bail, ensure};
use meltemi_testkit::wait;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// In this order; the mode that one sets counts for the next.
pub(crate) const STEPS: [Step; 6] = [
    Step {
        name: "identity",
        play: identity,
    },
    Step {
        name: "permissive",
        play: permissive,
    },
    Step {
        name: "disable",
        play: disable,
    },
    Step {
        name: "strict",
        play: strict,
    },
    Step {
        name: "undeclared",
        play: undeclared,
    },
    Step {
        name: "rotation",
        play: rotation,
    },
];

/// How long a change may take to arrive.
const SOON: Duration = Duration::from_secs(10);
/// Within this plaintext is refused after STRICT was written.
const PROMPT: Duration = Duration::from_secs(1);
const BYTES: &[u8] = b"three sacks of rice\n";

fn identity(scene: &Scene) -> Result<Outcome> {
    let pair = scene.pair()?;
    let (seen, calls) = wait_mutual(pair)?;
    let start = pair.start.as_millis();
    Ok(Outcome {
        requests: calls,
        observed: json!({"start_ms": start, "xfcc": seen.xfcc}),
        ok: seen.is_mutual(),
        words: format!(
            "two agents had certificates and ready Envoys after {start} ms; till calls orders, \
             which is told in x-forwarded-client-cert: By={} URI={}",
            seen.part("By"),
            seen.part("URI")
        ),
    })
}

/// Calls until both sides are proved; how many calls that took.
fn wait_mutual(pair: &Pair) -> Result<(Seen, u64)> {
    let mut calls = 0;
    let seen = wait::until("a call whose both sides are proved", SOON, || {
        calls += 1;
        let seen = pair.call(HTTP)?;
        ensure!(seen.is_mutual(), "orders is told {:?}", seen.xfcc);
        Ok(Some(seen))
    })?;
    Ok((seen, calls))
}

fn permissive(scene: &Scene) -> Result<Outcome> {
    let pair = scene.pair()?;
    let clear = pair.call_in_clear(HTTP)?;
    let mesh = pair.call(HTTP)?;
    Ok(Outcome {
        requests: 2,
        observed: json!({"plaintext": clear.xfcc.is_empty(), "mesh": mesh.is_mutual()}),
        ok: clear.xfcc.is_empty() && mesh.is_mutual(),
        words: "orders takes plaintext from outside of the mesh, too, and knows nobody by it"
            .to_owned(),
    })
}

fn disable(scene: &Scene) -> Result<Outcome> {
    let pair = scene.pair()?;
    let written = Instant::now();
    set_mode(scene.mesh(), "DISABLE")?;
    let mut calls = 0;
    let ms = wait::until("the till to call in clear", SOON, || {
        calls += 1;
        let seen = pair.call(HTTP)?;
        Ok(seen.xfcc.is_empty().then(|| written.elapsed().as_millis()))
    })?;
    let clear = pair.call_in_clear(HTTP)?;
    Ok(Outcome {
        requests: calls + 1,
        observed: json!({"live_ms": ms}),
        ok: clear.xfcc.is_empty(),
        words: format!("DISABLE was written, {ms} ms later till calls orders in clear"),
    })
}

fn strict(scene: &Scene) -> Result<Outcome> {
    const MORE: u64 = 20;
    let pair = scene.pair()?;
    let written = Instant::now();
    set_mode(scene.mesh(), "STRICT")?;
    let mut calls = 0;
    let refused = wait::until("plaintext to be refused", SOON, || {
        calls += 1;
        let refused = pair.call_in_clear(HTTP).is_err();
        Ok(refused.then(|| written.elapsed()))
    })?;
    let (_, mutual) = wait_mutual(pair)?;
    for _ in 0..MORE {
        if let Ok(seen) = pair.call_in_clear(HTTP) {
            bail!("plaintext is answered again: {seen:?}");
        }
    }
    let ms = refused.as_secs_f64() * 1000.0;
    Ok(Outcome {
        requests: calls + mutual + MORE,
        observed: json!({"refused_ms": (ms * 10.0).round() / 10.0, "refused": MORE + 1}),
        ok: refused < PROMPT,
        words: format!(
            "STRICT was written, plaintext is refused {ms:.1} ms later ({} of {} connections \
             since), till still calls orders",
            MORE + 1,
            MORE + 1
        ),
    })
}

fn undeclared(scene: &Scene) -> Result<Outcome> {
    let pair = scene.pair()?;
    let one = pair.call(UNDECLARED)?;
    let two = pair.call_http2(UNDECLARED)?;
    let bytes = pair.send_bytes(UNDECLARED, BYTES)?;
    let in_clear = pair.call_in_clear(UNDECLARED).is_ok()
        || pair.send_bytes_in_clear(UNDECLARED, BYTES).is_ok();
    let proved = one.is_mutual() && two.is_mutual();
    let (first, second) = (&one.protocol, &two.protocol);
    Ok(Outcome {
        requests: 5,
        observed: json!({
            "protocols": [first, second, "bytes"], "mutual": proved, "plaintext": in_clear,
        }),
        ok: first == "HTTP/1.1" && second == "HTTP/2" && proved && bytes == BYTES && !in_clear,
        words: format!(
            "a port that declares no protocol carried {first}, {second} and {} bytes of none over \
             mutual TLS, and nothing in clear",
            bytes.len()
        ),
    })
}

/// Calls without a pause until certificates have changed twice on both sides.
fn rotation(scene: &Scene) -> Result<Outcome> {
    const WANTED: usize = 3;
    const EVERY: u64 = 25;
    let pair = scene.pair()?;
    let (mut shown, mut serials) = (BTreeSet::new(), BTreeSet::new());
    let (mut calls, mut failed) = (0, Vec::new());
    wait::until("certificates to change twice", 2 * SOON, || {
        calls += 1;
        match pair.call(HTTP) {
            Ok(seen) if seen.is_mutual() => {
                shown.insert(seen.part("Hash").to_owned());
            }
            Ok(seen) => failed.push(format!("orders is told {:?}", seen.xfcc)),
            Err(error) => failed.push(format!("{error:#}")),
        }
        if calls % EVERY == 0 {
            serials.extend(pair.orders.serials()?);
        }
        let fewest = shown.len().min(serials.len());
        Ok((fewest >= WANTED).then_some(()))
    })?;
    let (of_till, of_orders) = (shown.len(), serials.len());
    let failures = failed.len();
    if let Some(first) = failed.first() {
        bail!("{failures} of {calls} requests failed, the first one: {first}");
    }
    Ok(Outcome {
        requests: calls,
        observed: json!({"till": of_till, "orders": of_orders, "failed": failures}),
        ok: true,
        words: format!(
            "certificates of 10 s are renewed: till has shown {of_till}, orders {of_orders}; \
             {failures} of {calls} requests failed"
        ),
    })
}
