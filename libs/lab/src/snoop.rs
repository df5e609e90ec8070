//! What a controller changes in a bridge, read off its connection, and what a bridge holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};

use crate::{
    command,
    error::{Context, LabError},
    layout::Node,
    openvswitch::PATIENCE,
    wait,
};

/// Names a flow (its table, priority and match, in the notation of ovs-ofctl(8)), a group or a meter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleName(String);

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RuleName {
    /// Of a flow: the terms of a match are in no order, and those that say how to print it are none.
    fn flow(table: &str, matching: &str) -> Self {
        let terms: BTreeSet<&str> = matching.split(',').filter(|term| !term.is_empty()).collect();
        Self(format!("flow table={table} {}", Vec::from_iter(terms).join(",")))
    }
}

/// Reads what is said on the connection between a bridge and its controller.
#[derive(Debug)]
pub struct Snoop {
    text: Arc<Mutex<String>>,
    _child: Child,
}

impl Node {
    /// Starts `ovs-ofctl snoop` on a bridge that has a controller, and returns when it listens.
    ///
    /// # Errors
    /// There is no such bridge, or it has no controller.
    pub async fn snoop(&self, bridge: &str) -> Result<Snoop, LabError> {
        let what = || format!("listen to the controller of {bridge} on {}", self.name);
        let socket = format!("unix:{}", self.directory.join(format!("{bridge}.snoop")).display());
        let mut ofctl = command::command("ovs-ofctl");
        // What it reads goes to standard error.
        ofctl.args(["--protocols=OpenFlow13", "--no-names", "snoop", &socket]);
        ofctl.stdout(Stdio::null());
        // Where it makes a control socket of its own: the machine's folder may not be there.
        ofctl.env("OVS_RUNDIR", &self.directory);
        let mut child = ofctl.spawn().context(what)?;
        let pid = child.id().unwrap_or_default();
        let stderr =
            child.stderr.take().ok_or(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        let mut lines = BufReader::new(stderr.context(what)?).lines();
        let text = Arc::<Mutex<String>>::default();
        tokio::spawn({
            let text = Arc::clone(&text);
            async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
                    text.push_str(&line);
                    text.push('\n');
                }
            }
        });
        let snoop = Snoop { text, _child: child };
        // It makes its control socket when it has exchanged greetings with the switch, which has joined
        // it to the controller's connection before.
        let control = self.directory.join(format!("ovs-ofctl.{pid}.ctl"));
        wait::holds(&what(), PATIENCE, || async {
            if control.exists() { Ok(()) } else { Err(snoop.text()) }
        })
        .await?;
        Ok(snoop)
    }

    /// Every flow, group and meter of a bridge, without its counters.
    ///
    /// # Errors
    /// There is no such bridge.
    pub async fn rules(&self, bridge: &str) -> Result<BTreeMap<RuleName, String>, LabError> {
        let mut rules = BTreeMap::new();
        for dump in ["dump-flows", "dump-groups", "dump-meters"] {
            rules.extend(parse_rules(&self.ofctl(dump, bridge, &["--no-names"]).await?));
        }
        Ok(rules)
    }
}

