//! Whose keys and authorities a caller gets: those of its namespace that configuration names, if it
//! may read Secrets there at that time.

use crate::ads::{Ads, SOON, first, node};
use anyhow::{Context, Result, ensure};
use meltemi_live::citadel::Citadel;
use meltemi_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use meltemi_proto::urls::{CLUSTER, SECRET};
use meltemi_testkit::reviews::Token;
use meltemi_testkit::secrets::{AUTHORITY, CLIENT, CLIENT_KEY, REVIEWS, REVIEWS_KEY};
use meltemi_testkit::wait;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const OWN_KEYS: [&str; 3] = [
    "kubernetes-gateway://shop/web",
    "kubernetes://shop/web",
    "kubernetes://web",
];
const OWN_AUTHORITIES: [&str; 3] = [
    "configmap://shop/roots",
    "kubernetes://shop/web-cacert",
    "kubernetes://web-cacert",
];
const OTHERS: [&str; 6] = [
    "configmap://bank/roots",
    "kubernetes-gateway://bank/web",
    "kubernetes-gateway://bank/web-cacert",
    "kubernetes://bank/web",
    "kubernetes://bank/web-cacert",
    "kubernetes://bank/web-cacert-cacert",
];
/// What a careless parser takes for something of its own, or of everybody.
const TRICKS: [&str; 9] = [
    "kubernetes:///web",
    "kubernetes://shop//web",
    "kubernetes://shop/../bank/web",
    "kubernetes://shop/web/",
    "kubernetes://bank%2fweb",
    "kubernetes://shop/bank/web",
    "kubernetes://elsewhere/bank/web",
    "kubernetes://SHOP/web",
    "file-cert:/etc/passwd~/etc/shadow",
];
/// Asked for last: what comes before it has come.
const LAST: &str = "kubernetes://last-cacert";
const TWO: [&str; 2] = ["kubernetes://web", "kubernetes://web-cacert"];

fn at(namespace: &str, kind: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{kind}/{name}")
}

fn meta(namespace: &str, name: &str) -> Value {
    json!({"name": name, "namespace": namespace, "resourceVersion": "1"})
}

fn put_secret(citadel: &Citadel, (namespace, name): (&str, &str), parts: &Value) {
    let metadata = meta(namespace, name);
    let secret = json!({"metadata": metadata, "type": "Opaque", "stringData": parts});
    citadel.reviews.put(&at(namespace, "secrets", name), secret);
}

fn put_map(citadel: &Citadel, (namespace, name): (&str, &str), parts: &Value) {
    let map = json!({"metadata": meta(namespace, name), "data": parts});
    citadel.reviews.put(&at(namespace, "configmaps", name), map);
}

/// A control plane whose Gateways name all of these.
fn start(name: &str, named: &[&str]) -> Result<Citadel> {
    let citadel = Citadel::start(name, &[], &[])?;
    let shop = json!({"cert": REVIEWS, "key": REVIEWS_KEY, "cacert": AUTHORITY});
    put_secret(&citadel, ("shop", "web"), &shop);
    put_secret(&citadel, ("shop", "last"), &json!({"cacert": AUTHORITY}));
    let bank = json!({"cert": CLIENT, "key": CLIENT_KEY, "cacert": CLIENT});
    put_secret(&citadel, ("bank", "web"), &bank);
    put_map(&citadel, ("shop", "roots"), &json!({"ca.crt": AUTHORITY}));
    put_map(&citadel, ("bank", "roots"), &json!({"ca.crt": CLIENT}));
    let mut text = String::new();
    for (index, name) in named.iter().chain(&[LAST]).enumerate() {
        text += &format!(
            "---\napiVersion: networking.istio.io/v1\nkind: Gateway\n\
             metadata: {{name: g{index}, namespace: shop}}\nspec:\n  selector: {{app: edge}}\n  \
             servers:\n  - port: {{number: {}, protocol: HTTPS, name: https-{index}}}\n    \
             hosts: [\"*\"]\n    tls: {{mode: MUTUAL, credentialName: web, \
             caCertCredentialName: \"{name}\"}}\n",
            9000 + index
        );
    }
    text += "---\napiVersion: v1\nkind: Service\nmetadata: {name: till, namespace: shop}\n\
             spec:\n  ports: [{name: http, port: 80}]\n";
    std::fs::write(citadel.dir().join("config/gateways.yaml"), text)?;
    citadel.wait_published("till.shop")?;
    Ok(citadel)
}

