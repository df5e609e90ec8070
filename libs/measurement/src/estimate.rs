//! What probes tell of a link. Pure: packets may have come late, twice, out of order or never, and
//! clocks may have jumped.

use std::{collections::BTreeMap, time::Duration};

use crate::stamp::{Reflected, Timestamp};

/// After this long a reflection counts as lost.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Least frames of a train that must come through for it to tell something.
const LEAST_OF_TRAIN: usize = 5;

/// A reflected packet, and when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The packet.
    pub packet: Reflected,
    /// When it came, by the sender's clock.
    pub returned: Timestamp,
}

impl Reply {
    /// The round-trip time without what the reflector took; none if a clock has jumped meanwhile.
    fn round_trip(&self) -> Option<Duration> {
        let Reflected { reflected, arrived, test, .. } = self.packet;
        let all = self.returned.nanoseconds_since(test.sent);
        let at_reflector = reflected.nanoseconds_since(arrived);
        let on_the_way = u64::try_from(all.checked_sub(at_reflector)?).ok()?;
        Some(Duration::from_nanos(on_the_way)).filter(|it| at_reflector >= 0 && *it <= PATIENCE)
    }

    /// Nanoseconds by which another packet's delay, in the direction away from the sender, is longer
    /// than this one's: the clocks of the two ends need not agree. None if a clock has jumped.
    fn delay_difference(&self, other: &Self) -> Option<u64> {
        let (before, after) = (&self.packet, &other.packet);
        let apart_there = after.arrived.nanoseconds_since(before.arrived);
        let apart_here = after.test.sent.nanoseconds_since(before.test.sent);
        let difference = apart_there.checked_sub(apart_here)?.unsigned_abs();
        // Two packets that have come within the patience cannot differ by more.
        Some(difference).filter(|it| u128::from(*it) <= PATIENCE.as_nanos())
    }
}

/// Every test packet's first reply, by sequence number.
fn first_replies(replies: &[Reply]) -> BTreeMap<u32, Reply> {
    let mut first: BTreeMap<u32, Reply> = BTreeMap::new();
    for reply in replies {
        let known = first.entry(reply.packet.test.sequence).or_insert(*reply);
        // One that was duplicated on the way there was reflected twice, and came there once first.
        if reply.packet.sequence < known.packet.sequence {
            *known = *reply;
        }
    }
    first
}

/// How many test packets came back.
pub fn returned(replies: &[Reply]) -> u32 {
    u32::try_from(first_replies(replies).len()).unwrap_or(u32::MAX)
}

/// The median and the least round-trip time.
pub fn round_trip_time(replies: &[Reply]) -> Option<(Duration, Duration)> {
    let first = first_replies(replies);
    let mut times: Vec<Duration> = first.values().filter_map(Reply::round_trip).collect();
    times.sort_unstable();
    let least = *times.first()?;
    let middle = times.len() / 2;
    let median = match times.len() % 2 {
        0 => (times[middle - 1] + times[middle]) / 2,
        _ => times[middle],
    };
    Some((median, least))
}

/// Mean difference between the delays of packets that were sent one after the other, in the direction
/// away from the sender (|D(i-1, i)| of RFC 3550, section 6.4.1, of which that section keeps a moving
/// average that forgets all but the last sixteen or so); and of how many it is the mean.
pub fn jitter(replies: &[Reply]) -> Option<(Duration, u32)> {
    let first = first_replies(replies);
    let pairs = first.iter().zip(first.iter().skip(1));
    let differences: Vec<u64> = pairs
        .filter(|((before, _), (after, _))| *before + 1 == **after)
        .filter_map(|((_, before), (_, after))| before.delay_difference(after))
        .collect();
    let number = u64::try_from(differences.len()).ok().filter(|number| *number > 0)?;
    let mean = differences.iter().sum::<u64>() / number;
    Some((Duration::from_nanos(mean), u32::try_from(number).unwrap_or(u32::MAX)))
}

