//! How a command ends: an answer, or a failure with one of the fixed exit codes.

/// Everything is well; there may be warnings.
pub(crate) const FINE: u8 = 0;
/// A negative answer: an object is in error.
pub(crate) const NEGATIVE: u8 = 1;
/// Wrong usage.
pub(crate) const USAGE: u8 = 64;
/// Input that cannot be read at all.
pub(crate) const UNREADABLE: u8 = 65;
/// No such file or directory.
pub(crate) const NO_INPUT: u8 = 66;
/// A cluster, control plane or proxy cannot be reached.
pub(crate) const UNREACHABLE: u8 = 69;
/// Our own fault.
pub(crate) const INTERNAL: u8 = 70;
/// The API server does not let the caller.
pub(crate) const DENIED: u8 = 77;

/// What a command has to say.
#[derive(Debug)]
pub(crate) struct Answer {
    /// For stdout.
    pub(crate) text: String,
    /// Lines for stderr.
    pub(crate) notes: Vec<String>,
    /// The exit code.
    pub(crate) code: u8,
}

impl Answer {
    /// An answer without anything beside it.
    pub(crate) fn fine(text: String) -> Self {
        Self {
            text,
            notes: Vec::new(),
            code: FINE,
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What is wrong and what to do, in one line; further lines are indented.
    pub(crate) message: String,
    /// Lines for stderr that come before it.
    pub(crate) notes: Vec<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            notes: Vec::new(),
        }
    }

    /// A mistake on the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, message)
    }
}