/// A stream that asks for certificates, and what it has been given.
struct Asker {
    ads: Ads,
    held: BTreeMap<String, String>,
}

impl Asker {
    /// Asks as the pod `ACCOUNT-0`.
    async fn open(citadel: &Citadel, who: (&str, &str), names: &[&str]) -> Result<Self> {
        let (namespace, account) = who;
        let pod = format!("{account}-0");
        let caller = citadel.caller(Some(&Token::of(namespace, account, &pod)))?;
        let ads = Ads::open(&caller, &[]).await??;
        let id = format!("router~127.0.0.1~{pod}.{namespace}~{namespace}.svc.cluster.local");
        ads.say(first(node(&id, &[]), SECRET, names))?;
        let held = BTreeMap::new();
        Ok(Self { ads, held })
    }

    fn ask(&self, type_url: &str, names: &[&str]) -> Result<()> {
        self.ads.say(DeltaDiscoveryRequest {
            type_url: type_url.to_owned(),
            resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
            ..DeltaDiscoveryRequest::default()
        })
    }

    /// Takes the next response; its type.
    async fn next(&mut self) -> Result<String> {
        let response = self.ads.next().await??;
        for name in &response.removed_resources {
            self.held.remove(name);
        }
        if response.type_url == SECRET {
            for one in response.resources {
                let content = one.resource.context("an empty resource")?;
                let text = String::from_utf8_lossy(&content.value).into_owned();
                self.held.insert(one.name, text);
            }
        }
        self.ads.say(DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce,
            ..DeltaDiscoveryRequest::default()
        })?;
        Ok(response.type_url)
    }

    /// Waits for exactly these.
    async fn wait(&mut self, names: &[&str]) -> Result<()> {
        let expected: BTreeSet<&str> = names.iter().copied().collect();
        let deadline = Instant::now() + SOON;
        loop {
            let held: BTreeSet<&str> = self.held.keys().map(String::as_str).collect();
            let more: Vec<_> = held.difference(&expected).collect();
            ensure!(more.is_empty(), "it is given {more:?}");
            if held == expected {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let next = tokio::time::timeout(left, self.next()).await;
            next.with_context(|| format!("it has {:?} of {expected:?}", self.held.keys()))??;
        }
    }

    /// Asks for one more thing, and has that and nothing else beside these then.
    async fn wait_last(&mut self, names: &[&str]) -> Result<()> {
        self.ask(SECRET, &[LAST])?;
        self.wait(&[names, &[LAST]].concat()).await
    }

    fn all(&self) -> String {
        self.held.values().cloned().collect()
    }
}

/// A line of a PEM that stands in no other.
fn line(pem: &str) -> Result<&str> {
    pem.lines().nth(1).context("no PEM")
}

#[tokio::test]
async fn t06_keys_are_for_accounts_that_may_read_them() -> Result<()> {
    let all = [&OWN_KEYS[..], &OWN_AUTHORITIES, &OTHERS, &TRICKS].concat();
    let own = [OWN_KEYS, OWN_AUTHORITIES].concat();
    let citadel = start("t06", &all)?;
    citadel.reviews.let_read("shop", "web");
    citadel.reviews.let_read("bank", "web");
    // Nobody has asked yet.
    let mut web = Asker::open(&citadel, ("shop", "web"), &all).await?;
    web.wait(&own).await?;
    let mut passer = Asker::open(&citadel, ("shop", "passer"), &all).await?;
    passer.wait(&OWN_AUTHORITIES).await?;
    // Everything has been given to somebody now.
    let mut owner = Asker::open(&citadel, ("bank", "web"), &all).await?;
    owner
        .wait(&[&OTHERS[..5], &[TWO[0], TWO[1]]].concat())
        .await?;
    let mut again = Asker::open(&citadel, ("shop", "web"), &all).await?;
    let mut stranger = Asker::open(&citadel, ("shop", "stranger"), &all).await?;
    for (asker, expected) in [
        (&mut web, &own[..]),
        (&mut again, &own),
        (&mut passer, &OWN_AUTHORITIES),
        (&mut stranger, &OWN_AUTHORITIES),
    ] {
        asker.wait_last(expected).await?;
        let given = asker.all();
        ensure!(!given.contains(line(CLIENT)?), "something of another's");
    }
    ensure!(web.all().contains(line(REVIEWS_KEY)?), "its own key");
    ensure!(!stranger.all().contains("PRIVATE"), "a key");
    let log = citadel.plane.log();
    for key in [REVIEWS_KEY, CLIENT_KEY] {
        ensure!(!log.contains(line(key)?), "a key stands in the log");
    }
    // All that one asks for in vain is one line.
    let mut lines = log.lines();
    let told = lines.any(|line| OTHERS.iter().chain(&TRICKS).all(|one| line.contains(one)));
    ensure!(told, "what is refused is not said at once: {log}");
    Ok(())
}

