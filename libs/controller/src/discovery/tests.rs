use super::*;

fn end(switch: u64, interface: &str) -> LinkEnd {
    LinkEnd { switch: switch.try_into().unwrap(), interface: interface.parse().unwrap() }
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

#[test]
fn a_link_is_up_when_probes_arrive_at_the_other_end() {
    let now = Instant::now();
    let (mut discovery, a, b) = discovery(now);
    let probes = probes(&mut discovery, now);
    assert_eq!(probes.len(), 2);
    for probe in probes {
        let to = if probe.from == a { &b } else { &a };
        assert!(discovery.fault(&probe.from, to).is_some());
        assert!(discovery.frame_arrived(to, &probe.frame));
        assert_eq!(discovery.fault(&probe.from, to), None);
    }
    assert!(discovery.states().iter().all(|state| state.up));
    assert_eq!(discovery.next_deadline(), Some(now + FIRST_INTERVAL));
}

#[test]
fn a_direction_is_broken_after_too_many_silent_probes_and_heals_with_one() {
    let mut now = Instant::now();
    let (mut discovery, a, b) = discovery(now);
    for _ in 0..=TOLERATED {
        assert!(discovery.broken().is_empty());
        let sent = probes(&mut discovery, now);
        for probe in sent.iter().filter(|probe| probe.from == b) {
            discovery.frame_arrived(&a, &probe.frame);
        }
        now += INTERVAL;
    }
    assert_eq!(discovery.broken(), BTreeSet::from([(a.clone(), b.clone())]));
    let sent = probes(&mut discovery, now);
    let probe = sent.iter().find(|probe| probe.from == a).unwrap();
    assert!(discovery.frame_arrived(&b, &probe.frame));
    assert!(discovery.broken().is_empty());
}

#[test]
fn silence_says_nothing_while_a_switch_is_away() {
    let mut now = Instant::now();
    let (mut discovery, ..) = discovery(now);
    for _ in 0..20 {
        assert!(discovery.due(now, |_, _| false).is_empty());
        now += INTERVAL;
    }
    assert!(discovery.broken().is_empty());
}

#[test]
fn a_tunnel_that_ends_elsewhere_is_named() {
    let now = Instant::now();
    let (mut discovery, a, b) = discovery(now);
    let elsewhere = end(3, "to-a");
    let sent = probes(&mut discovery, now);
    let probe = sent.iter().find(|probe| probe.from == a).unwrap();
    assert!(discovery.frame_arrived(&elsewhere, &probe.frame));
    let fault = discovery.fault(&a, &b).unwrap();
    assert!(fault.contains("arrive at to-a of switch 0000000000000003"), "{fault}");
    assert!(discovery.broken().contains(&(a, b)));
}

#[test]
fn frames_of_others_and_altered_frames_are_not_believed() {
    let now = Instant::now();
    let (mut discovery, a, b) = discovery(now);
    let forged = DiscoveryKey::new(&[8; 32]).frame(&a);
    assert!(!discovery.frame_arrived(&b, &forged));
    let genuine = DiscoveryKey::new(&[7; 32]).frame(&a);
    for at in 0..genuine.len() - 2 {
        let mut altered = genuine.clone();
        altered[at] ^= 1;
        assert!(!discovery.frame_arrived(&b, &altered), "byte {at}");
        assert!(!discovery.frame_arrived(&b, &genuine[..at]), "cut at {at}");
    }
    assert!(discovery.frame_arrived(&b, &genuine));
}
