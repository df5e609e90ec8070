use proptest::prelude::*;

use super::*;
use crate::cable::Rate;

const MS: Duration = Duration::from_millis(1);

/// Frames of `size` bytes, each with its number, at times.
fn run(
    seed: u64,
    impairment: Impairment,
    size: usize,
    times: impl IntoIterator<Item = Duration>,
) -> (Vec<(u32, Duration)>, Counters) {
    let mut line = Line::new(seed, Direction::Forth, impairment);
    let mut arrived = Vec::new();
    for (number, now) in (0_u32..).zip(times) {
        collect(&mut line, now, &mut arrived);
        let mut frame = vec![0; size];
        frame[..4].copy_from_slice(&number.to_be_bytes());
        line.offer(now, &frame);
    }
    collect(&mut line, Duration::MAX, &mut arrived);
    (arrived, line.counters())
}

fn collect(line: &mut Line, until: Duration, arrived: &mut Vec<(u32, Duration)>) {
    while let Some(due) = line.next_due().filter(|due| *due <= until) {
        line.deliver(due, |frame| {
            let number = u32::from_be_bytes(frame[..4].try_into().unwrap());
            arrived.push((number, due));
            true
        });
    }
}

/// `count` times, a millisecond apart.
fn every_millisecond(count: u32) -> impl Iterator<Item = Duration> {
    (0..count).map(|n| n * MS)
}

#[test]
fn a_plain_line_carries_everything_at_once() {
    let (arrived, counters) = run(1, Impairment::default(), 60, every_millisecond(3));
    assert_eq!(arrived, [(0, Duration::ZERO), (1, MS), (2, 2 * MS)]);
    assert_eq!(counters, Counters { offered: 3, carried: 3, ..Default::default() });
}

#[test]
fn a_delay_is_exact_without_jitter() {
    let impairment = Impairment { delay: 7 * MS, ..Default::default() };
    let (arrived, _) = run(1, impairment, 60, every_millisecond(100));
    assert!(arrived.iter().all(|(n, due)| *due == (*n + 7) * MS), "{arrived:?}");
}

#[test]
fn jitter_is_uniform_and_nothing_overtakes_unless_asked() {
    let mut impairment =
        Impairment { delay: 20 * MS, jitter: 10 * MS, reorder: true, ..Default::default() };
    let (arrived, _) = run(3, impairment, 60, every_millisecond(10_000));
    let delays: Vec<f64> =
        arrived.iter().map(|(n, due)| (due.as_secs_f64() - f64::from(*n) / 1e3) * 1e3).collect();
    assert!(delays.iter().all(|delay| (10.0..=30.0).contains(delay)));
    let share = |from: f64, to: f64| {
        delays.iter().filter(|delay| (from..to).contains(delay)).count() as f64 / 10_000.0
    };
    for quarter in [10.0, 15.0, 20.0, 25.0] {
        let share = share(quarter, quarter + 5.0);
        assert!((share - 0.25).abs() < 0.02, "{share} of the delays from {quarter} ms");
    }
    assert!(!arrived.is_sorted_by_key(|(n, _)| *n), "some overtake others");
    impairment.reorder = false;
    let (arrived, _) = run(3, impairment, 60, every_millisecond(10_000));
    assert!(arrived.is_sorted_by_key(|(n, _)| *n));
    assert_eq!(arrived.len(), 10_000);
}

#[test]
fn loss_is_that_of_the_seed() {
    let loss = Loss::Independent { probability: 0.1 };
    let impairment = Impairment { loss, ..Default::default() };
    let (arrived, counters) = run(7, impairment, 60, every_millisecond(10_000));
    // Four standard deviations of a binomial distribution.
    assert!(counters.lost.abs_diff(1_000) < 120, "{counters:?}");
    assert_eq!(counters.carried + counters.lost, 10_000);
    // Neither sizes nor times matter, nor what else is done to the frames.
    let other = Impairment { delay: 9 * MS, ..impairment };
    let (again, _) = run(7, other, 600, (0..10_000).map(|n| n * 3 * MS));
    let numbers = |arrived: &[(u32, Duration)]| -> Vec<u32> {
        arrived.iter().map(|(number, _)| *number).collect()
    };
    assert_eq!(numbers(&arrived), numbers(&again));
    let (others, _) = run(8, impairment, 60, every_millisecond(10_000));
    assert_ne!(numbers(&arrived), numbers(&others));
}

