//! Names across clusters in the pods of one: a block of the configuration of its CoreDNS, which asks the
//! inter-domain-dns for its zones.

use std::net::SocketAddr;

/// Where CoreDNS has its configuration, as kubeadm and most others lay it out: a ConfigMap, its namespace,
/// and the key in it.
pub const COREFILE_NAMESPACE: &str = "kube-system";
/// See [`COREFILE_NAMESPACE`].
pub const COREFILE_CONFIG_MAP: &str = "coredns";
/// See [`COREFILE_NAMESPACE`].
pub const COREFILE_KEY: &str = "Corefile";

/// Between these lines is what the operator writes; the rest is others'.
const BEGIN: &str = "# BEGIN l2sces: written by the operator";
const END: &str = "# END l2sces";

/// Where zones are forwarded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StubZones {
    /// The zones, such as `inter.l2sces`.
    pub zones: Vec<String>,
    /// The server that is asked for them.
    pub server: SocketAddr,
}

/// A Corefile with the block as it is to be, and everything else as it is. A zone that it serves
/// otherwise is left to whoever wrote that: CoreDNS takes no zone twice.
pub fn with_stub_zones(corefile: &str, stub: &StubZones) -> String {
    let mut text = without_stub_zones(corefile);
    let zones = stub.zones.iter().filter(|zone| !serves(&text, zone));
    let zones: Vec<String> = zones.map(|zone| format!("{zone}:53")).collect();
    if zones.is_empty() {
        return text;
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let (zones, server) = (zones.join(" "), stub.server);
    // The names of pods come and go: nothing is kept for longer than the server allows.
    text.push_str(&format!(
        "{BEGIN}\n{zones} {{\n    errors\n    forward . {server}\n    cache 5\n}}\n{END}\n"
    ));
    text
}

/// Whether a block of a Corefile is for a zone.
fn serves(corefile: &str, zone: &str) -> bool {
    let heads = corefile.lines().filter_map(|line| line.trim().strip_suffix('{'));
    let mut names = heads.flat_map(|head| head.split([' ', ',']));
    names.any(|name| {
        let name = name.strip_prefix("dns://").unwrap_or(name);
        name.split(':').next().is_some_and(|name| name.trim_end_matches('.') == zone)
    })
}

/// A Corefile without the block, if it has one from begin to end.
pub fn without_stub_zones(corefile: &str) -> String {
    let found = corefile.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after.strip_prefix('\n').unwrap_or(after)))
    });
    match found {
        Some((before, after)) => format!("{before}{after}"),
        None => corefile.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERS: &str = ".:53 {\n    errors\n    kubernetes cluster.local\n}\n";

    fn stub(server: &str) -> StubZones {
        StubZones {
            zones: vec!["inter.l2sces".to_owned(), "inter.l2sm".to_owned()],
            server: server.parse().unwrap(),
        }
    }

    #[test]
    fn the_block_is_added_once_and_the_rest_stays() {
        let once = with_stub_zones(OTHERS, &stub("10.0.0.1:53"));
        assert!(once.starts_with(OTHERS));
        assert!(once.contains("inter.l2sces:53 inter.l2sm:53 {\n"), "{once}");
        assert!(once.contains("    forward . 10.0.0.1:53\n"), "{once}");
        assert_eq!(with_stub_zones(&once, &stub("10.0.0.1:53")), once);
        assert_eq!(without_stub_zones(&once), OTHERS);
    }

    #[test]
    fn another_server_replaces_the_block_wherever_it_is() {
        let before = with_stub_zones("", &stub("10.0.0.1:53")) + OTHERS;
        let after = with_stub_zones(&before, &stub("[fd00::1]:5353"));
        assert!(after.starts_with(OTHERS) && !after.contains("10.0.0.1"), "{after}");
        assert!(after.contains("forward . [fd00::1]:5353"));
        assert_eq!(after.matches(BEGIN).count(), 1);
    }

    #[test]
    fn what_others_have_is_left_to_them() {
        let others = "inter.l2sm:53 {\n    forward . 10.9.9.9\n}\n";
        let text = with_stub_zones(others, &stub("10.0.0.1:53"));
        assert!(text.starts_with(others) && text.contains("\ninter.l2sces:53 {\n"), "{text}");
        let both = format!("{others}dns://inter.l2sces. {{\n}}\n");
        assert_eq!(with_stub_zones(&both, &stub("10.0.0.1:53")), both);
        let unfinished = format!("{BEGIN}\n.:53 {{\n}}\n");
        assert_eq!(without_stub_zones(&unfinished), unfinished);
    }

    #[test]
    fn a_file_without_a_line_end_is_not_run_together_with_the_block() {
        let text = with_stub_zones(".:53 {\n}", &stub("10.0.0.1:53"));
        assert!(text.starts_with(&format!(".:53 {{\n}}\n{BEGIN}\n")), "{text}");
    }
}
