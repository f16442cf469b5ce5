//! What a proxy says of itself against what is proved of it (reliability.md T02-T04).
//!
//! Other than in Istio, what it leaves empty is not skipped but filled in: everything behind reads
//! namespace and account from the node, and so reads what is proved.

use std::sync::Arc;

use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::google::protobuf::Value;
use meltemi_proto::google::protobuf::value::Kind;
use meltemi_types::NodeId;

use super::{Account, Identity};
use crate::error::Unacceptable;
use crate::source::Refusal;

/// The group that a machine wants to join.
const GROUP: &str = "AUTO_REGISTER_GROUP";

/// Makes sure that `node` is of the caller, and fills in what it does not say.
pub(crate) fn conform(node: &mut Node, identity: &Identity) -> Result<(), Refusal> {
    let (account, pod) = match identity {
        Identity::Unasked => return Ok(()),
        Identity::Proxy { account, pod } => (account, pod.as_ref()),
        Identity::DebugOnly { account } => {
            let Account { namespace, name } = account;
            return Err(Refusal::Denied(format!(
                "{namespace}/{name} has shown a token that is bound to no pod, which gets debug \
                 types only; use the projected token of the pod"
            )));
        }
    };
    let id: NodeId = node
        .id
        .parse()
        .map_err(|e: meltemi_types::Invalid| Refusal::BadNode(e.to_string()))?;
    let (name, namespace) = id.pod();
    let Account {
        namespace: own,
        name: service_account,
    } = account;
    same("node.id", "namespace", (namespace, own.as_str()))?;
    if let Some(pod) = pod {
        same("node.id", "pod", (name, pod))?;
    }
    claim(node, "NAMESPACE", ("namespace", own.as_str()))?;
    claim(
        node,
        "SERVICE_ACCOUNT",
        ("service account", service_account.as_str()),
    )?;
    if let Some(pod) = pod {
        claim(node, "NAME", ("pod", pod))?;
    }
    joins_nothing(node)
}

/// Registration of machines in groups does not exist, and who asks for it must not believe that it
/// does (T19).
fn joins_nothing(node: &Node) -> Result<(), Refusal> {
    let metadata = node.metadata.as_ref();
    match metadata.and_then(|metadata| metadata.fields.get(GROUP)) {
        None => Ok(()),
        Some(_) => Err(Refusal::Denied(format!(
            "node.metadata.{GROUP} asks to join a WorkloadGroup, which is not supported; create a \
             WorkloadEntry instead"
        ))),
    }
}

fn same(at: &str, what: &str, (said, proved): (&str, &str)) -> Result<(), Refusal> {
    match said == proved {
        true => Ok(()),
        false => Err(Refusal::Denied(format!(
            "{at} says {what} {said:?}, but the caller is of {what} {proved:?}; a proxy gets its \
             own configuration only"
        ))),
    }
}

/// A key of the metadata says what is proved; it is set when it is absent or empty.
fn claim(node: &mut Node, key: &str, (what, proved): (&str, &str)) -> Result<(), Refusal> {
    let metadata = node.metadata.get_or_insert_default();
    let said = metadata.fields.get(key).and_then(|v| v.kind.as_ref());
    match said {
        None | Some(Kind::NullValue(_)) => {}
        Some(Kind::StringValue(text)) if text.is_empty() => {}
        Some(Kind::StringValue(text)) => {
            let at = format!("node.metadata.{key}");
            return same(&at, what, (text, proved));
        }
        Some(
            Kind::BoolValue(_) | Kind::NumberValue(_) | Kind::StructValue(_) | Kind::ListValue(_),
        ) => {
            return Err(Refusal::Denied(format!(
                "node.metadata.{key} is no text; say the {what}, or nothing"
            )));
        }
    }
    let kind = Some(Kind::StringValue(proved.to_owned()));
    metadata.fields.insert(key.to_owned(), Value { kind });
    Ok(())
}

