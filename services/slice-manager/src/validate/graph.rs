//! Topologies as users describe them: vertices, and undirected links between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use l2sces_model::Name;
use l2sces_proto::slice::v1 as api;

use super::Report;
use crate::domain::Link;

/// Most links of one topology.
const MAX_LINKS: usize = 50_000;

/// What links may end on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// The vertices themselves: two have one link at most.
    Vertices,
    /// Gateways of the vertices: two may have several links.
    Gateways,
}

/// Links with valid names and costs, no link to itself and none twice.
pub(super) fn links(
    report: &mut Report,
    field: &str,
    messages: &[api::Link],
    ends: Ends,
) -> Vec<Link> {
    report.limit(field, messages.len(), MAX_LINKS);
    let mut links = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, message) in messages.iter().take(MAX_LINKS).enumerate() {
        let field = format!("{field}[{index}]");
        let a = report.check(&format!("{field}.endpoint_a"), message.endpoint_a.parse::<Name>());
        let b = report.check(&format!("{field}.endpoint_b"), message.endpoint_b.parse::<Name>());
        let cost = report.check(&format!("{field}.cost"), cost(message.cost));
        let mut gateway =
            |side: &str, text: &str| gateway(report, &format!("{field}.{side}"), text, ends);
        let gateways =
            gateway("gateway_a", &message.gateway_a).zip(gateway("gateway_b", &message.gateway_b));
        let (Some(a), Some(b), Some(cost), Some((gateway_a, gateway_b))) = (a, b, cost, gateways)
        else {
            continue;
        };
        let link = Link { a, b, cost, gateway_a, gateway_b };
        if link.a == link.b {
            report.add(field, format!("must not link '{}' with itself", link.a));
        } else if seen.insert(sorted_ends(&link)) {
            links.push(link);
        } else {
            report.add(field, format!("'{}' and '{}' are linked already", link.a, link.b));
        }
    }
    links
}

fn cost(cost: u32) -> Result<u16, String> {
    u16::try_from(cost).map_err(|_| format!("must be from 1 to {}, or 0 for 1", u16::MAX))
}

/// A link's gateway: `Some(None)`: every one; `None`: what is given is wrong.
fn gateway(report: &mut Report, field: &str, text: &str, ends: Ends) -> Option<Option<Name>> {
    if text.is_empty() {
        return Some(None);
    }
    if ends == Ends::Vertices {
        report.add(field, "must be empty: only links between clusters end on gateways");
        return None;
    }
    report.check(field, text.parse()).map(Some)
}

/// Both ends, in an order that does not depend on how the link is written.
fn sorted_ends(link: &Link) -> [(Name, Option<Name>); 2] {
    let mut ends =
        [(link.a.clone(), link.gateway_a.clone()), (link.b.clone(), link.gateway_b.clone())];
    ends.sort();
    ends
}

