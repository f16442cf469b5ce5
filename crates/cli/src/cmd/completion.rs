//! `meltemi completion`: scripts that complete commands and flags, made from the words themselves,
//! so that they cannot lag behind them.

use crate::args::Cli;
use crate::args::live::{Completion, Shell};
use crate::failure::Answer;
use clap::{Command, CommandFactory};
use std::fmt::Write;

/// A path of commands and the words that can follow it.
struct Place {
    path: Vec<String>,
    commands: Vec<String>,
    flags: Vec<String>,
}

/// The script.
pub(crate) fn run(args: &Completion) -> Answer {
    let mut places = Vec::new();
    walk(&Cli::command(), &mut Vec::new(), &mut places);
    let bash = bash(&places);
    Answer::fine(match args.shell {
        Shell::Bash => bash,
        Shell::Zsh => format!("autoload -U +X bashcompinit && bashcompinit\n{bash}"),
        Shell::Fish => fish(&places),
    })
}

fn walk(command: &Command, path: &mut Vec<String>, places: &mut Vec<Place>) {
    let visible = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let subs: Vec<&Command> = visible.collect();
    let names = |sub: &&Command| {
        let aliases = sub.get_visible_aliases().map(str::to_owned);
        std::iter::once(sub.get_name().to_owned())
            .chain(aliases)
            .collect::<Vec<_>>()
    };
    let longs = command.get_arguments().filter_map(|arg| arg.get_long());
    places.push(Place {
        path: path.clone(),
        commands: subs.iter().flat_map(names).collect(),
        flags: longs
            .map(|long| format!("--{long}"))
            .chain(["--help".to_owned()])
            .collect(),
    });
    for sub in &subs {
        for name in names(sub) {
            path.push(name);
            walk(sub, path, places);
            path.pop();
        }
    }
}

fn bash(places: &[Place]) -> String {
    let mut script = "_meltemi() {\n  local word path=\"\"\n  \
                      local current=\"${COMP_WORDS[COMP_CWORD]}\"\n  \
                      for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n    \
                      case \"$path $word\" in\n"
        .to_owned();
    let paths: Vec<String> = places.iter().map(|place| shown(&place.path)).collect();
    let known: Vec<String> = paths
        .iter()
        .filter(|path| !path.is_empty())
        .map(|path| format!("\"{path}\""))
        .collect();
    // Writing to a text does not fail.
    let _ = write!(
        script,
        "      {}) path=\"$path $word\" ;;\n    esac\n  done\n",
        known.join("|")
    );
    script.push_str("  local words=\"\"\n  case \"$path\" in\n");
    for (place, path) in places.iter().zip(&paths) {
        let words: Vec<&str> = place
            .commands
            .iter()
            .chain(&place.flags)
            .map(String::as_str)
            .collect();
        let _ = writeln!(script, "    \"{path}\") words=\"{}\" ;;", words.join(" "));
    }
    script.push_str("  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\n");
    script.push_str("complete -o default -F _meltemi meltemi\n");
    script
}

fn shown(path: &[String]) -> String {
    path.iter().map(|word| format!(" {word}")).collect()
}

fn fish(places: &[Place]) -> String {
    let mut script = String::new();
    for Place {
        path,
        commands,
        flags,
    } in places
    {
        let seen: Vec<String> = path
            .iter()
            .map(|word| format!("__fish_seen_subcommand_from {word}"))
            .collect();
        let condition = match seen.is_empty() {
            true => "__fish_use_subcommand".to_owned(),
            false => seen.join("; and "),
        };
        for command in commands {
            let _ = writeln!(script, "complete -c meltemi -n '{condition}' -a {command}");
        }
        for flag in flags {
            let long = flag.trim_start_matches('-');
            let _ = writeln!(script, "complete -c meltemi -n '{condition}' -l {long}");
        }
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_flag_is_there() {
        let of = |shell| run(&Completion { shell }).text;
        let bash = of(Shell::Bash);
        let line = bash
            .lines()
            .find(|l| l.trim_start().starts_with("\" pc cluster\")"));
        assert!(line.unwrap().contains("--fqdn"), "{bash}");
        assert!(of(Shell::Zsh).ends_with(&bash));
        let fish = of(Shell::Fish);
        let wanted = "complete -c meltemi -n '__fish_seen_subcommand_from version' -l remote";
        assert!(fish.lines().any(|l| l == wanted), "{fish}");
    }
}
