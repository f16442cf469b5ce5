//! What the runtime wants, by its environment variables.

use super::failure::Failure;

/// The variable by which a runtime says what it wants.
pub(crate) const COMMAND: &str = "CNI_COMMAND";

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// A container comes.
    Add,
    /// It goes.
    Del,
    /// Is it as it was made?
    Check,
    /// Which versions are spoken?
    Version,
    /// Could a container come now?
    Status,
    /// What does not belong to these containers may go.
    Gc,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) verb: Verb,
    /// The path of the network namespace.
    namespace: Option<String>,
    /// Empty when the runtime names none.
    pub(super) pod_namespace: String,
    pub(super) pod_name: String,
    pub(super) pod_uid: String,
}

impl Call {
    /// Reads the variables.
    pub(super) fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let text = |name: &str| variable(name).unwrap_or_default();
        let verb = match text(COMMAND).as_str() {
            "ADD" => Verb::Add,
            "DEL" => Verb::Del,
            "CHECK" => Verb::Check,
            "VERSION" => Verb::Version,
            "STATUS" => Verb::Status,
            "GC" => Verb::Gc,
            other => {
                let why =
                    format!("{COMMAND} is {other:?}; use ADD, DEL, CHECK, VERSION, STATUS or GC");
                return Err(Failure::environment(why));
            }
        };
        let args = text("CNI_ARGS");
        let arg = |name: &str| {
            let mut pairs = args.split(';').filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(key, _)| key.trim() == name);
            found.map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        Ok(Self {
            verb,
            namespace: variable("CNI_NETNS").filter(|path| !path.is_empty()),
            pod_namespace: arg("K8S_POD_NAMESPACE"),
            pod_name: arg("K8S_POD_NAME"),
            pod_uid: arg("K8S_POD_UID"),
        })
    }

    /// The path of the network namespace.
    pub(super) fn namespace(&self) -> Result<String, Failure> {
        let missing =
            || Failure::environment("CNI_NETNS is missing: the path of a network namespace");
        self.namespace.clone().ok_or_else(missing)
    }

    /// The pod for people.
    pub(super) fn pod(&self) -> String {
        format!("{}/{}", self.pod_namespace, self.pod_name)
    }
}
