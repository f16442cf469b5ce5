//! The flags for the command line, made from the table of `meltemi-capture`, so that neither knows
//! one that the other does not.

use crate::env::Env;
use clap::{Arg, ArgAction, ArgMatches, Command, Error, FromArgMatches};
use meltemi_capture::{FLAGS, Flag, Kind, Said};
use std::collections::BTreeMap;

/// What the command line says, nothing read yet.
#[derive(Clone, Debug)]
pub(crate) struct Flags {
    values: BTreeMap<&'static str, String>,
    /// What the agent logs.
    pub(crate) log_output_level: String,
    /// Log lines are JSON.
    pub(crate) log_as_json: bool,
}

impl Flags {
    /// Flags, and variables for what no flag says.
    pub(crate) fn said(&self, env: &Env) -> Said {
        let flag = |flag: &Flag| self.values.get(flag.long).cloned();
        Said::of(flag, |name| env.text(name))
    }
}

const LEVEL: &str = "log_output_level";
const JSON: &str = "log_as_json";

fn on_the_line() -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(|flag| flag.kind != Kind::Variable)
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let said = on_the_line().filter_map(|flag| Some((flag.long, text(flag.long)?)));
        Ok(Self {
            values: said.collect(),
            log_output_level: text(LEVEL).unwrap_or_else(|| "default:info".to_owned()),
            log_as_json: text(JSON).is_some_and(|value| value == "true"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        let flags = on_the_line().map(|flag| {
            let arg = Arg::new(flag.long).long(flag.long).help(flag.help);
            let arg = match flag.kind {
                Kind::Switch => switch(arg),
                Kind::Value | Kind::Variable => arg.action(ArgAction::Set),
            };
            match flag.short {
                Some(short) => arg.short(short),
                None => arg,
            }
        });
        let level = Arg::new(LEVEL)
            .long(LEVEL)
            .help("What the agent logs: default:info or default:debug");
        let json = switch(Arg::new(JSON).long(JSON).help("Log lines are JSON"));
        command
            .args_override_self(true)
            .args(flags)
            .args([level, json])
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// On when it is named; a value needs an equals sign.
fn switch(arg: Arg) -> Arg {
    arg.num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_the_injector_are_understood() {
        let line = "istio-iptables -p 15001 -z 15006 -u 1337 -m REDIRECT -i * -x  -b * \
                    -d 15090,15021,15020 --log_output_level=default:debug --log_as_json \
                    --run-validation --skip-rule-apply --dual-stack=false -p=15101";
        let command = <Flags as clap::Args>::augment_args(Command::new("istio-iptables"));
        let matches = command.try_get_matches_from(line.split(' ')).unwrap();
        let flags = Flags::from_arg_matches(&matches).unwrap();
        assert!(flags.log_as_json);
        let said = |name: &str| flags.values.get(name).map(String::as_str);
        assert_eq!(said("envoy-port"), Some("15101"));
        assert_eq!(said("istio-service-exclude-cidr"), Some(""));
        assert_eq!(said("istio-local-exclude-ports"), Some("15090,15021,15020"));
        assert_eq!(said("run-validation"), Some("true"));
        assert_eq!(said("dual-stack"), Some("false"));
        assert_eq!(said("native-nftables"), None);
    }
}
