//! What the demo shows. Each step sends real requests and is proven by what came back or by the
//! counters of the frontend's Envoy.

use super::lines::{Outcome, Step};
use super::scene::{RATINGS, REVIEWS, Scene, counted, share, who};
use anyhow::{Context, Result, ensure};
use meltemi_testkit::wait;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// In this order; a later step may rely on an earlier one.
pub(crate) const TRAFFIC: [Step; 8] = [
    Step {
        name: "discovery",
        play: discovery,
    },
    Step {
        name: "split",
        play: split,
    },
    Step {
        name: "header",
        play: header,
    },
    Step {
        name: "retry",
        play: retry,
    },
    Step {
        name: "fault",
        play: fault,
    },
    Step {
        name: "overflow",
        play: overflow,
    },
    Step {
        name: "ejection",
        play: ejection,
    },
    Step {
        name: "edit",
        play: edit,
    },
];

/// After everything else.
pub(crate) const LAST: [Step; 1] = [Step {
    name: "health",
    play: health,
}];

/// How far a share may be from the weight.
const TOLERANCE: f64 = 0.03;
const V1: &str = "reviews-v1";
const V2: &str = "reviews-v2";

fn discovery(scene: &Scene) -> Result<Outcome> {
    let mut found = scene.count((40, REVIEWS), "/any", &[])?;
    found.append(&mut scene.count((1, RATINGS), "/", &[])?);
    let names: Vec<_> = found.keys().cloned().collect();
    let start = scene.start.as_millis();
    Ok(Outcome {
        requests: 41,
        observed: json!({"workloads": names, "start_ms": start}),
        ok: names == ["ratings", V1, V2],
        words: format!(
            "the mesh was up after {start} ms; through its Envoy the frontend found {}",
            names.join(", ")
        ),
    })
}

fn split(scene: &Scene) -> Result<Outcome> {
    let counts = scene.count((1000, REVIEWS), "/", &[])?;
    Ok(judge_split(1000, &counts, (0.9, "90/10")))
}

fn judge_split(
    requests: u64,
    counts: &BTreeMap<String, u64>,
    (want, name): (f64, &str),
) -> Outcome {
    let (first, second) = (share(counts, V1), share(counts, V2));
    Outcome {
        requests,
        observed: json!({"v1": first, "v2": second}),
        ok: (first - want).abs() <= TOLERANCE && (first + second - 1.0).abs() < 1e-9,
        words: format!(
            "of {requests} requests {:.1} % went to v1 and {:.1} % to v2 (asked for: {name})",
            first * 100.0,
            second * 100.0
        ),
    }
}

fn header(scene: &Scene) -> Result<Outcome> {
    let counts = scene.count((20, REVIEWS), "/", &[("end-user", "jason")])?;
    Ok(Outcome {
        requests: 20,
        observed: json!(counts),
        ok: counts.get(V2) == Some(&20),
        words: "all 20 requests with the header end-user: jason went to v2".to_owned(),
    })
}

fn retry(scene: &Scene) -> Result<Outcome> {
    let before = scene.stats()?;
    let answer = scene.call(RATINGS, "/slow?fail_first=1&delay=2s&key=demo", &[])?;
    let after = scene.stats()?;
    let part = "outbound|9090||ratings";
    let part = part.replace("9090", &scene.door(RATINGS)?.port().to_string());
    let grown = |suffix: &str| after.sum(&part, suffix) - before.sum(&part, suffix);
    let (timeouts, retries) = (
        grown(".upstream_rq_per_try_timeout"),
        grown(".upstream_rq_retry"),
    );
    let succeeded = grown(".upstream_rq_retry_success");
    Ok(Outcome {
        requests: 1,
        observed: json!({
            "status": answer.status, "upstream_rq_per_try_timeout": timeouts,
            "upstream_rq_retry": retries, "upstream_rq_retry_success": succeeded,
        }),
        ok: answer.status == 200 && timeouts == 1 && retries == 1 && succeeded == 1,
        words: format!(
            "the first try took too long, Envoy gave it up ({timeouts} timeout) and tried again \
             ({retries} retry): the frontend saw {}",
            answer.status
        ),
    })
}

fn fault(scene: &Scene) -> Result<Outcome> {
    let counts = scene.count((20, RATINGS), "/broken", &[])?;
    let injected = counted(&scene.stats()?, ".fault.", "aborts_injected")?;
    Ok(Outcome {
        requests: 20,
        observed: json!({"answers": counts, "aborts_injected": injected}),
        ok: counts.get("418") == Some(&20) && injected == 20,
        words: format!("{injected} of 20 requests got the injected status 418"),
    })
}