impl Snoop {
    /// The flows, groups and meters that have been set or deleted, in order.
    pub fn changes(&self) -> Vec<RuleName> {
        parse_changes(&self.text.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything that has been said.
    pub fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The part of a text between two others; none of the second: to the end.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let rest = text.split_once(start)?.1;
    Some(rest.split_once(end).map_or(rest, |(part, _)| part))
}

fn parse_rules(dump: &str) -> BTreeMap<RuleName, String> {
    let mut rules = BTreeMap::new();
    let mut meter = None;
    for line in dump.lines().map(str::trim) {
        if let (Some(table), Some((head, actions))) =
            (between(line, "table=", ","), line.split_once(" actions="))
        {
            let cookie = between(line, "cookie=", ",").unwrap_or_default();
            // Counters come first, then what times a flow out, then priority and match.
            let matching =
                head.split_once(", n_bytes=").and_then(|(_, rest)| rest.split_once(", "));
            let matching = matching.map_or("", |(_, matching)| matching);
            let matching = matching.rsplit_once(' ').map_or(matching, |(_, matching)| matching);
            rules.insert(RuleName::flow(table, matching), format!("{cookie} {actions}"));
        } else if let Some((id, rest)) =
            line.strip_prefix("group_id=").and_then(|rest| rest.split_once(','))
        {
            rules.insert(RuleName(format!("group {id}")), rest.to_owned());
        } else if let Some((id, rest)) =
            line.strip_prefix("meter=").and_then(|rest| rest.split_once(' '))
        {
            let name = RuleName(format!("meter {id}"));
            rules.insert(name.clone(), rest.to_owned());
            meter = Some(name);
        } else if line.starts_with("type=")
            && let Some(bands) = meter.as_ref().and_then(|meter| rules.get_mut(meter))
        {
            bands.push_str(line);
        }
    }
    rules
}

fn parse_changes(text: &str) -> Vec<RuleName> {
    let mut changes = Vec::new();
    let mut kind = "";
    for line in text.lines() {
        let mut rest = line.trim();
        if let Some((name, _)) = line.split_once(" (OF1.").filter(|_| !line.starts_with(' ')) {
            kind = name;
            rest = line.split_once("): ").map_or("", |(_, rest)| rest);
        }
        let change = match kind {
            "OFPT_FLOW_MOD" => change_of_flow(rest),
            "OFPT_GROUP_MOD" => {
                between(rest, "group_id=", ",").map(|id| format!("group {id}")).map(RuleName)
            }
            "OFPT_METER_MOD" => {
                between(rest, "meter=", " ").map(|id| format!("meter {id}")).map(RuleName)
            }
            _ => None,
        };
        changes.extend(change);
    }
    changes
}

/// Reads `ADD table:5 priority=100,dl_dst=... cookie:0x12 actions=...`; of table 0 nothing is said.
fn change_of_flow(text: &str) -> Option<RuleName> {
    let (_command, rest) = text.split_once(' ')?;
    let table = rest.strip_prefix("table:").and_then(|rest| rest.split_once(' '));
    let (table, rest) = table.unwrap_or(("0", rest));
    let matching = rest.split(' ').next().unwrap_or_default();
    let is_match = matching.contains('=') && !matching.starts_with("actions=");
    Some(RuleName::flow(table, if is_match { matching } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_and_what_is_held_have_the_same_names() {
        let said = "OFPT_ECHO_REQUEST (OF1.3) (xid=0x0): 0 bytes of payload\n\
            OFPT_FLOW_MOD (OF1.3) (xid=0x6): ADD table:5 priority=100,metadata=0x7/0xff,\
            dl_dst=02:00:00:00:00:01 cookie:0x12 actions=set_field:0x7->tun_id,group:7\n\
            OFPT_FLOW_MOD (OF1.3) (xid=0x7): DEL_STRICT priority=7,in_port=3 actions=drop\n\
            OFPT_FLOW_MOD (OF1.3) (xid=0x7): ADD table:6 priority=0 actions=drop\n\
            OFPT_GROUP_MOD (OF1.3) (xid=0x8):\n \
            ADD group_id=7,type=all,bucket=actions=output:3\n\
            ONFST_FLOW_MONITOR reply (OF1.3) (xid=0x8):\n \
            event=ADDED table=9 cookie=0x12 in_port=3\n\
            OFPT_METER_MOD (OF1.3) (xid=0x9): ADD meter=1 pktps bands=\ntype=drop rate=100\n\
            OFPT_BARRIER_REQUEST (OF1.3) (xid=0xa):\n";
        let held = "OFPST_FLOW reply (OF1.3) (xid=0x2):\n \
            cookie=0x12, duration=2.5s, table=5, n_packets=0, n_bytes=0, idle_timeout=9, \
            priority=100,metadata=0x7/0xff,dl_dst=02:00:00:00:00:01 \
            actions=set_field:0x7->tun_id,group:7\n \
            cookie=0x0, duration=2.5s, table=0, n_packets=0, n_bytes=0, priority=7,in_port=3 \
            actions=drop\n \
            cookie=0x0, duration=2.5s, table=6, n_packets=0, n_bytes=0, priority=0 actions=drop\n\
            OFPST_GROUP_DESC reply (OF1.3) (xid=0x2):\n \
            group_id=7,type=all,bucket=actions=output:3\n\
            OFPST_METER_CONFIG reply (OF1.3) (xid=0x2):\nmeter=1 pktps bands=\ntype=drop rate=100\n";
        let rules = parse_rules(held);
        let names: BTreeSet<_> = parse_changes(said).into_iter().collect();
        assert_eq!(names, rules.keys().cloned().collect());
        let values: Vec<_> = rules.values().map(String::as_str).collect();
        assert!(values.contains(&"0x12 set_field:0x7->tun_id,group:7"), "{values:?}");
        assert!(values.contains(&"pktps bands=type=drop rate=100"), "{values:?}");
        assert!(values.contains(&"type=all,bucket=actions=output:3"), "{values:?}");
    }

    #[test]
    fn every_message_counts() {
        let add = "OFPT_FLOW_MOD (OF1.3) (xid=0x6): ADD priority=7,in_port=3 actions=drop\n";
        assert_eq!(parse_changes(&[add, add].concat()).len(), 2);
        assert_eq!(parse_changes("OFPT_HELLO (OF1.3) (xid=0x1):\n version bitmap: 0x04\n"), []);
    }
}