#[test]
fn a_frame_that_is_refused_takes_its_numbers_too() {
    let loss = Loss::Independent { probability: 0.5 };
    let mut lines =
        [(); 2].map(|()| Line::new(7, Direction::Forth, Impairment { loss, ..Default::default() }));
    lines[0].offer(MS, &[0; 60]);
    lines[1].refuse();
    assert_eq!((lines[1].counters().dropped_by_nat, lines[1].counters().under_way()), (1, 0));
    let [with, without] = lines.map(|mut line| {
        (1..100_u8).for_each(|number| line.offer(MS, &[number; 60]));
        let mut arrived = Vec::new();
        collect(&mut line, MS, &mut arrived);
        arrived.retain(|(number, _)| *number > 0);
        arrived
    });
    assert_eq!(with, without);
}

#[test]
fn bursts_have_their_share_and_their_length() {
    let loss = Loss::Bursts { probability: 0.2, mean_length: 5.0 };
    let impairment = Impairment { loss, ..Default::default() };
    let (arrived, counters) = run(5, impairment, 60, every_millisecond(100_000));
    let lost = counters.lost as f64;
    assert!((lost / 100_000.0 - 0.2).abs() < 0.01, "{counters:?}");
    let bursts = arrived.windows(2).filter(|pair| pair[1].0 - pair[0].0 > 1).count() as f64;
    assert!((lost / bursts - 5.0).abs() < 0.25, "{} frames a burst", lost / bursts);
}

#[test]
fn a_rate_is_kept_and_the_tail_of_the_queue_dropped() {
    // 1,000 bytes take a millisecond, and ten frames may wait.
    let rate = Rate { bits_per_second: 8_000_000, burst: 0, queue: 10_000 };
    let impairment = Impairment { rate: Some(rate), ..Default::default() };
    let (arrived, counters) = run(1, impairment, 1_000, [Duration::ZERO; 15]);
    let expected: Vec<_> = (0..10).map(|n| (n, (n + 1) * MS)).collect();
    assert_eq!(arrived, expected);
    assert_eq!(counters.dropped_by_queue, 5);
    // At half the rate nothing waits, and at twice the rate a half is dropped in the long run.
    let (arrived, _) = run(1, impairment, 1_000, (0..500).map(|n| n * 2 * MS));
    assert!(arrived.iter().all(|(n, due)| *due == (*n * 2 + 1) * MS));
    let (_, counters) = run(1, impairment, 1_000, (0..2_000).map(|n| n * MS / 2));
    assert!(counters.carried.abs_diff(1_010) <= 1, "{counters:?}");
}

#[test]
fn a_burst_leaves_at_once_after_a_pause() {
    let rate = Rate { bits_per_second: 8_000_000, burst: 3_000, queue: 10_000 };
    let impairment = Impairment { rate: Some(rate), ..Default::default() };
    let start = 100 * MS;
    let (arrived, _) = run(1, impairment, 1_000, [start; 5]);
    let due: Vec<_> = arrived.iter().map(|(_, due)| *due - start).collect();
    assert_eq!(due, [Duration::ZERO, Duration::ZERO, Duration::ZERO, MS, 2 * MS]);
}

#[test]
fn the_mtu_is_exact() {
    let impairment = Impairment { mtu: Some(1_400), ..Default::default() };
    assert_eq!(run(1, impairment, 1_414, [MS]).1.carried, 1);
    assert_eq!(run(1, impairment, 1_415, [MS]).1.dropped_by_mtu, 1);
}

