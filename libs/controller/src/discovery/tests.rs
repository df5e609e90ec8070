use super::{direction::TOLERATED, *};

fn end(switch: u64, interface: &str) -> LinkEnd {
    LinkEnd { switch: switch.try_into().unwrap(), interface: interface.parse().unwrap() }
}

fn name(id: DatapathId) -> String {
    format!("switch {}", id.get())
}

/// Two switches with one link.
fn discovery(now: Instant) -> (Discovery, LinkEnd, LinkEnd) {
    let (a, b) = (end(1, "to-b"), end(2, "to-a"));
    let mut discovery = Discovery::new(DiscoveryKey::new(&[7; 32]));
    let link = LinkSpec { a: a.clone(), b: b.clone(), cost: 1 };
    discovery.set_links(&BTreeSet::from([link]), now);
    (discovery, a, b)
}

fn probes(discovery: &mut Discovery, now: Instant) -> Vec<Probe> {
    discovery.due(now, |_, _| true)
}

/// Sends what is due and lets it arrive, where it should, but for what is sent from `silent`.
fn exchange(
    discovery: &mut Discovery,
    ends: [&LinkEnd; 2],
    silent: Option<&LinkEnd>,
    now: Instant,
) {
    for probe in probes(discovery, now) {
        let to = if &probe.from == ends[0] { ends[1] } else { ends[0] };
        if Some(&probe.from) != silent {
            discovery.frame_arrived(to, &probe.frame, now, name);
        }
    }
}

#[test]
fn a_link_is_up_when_probes_arrive_at_the_other_end() {
    let now = Instant::now();
    let (mut discovery, a, b) = discovery(now);
    let probes = probes(&mut discovery, now);
    assert_eq!(probes.len(), 2);
    for probe in probes {
        let to = if probe.from == a { &b } else { &a };
        assert!(discovery.fault(&probe.from, to).is_some());
        assert!(discovery.frame_arrived(to, &probe.frame, now, name));
        assert_eq!(discovery.fault(&probe.from, to), None);
        assert!(!discovery.frame_arrived(to, &probe.frame, now, name), "nothing new");
    }
    assert!(discovery.states().iter().all(|state| state.up));
    assert_eq!(discovery.next_deadline(), Some(now + INTERVAL), "and is left in peace then");
}

#[test]
fn a_direction_is_broken_after_too_many_silent_probes_and_heals_with_one() {
    for has_worked in [false, true] {
        let mut now = Instant::now();
        let (mut discovery, a, b) = discovery(now);
        if has_worked {
            exchange(&mut discovery, [&a, &b], None, now);
        }
        let start = now;
        for _ in 0..=TOLERATED {
            assert!(discovery.broken().is_empty());
            now = discovery.next_deadline().unwrap();
            exchange(&mut discovery, [&a, &b], Some(&a), now);
        }
        assert_eq!(discovery.broken(), BTreeSet::from([(a.clone(), b.clone())]));
        let took = now - start;
        let most = Duration::from_secs(if has_worked { 20 } else { 1 });
        assert!(took <= most, "{took:?} until it is found");

        let silence = discovery.next_deadline().unwrap() - now;
        assert!(silence <= Duration::from_secs(5), "{silence:?} until it is tried again");
        now += silence;
        exchange(&mut discovery, [&a, &b], None, now);
        assert!(discovery.broken().is_empty());
    }
}

#[test]
fn links_that_work_are_probed_together() {
    let mut now = Instant::now();
    let (mut discovery, a, b) = discovery(now);
    let other = LinkSpec { a: end(1, "to-c"), b: end(3, "to-a"), cost: 1 };
    let [first, second] = [now, now + Duration::from_millis(900)];
    exchange(&mut discovery, [&a, &b], None, first);
    let link = LinkSpec { a: a.clone(), b: b.clone(), cost: 1 };
    discovery.set_links(&BTreeSet::from([link, other.clone()]), second);
    exchange(&mut discovery, [&other.a, &other.b], None, second);
    for round in 0..3 {
        now = discovery.next_deadline().unwrap();
        assert!(probes(&mut discovery, now - Duration::from_millis(1)).is_empty());
        let sent = probes(&mut discovery, now);
        assert_eq!(sent.len(), 4, "round {round}");
        for Probe { from, frame } in sent {
            let ends = [[&a, &b], [&other.a, &other.b]];
            let ends = ends.into_iter().find(|ends| ends.contains(&&from)).unwrap();
            let to = if &from == ends[0] { ends[1] } else { ends[0] };
            discovery.frame_arrived(to, &frame, now, name);
        }
        assert_eq!(discovery.next_deadline(), Some(now + INTERVAL));
    }
}

#[test]
fn nothing_is_due_while_a_switch_is_away_and_silence_says_nothing() {
    let now = Instant::now();
    let (mut discovery, a, _) = discovery(now);
    assert!(discovery.due(now, |_, _| false).is_empty());
    assert_eq!(discovery.next_deadline(), None);
    assert!(discovery.broken().is_empty());
    discovery.wake(&end(1, "to-c"), now);
    assert_eq!(discovery.next_deadline(), None, "another interface");
    discovery.wake(&a, now);
    assert_eq!(probes(&mut discovery, now).len(), 2);

    discovery.due(now + INTERVAL, |_, _| false);
    assert_eq!(discovery.next_deadline(), None);
    discovery.wake_switch(2.try_into().unwrap(), now);
    assert_eq!(discovery.next_deadline(), Some(now));
}

