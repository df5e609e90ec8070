use std::collections::{BTreeMap, VecDeque};

use l2sces_measurement::stamp::{Reflected, Test, Timestamp};
use l2sces_model::MacAddress;

/// How many sessions of a link are counted at a time: a far end has few at once, and begins new ones
/// all the time.
const SESSIONS: usize = 8;

/// A stateful Session-Reflector (RFC 8762, section 4.3): counts the test packets of each session.
#[derive(Debug, Default)]
pub(super) struct Reflector {
    /// By the tunnel that they come by: the latest sessions, and how many packets of each came.
    sessions: BTreeMap<MacAddress, VecDeque<(u16, u32)>>,
}

impl Reflector {
    /// The answer to a test packet, but for when it is sent and what the reflector knows.
    pub(super) fn reflect(
        &mut self,
        tunnel: MacAddress,
        test: Test,
        arrived: Timestamp,
    ) -> Reflected {
        let sessions = self.sessions.entry(tunnel).or_default();
        let known = sessions.iter().position(|(session, _)| *session == test.session);
        let (session, came) = known.and_then(|at| sessions.remove(at)).unwrap_or((test.session, 0));
        sessions.push_back((session, came.wrapping_add(1)));
        if sessions.len() > SESSIONS {
            sessions.pop_front();
        }
        Reflected { sequence: came, reflected: arrived, arrived, test, throughput: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_session_of_every_link_is_counted_for_itself() {
        let mut reflector = Reflector::default();
        let mut came = |tunnel: u8, session| {
            let test = Test { sequence: 9, session, sent: Timestamp::default() };
            let tunnel = MacAddress::new([6, 0x6c, 0, 0, 0, tunnel]);
            reflector.reflect(tunnel, test, Timestamp::default()).sequence
        };
        assert_eq!([came(1, 5), came(1, 5), came(2, 5), came(1, 6), came(1, 5)], [0, 1, 0, 0, 2]);
        // The one that has been silent for longest is forgotten.
        for session in 10..17 {
            assert_eq!(came(1, session), 0);
        }
        assert_eq!([came(1, 5), came(1, 6)], [3, 0]);
    }
}
