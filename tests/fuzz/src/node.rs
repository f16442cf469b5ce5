//! What a proxy says of itself: a node id, then its metadata as JSON.

use meltemi_model::Proxy;
use meltemi_model::proxy::NodeFacts;

/// A node is understood or refused with a reason; what is understood is understood again from the
/// id that it is known by, which spells addresses in their usual way.
pub(crate) fn metadata(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (id, json) = text.split_once('\n').unwrap_or((&text, ""));
    let facts = NodeFacts {
        id: id.to_owned(),
        metadata: serde_json::from_str(json).unwrap_or_default(),
        ..NodeFacts::default()
    };
    match Proxy::understand(&facts) {
        Ok(proxy) => {
            assert!(!proxy.ips.is_empty(), "a proxy without an address");
            let again = NodeFacts {
                id: proxy.node.to_string(),
                ..facts
            };
            let again = Proxy::understand(&again).map(|again| again.node);
            assert_eq!(again, Ok(proxy.node), "the id says the same again");
        }
        Err(refused) => assert!(!refused.to_string().is_empty(), "a refusal says why"),
    }
}