#[tokio::test]
async fn t07_of_a_config_map_only_named_authorities_are_given() -> Result<()> {
    let named = [
        "configmap://shop/roots",
        "configmap://shop/mixed",
        "configmap://shop/private",
        "configmap://shop/other",
        "configmap://bank/roots",
    ];
    let citadel = start("t07", &named)?;
    let mixed = format!("{REVIEWS_KEY}{AUTHORITY}{CLIENT_KEY}");
    let mixed = json!({"ca.crt": mixed, "password": "hunter2", "tls.key": CLIENT_KEY});
    put_map(&citadel, ("shop", "mixed"), &mixed);
    put_map(
        &citadel,
        ("shop", "private"),
        &json!({"ca.crt": CLIENT_KEY}),
    );
    put_map(&citadel, ("shop", "other"), &json!({"password": "hunter2"}));
    put_map(&citadel, ("shop", "unnamed"), &json!({"ca.crt": CLIENT}));
    citadel.reviews.let_read("shop", "web");
    let all = [&named[..], &["configmap://shop/unnamed"]].concat();
    let mut owner = Asker::open(&citadel, ("bank", "web"), &all).await?;
    owner.wait(&["configmap://bank/roots"]).await?;
    let mut web = Asker::open(&citadel, ("shop", "web"), &all).await?;
    let expected = ["configmap://shop/roots", "configmap://shop/mixed"];
    web.wait(&expected).await?;
    web.wait_last(&expected).await?;
    let given = web.all();
    ensure!(given.contains(line(AUTHORITY)?), "{given}");
    for never in ["PRIVATE", "hunter2", line(CLIENT)?, line(CLIENT_KEY)?] {
        ensure!(!given.contains(never), "{never} in {given}");
    }
    Ok(())
}

/// Whether somebody who connects now is given the key.
async fn is_given(citadel: &Citadel) -> Result<bool> {
    let mut asker = Asker::open(citadel, ("shop", "web"), &TWO).await?;
    while !asker.held.contains_key(TWO[1]) {
        asker.next().await?;
    }
    Ok(asker.held.contains_key(TWO[0]))
}

#[test]
fn t08_a_right_that_is_taken_away_counts_for_a_minute_at_most() -> Result<()> {
    let runtime = Runtime::new()?;
    let citadel = start("t08", &TWO)?;
    citadel.reviews.let_read("shop", "web");
    let mut first = runtime.block_on(Asker::open(&citadel, ("shop", "web"), &TWO))?;
    runtime.block_on(first.wait(&TWO))?;
    citadel.reviews.let_read_no_more("shop", "web");
    let began = Instant::now();
    let pace = (Duration::from_secs(75), Duration::from_secs(1));
    wait::every("the key to be given no more", pace, || {
        let given = runtime.block_on(is_given(&citadel))?;
        Ok((!given).then_some(()))
    })?;
    let took = began.elapsed();
    ensure!(took < Duration::from_secs(65), "only after {took:?}");
    // A no counts for ten seconds, and is asked again within five.
    let mut late = runtime.block_on(Asker::open(&citadel, ("shop", "web"), &TWO))?;
    citadel.reviews.let_read("shop", "web");
    runtime.block_on(late.wait(&TWO))?;
    Ok(())
}

#[tokio::test]
async fn t08_a_slow_review_keeps_nobody_waiting() -> Result<()> {
    let citadel = start("t08-slow", &TWO)?;
    citadel.reviews.let_read("shop", "web");
    citadel.reviews.hold_access(true);
    let failed = "SubjectAccessReview failed";
    let mut web = Asker::open(&citadel, ("shop", "web"), &TWO).await?;
    // What needs no right comes, and on the same stream what is no Secret.
    web.wait(&[TWO[1]]).await?;
    web.ask(CLUSTER, &[])?;
    while web.next().await? != CLUSTER {}
    ensure!(!citadel.plane.log().contains(failed), "it waited for it");
    // It has two seconds; nothing is given for want of an answer.
    citadel.wait_said(failed)?;
    ensure!(
        !web.held.contains_key(TWO[0]),
        "nobody has said that it may"
    );
    citadel.reviews.hold_access(false);
    web.wait(&TWO).await
}
