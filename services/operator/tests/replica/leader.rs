//! One of two replicas leads.

use nix::sys::signal::Signal;

use crate::world::{SYSTEM, World};

/// Who leads, for how many leaders there have been before, and when it was said last.
async fn lease(world: &World) -> (String, u32, String) {
    let fields = "jsonpath={.spec.holderIdentity} {.spec.leaseTransitions} {.spec.renewTime}";
    let ask = ["--namespace", SYSTEM, "get", "lease", "l2sces-operator", "--output", fields];
    let printed = world.run(&ask).await;
    let mut words = printed.split(' ').map(str::to_owned);
    let mut next = || words.next().unwrap();
    (next(), next().parse().unwrap(), next())
}

/// Waits until the leader has said a few times more that it leads; nobody else has meanwhile.
async fn goes_on(world: &World) {
    for _ in 0..3 {
        let (leader, transitions, renewed) = lease(world).await;
        let time = ["--namespace", SYSTEM, "get", "lease", "l2sces-operator", "--output"];
        let ask = [&time[..], &["jsonpath={.spec.renewTime}"]].concat();
        world.until(&ask, |now| now != renewed).await;
        let (now, after, _) = lease(world).await;
        assert_eq!((now, after), (leader, transitions));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_takes_over_from_a_leader_that_is_silent_and_only_then() {
    let world = World::start().await;
    let mut replicas = vec![("one", world.operator("one"))];
    assert_eq!(world.leader(|_| true).await, "one");
    replicas.push(("two", world.operator("two")));
    goes_on(&world).await;
    assert_eq!(lease(&world).await.0, "one");

    // It stands still, as a machine does that is suspended, and does not know it.
    replicas[0].1.signal(Signal::SIGSTOP);
    world.leader(|leader| leader == "two").await;
    let (_, transitions, _) = lease(&world).await;
    replicas[0].1.signal(Signal::SIGCONT);
    goes_on(&world).await;
    let (leader, after, _) = lease(&world).await;
    assert_eq!((leader.as_str(), after), ("two", transitions), "the first has taken it back");

    replicas[1].1.signal(Signal::SIGKILL);
    world.leader(|leader| leader == "one").await;
    let (_, after, _) = lease(&world).await;
    assert_eq!(after, transitions + 1);

    // One that is told to end gives it away, and nobody has to wait.
    replicas[1] = ("two", world.operator("two"));
    goes_on(&world).await;
    replicas[0].1.signal(Signal::SIGTERM);
    world.leader(|leader| leader == "two").await;
    goes_on(&world).await;
}
