//! Who gets what, by every form of a name (reliability.md T06 to T08).

use super::*;
use meltemi_api::yaml::{self, Outcome, Source};
use meltemi_ca::Authority;
use meltemi_types::{Code, Diagnostic};
use std::time::SystemTime;

const SECOND: Duration = Duration::from_secs(1);

/// A certificate and its key, PEM.
fn pair() -> (String, String) {
    let made = Authority::self_signed(&"test".parse().unwrap(), SystemTime::now()).unwrap();
    (made.certificate, made.key.expose().clone())
}

fn indented(pem: &str) -> String {
    pem.replace('\n', "\n    ")
}

fn secret(namespace: &str, (certificate, key): (&str, &str)) -> Change {
    object(&format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: web, namespace: {namespace}}}\nstringData:\n  \
         tls.crt: |\n    {}\n  tls.key: |\n    {}\n  ca.crt: |\n    {}\n",
        indented(certificate),
        indented(key),
        indented(certificate),
    ))
}

fn roots(namespace: &str, pem: &str) -> Change {
    object(&format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: roots, namespace: {namespace}}}\ndata:\n  \
         ca.crt: |\n    {}\n",
        indented(pem),
    ))
}

fn object(text: &str) -> Change {
    let mut all = yaml::read(text.as_bytes(), &Source::new("a.yaml"));
    let outcome = all.remove(0).outcome;
    let Outcome::Object(object) = outcome else {
        panic!("{outcome:?}");
    };
    Change::Upsert(object)
}

fn account(namespace: &str, name: &str) -> Account {
    Account {
        namespace: namespace.parse().unwrap(),
        name: name.parse().unwrap(),
    }
}

/// A supply where the configuration names `names`.
struct Stage {
    supply: Supply,
    ends: Ends,
    clients: u64,
    now: Instant,
}

impl Stage {
    fn new(names: &[String]) -> Self {
        let (mut supply, ends) = Supply::new(ClusterId::default());
        let named = |name: &String| (name.clone(), BTreeSet::new());
        supply.named = names.iter().map(named).collect();
        Self {
            supply,
            ends,
            clients: 0,
            now: Instant::now(),
        }
    }

    fn enter(&mut self, identity: &Identity) -> ClientId {
        self.clients += 1;
        let id = ClientId(self.clients);
        let claimed = "shop".parse().unwrap();
        self.supply.enter(id, identity, &claimed);
        id
    }

    fn proxy(&mut self, account: &Account) -> ClientId {
        let account = account.clone();
        self.enter(&Identity::Proxy { account, pod: None })
    }

    /// Asks for one name, and answers what is asked about the account.
    fn ask(&mut self, id: ClientId, name: &str, may: Option<bool>) -> bool {
        self.supply.want(id, [name.into()].into(), self.now);
        self.supply.serve(id, self.now);
        while let Ok(account) = self.ends.questions.try_recv() {
            for id in self.supply.decided(&account, (may, self.now)) {
                self.supply.serve(id, self.now);
            }
        }
        self.holds(id, name)
    }

    fn holds(&self, id: ClientId, name: &str) -> bool {
        self.supply.askers[&id].set.resources.contains_key(name)
    }
}

/// The forms of a name for what is in `namespace`, and whether it is a key.
fn forms(namespace: &str) -> [(String, bool); 5] {
    [
        (format!("kubernetes://{namespace}/web"), true),
        (format!("kubernetes-gateway://{namespace}/web"), true),
        (format!("kubernetes://{namespace}/web-cacert"), false),
        (
            format!("kubernetes-gateway://{namespace}/web-cacert"),
            false,
        ),
        (format!("configmap://{namespace}/roots"), false),
    ]
}

