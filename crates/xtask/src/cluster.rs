//! `cargo xtask cluster`: a real one-node Kubernetes on this machine, to play with and for tests.

mod build;
mod images;

use crate::shell::say;
use anyhow::{Result, bail};
use clap::Subcommand;
use meltemi_testkit::cluster::access::environment;
use meltemi_testkit::cluster::{self, Cluster, Lifetime, Options};
use std::path::PathBuf;

pub(crate) use build::{istioctl, programs};
pub(crate) use images::{Programs, archives};

/// What to do with it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    /// Which one; clusters of different names run side by side.
    #[arg(long, global = true, default_value = "local")]
    name: String,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start it (the first time: build it, about 15 minutes) and print how to reach it.
    Up,
    /// End it, or what is left of it, and leave nothing behind.
    Down,
    /// Print the lines that a shell evaluates: eval "$(cargo xtask cluster env)".
    Env,
    /// Build what it is made of, and start nothing.
    Build,
    /// Build images of ours and give them to it: docker.io/meltemi/NAME:dev.
    Load {
        /// Which images; all when none is named.
        #[arg(value_parser = images::names())]
        images: Vec<String>,
    },
    /// Write the tree that an image's Containerfile is built on, for other builders.
    Tree {
        /// The image.
        #[arg(value_parser = images::names())]
        image: String,
        /// Where its `rootfs` goes.
        dir: PathBuf,
    },
}

/// Does it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let name = &args.name;
    match &args.action {
        Action::Up => up(name)?,
        Action::Down => {
            cluster::check_needs()?;
            say(&format!("ending the cluster {name}"));
            cluster::down(name)?;
            say("nothing is left of it");
        }
        Action::Env => print!("{}", environment(Cluster::of(name)?.places())),
        Action::Build => programs()?,
        Action::Load { images } => {
            let cluster = Cluster::of(name)?;
            for archive in archives(images, Programs::Build)? {
                say(&format!("giving {} to the node", archive.display()));
                cluster.import(&archive)?;
            }
        }
        Action::Tree { image, dir } => images::tree(image, dir)?,
    }
    Ok(0)
}

fn up(name: &str) -> Result<()> {
    cluster::check_needs()?;
    if let Ok(running) = Cluster::of(name)
        && running.kubectl().run(&["get", "--raw", "/readyz"]).is_ok()
    {
        say(&format!("the cluster {name} is up already"));
        return told(&running);
    }
    programs()?;
    say(&format!("starting the cluster {name}"));
    let options = Options {
        name: name.to_owned(),
        lifetime: Lifetime::Detached,
        images: Vec::new(),
    };
    told(&Cluster::up(&options, &mut say)?)
}

fn told(cluster: &Cluster) -> Result<()> {
    let places = cluster.places();
    println!("KUBECONFIG={}", places.kubeconfig().display());
    let name = match places.name() {
        "local" => String::new(),
        other => format!(" --name {other}"),
    };
    say(&format!(
        "use it: eval \"$(cargo xtask cluster env{name})\", then kubectl, helm, ctr, in-cluster PROGRAM"
    ));
    let Some(path) = places.wrappers().to_str().map(str::to_owned) else {
        bail!("the path of the cache is not text");
    };
    say(&format!(
        "the wrappers are in {path}; its network has no other way in"
    ));
    Ok(())
}
