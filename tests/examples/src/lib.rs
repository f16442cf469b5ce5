//! The published examples: cases of others with what is expected of them. They are read where they
//! lie, and are no part of the repository, so tests may find none.

use std::env;
use std::path::{Path, PathBuf};

/// They must be there, and are not.
#[derive(Debug)]
pub struct Absent(PathBuf);

impl std::fmt::Display for Absent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(dir) = self;
        let dir = dir.display();
        write!(
            f,
            "there are no examples in {dir}, and MELTEMI_EXAMPLES_REQUIRED is set; \
             say in MELTEMI_EXAMPLES where they are"
        )
    }
}

impl std::error::Error for Absent {}

/// The directory of one kind of examples (`inject`, say): in that of `MELTEMI_EXAMPLES`, else beside
/// the repository. `None` when they are absent, which is said on stderr.
///
/// # Errors
/// They are absent, and `MELTEMI_EXAMPLES_REQUIRED` is set.
pub fn find(kind: &str) -> Result<Option<PathBuf>, Absent> {
    let named = env::var_os("MELTEMI_EXAMPLES").map(PathBuf::from);
    let required = env::var_os("MELTEMI_EXAMPLES_REQUIRED").is_some();
    look(&named.unwrap_or_else(beside), kind, required)
}

/// `../shared/examples` of the repository.
fn beside() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let parent = here.ancestors().nth(3).unwrap_or(here);
    parent.join("shared/examples")
}

fn look(all: &Path, kind: &str, required: bool) -> Result<Option<PathBuf>, Absent> {
    let dir = all.join(kind);
    if dir.is_dir() {
        return Ok(Some(dir));
    }
    if required {
        return Err(Absent(dir));
    }
    let dir = dir.display();
    eprintln!("there are no examples in {dir}: what reads them is left out");
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics when it fails")]
    use super::*;

    #[test]
    fn what_is_absent_is_missed_only_where_it_is_required() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(look(here, "src", true).unwrap(), Some(here.join("src")));
        assert_eq!(look(here, "none", false).unwrap(), None);
        let error = look(here, "none", true).unwrap_err().to_string();
        assert!(error.contains("tests/examples/none"), "{error}");
    }

    #[test]
    fn they_lie_beside_the_repository() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let repository = repository.canonicalize().unwrap();
        let examples = repository.parent().unwrap().join("shared/examples");
        assert_eq!(beside(), examples);
    }
}