#[test]
fn t06_sds_matrix() {
    let (certificate, key) = pair();
    let names: Vec<String> = ["shop", "bank"]
        .iter()
        .flat_map(|namespace| forms(namespace).map(|(name, _)| name))
        .collect();
    let mut cases = 0;
    for warm in [false, true] {
        for may in [true, false] {
            for there in ["shop", "bank"] {
                for (name, is_key) in forms(there) {
                    let mut stage = Stage::new(&names);
                    for namespace in ["shop", "bank"] {
                        stage.supply.take(&secret(namespace, (&certificate, &key)));
                        stage.supply.take(&roots(namespace, &certificate));
                    }
                    if warm {
                        let owner = stage.proxy(&account(there, "owner"));
                        assert!(stage.ask(owner, &name, Some(true)), "{name}");
                    }
                    let id = stage.proxy(&account("shop", "web"));
                    let expected = there == "shop" && (may || !is_key);
                    let case = format!("{name} {may} {warm}");
                    assert_eq!(stage.ask(id, &name, Some(may)), expected, "{case}");
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 40);
}

#[test]
fn nobody_gets_a_key_who_is_not_proved() {
    let (certificate, key) = pair();
    let name = "kubernetes://web".to_owned();
    let person = Identity::DebugOnly {
        account: account("shop", "web"),
    };
    for identity in [Identity::Unasked, person] {
        let mut stage = Stage::new(std::slice::from_ref(&name));
        stage.supply.take(&secret("shop", (&certificate, &key)));
        let id = stage.enter(&identity);
        assert!(!stage.ask(id, &name, Some(true)), "{identity:?}");
        let needed = stage.ends.needed.borrow().len();
        assert_eq!(needed, 0, "who gets nothing makes nothing be read");
    }
}

#[test]
fn t07_what_nobody_names_is_given_to_nobody() {
    let (certificate, key) = pair();
    let mut stage = Stage::new(&["kubernetes://other".into()]);
    stage.supply.take(&secret("shop", (&certificate, &key)));
    let id = stage.proxy(&account("shop", "web"));
    assert!(!stage.ask(id, "kubernetes://web", Some(true)));
    assert!(!stage.ask(id, "default", Some(true)));
    assert!(stage.ends.needed.borrow().is_empty());
}

#[test]
fn a_changed_secret_goes_to_who_asked_and_a_broken_one_to_nobody() {
    let (one, two) = (pair(), pair());
    let name = "kubernetes://web";
    let mut stage = Stage::new(&[name.into()]);
    let asks = stage.proxy(&account("shop", "web"));
    let other = stage.proxy(&account("bank", "web"));
    let silent = stage.proxy(&account("shop", "web"));
    assert!(!stage.ask(asks, name, Some(true)), "it is not there yet");
    assert!(!stage.ask(other, name, Some(true)));
    let needed = stage.ends.needed.borrow().clone();
    let namespaces: Vec<&str> = needed.iter().map(|n| n.namespace.as_str()).collect();
    assert_eq!(namespaces, ["bank", "shop"]);
    let version = |stage: &Stage| {
        stage.supply.askers[&asks].set.resources[name]
            .version
            .clone()
    };

    assert_eq!(stage.supply.take(&secret("shop", (&one.0, &one.1))), [asks]);
    assert!(stage.supply.serve(asks, stage.now).is_some());
    assert!(stage.supply.serve(silent, stage.now).is_none());
    let first = version(&stage);
    // A key of another pair: what was good stays, and it is said.
    stage.supply.take(&secret("shop", (&one.0, &two.1)));
    assert!(stage.supply.serve(asks, stage.now).is_none());
    let flaws: Vec<Diagnostic> = stage.supply.flaws().into_iter().collect();
    assert_eq!(flaws[0].code, Code::CredentialInvalid);
    let text = flaws[0].to_string();
    assert!(
        text.contains("Secret shop/web data.tls.key") && text.contains("does not fit"),
        "{text}"
    );
    stage.supply.take(&secret("shop", (&two.0, &two.1)));
    assert!(stage.supply.serve(asks, stage.now).is_some());
    assert!(stage.supply.flaws().is_empty());
    assert_ne!(version(&stage), first);
    stage.supply.leave(asks);
    assert_eq!(stage.ends.needed.borrow().len(), 1);
}

#[test]
fn authorities_whose_list_of_revoked_cannot_be_read_are_given_to_nobody() {
    let (certificate, _) = pair();
    let name = "configmap://shop/roots";
    let mut stage = Stage::new(&[name.into()]);
    let asks = stage.proxy(&account("shop", "web"));
    let with_list = |list: &str| {
        let text = indented(&certificate);
        object(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: roots, namespace: shop}}\ndata:\n  \
             ca.crt: |\n    {text}\n  {list}\n"
        ))
    };
    stage.supply.take(&with_list("ca.crl: nonsense"));
    assert!(!stage.ask(asks, name, None), "it would believe the revoked");
    let flaws: Vec<Diagnostic> = stage.supply.flaws().into_iter().collect();
    let text = flaws[0].to_string();
    assert!(text.contains("ConfigMap shop/roots data.ca.crl"), "{text}");
    stage.supply.take(&roots("shop", &certificate));
    stage.supply.serve(asks, stage.now);
    assert!(stage.holds(asks, name));
    // What was good stays.
    stage.supply.take(&with_list("crl: nonsense"));
    assert!(stage.supply.serve(asks, stage.now).is_none());
    assert!(stage.holds(asks, name) && !stage.supply.flaws().is_empty());
}

#[test]
fn t08_a_right_that_is_gone_gives_nothing_new_and_an_outage_takes_nothing_away() {
    let (one, two) = (pair(), pair());
    let name = "kubernetes://web";
    let mut stage = Stage::new(&[name.into()]);
    let who = account("shop", "web");
    let id = stage.proxy(&who);
    stage.supply.take(&secret("shop", (&one.0, &one.1)));
    assert!(stage.ask(id, name, Some(true)));
    let start = stage.now;
    let before = stage.supply.askers[&id].set.clone();

    // The right is too old and nobody answers: what it has stays, and what is new comes too.
    stage.now = start + 120 * SECOND;
    stage.supply.take(&secret("shop", (&two.0, &two.1)));
    assert!(
        stage.supply.serve(id, stage.now).is_none(),
        "not before it is asked"
    );
    assert!(stage.ask(id, name, None));
    assert_ne!(stage.supply.askers[&id].set, before);
    // After ten minutes nothing new comes, and what it has stays.
    stage.now = start + 660 * SECOND;
    let kept = stage.supply.askers[&id].set.clone();
    stage.supply.take(&secret("shop", (&one.0, &one.1)));
    assert!(stage.ask(id, name, None));
    assert_eq!(stage.supply.askers[&id].set, kept);
    // A proxy that connects now gets nothing.
    let late = stage.proxy(&who);
    assert!(!stage.ask(late, name, None));
    // A no takes it out of what is sent.
    stage.now = start + 700 * SECOND;
    assert!(!stage.ask(id, name, Some(false)));
    assert!(
        stage.supply.waiting(stage.now).contains(&id),
        "it is asked again"
    );
}
