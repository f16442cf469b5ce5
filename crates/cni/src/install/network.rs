//! The folder of the node's network configurations. Runtimes use the first file, by name, that is
//! valid; there our entry goes last into the chain. What was there before is kept beside it, under a
//! name that no runtime reads, so that it comes back byte for byte.
//!
//! The surprise: a file with a single plugin cannot hold a chain. A list of the same name takes its
//! place, and it is moved aside, because `.conf` comes before `.conflist`.

use super::args::Args;
use super::conflist::Conflist;
use super::{NAME, file};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The file that a node without a chain gets, for Multus.
const ALONE: &str = "YYY-istio-cni.conf";
/// The name of the network in it, which a NetworkAttachmentDefinition says.
const NETWORK: &str = "istio-cni";

/// The folder, and what is wanted of it.
pub(super) struct Network {
    folder: PathBuf,
    /// Empty is the first one.
    only: String,
    chained: bool,
    entry: Value,
}

impl Network {
    /// What the flags say.
    pub(super) fn new(args: &Args) -> Self {
        let excluded: Vec<&String> = args.exclude_namespaces.iter().collect();
        let excluded: Vec<_> = excluded.iter().filter(|one| !one.is_empty()).collect();
        let prefix = match args.daemon_set.as_str() {
            "" => String::new(),
            name => format!("{name}-"),
        };
        Self {
            folder: args.conf_dir.clone(),
            only: args.conf_name.clone(),
            chained: args.chained,
            entry: json!({
                "type": NAME,
                "plugin_log_level": args.plugin_log_level,
                "cni_agent_run_dir": args.run_dir,
                "exclude_namespaces": excluded,
                "pod_namespace": args.pod_namespace,
                "own_pod_prefix": prefix,
                "native_nftables": args.native_nftables,
            }),
        }
    }

    /// Brings the entry to where runtimes find it, and away from where they do not; what was changed.
    ///
    /// # Errors
    /// There is no configuration yet, or it cannot hold a chain or be written.
    pub(super) fn install(&self) -> Result<Vec<String>, String> {
        let mut changed = Vec::new();
        if !self.chained {
            let path = self.folder.join(self.alone());
            let mut whole = self.entry.clone();
            if let Value::Object(whole) = &mut whole {
                whole.insert("cniVersion".to_owned(), json!("0.3.1"));
                whole.insert("name".to_owned(), json!(NETWORK));
            }
            if file::put(&path, format!("{whole:#}\n").as_bytes(), 0o644)? {
                changed.push(path.display().to_string());
            }
            return Ok(changed);
        }
        let target = self.target()?;
        for other in self.lists()? {
            if other != target && other != list_of(&target) {
                changed.extend(self.take_out(&other)?);
            }
        }
        changed.extend(self.put_into(&target)?);
        Ok(changed)
    }