/// A stream is of one node: who says another one later is refused.
pub(crate) fn same_node(first: &Arc<str>, later: Option<&Node>) -> Result<(), Unacceptable> {
    match later {
        Some(node) if !node.id.is_empty() && node.id != **first => {
            Err(Unacceptable::OtherNode(node.id.clone()))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_proto::google::protobuf::Struct;

    const ID: &str = "sidecar~10.0.0.1~web-0.shop~shop.svc.cluster.local";

    fn node(id: &str, metadata: &[(&str, Kind)]) -> Node {
        let value = |kind: &Kind| Value {
            kind: Some(kind.clone()),
        };
        let fields = metadata.iter().map(|(k, v)| ((*k).to_owned(), value(v)));
        Node {
            id: id.to_owned(),
            metadata: Some(Struct {
                fields: fields.collect(),
            }),
            ..Node::default()
        }
    }

    fn text(text: &str) -> Kind {
        Kind::StringValue(text.to_owned())
    }

    fn proxy(pod: Option<&str>) -> Identity {
        Identity::Proxy {
            account: account(),
            pod: pod.map(Into::into),
        }
    }

    fn account() -> Account {
        Account {
            namespace: "shop".parse().unwrap(),
            name: "web".parse().unwrap(),
        }
    }

    fn said(node: &Node, key: &str) -> Option<Kind> {
        node.metadata.as_ref()?.fields.get(key)?.kind.clone()
    }

    #[test]
    fn what_is_not_said_is_what_is_proved() {
        for metadata in [&[][..], &[("NAMESPACE", text("")), ("NAME", text(""))]] {
            let mut node = node(ID, metadata);
            conform(&mut node, &proxy(Some("web-0"))).unwrap();
            assert_eq!(said(&node, "NAMESPACE"), Some(text("shop")));
            assert_eq!(said(&node, "SERVICE_ACCOUNT"), Some(text("web")));
            assert_eq!(said(&node, "NAME"), Some(text("web-0")));
        }
    }

    #[test]
    fn who_says_to_be_somebody_else_is_denied() {
        let other = "sidecar~10.0.0.1~web-0.bank~shop.svc.cluster.local";
        let pod = "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local";
        let cases = [
            (node(other, &[]), "namespace \"bank\""),
            (node(pod, &[]), "pod \"web-1\""),
            (
                node(ID, &[("NAMESPACE", text("bank"))]),
                "node.metadata.NAMESPACE",
            ),
            (
                node(ID, &[("SERVICE_ACCOUNT", text("root"))]),
                "service account \"root\"",
            ),
            (node(ID, &[("NAME", text("web-1"))]), "node.metadata.NAME"),
            (
                node(ID, &[("NAMESPACE", Kind::NumberValue(1.0))]),
                "is no text",
            ),
        ];
        for (mut node, words) in cases {
            match conform(&mut node, &proxy(Some("web-0"))) {
                Err(Refusal::Denied(why)) => assert!(why.contains(words), "{why}"),
                other => panic!("{words}: {other:?}"),
            }
        }
        let unreadable = conform(&mut node("web-0.shop", &[]), &proxy(None));
        assert!(matches!(unreadable, Err(Refusal::BadNode(_))));
    }

    #[test]
    fn a_certificate_proves_an_account_and_no_pod() {
        let mut node = node(ID, &[("NAME", text("web-7"))]);
        conform(&mut node, &proxy(None)).unwrap();
        assert_eq!(said(&node, "NAME"), Some(text("web-7")));
    }

    #[test]
    fn a_person_gets_no_configuration() {
        let identity = Identity::DebugOnly { account: account() };
        let denied = conform(&mut node(ID, &[]), &identity);
        assert!(matches!(denied, Err(Refusal::Denied(_))));
    }

    #[test]
    fn a_stream_is_of_one_node() {
        let first: Arc<str> = ID.into();
        assert_eq!(same_node(&first, None), Ok(()));
        assert_eq!(same_node(&first, Some(&node(ID, &[]))), Ok(()));
        assert_eq!(same_node(&first, Some(&node("", &[]))), Ok(()));
        assert!(same_node(&first, Some(&node("sidecar~1.1.1.1~b.c~d", &[]))).is_err());
    }
}
