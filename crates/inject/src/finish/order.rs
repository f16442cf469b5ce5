//! The order of containers. What runs first matters: init containers of the user need the network
//! before its capture is set up and the proxy runs, or after both.

use super::Work;
use crate::pod::{self, PROXY};
use serde_json::Value;

const INIT: &str = "istio-init";
const VALIDATION: &str = "istio-validation";
const CORE_DUMP: &str = "enable-core-dump";

#[derive(Clone, Copy)]
enum To {
    First,
    Last,
}

/// Puts the containers of a pod in order.
pub(super) fn containers(work: &mut Work<'_>) {
    let values = &work.settings.values;
    let holds = work.proxy.hold_application_until_proxy_starts == Some(true)
        || values.flag("global.proxy.holdApplicationUntilProxyStarts");
    let is_native = pod::container(&work.pod, "initContainers", PROXY).is_some();
    let place = if holds { To::First } else { To::Last };
    shift(&mut work.pod, "containers", &[(PROXY, place)]);
    let moves: &[(&str, To)] = match is_native {
        true => &[
            (CORE_DUMP, To::First),
            (PROXY, To::First),
            (VALIDATION, To::First),
            (INIT, To::First),
        ],
        false => &[
            (VALIDATION, To::First),
            (INIT, To::Last),
            (CORE_DUMP, To::Last),
        ],
    };
    shift(&mut work.pod, "initContainers", moves);
}

fn shift(pod: &mut Value, list: &str, moves: &[(&str, To)]) {
    if pod::containers(pod, list).is_empty() {
        return;
    }
    let all = pod::list_mut(pod, list);
    for (name, to) in moves {
        let Some(at) = all
            .iter()
            .position(|container| pod::name(container) == *name)
        else {
            continue;
        };
        let container = all.remove(at);
        match to {
            To::First => all.insert(0, container),
            To::Last => all.push(container),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn containers_move_to_their_ends() {
        let mut pod =
            json!({"spec": {"initContainers": [{"name": "a"}, {"name": INIT}, {"name": "b"}]}});
        shift(
            &mut pod,
            "initContainers",
            &[("b", To::First), (INIT, To::Last), ("c", To::Last)],
        );
        let names: Vec<&str> = pod::containers(&pod, "initContainers")
            .iter()
            .map(pod::name)
            .collect();
        assert_eq!(names, ["b", "a", INIT]);
    }
}