fn overflow(scene: &Scene) -> Result<Outcome> {
    const AT_ONCE: u64 = 12;
    let call = || {
        scene
            .call(RATINGS, "/?delay=400ms", &[])
            .map(|answer| who(&answer))
    };
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(call)).collect();
        for caller in callers {
            let answer = caller
                .join()
                .map_err(|_| anyhow::anyhow!("a caller panicked"))??;
            *counts.entry(answer).or_default() += 1;
        }
        anyhow::Ok(())
    })?;
    let overflows = counted(
        &scene.stats()?,
        "||ratings",
        ".upstream_rq_pending_overflow",
    )?;
    let served = counts.get("ratings").copied().unwrap_or_default();
    let refused = counts.get("503").copied().unwrap_or_default();
    Ok(Outcome {
        requests: AT_ONCE,
        observed: json!({"answers": counts, "upstream_rq_pending_overflow": overflows}),
        ok: served >= 1 && refused >= 1 && served + refused == AT_ONCE,
        words: format!(
            "of {AT_ONCE} requests at once {served} fitted into the connection pool, Envoy \
             refused {refused} (overflow counter {overflows})"
        ),
    })
}

fn ejection(scene: &Scene) -> Result<Outcome> {
    const CALLS: u64 = 20;
    let fail = [("x-echo-only", V2), ("x-echo-status", "500")];
    let mut sent = 0;
    let ejected = wait::until(
        "Envoy to eject the failing v2",
        Duration::from_secs(15),
        || {
            scene.count((5, REVIEWS), "/any", &fail)?;
            sent += 5;
            let stats = scene.stats()?;
            Ok(counted(&stats, "||reviews", ".ejections_enforced_consecutive_5xx").ok())
        },
    )?;
    let counts = scene.count((CALLS, REVIEWS), "/any", &fail)?;
    Ok(Outcome {
        requests: sent + CALLS,
        observed: json!({"ejections_enforced_consecutive_5xx": ejected, "answers": counts}),
        ok: counts.get(V1) == Some(&CALLS),
        words: format!(
            "v2 failed and was ejected after {sent} requests, the next {CALLS} all succeeded on v1"
        ),
    })
}

fn edit(scene: &Scene) -> Result<Outcome> {
    const CALLS: u64 = 4000;
    let file = "reviews.yaml";
    let path = scene.mesh().config().join(file);
    let old = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let new = old
        .replace("weight: 90", "weight: 50")
        .replace("weight: 10", "weight: 50");
    let new = new.replace("90-10", "50-50");
    ensure!(
        new != old,
        "{} has no split of 90 and 10 to edit",
        path.display()
    );
    let renamed = Instant::now();
    scene.mesh().write(file, &new)?;
    let mut probes = 0;
    let live = wait::until("the edit to be live", Duration::from_secs(10), || {
        probes += 1;
        let answer = scene.call(REVIEWS, "/", &[])?;
        Ok((answer.header("x-split") == "50-50").then(|| renamed.elapsed()))
    })?;
    let counts = scene.count((CALLS, REVIEWS), "/", &[])?;
    let mut outcome = judge_split(CALLS, &counts, (0.5, "50/50"));
    let ms = live.as_secs_f64() * 1000.0;
    if let Some(observed) = outcome.observed.as_object_mut() {
        observed.insert("live_ms".to_owned(), json!((ms * 10.0).round() / 10.0));
    }
    outcome.requests += probes;
    outcome.words = format!(
        "{file} was edited, live after {ms:.1} ms; {}",
        outcome.words
    );
    Ok(outcome)
}

fn health(scene: &Scene) -> Result<Outcome> {
    scene.mesh().assert_healthy()?;
    let pods = scene.pair()?.pods();
    for pod in pods {
        pod.assert_healthy()?;
    }
    let envoys = scene.mesh().members.len() + pods.len();
    let diagnostics = scene.mesh().plane.diagnostics()?;
    let list = diagnostics.get("diagnostics").unwrap_or(&diagnostics);
    let errors = list.as_array().map_or(0, Vec::len);
    Ok(Outcome {
        requests: 0,
        observed: json!({"envoys": envoys, "diagnostics": errors}),
        ok: errors == 0,
        words: format!(
            "all {envoys} Envoys are LIVE, no update was rejected, nothing is warming, {errors} \
             diagnostics"
        ),
    })
}
