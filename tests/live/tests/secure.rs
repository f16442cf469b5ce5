//! ADS over TLS with a real Envoy: it presents the projected token of its pod, which an API server's
//! stand-in reviews; it gets its own configuration, and whoever else it says to be gets nothing.

use anyhow::{Context, Result, ensure};
use meltemi_live::scene::SOON;
use meltemi_live::secured::{Knows, Secured, node};
use meltemi_live::shop::service;
use meltemi_testkit::envoy::Envoy;
use meltemi_testkit::reviews::{Reviews, Token};
use meltemi_testkit::wait;
use serde_json::json;

const SECRET: &str = "/api/v1/namespaces/istio-system/secrets/istio-ca-secret";

/// A control plane that an API server's stand-in tells who calls.
struct Stage(Secured);

impl std::ops::Deref for Stage {
    type Target = Secured;

    fn deref(&self) -> &Secured {
        &self.0
    }
}

impl Stage {
    fn start(name: &str) -> Result<Self> {
        let reviews = Reviews::start(&["istio-system", "shop", "kube-public"])?;
        let objects = service("reviews", "app: reviews");
        Ok(Self(Secured::start(
            name,
            &objects,
            Knows::Cluster(reviews),
        )?))
    }

    /// Starts the Envoy of `web-0` in namespace `shop`, which presents the token file `name`.
    fn web(&self, name: &str) -> Result<Envoy> {
        self.envoy(name, (node("web-0.shop", "web"), None))
    }

    /// An Envoy with that token is turned away with a gRPC code and these words.
    fn expect_refused(&self, name: &str, token: &str, (code, words): (u8, &str)) -> Result<()> {
        self.project(name, token)?;
        let mut envoy = self.web(name)?;
        self.expect_said(&mut envoy, (code, words))
            .with_context(|| name.to_owned())
    }

    fn expect_said(&self, envoy: &mut Envoy, (code, words): (u8, &str)) -> Result<()> {
        let log = envoy.process().log().to_path_buf();
        let closed = format!("closed: {code}, ");
        wait::until(&format!("{closed:?} with {words:?}"), SOON, || {
            let text = std::fs::read_to_string(&log)?;
            let said = text
                .lines()
                .any(|line| line.contains(&closed) && line.contains(words));
            Ok(said.then_some(()))
        })?;
        ensure!(
            !envoy.admin().is_live()?,
            "it is live without configuration"
        );
        let page = self.plane.json("/debug/syncz")?;
        ensure!(page == json!([]), "it is attached: {page}");
        Ok(())
    }
}

fn wait_cluster(envoy: &Envoy, service: &str) -> Result<()> {
    let name = format!("outbound|9080||{service}.shop.svc.cluster.local");
    wait::until(&name, SOON, || {
        let clusters = envoy.admin().get("/clusters")?;
        Ok(clusters.contains(&name).then_some(()))
    })
}

#[test]
fn a_proxy_gets_its_configuration_and_its_token_is_rotated() -> Result<()> {
    let stage = Stage::start("secure")?;
    let first = Token {
        seconds: 15,
        ..Token::of("shop", "web", "web-0")
    };
    let first = stage.reviews()?.mint(&first);
    stage.project("token", &first)?;
    let mut envoy = stage.web("token")?;
    envoy.admin().wait_live(SOON)?;
    wait_cluster(&envoy, "reviews")?;

    // The stream ends with the first token; the next one presents the second.
    let second = stage.reviews()?.mint(&Token::of("shop", "web", "web-0"));
    stage.project("token", &second)?;
    wait::until("a stream with the second token", 3 * SOON, || {
        Ok(stage.reviews()?.was_asked(&second).then_some(()))
    })?;
    let ratings = stage.path("config").join("ratings.yaml");
    std::fs::write(ratings, service("ratings", "app: ratings"))?;
    wait_cluster(&envoy, "ratings")?;
    envoy.process().expect_running()?;
    let stats = envoy.admin().stats()?;
    let rejected = stats.get("cluster_manager.cds.update_rejected");
    ensure!(rejected == 0, "something was rejected");
    for audiences in stage.reviews()?.audiences() {
        ensure!(audiences == json!(["istio-ca"]), "asked for {audiences}");
    }
    Ok(())
}

