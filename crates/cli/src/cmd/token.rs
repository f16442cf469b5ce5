//! `meltemi token`: what a laptop has instead of a kubelet. Signed by the development key that
//! `meltemid --config-dir DIR --secureGRPCAddr ADDR` has made in `DIR/.meltemi`.
//!
//! The answer is the token alone, so that a shell can put it into a file or a header.

use crate::args::Token;
use crate::clock;
use crate::failure::{self, Answer, Failure};
use meltemi_ca::{Bearer, development};

/// Makes a token.
pub(crate) fn run(args: &Token) -> Result<Answer, Failure> {
    let Token {
        config_dir,
        namespace,
        service_account,
        pod,
        audience,
        lifetime,
    } = args;
    let life = lifetime.parse::<meltemi_api::duration::Duration>().ok();
    let life = life.and_then(|life| life.to_std());
    let life = life.filter(|life| life.as_secs() > 0 && *life <= meltemi_ca::LONGEST_LIFE);
    let life = life.ok_or_else(|| {
        Failure::usage(format!(
            "--lifetime {lifetime:?} is none; use for example 1h, at most 24h"
        ))
    })?;
    if audience.is_empty() {
        return Err(Failure::usage(
            "--audience is empty; a token is for somebody".to_owned(),
        ));
    }
    let bearer = Bearer {
        namespace: namespace
            .parse()
            .map_err(|error| Failure::usage(format!("--namespace: {error}")))?,
        account: service_account
            .parse()
            .map_err(|error| Failure::usage(format!("--service-account: {error}")))?,
        pod: pod.clone(),
    };
    let key = development::token_key(config_dir).map_err(|error| {
        let remedy =
            "start `meltemid --config-dir DIR --secureGRPCAddr 127.0.0.1:15012` on it once";
        Failure::new(failure::NO_INPUT, format!("{error}; {remedy}"))
    })?;
    let token = key.mint(&bearer, audience, (clock::wall(), life));
    let token = token.map_err(|error| Failure::new(failure::INTERNAL, error.to_string()))?;
    Ok(Answer::fine(format!("{token}\n")))
}
