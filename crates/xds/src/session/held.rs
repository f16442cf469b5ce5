//! What a client holds under one name, as far as one can know.

use std::sync::Arc;

use meltemi_proto::resource::Encoded;

/// What a client has under one name.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    /// This resource.
    Sent(Arc<Encoded>),
    /// This version, as it said on reconnect; its content is not known.
    Reported(Arc<str>),
    /// It was told that there is none.
    Absent,
    /// This, or what a refused response brought, of which any part may have been applied. It is
    /// never [`Self::Unsure`] itself.
    Unsure(Box<Self>),
}

impl Held {
    /// The version, when it is certain and there is one.
    pub(super) fn version(&self) -> Option<&Arc<str>> {
        match self {
            Self::Sent(resource) => Some(&resource.version),
            Self::Reported(version) => Some(version),
            Self::Absent | Self::Unsure(_) => None,
        }
    }

    /// What was certain last.
    pub(super) fn certain(&self) -> &Self {
        match self {
            Self::Unsure(last) => last,
            Self::Sent(_) | Self::Reported(_) | Self::Absent => self,
        }
    }
}

impl From<Option<Arc<Encoded>>> for Held {
    fn from(brought: Option<Arc<Encoded>>) -> Self {
        brought.map_or(Self::Absent, Self::Sent)
    }
}
