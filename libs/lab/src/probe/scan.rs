use std::{collections::BTreeSet, net::IpAddr};

use l2sces_model::MacAddress;

use crate::{error::LabError, namespace::Namespace};

/// A host that answered a scan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    /// Its address.
    pub address: IpAddr,
    /// Its MAC address.
    pub mac: MacAddress,
}

/// Asks for every address of a network by ARP, with nmap, and returns who answers.
///
/// # Errors
/// nmap failed.
pub async fn scan_arp(
    namespace: &Namespace,
    interface: &str,
    cidr: &str,
) -> Result<BTreeSet<Host>, LabError> {
    scan(namespace, interface, cidr, &["-PR", "-T5", "--max-retries", "1"]).await
}

/// Looks for every address of a network by ARP and pings those that are found, with nmap as in the
/// paper on L2S-CES, but with enough patience for hosts that have no processor for a while; returns
/// who answers.
///
/// # Errors
/// nmap failed.
pub async fn scan_echo(
    namespace: &Namespace,
    interface: &str,
    cidr: &str,
) -> Result<BTreeSet<Host>, LabError> {
    let patience =
        ["--initial-rtt-timeout", "5s", "--max-rtt-timeout", "10s", "--max-retries", "5"];
    scan(namespace, interface, cidr, &[&["-PE", "-T4"], &patience[..]].concat()).await
}

async fn scan(
    namespace: &Namespace,
    interface: &str,
    cidr: &str,
    options: &[&str],
) -> Result<BTreeSet<Host>, LabError> {
    let scan = ["nmap", "-n", "-sn", "-e", interface];
    Ok(parse(&namespace.run(scan.iter().chain(options).chain([&cidr])).await?))
}

/// The scanning host itself may be reported too, without a MAC address.
fn parse(text: &str) -> BTreeSet<Host> {
    let mut hosts = BTreeSet::new();
    let mut address = None;
    for line in text.lines() {
        if let Some(host) = line.strip_prefix("Nmap scan report for ") {
            address = host.trim().parse().ok();
        } else if let Some(rest) = line.strip_prefix("MAC Address: ") {
            let mac = rest.split(' ').next().and_then(|mac| mac.to_lowercase().parse().ok());
            hosts.extend(address.zip(mac).map(|(address, mac)| Host { address, mac }));
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_nmap_says() {
        let text = "Starting Nmap 7.93 ( https://nmap.org ) at 2026-01-01 00:00 UTC\n\
            Nmap scan report for 10.1.0.3\nHost is up (0.0010s latency).\n\
            MAC Address: 0A:00:00:00:00:03 (Unknown)\n\
            Nmap scan report for 10.1.0.2\nHost is up.\n\
            Nmap done: 256 IP addresses (2 hosts up) scanned in 2.10 seconds\n";
        let mac = MacAddress::new([10, 0, 0, 0, 0, 3]);
        assert_eq!(parse(text), [Host { address: IpAddr::from([10, 1, 0, 3]), mac }].into());
    }
}
