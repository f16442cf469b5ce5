//! Answers what people and tools ask about the control plane: the debug pages, over HTTP and, as
//! istioctl does it, as questions on an ADS stream.
//!
//! Both ways show the same pages ([`pages`]). What somebody may see is a [`View`]: accounts of the
//! root namespace see everything, others the proxies of their own namespace (Istio's rule; T64).

pub(crate) mod pages;

mod dump;
mod objects;
mod registry;
mod rules;
mod streams;

use crate::about::About;
use crate::callers::View;
use crate::plane::Plane;
use crate::webhook::Injector;
use meltemi_proto::any;
use meltemi_proto::envoy::service::status::v3::ClientConfig;
use meltemi_proto::resource::Encoded;
use meltemi_proto::urls::PREFIX;
use meltemi_xds::types::{DUMP, PAGE, SYNC};
use meltemi_xds::{
    Answer, Attachment, ClientId, ClientInfo, Event, Question, Refusal, Source, Unanswered,
};
use pages::{Ask, Reply};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What other replicas are asked for after: istioctl looks for these words.
const NOT_HERE: &str =
    "Proxy not connected to this Pilot instance. It may be connected to another instance.\n";

/// The pages that are for proxies of one namespace, so that its own accounts may see them.
const OF_A_PROXY: [&str; 3] = ["config_dump", "edsz", "ndsz"];

/// The plane with a desk in front of it, which answers.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) plane: Plane,
    pub(crate) about: Arc<About>,
    /// What pods are injected by, where they are.
    pub(crate) injector: Option<Arc<Injector>>,
}

impl Desk {
    /// A page, by name.
    pub(crate) fn page(&self, name: &str, ask: &Ask<'_>) -> Reply {
        match pages::find(name) {
            Some(page) => (page.show)(self, ask),
            None => Reply::missing("404 page not found\n"),
        }
    }

    /// What somebody may see.
    fn view(&self, question: &Question<'_>) -> Result<View, Unanswered> {
        let local = question
            .peer
            .is_some_and(|peer| peer.ip().to_canonical().is_loopback());
        match View::of(question.identity, &self.about.namespace) {
            Some(view) => Ok(view),
            None if local && !self.about.strict => Ok(View::All),
            None => Err(Unanswered::Unproved(
                "authentication required: ask over TLS, with a token or a certificate".to_owned(),
            )),
        }
    }

    /// `NAME[?QUERY]`: the page of that name.
    fn written(&self, question: &Question<'_>, view: &View) -> Result<Encoded, Unanswered> {
        let [asked] = question.names else {
            let why = "exactly one debug request is required, as the one resource name";
            return Err(Unanswered::Malformed(why.to_owned()));
        };
        let (name, query) = asked.split_once('?').unwrap_or((asked, ""));
        if *view != View::All && !OF_A_PROXY.contains(&name) {
            return Err(Unanswered::Denied(format!(
                "{name} is for accounts of namespace {}; others may ask for {}",
                self.about.namespace,
                OF_A_PROXY.join(", ")
            )));
        }
        let query = pages::query(query);
        let ask = Ask {
            clients: question.clients,
            query: &query,
            view,
        };
        Ok(Encoded::new(
            asked.as_str(),
            PAGE,
            self.page(name, &ask).text(),
        ))
    }

    /// A `ClientConfig` for each proxy.
    fn synced(&self, question: &Question<'_>, view: &View) -> Vec<Arc<Encoded>> {
        let configs = streams::client_configs(self, question.clients, view);
        let encode = |(name, config): (Arc<str>, ClientConfig)| {
            let bytes = any::pack(&config).value;
            Arc::new(Encoded::new(name, streams::CLIENT_CONFIG, bytes))
        };
        configs.into_iter().map(encode).collect()
    }

    /// The parts of what a proxy should have.
    fn dumped(&self, question: &Question<'_>, view: &View) -> Result<Vec<Encoded>, Unanswered> {
        let [name] = question.names else {
            let why = "exactly one proxy is required, as the one resource name: POD.NAMESPACE";
            return Err(Unanswered::Malformed(why.to_owned()));
        };
        let Some(held) = self.plane.held(name, view) else {
            return Ok(vec![Encoded::new(name.as_str(), DUMP, NOT_HERE)]);
        };
        let dump = dump::envoys(&held, false).map_err(Unanswered::Failed)?;
        let parts = dump.configs.into_iter().filter_map(|any| {
            let url = dump::PARTS.iter().find(|url| **url == any.type_url)?;
            let short = url.strip_prefix(PREFIX).unwrap_or(url);
            Some(Encoded::new(short, url, any.value))
        });
        Ok(parts.collect())
    }
}

impl Source for Desk {
    fn attach(&self, client: &ClientInfo) -> Result<Attachment, Refusal> {
        self.plane.attach(client)
    }

