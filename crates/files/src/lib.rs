//! The laptop's door: a watched directory of YAML, typed changes out.
//!
//! * [`Directory`]: a directory that is read once, then followed.
//! * [`Single`]: a file that a flag names, the same way.
//! * [`read`], [`documents`]: files, directories and texts, once, for command lines.
//!
//! A mistake never takes anything away: a broken document keeps the object's last good version,
//! a file that cannot be read or told apart keeps all of its objects, an empty or missing file is
//! believed after a moment only (editors truncate and rename while they save).
#![deny(missing_docs)]

mod directory;
mod error;
mod follow;
mod ledger;
mod once;
mod scan;
mod single;

pub use directory::{Directory, Options};
pub use error::{FollowError, OpenError};
pub use once::{Input, Named, documents, read, read_mesh_config, texts};
pub use single::{Content, Single};
