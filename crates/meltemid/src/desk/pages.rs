//! The table of debug pages: name, what it is for, what it shows. Names and shapes are istiod's.
//!
//! A page of istiod that is not here shows something that this control plane does not have
//! (caches, the push context); asking for it is `404 page not found`.

use super::{Desk, NOT_HERE, Query, dump, objects, registry, rules, streams};
use crate::callers::View;
use crate::plane::Held;
use meltemi_xds::debug::Clients;
use serde_json::{Value, json};

/// A page.
pub(crate) struct Page {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) show: fn(&Desk, &Ask<'_>) -> Reply,
}

/// Who wants to see what.
pub(crate) struct Ask<'a> {
    pub(crate) clients: &'a Clients,
    pub(crate) query: &'a Query,
    pub(crate) view: &'a View,
}

/// What a page says.
pub(crate) enum Reply {
    Json(Value),
    /// Not what was asked for: an HTTP status and why.
    Refused(u16, String),
}

impl Reply {
    pub(super) fn missing(why: &str) -> Self {
        Self::Refused(404, why.to_owned())
    }

    /// As one text, the way istiod puts it into an answer over xDS.
    pub(super) fn text(self) -> String {
        match self {
            Self::Json(value) => value.to_string(),
            Self::Refused(_, why) => why,
        }
    }
}

const fn page(name: &'static str, help: &'static str, show: fn(&Desk, &Ask<'_>) -> Reply) -> Page {
    Page { name, help, show }
}

/// Every page, by name.
pub(crate) static PAGES: [Page; 22] = [
    page(
        "adsz",
        "Connected proxies, with what they say of themselves",
        |desk, ask| Reply::Json(streams::adsz(desk, ask)),
    ),
    page(
        "authorizationz",
        "Policies of authorization that are in force, by namespace",
        |desk, _| Reply::Json(rules::authorizationz(&desk.plane.snapshot())),
    ),
    page(
        "clusterz",
        "Clusters whose API servers are read",
        |desk, _| Reply::Json(registry::clusterz(desk)),
    ),
    page(
        "config_dump",
        "What a proxy should have, as Envoy would dump it: ?proxyID=POD.NAMESPACE; \
         &include_eds with endpoints; &types=cds,lds (pcds: whom it believes); \
         &form=resources with versions and origins",
        config_dump,
    ),
    page("configz", "Configuration objects in force", |desk, _| {
        Reply::Json(objects::configz(&desk.plane.snapshot()))
    }),
    page("connections", "Connected proxies", |_, ask| {
        Reply::Json(streams::connections(ask))
    }),
    page("diagnosticz", "What is wrong", |desk, _| {
        Reply::Json(objects::diagnosticz(&desk.plane.diagnostics()))
    }),
    page(
        "edsz",
        "Endpoints of a proxy: ?proxyID=POD.NAMESPACE",
        |desk, ask| typed(desk, ask, "eds"),
    ),
    page("endpointShardz", "Endpoints by service", |desk, _| {
        Reply::Json(registry::endpoint_shardz(&desk.plane.snapshot()))
    }),
    page("endpointz", "The same by its old name", |desk, _| {
        Reply::Json(registry::endpoint_shardz(&desk.plane.snapshot()))
    }),
    page(
        "inject",
        "Templates of the injector, by name; ?values for what they are filled in with",
        |desk, ask| rules::inject(desk.injector.as_deref(), ask.query.contains_key("values")),
    ),
    page(
        "instancesz",
        "Which service ports end at which proxy",
        |desk, ask| Reply::Json(streams::instancesz(desk, ask)),
    ),
    page("list", "The names of these pages", |_, _| {
        let names = PAGES.iter().map(|page| page.name);
        Reply::Json(names.filter(|name| *name != "list").collect())
    }),
    page("mesh", "The mesh configuration in force", |desk, _| {
        Reply::Json(json!(*desk.plane.snapshot().mesh.config))
    }),
    page(
        "ndsz",
        "The name table of a proxy: ?proxyID=POD.NAMESPACE",
        |desk, ask| typed(desk, ask, "nds"),
    ),
    page("networkz", "Gateways into networks", |desk, _| {
        Reply::Json(registry::networkz(&desk.plane.snapshot()))
    }),
    page(
        "push_status",
        "What is wrong, by code and object",
        |desk, _| Reply::Json(objects::push_status(&desk.plane.diagnostics())),
    ),
    page("registryz", "Services", |desk, _| {
        Reply::Json(registry::registryz(&desk.plane.snapshot()))
    }),
    page("resourcesz", "Kinds that are watched", |_, _| {
        Reply::Json(objects::resourcesz())
    }),
    page(
        "sidecarz",
        "What a proxy may reach: ?proxyID=POD.NAMESPACE",
        |desk, ask| {
            of_proxy(desk, ask, |held| {
                Ok(registry::sidecarz(&desk.plane.snapshot(), held))
            })
        },
    ),
    page(
        "syncz",
        "How far each connected proxy is: [?namespace=NAMESPACE]",
        |desk, ask| Reply::Json(streams::syncz(desk, ask)),
    ),
    page("telemetryz", "What telemetry is in force", |desk, _| {
        Reply::Json(rules::telemetryz(&desk.plane.snapshot()))
    }),
];

/// The page of that name.
pub(super) fn find(name: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.name == name)
}

/// The parts of a query string; names without a value have an empty one.
pub(super) fn query(text: &str) -> Query {
    let parts = text.split('&').filter(|part| !part.is_empty());
    let pairs = parts.map(|part| part.split_once('=').unwrap_or((part, "")));
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// A page about the proxy that `proxyID` names.
fn of_proxy(desk: &Desk, ask: &Ask<'_>, show: impl Fn(&Held) -> Result<Value, String>) -> Reply {
    let Some(proxy) = ask.query.get("proxyID").filter(|id| !id.is_empty()) else {
        let why = "You must provide a proxyID in the query string\n";
        return Reply::Refused(400, why.to_owned());
    };
    let Some(held) = desk.plane.held(proxy, ask.view) else {
        return Reply::missing(NOT_HERE);
    };
    match show(&held) {
        Ok(value) => Reply::Json(value),
        Err(why) => Reply::Refused(500, why),
    }
}

fn config_dump(desk: &Desk, ask: &Ask<'_>) -> Reply {
    of_proxy(desk, ask, |held| {
        if ask
            .query
            .get("form")
            .is_some_and(|form| form == "resources")
        {
            return dump::resources(held);
        }
        match ask.query.get("types") {
            Some(types) => dump::typed(held, types),
            None => dump::json(&dump::envoys(held, ask.query.contains_key("include_eds"))?),
        }
    })
}

/// The resources of one type.
fn typed(desk: &Desk, ask: &Ask<'_>, types: &str) -> Reply {
    of_proxy(desk, ask, |held| dump::typed(held, types))
}