    fn report(&self, client: ClientId, event: Event) {
        self.plane.report(client, event);
    }

    fn answer(&self, question: &Question<'_>) -> Result<Answer, Unanswered> {
        let view = self.view(question)?;
        let shared = |all: Vec<Encoded>| all.into_iter().map(Arc::new).collect();
        let resources = match question.type_url {
            SYNC => self.synced(question, &view),
            DUMP => shared(self.dumped(question, &view)?),
            _ => shared(vec![self.written(question, &view)?]),
        };
        Ok(Answer {
            control_plane: self.about.control_plane(),
            resources,
        })
    }
}

/// The parts of a query, the last of each name.
pub(crate) type Query = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_xds::debug::Clients;
    use meltemi_xds::{Account, Identity};

    fn desk(strict: bool) -> Desk {
        Desk {
            plane: Plane::default(),
            about: Arc::new(About {
                pod: "istiod-0".to_owned(),
                namespace: "istio-system".parse().unwrap(),
                cluster: "Kubernetes".parse().unwrap(),
                revision: "default".to_owned(),
                strict,
            }),
            injector: None,
        }
    }

    fn person(namespace: &str) -> Identity {
        Identity::DebugOnly {
            account: Account {
                namespace: namespace.parse().unwrap(),
                name: "default".parse().unwrap(),
            },
        }
    }

    /// Somebody, and from where.
    type Asker<'a> = (&'a Identity, &'a str);

    fn ask(
        desk: &Desk,
        (identity, peer): Asker<'_>,
        (type_url, names): (&'static str, &[&str]),
    ) -> Result<Vec<String>, Unanswered> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let answer = desk.answer(&Question {
            type_url,
            names: &names,
            identity,
            peer: Some(peer.parse().unwrap()),
            clients: &Clients::default(),
        })?;
        let text = |r: &Arc<Encoded>| String::from_utf8_lossy(&r.body).into_owned();
        Ok(answer.resources.iter().map(text).collect())
    }

    const HERE: &str = "127.0.0.1:5";
    const AWAY: &str = "10.0.0.7:5";

    #[test]
    fn nobody_in_particular_may_ask_on_loopback_only() {
        let nobody = Identity::Unasked;
        let list = (PAGE, &["list"][..]);
        let said = ask(&desk(false), (&nobody, HERE), list).unwrap();
        assert!(said[0].contains("\"config_dump\""), "{said:?}");
        for (strict, peer) in [(false, AWAY), (true, HERE), (true, AWAY)] {
            let refused = ask(&desk(strict), (&nobody, peer), list);
            assert!(matches!(refused, Err(Unanswered::Unproved(_))), "{peer}");
        }
    }

    #[test]
    fn other_namespaces_ask_about_their_own_proxies_only() {
        let desk = desk(false);
        let (root, shop) = (person("istio-system"), person("shop"));
        for page in ["list", "syncz", "registryz", "mesh"] {
            assert!(ask(&desk, (&root, AWAY), (PAGE, &[page])).is_ok(), "{page}");
            let refused = ask(&desk, (&shop, AWAY), (PAGE, &[page]));
            assert!(matches!(refused, Err(Unanswered::Denied(_))), "{page}");
        }
        for page in OF_A_PROXY {
            let asked = format!("{page}?proxyID=web-0.shop");
            let said = ask(&desk, (&shop, AWAY), (PAGE, &[&asked])).unwrap();
            assert_eq!(said, [NOT_HERE]);
        }
        let said = ask(&desk, (&shop, AWAY), (DUMP, &["web-0.bank"])).unwrap();
        assert_eq!(said, [NOT_HERE]);
        assert!(ask(&desk, (&shop, AWAY), (SYNC, &[])).unwrap().is_empty());
    }

    #[test]
    fn a_question_has_one_name() {
        let root = person("istio-system");
        for (type_url, names) in [(PAGE, &[][..]), (PAGE, &["list", "mesh"]), (DUMP, &[])] {
            let refused = ask(&desk(false), (&root, AWAY), (type_url, names));
            assert!(
                matches!(refused, Err(Unanswered::Malformed(_))),
                "{names:?}"
            );
        }
        let said = ask(&desk(false), (&root, AWAY), (PAGE, &["nothing"])).unwrap();
        assert_eq!(said, ["404 page not found\n"]);
        let said = ask(&desk(false), (&root, AWAY), (PAGE, &["inject"])).unwrap();
        assert_eq!(said, ["{}"], "there is no webhook");
    }

    #[test]
    fn pages_are_in_the_order_of_their_names() {
        let names: Vec<&str> = pages::PAGES.iter().map(|page| page.name).collect();
        assert!(names.is_sorted(), "{names:?}");
    }
}
