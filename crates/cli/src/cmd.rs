//! The commands: arguments in, an answer out. None of them writes.

pub(crate) mod completion;
pub(crate) mod explain_code;
pub(crate) mod inject;
pub(crate) mod proxy_config;
pub(crate) mod proxy_status;
pub(crate) mod test;
pub(crate) mod token;
pub(crate) mod translate;
pub(crate) mod validate;
pub(crate) mod version;
