//! How a step is told: a line of plain words, or a line of JSON.

use super::Output;
use super::scene::Scene;
use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Instant;

/// One thing that the demo shows.
pub(crate) struct Step {
    /// Its name in the JSON lines.
    pub(crate) name: &'static str,
    /// Does it and says what was seen.
    pub(crate) play: fn(&Scene) -> Result<Outcome>,
}

/// What was seen.
pub(crate) struct Outcome {
    /// How many requests were sent.
    pub(crate) requests: u64,
    /// The numbers that were seen.
    pub(crate) observed: Value,
    /// Was it as it should be?
    pub(crate) ok: bool,
    /// The same in plain words.
    pub(crate) words: String,
}

/// A line of JSON; the order of the fields is that of the documentation.
#[derive(Serialize)]
struct Line {
    step: &'static str,
    requests: u64,
    observed: Value,
    ok: bool,
    ms: u128,
}

/// Tells steps on stdout.
pub(crate) struct Lines {
    output: Output,
}

impl Lines {
    pub(crate) fn new(output: Output) -> Self {
        Self { output }
    }

    /// Plays steps in their order until one goes wrong; true when none does.
    pub(crate) fn show_all(&mut self, steps: &[Step], scene: &Scene) -> Result<bool> {
        for step in steps {
            if !self.show(step, scene)? {
                eprintln!("the step {:?} failed", step.name);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Plays a step and tells it; true when it went as it should. A step that cannot be played is
    /// told as one that failed.
    fn show(&mut self, step: &Step, scene: &Scene) -> Result<bool> {
        let started = Instant::now();
        let outcome = (step.play)(scene).unwrap_or_else(|error| Outcome {
            requests: 0,
            observed: json!({"error": format!("{error:#}")}),
            ok: false,
            words: format!("{error:#}"),
        });
        let ms = started.elapsed().as_millis();
        let Outcome {
            requests,
            observed,
            ok,
            words,
        } = outcome;
        let line = match self.output {
            Output::Json => {
                let step = step.name;
                serde_json::to_string(&Line {
                    step,
                    requests,
                    observed,
                    ok,
                    ms,
                })?
            }
            Output::Text => {
                let verdict = if ok { "ok    " } else { "FAILED" };
                format!("{verdict} {:<10} {words} ({ms} ms)", step.name)
            }
        };
        writeln!(std::io::stdout().lock(), "{line}")?;
        Ok(ok)
    }
}