/// Notes links that end at no vertex, and vertices that no path of links reaches. No links at all
/// are every vertex with every other.
pub(super) fn connected(
    report: &mut Report,
    field: &str,
    links: &[Link],
    vertices: &[&Name],
    what: &str,
) {
    if links.is_empty() {
        return;
    }
    let known: BTreeSet<&Name> = vertices.iter().copied().collect();
    let mut neighbours: BTreeMap<&Name, Vec<&Name>> = BTreeMap::new();
    let mut dangling = false;
    for (index, link) in links.iter().enumerate() {
        for (end, name) in [("endpoint_a", &link.a), ("endpoint_b", &link.b)] {
            if !known.contains(name) {
                dangling = true;
                report.add(format!("{field}[{index}].{end}"), format!("no such {what}: '{name}'"));
            }
        }
        neighbours.entry(&link.a).or_default().push(&link.b);
        neighbours.entry(&link.b).or_default().push(&link.a);
    }
    let Some(&first) = vertices.first() else { return };
    if dangling {
        return;
    }
    let mut reached = BTreeSet::from([first]);
    let mut next = VecDeque::from([first]);
    while let Some(vertex) = next.pop_front() {
        for &neighbour in neighbours.get(vertex).into_iter().flatten() {
            if reached.insert(neighbour) {
                next.push_back(neighbour);
            }
        }
    }
    if let Some(lonely) = vertices.iter().find(|vertex| !reached.contains(*vertex)) {
        report.add(
            field,
            format!("must connect every {what}: no path leads from '{first}' to '{lonely}'"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(a: &str, b: &str) -> api::Link {
        api::Link { endpoint_a: a.to_owned(), endpoint_b: b.to_owned(), ..api::Link::default() }
    }

    /// What is wrong with links between clusters.
    fn check_links(messages: &[api::Link]) -> String {
        let mut report = Report::default();
        links(&mut report, "l", messages, Ends::Gateways);
        report.to_string()
    }

    fn between(a: &str, gateway_a: &str, b: &str, gateway_b: &str) -> api::Link {
        api::Link { gateway_a: gateway_a.to_owned(), gateway_b: gateway_b.to_owned(), ..link(a, b) }
    }

    #[test]
    fn two_clusters_have_one_link_for_each_pair_of_gateways() {
        let several = [
            link("a", "b"),
            between("a", "g1", "b", ""),
            between("a", "g1", "b", "g1"),
            between("a", "g2", "b", "g1"),
            between("b", "g2", "a", "g1"),
        ];
        assert_eq!(check_links(&several), "");
        let again = [between("a", "g1", "b", "g2"), between("b", "g2", "a", "g1")];
        assert_eq!(check_links(&again), "l[1]: 'b' and 'a' are linked already");
        assert!(check_links(&[between("a", "G", "b", "")]).starts_with("l[0].gateway_a: "));
        let mut report = Report::default();
        links(&mut report, "l", &[between("a", "", "b", "g")], Ends::Vertices);
        assert_eq!(report.violations()[0].field, "l[0].gateway_b");
    }

    #[test]
    fn a_link_costs_what_fits_in_sixteen_bits() {
        for cost in [0, 1, 65_535] {
            assert_eq!(check_links(&[api::Link { cost, ..link("a", "b") }]), "");
        }
        let dear = api::Link { cost: 65_536, ..link("a", "b") };
        assert_eq!(check_links(&[dear]), "l[0].cost: must be from 1 to 65535, or 0 for 1");
    }

    fn check(vertices: &[&str], pairs: &[(&str, &str)]) -> String {
        let mut report = Report::default();
        let messages: Vec<_> = pairs.iter().map(|(a, b)| link(a, b)).collect();
        let names: Vec<Name> = vertices.iter().map(|name| name.parse().unwrap()).collect();
        let links = links(&mut report, "l", &messages, Ends::Vertices);
        connected(&mut report, "l", &links, &names.iter().collect::<Vec<_>>(), "node");
        report.to_string()
    }

    #[test]
    fn accepts_connected_graphs_and_no_links() {
        assert_eq!(check(&["a", "b", "c"], &[]), "");
        assert_eq!(check(&["a", "b", "c"], &[("a", "b"), ("c", "b")]), "");
        assert_eq!(check(&["a", "b", "c"], &[("c", "a"), ("b", "c"), ("a", "b")]), "");
    }

    #[test]
    fn refuses_everything_else() {
        assert_eq!(check(&["a", "b"], &[("a", "a")]), "l[0]: must not link 'a' with itself");
        assert_eq!(
            check(&["a", "b"], &[("a", "b"), ("b", "a")]),
            "l[1]: 'b' and 'a' are linked already"
        );
        assert_eq!(check(&["a", "b"], &[("a", "x")]), "l[0].endpoint_b: no such node: 'x'");
        assert_eq!(
            check(&["a", "b", "c", "d"], &[("a", "b"), ("c", "d")]),
            "l: must connect every node: no path leads from 'a' to 'c'"
        );
        assert!(check(&["a", "b"], &[("A", "")]).starts_with("l[0].endpoint_a: must consist"));
    }
}