#[test]
fn who_proves_nothing_gets_nothing() -> Result<()> {
    let stage = Stage::start("secure-refused")?;
    let good = Token::of("shop", "web", "web-0");
    let reviews = stage.reviews()?;
    let mint = |token: Token<'_>| reviews.mint(&token);
    stage.expect_refused("none", "", (16, "client certificate or a token"))?;
    let other = mint(Token {
        audience: "https://kubernetes.default.svc",
        ..good.clone()
    });
    stage.expect_refused("audience", &other, (16, "not for"))?;
    ensure!(
        !stage.reviews()?.was_asked(&other),
        "it is not worth a question"
    );
    let old = mint(Token {
        seconds: -3600,
        ..good.clone()
    });
    stage.expect_refused("expired", &old, (16, "expired"))?;
    let revoked = mint(Token {
        known: false,
        ..good.clone()
    });
    stage.expect_refused("revoked", &revoked, (16, "does not accept"))?;
    let unbound = mint(Token {
        pod: None,
        ..good.clone()
    });
    stage.expect_refused("unbound", &unbound, (7, "debug types only"))?;
    let refused = stage
        .plane
        .metrics()?
        .sum("meltemi_xds_unauthenticated_total");
    ensure!(refused >= 4.0, "{refused} were counted");
    ensure!(
        !stage.plane.log().contains(&revoked),
        "a token stands in the log"
    );
    Ok(())
}

#[test]
fn nobody_is_somebody_else() -> Result<()> {
    let stage = Stage::start("secure-others")?;
    let token = stage.reviews()?.mint(&Token::of("bank", "web", "web-0"));
    stage.expect_refused("bank", &token, (7, "namespace"))?;
    let token = stage.reviews()?.mint(&Token::of("shop", "root", "web-0"));
    stage.expect_refused("account", &token, (7, "service account"))?;
    let token = stage.reviews()?.mint(&Token::of("shop", "web", "web-1"));
    stage.expect_refused("pod", &token, (7, "pod"))
}

#[test]
fn the_authority_outlives_the_process() -> Result<()> {
    let mut stage = Stage::start("secure-restart")?;
    let secret = stage.reviews()?.object(SECRET).context("no Secret")?;
    ensure!(secret["type"] == "istio.io/ca-root", "{}", secret["type"]);
    let hidden = stage
        .reviews()?
        .object("/api/v1/namespaces/kube-public/configmaps/istio-ca-root-cert");
    ensure!(hidden.is_none(), "kube-public has no workloads");
    let token = stage.reviews()?.mint(&Token::of("shop", "web", "web-0"));
    stage.project("token", &token)?;
    stage.0.restart()?;
    ensure!(
        stage.reviews()?.object(SECRET) == Some(secret),
        "another Secret"
    );
    // The root certificate from before is still the one to believe.
    let envoy = stage.web("token")?;
    envoy.admin().wait_live(SOON)?;
    wait_cluster(&envoy, "reviews")
}

#[test]
fn an_api_server_that_is_away_lets_nobody_new_in() -> Result<()> {
    let stage = Stage::start("secure-away")?;
    let reviews = stage.reviews()?;
    let mint = || reviews.mint(&Token::of("shop", "web", "web-0"));
    stage.project("early", &mint())?;
    let early = stage.web("early")?;
    early.admin().wait_live(SOON)?;

    stage.reviews()?.fail(true);
    stage.project("late", &mint())?;
    let late = stage.web("late")?;
    wait::until("the late one to be refused", SOON, || {
        let refused = stage
            .plane
            .metrics()?
            .sum("meltemi_xds_unauthenticated_total");
        Ok((refused >= 1.0).then_some(()))
    })?;
    ensure!(!late.admin().is_live()?, "it is let in");
    let ratings = stage.path("config").join("ratings.yaml");
    std::fs::write(ratings, service("ratings", "app: ratings"))?;
    wait_cluster(&early, "ratings").context("who is in stays")?;

    stage.reviews()?.fail(false);
    late.admin().wait_live(3 * SOON)?;
    wait_cluster(&late, "ratings")
}