#[test]
fn a_cut_takes_what_is_under_way_too() {
    let mut line =
        Line::new(1, Direction::Forth, Impairment { delay: 5 * MS, ..Default::default() });
    line.offer(MS, &[0; 60]);
    line.cut();
    line.offer(2 * MS, &[0; 60]);
    line.heal();
    line.offer(3 * MS, &[0; 60]);
    let mut arrived = Vec::new();
    line.deliver(8 * MS, |frame| {
        arrived.push(frame.to_vec());
        true
    });
    assert_eq!(arrived.len(), 1);
    let counters = line.counters();
    assert_eq!((counters.dropped_by_cut, counters.under_way()), (2, 0));
}

#[test]
fn what_is_under_way_is_bounded() {
    let mut line =
        Line::new(1, Direction::Forth, Impairment { delay: 5 * MS, ..Default::default() });
    let frame = vec![0; 1 << 20];
    for _ in 0..65 {
        line.offer(MS, &frame);
    }
    assert_eq!(line.counters().dropped_by_queue, 1);
}

prop_compose! {
    fn impairment()(
        delay in 0_u32..50,
        jitter in prop_oneof![Just(0), 0_u32..50],
        reorder: bool,
        loss in prop_oneof![
            Just(Loss::None),
            (0.0..1.0).prop_map(|probability| Loss::Independent { probability }),
            (0.0..0.5, 1.0..9.0)
                .prop_map(|(probability, mean_length)| Loss::Bursts { probability, mean_length }),
        ],
        rate in proptest::option::of((100_000_u64..10_000_000, 0_u32..9_000, 1_514_u32..20_000)),
        mtu in proptest::option::of(46_u32..1_500),
    ) -> Impairment {
        let rate = rate.map(|(bits_per_second, burst, queue)| Rate { bits_per_second, burst, queue });
        let delay = delay * MS;
        Impairment { delay, jitter: delay.min(jitter * MS), reorder, loss, rate, mtu }
    }
}

proptest! {
    #[test]
    fn every_frame_has_one_fate_and_the_rate_is_never_exceeded(
        seed: u64,
        impairment in impairment(),
        size in 60_usize..1_514,
        gaps in proptest::collection::vec(0_u64..3_000, 1..200),
    ) {
        prop_assert_eq!(impairment.validate(), Ok(()));
        let times: Vec<_> = gaps
            .iter()
            .scan(Duration::ZERO, |now, gap| {
                *now += Duration::from_micros(*gap);
                Some(*now)
            })
            .collect();
        let (arrived, counters) = run(seed, impairment, size, times.clone());
        prop_assert_eq!(counters.under_way(), 0);
        prop_assert_eq!(counters.offered, times.len() as u64);
        prop_assert_eq!(counters.carried, arrived.len() as u64);
        let mut numbers: Vec<_> = arrived.iter().map(|(number, _)| *number).collect();
        prop_assert!(impairment.reorder || numbers.is_sorted());
        numbers.sort_unstable();
        numbers.dedup();
        prop_assert_eq!(numbers.len(), arrived.len(), "nothing arrives twice");
        for (number, due) in &arrived {
            let sent = times[*number as usize];
            prop_assert!(*due >= sent + impairment.delay - impairment.jitter);
        }
        if let (Some(rate), true) = (impairment.rate, impairment.jitter.is_zero()) {
            for (n, (_, first)) in arrived.iter().enumerate() {
                for (m, (_, last)) in arrived.iter().enumerate().skip(n + 1) {
                    // What arrives behind the first within a time is at most the bucket and what
                    // the rate makes of the time; each frame is rounded by a nanosecond.
                    let bytes = ((m - n) * size) as u64;
                    let least = rate.time(bytes.saturating_sub(rate.burst.into()));
                    prop_assert!(*last - *first + Duration::from_nanos(400) >= least);
                }
            }
        }
        prop_assert_eq!(run(seed, impairment, size, times), (arrived, counters));
    }
}
