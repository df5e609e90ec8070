//! Topologies as users describe them: vertices, and undirected links between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use l2sces_model::Name;
use l2sces_proto::slice::v1 as api;

use super::Report;
use crate::domain::Link;

/// Most links of one topology.
const MAX_LINKS: usize = 50_000;

/// Links with valid names, no link to itself and none twice.
pub(super) fn links(report: &mut Report, field: &str, messages: &[api::Link]) -> Vec<Link> {
    report.limit(field, messages.len(), MAX_LINKS);
    let mut links = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, message) in messages.iter().take(MAX_LINKS).enumerate() {
        let field = format!("{field}[{index}]");
        let a = report.check(&format!("{field}.endpoint_a"), message.endpoint_a.parse::<Name>());
        let b = report.check(&format!("{field}.endpoint_b"), message.endpoint_b.parse::<Name>());
        let (Some(a), Some(b)) = (a, b) else { continue };
        if a == b {
            report.add(field, format!("must not link '{a}' with itself"));
        } else if seen.insert(if a < b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) }) {
            links.push(Link { a, b });
        } else {
            report.add(field, format!("'{a}' and '{b}' are linked already"));
        }
    }
    links
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

    fn check(vertices: &[&str], pairs: &[(&str, &str)]) -> String {
        let mut report = Report::default();
        let messages: Vec<_> = pairs
            .iter()
            .map(|(a, b)| api::Link { endpoint_a: (*a).to_owned(), endpoint_b: (*b).to_owned() })
            .collect();
        let names: Vec<Name> = vertices.iter().map(|name| name.parse().unwrap()).collect();
        let links = links(&mut report, "l", &messages);
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
