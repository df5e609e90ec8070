//! Takes in what the engine sees, and wakes who waits for it.

use std::sync::Arc;

use l2sces_controller::Event;
use l2sces_model::DatapathId;
use l2sces_reconcile::Queue;
use l2sces_trace::{Caused, TraceContext};
use tokio::sync::mpsc;

use crate::{
    board::{Board, Fact},
    domain::{Condition, Key, Reason, Trouble},
    fabric::port_key,
    trunks::Trunks,
};

/// Runs until the engine ends.
pub(crate) async fn take_in(
    mut events: mpsc::Receiver<Caused<Event>>,
    board: Arc<Board>,
    trunks: Arc<Trunks>,
    queue: Queue<Key>,
) {
    while let Some(Caused { what: event, cause }) = events.recv().await {
        TraceContext::within(cause, || note(event, &board, &trunks, &queue));
    }
}

fn note(event: Event, board: &Board, trunks: &Trunks, queue: &Queue<Key>) {
    match event {
        Event::SwitchReady(id) => {
            board.set_switch(id, Ok(()));
            wake_node(id, board, queue);
        }
        Event::SwitchDown { id, reason } => {
            board.set_switch(id, Err(reason));
            wake_node(id, board, queue);
        }
        Event::SliceState { name, ready, message } => {
            board.set_slice(&name, condition(ready, Reason::LinkDown, message));
        }
        Event::NetworkState { vni, ready, message } => {
            board.set_network(vni, condition(ready, Reason::WaitingForSwitch, message));
        }
        Event::PortAddresses { id, learned, conflicts } => {
            let Some(key) = port_key(&id) else { return };
            board.set_addresses(&key, learned, &conflicts);
            queue.wake(Key::Port(key));
        }
        Event::PortState { id, ready, message } => {
            // A handoff is part of its network's state.
            let Some(key) = port_key(&id) else { return trunks.set_ready(id, ready) };
            let flows = Fact::from(condition(ready, Reason::WaitingForSwitch, message));
            board.change_port(&key, |facts| facts.flows = flows);
            if ready {
                queue.wake(Key::Port(key));
            }
        }
        // Of each slice it is told whether its links work.
        Event::LinksChanged => {}
    }
}

/// Slices may have waited for the node's switch to let go of links.
fn wake_node(id: DatapathId, board: &Board, queue: &Queue<Key>) {
    if let Some(node) = board.node_of(id) {
        queue.wake(Key::Node(node));
    }
}

fn condition(ready: bool, reason: Reason, message: String) -> Condition {
    if ready { Ok(()) } else { Err(Trouble::new(reason, message)) }
}