/// Share of the test packets that were lost in the direction away from the sender: the reflector
/// counts those that come. Of packets after the last one that came back it is not known which direction
/// lost them, and they do not count; unless none came back: then all are taken to be lost.
pub fn loss(replies: &[Reply]) -> f64 {
    let mut reflections: BTreeMap<u32, u32> = BTreeMap::new();
    for Reply { packet, .. } in replies {
        reflections.insert(packet.sequence, packet.test.sequence);
    }
    let Some((last_reflection, _)) = reflections.last_key_value() else { return 1.0 };
    let last_sent = reflections.values().max().copied().unwrap_or_default();
    let returned = first_replies(replies).len();
    let came_twice = reflections.len().saturating_sub(returned);
    let sent = f64::from(last_sent) + 1.0;
    let counted = f64::from(*last_reflection) + 1.0 - came_twice as f64;
    // A reflector that has begun anew meanwhile has counted fewer than it has sent back.
    let came = counted.max(returned as f64);
    ((sent - came) / sent).clamp(0.0, 1.0)
}

/// Bits of frames that a train of frames of one length, in bytes, got through in a second, in the
/// direction away from the sender. The slope of the straight line that fits best how many had arrived
/// when: of the two ends alone, a single late one would spoil it all.
pub fn throughput(replies: &[Reply], frame_length: usize) -> Option<u64> {
    let first = first_replies(replies);
    let mut arrivals: Vec<Timestamp> = first.values().map(|reply| reply.packet.arrived).collect();
    if arrivals.len() < LEAST_OF_TRAIN {
        return None;
    }
    arrivals.sort_unstable();
    let begin = arrivals[0];
    let points = (0_u32..).zip(&arrivals).map(|(bits, arrived)| {
        (f64::from(bits) * frame_length as f64 * 8.0, arrived.nanoseconds_since(begin) as f64 / 1e9)
    });
    let points: Vec<(f64, f64)> = points.collect();
    let mean =
        |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (mean_bits, mean_time) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 =
        points.iter().map(|(bits, time)| (bits - mean_bits) * (time - mean_time)).sum();
    let variance: f64 = points.iter().map(|(bits, _)| (bits - mean_bits).powi(2)).sum();
    let rate = variance / covariance;
    (rate.is_finite() && rate >= 1.0).then_some(rate as u64)
}