#[test]
fn a_link_that_bfd_finds_cut_is_broken_both_ways_until_it_answers() {
    let now = Instant::now();
    let (mut discovery, a, b) = discovery(now);
    exchange(&mut discovery, [&a, &b], None, now);
    let both = BTreeSet::from([(a.clone(), b.clone()), (b.clone(), a.clone())]);

    assert!(discovery.set_lost(&a, true, now));
    assert!(!discovery.set_lost(&a, true, now), "no news");
    assert!(!discovery.set_lost(&end(1, "pod"), true, now), "no link");
    assert_eq!(discovery.broken(), both);
    for (from, to) in &both {
        assert_eq!(discovery.fault(from, to).unwrap(), "no BFD answer from the far end");
    }
    discovery.set_lost(&b, true, now);
    assert!(discovery.set_lost(&a, false, now));
    assert_eq!(discovery.broken(), both, "the other end says so too");
    assert!(discovery.set_lost(&b, false, now));
    assert!(discovery.broken().is_empty());
    assert!(discovery.fault(&a, &b).is_some(), "but where it leads is to be seen");
    exchange(&mut discovery, [&a, &b], None, now);
    assert!(discovery.states().iter().all(|state| state.up && state.message.is_empty()));
}

#[test]
fn what_was_lost_stays_so_over_a_reconnection_unless_it_answers() {
    let now = Instant::now();
    let (mut discovery, a, b) = discovery(now);
    exchange(&mut discovery, [&a, &b], None, now);
    let silent = BTreeSet::from([a.interface.clone()]);
    discovery.restart_switch(a.switch, &silent, now);
    assert!(discovery.broken().is_empty(), "it may need more time");
    discovery.set_lost(&a, true, now);
    discovery.restart_switch(a.switch, &silent, now);
    assert_eq!(discovery.broken().len(), 2);
    discovery.restart_switch(b.switch, &BTreeSet::new(), now);
    assert_eq!(discovery.broken().len(), 2, "another switch");
    discovery.restart_switch(a.switch, &BTreeSet::new(), now);
    assert!(discovery.broken().is_empty());
}

#[test]
fn a_tunnel_that_ends_elsewhere_is_named() {
    let now = Instant::now();
    let (mut discovery, a, b) = discovery(now);
    let elsewhere = end(3, "to-a");
    let sent = probes(&mut discovery, now);
    let probe = sent.iter().find(|probe| probe.from == a).unwrap();
    assert!(discovery.frame_arrived(&elsewhere, &probe.frame, now, name));
    assert!(!discovery.frame_arrived(&elsewhere, &probe.frame, now, name), "nothing new");
    let fault = discovery.fault(&a, &b).unwrap();
    assert!(fault.contains("come out at switch 3, of to-a"), "{fault}");
    // What comes instead says less.
    let stranger = DiscoveryKey::new(&[7; 32]).frame(&elsewhere);
    assert!(!discovery.frame_arrived(&b, &stranger, now, name), "nothing new");
    assert_eq!(discovery.fault(&a, &b), Some(fault));
    // BFD cannot tell one peer from another.
    discovery.set_lost(&a, true, now);
    discovery.set_lost(&a, false, now);
    assert!(discovery.broken().contains(&(a.clone(), b.clone())));
    assert!(discovery.frame_arrived(&b, &probe.frame, now, name));
    assert!(discovery.broken().is_empty());
}

#[test]
fn frames_of_others_and_altered_frames_are_not_believed() {
    let now = Instant::now();
    let (mut discovery, a, b) = discovery(now);
    let forged = DiscoveryKey::new(&[8; 32]).frame(&a);
    assert!(!discovery.frame_arrived(&b, &forged, now, name));
    let genuine = DiscoveryKey::new(&[7; 32]).frame(&a);
    for at in 0..genuine.len() - 2 {
        let mut altered = genuine.clone();
        altered[at] ^= 1;
        assert!(!discovery.frame_arrived(&b, &altered, now, name), "byte {at}");
        assert!(!discovery.frame_arrived(&b, &genuine[..at], now, name), "cut at {at}");
    }
    assert!(discovery.frame_arrived(&b, &genuine, now, name));
}

#[test]
fn a_far_end_that_never_answers_bfd_is_lost_after_a_time() {
    let now = Instant::now();
    let (mut discovery, a, b) = discovery(now);
    exchange(&mut discovery, [&a, &b], None, now);
    discovery.await_answer(&a, now);
    let before = now + FIRST_ANSWER / 2;
    discovery.await_answer(&a, before);
    exchange(&mut discovery, [&a, &b], None, before);
    assert_eq!(discovery.broken(), BTreeSet::new(), "it may need the time");
    let overdue = now + FIRST_ANSWER;
    assert_eq!(discovery.next_deadline(), Some(overdue));
    exchange(&mut discovery, [&a, &b], None, overdue);
    assert_eq!(discovery.broken().len(), 2, "in both directions");
    assert!(discovery.set_lost(&a, false, overdue), "and then it does");
    assert_eq!(discovery.broken(), BTreeSet::new());

    // One that has answered in time is not waited for any more.
    discovery.await_answer(&b, overdue);
    discovery.set_lost(&b, false, overdue);
    exchange(&mut discovery, [&a, &b], None, overdue);
    assert_eq!(discovery.next_deadline(), Some(overdue + INTERVAL));
}
