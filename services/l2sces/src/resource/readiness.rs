use l2sces_proto::resource::v1::{Condition, ConditionStatus, Metadata};

use crate::manifest::status_text;

/// Whether a resource is ready, in a word.
pub(super) fn word(metadata: &Metadata, conditions: &[Condition]) -> &'static str {
    if metadata.delete_time.is_some() {
        return "Deleting";
    }
    match ready(conditions) {
        Some(condition) => status_text(condition.status()),
        None => "Unknown",
    }
}

/// Why a resource is not ready as `generation` wants it, `Reason: message`; `None`: it is.
pub(super) fn why_not(
    metadata: &Metadata,
    conditions: &[Condition],
    generation: i64,
) -> Option<String> {
    let Some(condition) = ready(conditions) else {
        return Some("Pending: nothing is known yet".into());
    };
    let holds = condition.status() == ConditionStatus::True && metadata.delete_time.is_none();
    if holds && condition.observed_generation < generation {
        return Some("Pending: the change has not been looked at yet".into());
    }
    (!holds).then(|| match (condition.reason.as_str(), condition.message.as_str()) {
        ("", "") => "no reason given".to_owned(),
        (reason, "") => reason.to_owned(),
        ("", message) => message.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    })
}

fn ready(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.r#type == "Ready")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(status: ConditionStatus, observed_generation: i64) -> [Condition; 1] {
        [Condition {
            r#type: "Ready".into(),
            status: status.into(),
            reason: "NoSuchNamespace".into(),
            message: "there is no /run/netns/p1".into(),
            observed_generation,
            last_transition_time: None,
        }]
    }

    #[test]
    fn ready_is_what_speaks_of_the_generation_and_says_so() {
        let metadata = Metadata::default();
        assert_eq!(why_not(&metadata, &condition(ConditionStatus::True, 2), 2), None);
        let stale = why_not(&metadata, &condition(ConditionStatus::True, 1), 2).unwrap();
        assert!(stale.starts_with("Pending"), "{stale}");
        assert_eq!(
            why_not(&metadata, &condition(ConditionStatus::False, 2), 2).unwrap(),
            "NoSuchNamespace: there is no /run/netns/p1"
        );
        assert!(why_not(&metadata, &[], 2).is_some());
    }

    #[test]
    fn what_is_being_deleted_is_not_ready() {
        let metadata = Metadata { delete_time: Some(Default::default()), ..Metadata::default() };
        let conditions = condition(ConditionStatus::True, 2);
        assert_eq!(word(&metadata, &conditions), "Deleting");
        assert!(why_not(&metadata, &conditions, 2).is_some());
        assert_eq!(word(&Metadata::default(), &conditions), "True");
    }
}
