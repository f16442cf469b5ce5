//! The part of a Containerfile that our images use: an empty base, one tree, who runs what.
//!
//! Every other instruction is an error, so that an image made here never differs in silence from
//! one that another builder makes of the same file.

use anyhow::{Result, bail, ensure};

/// What a Containerfile says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Containerfile {
    /// Who runs it, as `UID:GID`; root when empty.
    pub user: String,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Variables, as `NAME=VALUE`.
    pub env: Vec<String>,
}

impl Containerfile {
    /// Reads one.
    ///
    /// # Errors
    /// It has an instruction that is not known here, or copies something else than `rootfs/` to
    /// `/`; the error has the line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut read = Self::default();
        let mut copied = false;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match (word, rest.trim()) {
                ("ARG", "BASE=scratch") | ("FROM", "scratch" | "${BASE}") => {}
                ("COPY", "rootfs/ /") => copied = true,
                ("USER", user) => user.clone_into(&mut read.user),
                ("ENV", variable) => read.env.push(variable.to_owned()),
                ("ENTRYPOINT", words) => read.entrypoint = serde_json::from_str(words)?,
                _ => bail!("`{line}` is not understood here"),
            }
        }
        ensure!(copied, "`COPY rootfs/ /` is missing");
        ensure!(!read.entrypoint.is_empty(), "ENTRYPOINT is missing");
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::places::sources;

    #[test]
    fn our_own_are_understood() {
        let mut seen = 0;
        for entry in std::fs::read_dir(sources().join("images")).unwrap() {
            let path = entry.unwrap().path().join("Containerfile");
            let text = std::fs::read_to_string(&path).unwrap();
            let read = Containerfile::parse(&text);
            assert!(read.is_ok(), "{}: {read:?}", path.display());
            seen += 1;
        }
        assert!(seen >= 5, "only {seen} images");
    }

    #[test]
    fn all_parts_are_read() {
        let text = "# one\nARG BASE=scratch\nFROM ${BASE}\nCOPY rootfs/ /\nENV A=b c\n\
                    USER 7:8\nENTRYPOINT [\"/a\", \"-b\"]\n";
        let expected = Containerfile {
            user: "7:8".to_owned(),
            entrypoint: vec!["/a".to_owned(), "-b".to_owned()],
            env: vec!["A=b c".to_owned()],
        };
        assert_eq!(Containerfile::parse(text).unwrap(), expected);
    }

    #[test]
    fn other_instructions_are_refused() {
        let text = "FROM scratch\nCOPY rootfs/ /\nRUN make\nENTRYPOINT [\"/a\"]\n";
        let error = Containerfile::parse(text).unwrap_err().to_string();
        assert!(error.contains("`RUN make`"), "{error}");
        assert!(Containerfile::parse("FROM scratch\nENTRYPOINT [\"/a\"]\n").is_err());
    }
}