/// The median of what trains got through.
pub fn median_throughput(mut trains: Vec<u64>) -> Option<u64> {
    trains.sort_unstable();
    trains.get(trains.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::stamp::Test;

    const MS: u64 = 1_000_000;

    /// What becomes of a test packet.
    #[derive(Clone, Copy, Debug)]
    struct Fate {
        /// Delay there and back, in nanoseconds; none: lost.
        there: Option<u64>,
        back: Option<u64>,
    }

    fn fate(there: u64, back: u64) -> Fate {
        Fate { there: Some(there), back: Some(back) }
    }

    const LOST_THERE: Fate = Fate { there: None, back: None };

    fn lost_back(there: u64) -> Fate {
        Fate { there: Some(there), back: None }
    }

    /// Packets sent at these times, in nanoseconds, to a reflector whose clock is elsewhere and which
    /// takes half a millisecond.
    fn play(packets: &[(u64, Fate)], clock_offset: u64) -> Vec<Reply> {
        let at = |nanoseconds: u64| Timestamp::after(Duration::from_nanos(nanoseconds));
        let mut arrivals: Vec<(u64, u64, u32, Option<u64>)> = (0..)
            .zip(packets)
            .filter_map(|(sequence, (sent, fate))| {
                Some((sent + fate.there?, *sent, sequence, fate.back))
            })
            .collect();
        arrivals.sort_unstable();
        let replies =
            (0..).zip(arrivals).filter_map(|(reflection, (arrived, sent, sequence, back))| {
                let reflected = arrived + MS / 2;
                Some(Reply {
                    packet: Reflected {
                        sequence: reflection,
                        reflected: at(reflected + clock_offset),
                        arrived: at(arrived + clock_offset),
                        test: Test { sequence, session: 1, sent: at(sent) },
                        throughput: 0,
                    },
                    returned: at(reflected + back?),
                })
            });
        let mut replies: Vec<Reply> = replies.collect();
        replies.sort_by_key(|reply| reply.returned);
        replies
    }

    fn every(interval: u64, fates: &[Fate]) -> Vec<(u64, Fate)> {
        (0..).zip(fates).map(|(number, fate)| (number * interval, *fate)).collect()
    }

    fn near(one: Duration, other: Duration) -> bool {
        one.abs_diff(other) <= Duration::from_nanos(5)
    }

    #[test]
    fn the_round_trip_time_is_the_median_and_without_the_time_at_the_reflector() {
        let fates = [fate(20 * MS, 20 * MS), fate(10 * MS, 15 * MS), fate(20 * MS, 300 * MS)];
        let (median, least) = round_trip_time(&play(&every(MS, &fates), 77)).unwrap();
        assert!(near(median, Duration::from_millis(40)), "{median:?}");
        assert!(near(least, Duration::from_millis(25)), "{least:?}");
        let (median, _) = round_trip_time(&play(&every(MS, &fates[..2]), 77)).unwrap();
        assert!(near(median, Duration::from_micros(32_500)), "{median:?}");
        assert_eq!(round_trip_time(&[]), None);
    }

    #[test]
    fn a_round_trip_that_cannot_be_is_left_out() {
        let sound = play(&every(MS, &[fate(20 * MS, 20 * MS); 2]), 0);
        let after = |nanoseconds| Timestamp::after(Duration::from_nanos(nanoseconds));
        let mut reflected_before_it_came = sound[1];
        reflected_before_it_came.packet.reflected = after(0);
        let mut too_late = sound[1];
        too_late.returned = after(2_000 * MS);
        for strange in [reflected_before_it_came, too_late] {
            assert_eq!(round_trip_time(&[sound[0], strange]), round_trip_time(&sound[..1]));
            assert_eq!(round_trip_time(&[strange]), None);
        }
    }

    #[test]
    fn jitter_is_that_of_the_way_there_between_neighbours() {
        let fates = [
            fate(10 * MS, MS),
            fate(14 * MS, 90 * MS),
            fate(12 * MS, 30 * MS),
            LOST_THERE,
            fate(99 * MS, MS),
        ];
        let replies = play(&every(20 * MS, &fates), 5_000_000_000);
        let (mean, number) = jitter(&replies).unwrap();
        assert_eq!(number, 2, "beside a lost one there is no neighbour");
        assert!(near(mean, Duration::from_millis(3)), "{mean:?}");
        assert_eq!(jitter(&replies[..1]), None);
    }

    #[test]
    fn losses_are_told_apart_by_direction() {
        let ok = fate(MS, MS);
        let cases: [(&[Fate], f64); 8] = [
            (&[ok; 10], 0.0),
            (&[ok, LOST_THERE, ok, lost_back(MS)], 1.0 / 3.0),
            (&[LOST_THERE, ok], 0.5),
            (&[lost_back(MS), lost_back(MS), ok], 0.0),
            (&[ok, LOST_THERE, LOST_THERE], 0.0),
            // The first has been overtaken by the last that came.
            (&[fate(50 * MS, MS), LOST_THERE, ok, ok], 0.25),
            (&[lost_back(MS); 5], 1.0),
            (&[LOST_THERE; 5], 1.0),
        ];
        for (fates, expected) in cases {
            let lost = loss(&play(&every(10 * MS, fates), 0));
            assert!((lost - expected).abs() < 1e-9, "{fates:?}: {lost}");
        }
    }

    #[test]
    fn a_reflector_that_begins_anew_loses_nothing_by_it() {
        for restart in 1..20 {
            let mut replies = play(&every(10 * MS, &[fate(MS, MS); 20]), 0);
            for (sequence, reply) in (0..).zip(&mut replies[restart..]) {
                reply.packet.sequence = sequence;
            }
            assert_eq!(loss(&replies), 0.0, "after {restart}");
        }
    }

    #[test]
    fn what_comes_twice_counts_once() {
        let fates = [fate(MS, MS), LOST_THERE, fate(2 * MS, MS), fate(MS, MS)];
        let replies = play(&every(10 * MS, &fates), 0);
        // Twice on the way back: the same reflection.
        let again = [replies.clone(), replies.clone()].concat();
        assert_eq!((returned(&again), loss(&again)), (3, 0.25));
        // Twice on the way there: another reflection, later.
        let mut twice = replies;
        let mut late = twice[1];
        late.packet.sequence = 2;
        late.packet.arrived = Timestamp::after(Duration::from_millis(900));
        late.returned = Timestamp::after(Duration::from_millis(990));
        twice[2].packet.sequence = 3;
        let jitter_before = jitter(&twice);
        twice.push(late);
        assert_eq!((returned(&twice), loss(&twice)), (3, 0.25));
        assert_eq!(jitter(&twice), jitter_before);
    }

    #[test]
    fn a_train_tells_the_rate_though_frames_are_lost_or_late() {
        // 20 Mbit/s: a frame of 1,250 bytes takes half a millisecond.
        let mut fates: Vec<_> = (0..20).map(|number| fate(MS + number * MS / 2, MS)).collect();
        let rate = |fates: &[Fate]| throughput(&play(&every(0, fates), 0), 1_250);
        let near = |rate: Option<u64>, tolerance: u64| {
            rate.is_some_and(|rate| rate.abs_diff(20_000_000) <= tolerance)
        };
        assert!(near(rate(&fates), 1_000), "{:?}", rate(&fates));
        // Frames may overtake each other.
        let mut reordered = fates.clone();
        reordered.swap(0, 12);
        reordered.swap(3, 18);
        assert_eq!(rate(&reordered), rate(&fates));
        // The first is a millisecond late: by the ends alone the rate would be a tenth too high.
        fates[0].there = Some(2 * MS);
        assert!(near(rate(&fates), 1_000_000), "{:?}", rate(&fates));
        assert_eq!(rate(&fates[..4]), None, "too few");
        assert_eq!(rate(&[fate(MS, MS); 20]), None, "all at once");
    }

    #[test]
    fn a_train_tells_what_the_way_there_carries_whatever_happens_on_the_way_back() {
        // 20 Mbit/s of what got through: of each two frames of 1,250 bytes one is dropped, and the
        // others arrive every half a millisecond.
        let fates = (0..20).map(|number| match number % 2 {
            0 => fate(MS + number * MS / 4, (20 - number) * MS),
            _ => LOST_THERE,
        });
        let mut replies = play(&every(0, &fates.collect::<Vec<_>>()), 77);
        // Some have come twice, and been reflected twice.
        for (number, mut again) in (0..).zip(replies.clone().into_iter().take(5)) {
            again.packet.sequence = 10 + number;
            again.packet.arrived = Timestamp::after(Duration::from_millis(30));
            replies.push(again);
        }
        let rate = throughput(&replies, 1_250).unwrap();
        assert!(rate.abs_diff(20_000_000) <= 1_000, "{rate}");
    }

    #[test]
    fn the_median_of_trains_is_one_of_them() {
        assert_eq!(median_throughput(vec![]), None);
        assert_eq!(median_throughput(vec![3, 1]), Some(1));
        assert_eq!(median_throughput(vec![9, 1, 5]), Some(5));
    }

    fn fates(number: usize) -> impl Strategy<Value = Vec<Fate>> {
        let delay = || proptest::option::weighted(0.8, 0..30 * MS);
        vec((delay(), delay()).prop_map(|(there, back)| Fate { there, back }), 1..number)
    }

    proptest! {
        /// Whatever the order in which things come, and wherever the reflector's clock is.
        #[test]
        fn nothing_depends_on_the_order_or_on_the_other_clock(
            fates in fates(50), offset: u32, interval in 0..40 * MS, seed: u64,
        ) {
            let packets = every(interval, &fates);
            let replies = play(&packets, 0);
            let mut shuffled = play(&packets, u64::from(offset) * 1_000_000_000);
            shuffled.sort_by_key(|reply| u64::from(reply.packet.sequence + 1).wrapping_mul(seed | 1));
            prop_assert_eq!(loss(&replies), loss(&shuffled));
            prop_assert_eq!(returned(&replies), returned(&shuffled));
            prop_assert_eq!(round_trip_time(&replies).is_some(), round_trip_time(&shuffled).is_some());
            let close = |one: Option<Duration>, other: Option<Duration>| match (one, other) {
                (Some(one), Some(other)) => near(one, other),
                (one, other) => one == other,
            };
            prop_assert!(close(jitter(&replies).map(|it| it.0), jitter(&shuffled).map(|it| it.0)));
        }

        /// The share of what was lost on the way there, but for what cannot be known: without
        /// reordering, exactly that up to the last that came back.
        #[test]
        fn loss_is_exact_up_to_the_last_that_came_back(fates in fates(60)) {
            let packets = every(40 * MS, &fates);
            let lost = loss(&play(&packets, 0));
            let came_back = |it: &Fate| it.there.is_some() && it.back.is_some();
            let expected = match fates.iter().rposition(came_back) {
                None => 1.0,
                Some(last) => {
                    let lost = fates[..=last].iter().filter(|it| it.there.is_none()).count();
                    lost as f64 / (last + 1) as f64
                }
            };
            prop_assert!((lost - expected).abs() < 1e-9, "{lost}, not {expected}");
        }

        /// A clock that jumps spoils the packets around the jump, not the estimate.
        #[test]
        fn a_jump_of_a_clock_is_left_out(
            number in 10..40_usize, at in 1..9_usize, seconds in 2..100_000_u64, sender: bool,
        ) {
            let fates = vec![fate(20 * MS, 20 * MS); number];
            let mut replies = play(&every(50 * MS, &fates), 0);
            for reply in &mut replies[at..] {
                let jump = |timestamp: Timestamp| {
                    let since = timestamp.nanoseconds_since(Timestamp::default());
                    let since = Duration::from_nanos(since.unsigned_abs());
                    Timestamp::after(since + Duration::from_secs(seconds))
                };
                if sender {
                    reply.packet.test.sent = jump(reply.packet.test.sent);
                    reply.returned = jump(reply.returned);
                } else {
                    reply.packet.arrived = jump(reply.packet.arrived);
                    reply.packet.reflected = jump(reply.packet.reflected);
                }
            }
            let (median, _) = round_trip_time(&replies).unwrap();
            prop_assert!(near(median, Duration::from_millis(40)));
            prop_assert!(jitter(&replies).unwrap().0 < Duration::from_micros(1));
            prop_assert_eq!(loss(&replies), 0.0);
        }

        /// Nothing that a broken or malicious far end says makes nonsense.
        #[test]
        fn the_far_end_may_say_anything(
            packets in vec((any::<[u32; 2]>(), any::<[u32; 6]>()), 0..30),
        ) {
            let at = |(seconds, part): (u32, u32)| {
                Timestamp::after(Duration::new(seconds.into(), part % 1_000_000_000))
            };
            let replies: Vec<Reply> = packets
                .iter()
                .map(|([reflection, sequence], [a, b, c, d, e, f])| Reply {
                    packet: Reflected {
                        sequence: *reflection,
                        reflected: at((*a, *b)),
                        arrived: at((*c, *d)),
                        test: Test { sequence: *sequence, session: 0, sent: at((*e, *f)) },
                        throughput: 0,
                    },
                    returned: at((*b, *c)),
                })
                .collect();
            prop_assert!((0.0..=1.0).contains(&loss(&replies)));
            for (time, _) in [round_trip_time(&replies), jitter(&replies).map(|it| (it.0, it.0))].into_iter().flatten() {
                prop_assert!(time <= PATIENCE);
            }
            throughput(&replies, 1_198);
        }
    }
}