    /// Takes the entry out of everything; what was changed.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(super) fn remove(&self) -> Result<Vec<String>, String> {
        let mut changed = Vec::new();
        for path in self.lists()? {
            changed.extend(self.take_out(&path)?);
        }
        let alone = self.folder.join(self.alone());
        let is_ours = |text: Vec<u8>| Conflist::of_single(&text).is_some_and(|one| one.has(NAME));
        if !self.chained && std::fs::read(&alone).is_ok_and(is_ours) {
            file::remove(&alone)?;
            changed.push(alone.display().to_string());
        }
        Ok(changed)
    }

    fn alone(&self) -> &str {
        match self.only.as_str() {
            "" => ALONE,
            name => name,
        }
    }

    /// The configuration that runtimes use.
    fn target(&self) -> Result<PathBuf, String> {
        let missing = |what: String| {
            Err(format!(
                "{what}; the network of this node must be installed first"
            ))
        };
        if !self.only.is_empty() {
            let named = self.folder.join(&self.only);
            let found = [list_of(&named), named]
                .into_iter()
                .find(|path| read(path).is_some());
            return match found {
                Some(path) => Ok(path),
                None => missing(format!(
                    "{} is no configuration in {}",
                    self.only,
                    self.folder.display()
                )),
            };
        }
        let mut all = self.files()?.into_iter();
        match all.find(|path| read(path).is_some()) {
            Some(path) => Ok(path),
            None => missing(format!("no configuration in {}", self.folder.display())),
        }
    }

    /// The files that runtimes look at, by name.
    fn files(&self) -> Result<Vec<PathBuf>, String> {
        let why = |e: std::io::Error| format!("{}: {e}", self.folder.display());
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(why)? {
            let path = entry.map_err(why)?.path();
            if matches!(extension(&path), "conf" | "conflist" | "json") {
                all.push(path);
            }
        }
        all.sort();
        Ok(all)
    }

    fn lists(&self) -> Result<Vec<PathBuf>, String> {
        let all = self.files()?.into_iter();
        Ok(all.filter(|path| extension(path) == "conflist").collect())
    }

    fn put_into(&self, path: &Path) -> Result<Vec<String>, String> {
        let named = |why: String| format!("{}: {why}", path.display());
        let text = std::fs::read(path).map_err(|e| named(e.to_string()))?;
        let found =
            read_text(path, &text).ok_or_else(|| named("it has just changed".to_owned()))?;
        let wanted = found.with(&self.entry).map_err(named)?;
        let mode = 0o644;
        if extension(path) == "conflist" {
            if found == wanted {
                return Ok(Vec::new());
            }
            if !found.has(NAME) {
                file::put(&aside(path), &text, mode)?;
            }
            file::put(path, &wanted.text(), mode)?;
            return Ok(vec![path.display().to_string()]);
        }
        let list = list_of(path);
        if read(&list).is_some_and(|list| !list.has(NAME)) {
            let list = list.display();
            return Err(named(format!(
                "it cannot become a list, because {list} is there; take one of both away"
            )));
        }
        file::put(&list, &wanted.text(), mode)?;
        let moved = std::fs::rename(path, aside(path));
        moved.map_err(|e| named(format!("cannot move it aside: {e}")))?;
        Ok(vec![list.display().to_string()])
    }

    fn take_out(&self, path: &Path) -> Result<Option<String>, String> {
        let Some(found) = read(path).filter(|found| found.has(NAME)) else {
            return Ok(None);
        };
        let rest = found.without(NAME);
        let single = ["conf", "json"].map(|end| path.with_extension(end));
        let original = single.iter().find(|one| aside(one).exists());
        match original {
            Some(single) if reads_as(single, &aside(single), &rest) => {
                let why = |e: std::io::Error| format!("{}: {e}", single.display());
                // Before the list in the order of names: from here on runtimes use it again.
                std::fs::rename(aside(single), single).map_err(why)?;
                file::remove(path)?;
            }
            Some(_) | None => {
                let kept = aside(path);
                let text = match reads_as(path, &kept, &rest) {
                    true => std::fs::read(&kept).map_err(|e| format!("{}: {e}", kept.display()))?,
                    false => rest.text(),
                };
                file::put(path, &text, 0o644)?;
                file::remove(&kept)?;
            }
        }
        Ok(Some(path.display().to_string()))
    }
}

fn extension(path: &Path) -> &str {
    let extension = path.extension().and_then(|end| end.to_str());
    extension.unwrap_or_default()
}

/// The list that takes the place of a single plugin.
fn list_of(path: &Path) -> PathBuf {
    path.with_extension("conflist")
}

/// Where the text from before is kept.
fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.before-{NAME}"))
}

fn read(path: &Path) -> Option<Conflist> {
    read_text(path, &std::fs::read(path).ok()?)
}

fn read_text(path: &Path, text: &[u8]) -> Option<Conflist> {
    match extension(path) {
        "conflist" => Conflist::of_list(text),
        _ => Conflist::of_single(text),
    }
}

/// Whether the text that was kept of a file means this chain.
fn reads_as(path: &Path, kept: &Path, chain: &Conflist) -> bool {
    let text = std::fs::read(kept).ok();
    text.and_then(|text| read_text(path, &text)).as_ref() == Some(chain)
}

#[cfg(test)]
mod tests;
