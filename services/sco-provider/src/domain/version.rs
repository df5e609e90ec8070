use uuid::Uuid;

/// Version of an object's desired state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The object's uid, given by the owner of the desired state.
    pub uid: String,
    /// The object's generation, from 1.
    pub generation: i64,
}

/// How an arriving version relates to the one that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precedence {
    /// It is of a former life or generation: a call that was late.
    Older,
    /// It is the stored version.
    Same,
    /// A later generation in the same life.
    Newer,
    /// Of another, later life: nothing of the stored object is its own.
    Replaces,
}

impl Version {
    /// How `self` relates to `stored`.
    ///
    /// Another uid is another life. Which came first can be told when both are UUIDs of version 7,
    /// which begin with the time; otherwise the one that arrives is believed.
    pub fn precedence(&self, stored: &Self) -> Precedence {
        if self.uid == stored.uid {
            return match self.generation.cmp(&stored.generation) {
                std::cmp::Ordering::Less => Precedence::Older,
                std::cmp::Ordering::Equal => Precedence::Same,
                std::cmp::Ordering::Greater => Precedence::Newer,
            };
        }
        match (birth(&self.uid), birth(&stored.uid)) {
            (Some(arriving), Some(stored)) if arriving < stored => Precedence::Older,
            _ => Precedence::Replaces,
        }
    }
}

/// The milliseconds since 1970 in a UUID of version 7 (RFC 9562, section 5.7).
fn birth(uid: &str) -> Option<u128> {
    let uuid = Uuid::parse_str(uid).ok()?;
    (uuid.get_version_num() == 7).then(|| uuid.as_u128() >> 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(uid: &str, generation: i64) -> Version {
        Version { uid: uid.to_owned(), generation }
    }

    #[test]
    fn generations_order_one_life() {
        let stored = version("u", 5);
        assert_eq!(version("u", 4).precedence(&stored), Precedence::Older);
        assert_eq!(version("u", 5).precedence(&stored), Precedence::Same);
        assert_eq!(version("u", 6).precedence(&stored), Precedence::Newer);
    }

    #[test]
    fn another_life_replaces_unless_it_is_known_to_be_former() {
        let early = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
        let late = "01927000-0000-7000-8000-000000000000";
        assert_eq!(version(late, 1).precedence(&version(early, 9)), Precedence::Replaces);
        assert_eq!(version(early, 9).precedence(&version(late, 1)), Precedence::Older);
        assert_eq!(version("a", 1).precedence(&version("b", 9)), Precedence::Replaces);
        assert_eq!(version("b", 1).precedence(&version("a", 9)), Precedence::Replaces);
    }
}
