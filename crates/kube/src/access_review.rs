//! Asking the API server whether a service account may read the Secrets of its namespace.
//!
//! Istio's question (verb `list`, resource `secrets`). The surprise: the answer is for the account as
//! RBAC sees it, so the groups that every account is in are sent along.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use meltemi_types::{Namespace, ServiceAccount};
use std::time::Duration;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// The API server does not say, or not in time.
#[derive(Debug, thiserror::Error)]
#[error("the API server does not say whether an account may read Secrets")]
pub struct NoAnswer(#[source] Option<Box<kube::Error>>);

/// Asks one API server about accounts.
#[derive(Clone)]
pub struct AccessReviewer {
    client: Client,
}

impl AccessReviewer {
    /// Nothing is sent yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Whether the account may list the Secrets of its own namespace. Answers within 2 s.
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn may_read_secrets(
        &self,
        namespace: &Namespace,
        account: &ServiceAccount,
    ) -> Result<bool, NoAnswer> {
        let review = review(namespace, account);
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let params = PostParams::default();
        let asked = tokio::time::timeout(DEADLINE, api.create(&params, &review)).await;
        let answer = asked.map_err(|_elapsed| NoAnswer(None))?;
        let answer = answer.map_err(|error| NoAnswer(Some(Box::new(error))))?;
        let status = answer.status.unwrap_or_default();
        Ok(status.allowed && status.denied != Some(true))
    }
}

fn review(namespace: &Namespace, account: &ServiceAccount) -> SubjectAccessReview {
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ];
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{namespace}:{account}")),
            groups: Some(groups.into()),
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(namespace.to_string()),
                verb: Some("list".into()),
                resource: Some("secrets".into()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_about_the_accounts_own_namespace() {
        let review = review(&"shop".parse().unwrap(), &"web".parse().unwrap());
        let spec = serde_json::to_value(&review.spec).unwrap();
        assert_eq!(spec["user"], "system:serviceaccount:shop:web");
        assert_eq!(spec["groups"][1], "system:serviceaccounts:shop");
        let asked = &spec["resourceAttributes"];
        assert_eq!(asked["namespace"], "shop");
        assert_eq!(
            (&asked["verb"], &asked["resource"]),
            (&"list".into(), &"secrets".into())
        );
        assert_eq!(asked["name"], serde_json::Value::Null);
    }
}
