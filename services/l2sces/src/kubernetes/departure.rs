//! Whether a node has left: our network plugin is to be taken out of it. It is not when its pod ends only to
//! be made anew, by an upgrade or with its node, because pods that start in between would have no networks,
//! and nobody would say so.

use std::{fmt::Debug, time::Duration};

use k8s_openapi::{
    api::{
        apps::v1::DaemonSet,
        core::v1::{Namespace, Node},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, Resource, core::response::reason};
use l2sces_custom_resources::SWITCH_NODE_LABEL;
use serde::de::DeserializeOwned;
use tokio::{
    join,
    time::{sleep, timeout},
};

use super::{NAMESPACE, connection::causes};

/// Between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often, one after the other, an API server must refuse us before that is believed: one that has just
/// started may know neither accounts nor rights yet.
const REFUSALS_BELIEVED: u32 = 5;

/// Whether a node has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// It has not.
    Stays,
    /// It has, as one of the reasons says.
    Left(String),
    /// There is no answer that counts, and why.
    Unknown(String),
}

/// What an API server tells of one thing without which a node has left. Of several, the greatest counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// It is as it must be.
    Stays,
    /// We are not told: the account that we have, or its rights, are deleted before what they are for.
    Refused(String),
    /// There is no answer that counts.
    Unknown(String),
    /// It is gone, or about to go.
    Goes(String),
}

/// Asks whether a node has left, which a DaemonSet keeps the plugin on, until there is an answer or the time is
/// up.
pub(crate) async fn departure(
    client: &Client,
    node: &str,
    daemon_set: &str,
    limit: Duration,
) -> Departure {
    let mut last = String::from("no answer in time");
    let asking = async {
        let mut refusals = 0;
        loop {
            match standing(client, node, daemon_set).await {
                Standing::Stays => return Departure::Stays,
                Standing::Goes(why) => return Departure::Left(why),
                Standing::Refused(why) => {
                    refusals += 1;
                    if refusals == REFUSALS_BELIEVED {
                        return Departure::Left(why);
                    }
                    last = why;
                }
                Standing::Unknown(why) => {
                    refusals = 0;
                    last = why;
                }
            }
            sleep(PAUSE).await;
        }
    };
    let answered = timeout(limit, asking).await;
    answered.unwrap_or(Departure::Unknown(last))
}

/// The namespace counts too: whoever deletes it may delete pods in it before their DaemonSet.
async fn standing(client: &Client, node: &str, daemon_set: &str) -> Standing {
    let (namespace, daemon_set, node) = join!(
        look(Api::<Namespace>::all(client.clone()), NAMESPACE, |_| true),
        look(Api::<DaemonSet>::namespaced(client.clone(), NAMESPACE), daemon_set, |_| true),
        look(Api::<Node>::all(client.clone()), node, is_of_an_overlay),
    );
    namespace.max(daemon_set).max(node)
}

async fn look<K>(api: Api<K>, name: &str, is_as_it_must_be: fn(&ObjectMeta) -> bool) -> Standing
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let what = format!("{} {name}", K::kind(&()));
    match timeout(PATIENCE, api.get_metadata(name)).await {
        Ok(answer) => standing_of(&what, answer.map(|found| found.metadata), is_as_it_must_be),
        Err(_) => Standing::Unknown(format!("{what}: no answer in time")),
    }
}

fn standing_of(
    what: &str,
    answer: kube::Result<ObjectMeta>,
    is_as_it_must_be: fn(&ObjectMeta) -> bool,
) -> Standing {
    match answer {
        Ok(found) if found.deletion_timestamp.is_some() => {
            Standing::Goes(format!("{what} is being deleted"))
        }
        Ok(found) if is_as_it_must_be(&found) => Standing::Stays,
        Ok(_) => Standing::Goes(format!("{what} is not one of an overlay")),
        // Its reasons tell an API server from what may stand in front of it.
        Err(kube::Error::Api(status)) => match status.reason.as_str() {
            reason::NOT_FOUND => Standing::Goes(format!("{what} is gone")),
            reason::UNAUTHORIZED | reason::FORBIDDEN => {
                Standing::Refused(format!("{what}: we are refused: {}", status.message))
            }
            _ => Standing::Unknown(format!("{what}: {}", status.message)),
        },
        Err(error) => Standing::Unknown(format!("{what}: {}", causes(&error))),
    }
}

fn is_of_an_overlay(node: &ObjectMeta) -> bool {
    let label = node.labels.as_ref().and_then(|labels| labels.get(SWITCH_NODE_LABEL));
    label.is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::{Value, json};

    use super::*;

    fn found(metadata: Value) -> kube::Result<ObjectMeta> {
        Ok(serde_json::from_value(metadata).unwrap())
    }

    fn refused(code: u16, reason: &str) -> kube::Result<ObjectMeta> {
        Err(kube::Error::Api(Status::failure("no", reason).with_code(code).boxed()))
    }

    fn node(answer: kube::Result<ObjectMeta>) -> Standing {
        standing_of("Node a1", answer, is_of_an_overlay)
    }

    #[test]
    fn what_an_api_server_says_of_a_node_is_told_from_what_it_does_not_say() {
        let deleted = "2026-01-01T00:00:00Z";
        for (answer, expected) in [
            (found(json!({ "labels": { SWITCH_NODE_LABEL: "true" } })), "Stays"),
            (found(json!({ "labels": { SWITCH_NODE_LABEL: "false" } })), "Goes"),
            (found(json!({ "labels": { "others": "true" } })), "Goes"),
            (found(json!({})), "Goes"),
            (
                found(json!({
                    "labels": { SWITCH_NODE_LABEL: "true" }, "deletionTimestamp": deleted,
                })),
                "Goes",
            ),
            (refused(404, "NotFound"), "Goes"),
            (refused(401, "Unauthorized"), "Refused"),
            (refused(403, "Forbidden"), "Refused"),
            (refused(500, "InternalError"), "Unknown"),
            (refused(503, "ServiceUnavailable"), "Unknown"),
            (refused(429, "TooManyRequests"), "Unknown"),
            (refused(504, "Timeout"), "Unknown"),
            // What stands in front of an API server has an answer of its own.
            (refused(404, "Failed to parse error data"), "Unknown"),
            (refused(403, "Failed to parse error data"), "Unknown"),
            (refused(502, "Failed to parse error data"), "Unknown"),
            (Err(kube::Error::LinesCodecMaxLineLengthExceeded), "Unknown"),
        ] {
            let asked = format!("{answer:?}");
            let standing = format!("{:?}", node(answer));
            assert!(standing.starts_with(expected), "{asked}: {standing}");
        }
    }

    #[test]
    fn what_is_gone_outweighs_what_is_not_told_and_that_what_is_refused() {
        let text = || String::from("z");
        let ascending = [
            Standing::Stays,
            Standing::Refused(text()),
            Standing::Unknown("a".into()),
            Standing::Goes(String::new()),
        ];
        for pair in ascending.windows(2) {
            assert_eq!(pair[0].clone().max(pair[1].clone()), pair[1]);
        }
    }
}
