//! Neighbor advertisements (RFC 4861, section 4.4), as Wireshark reads them.

use std::{
    io::{BufRead as _, BufReader, Lines},
    process::{Child, ChildStdout, Stdio},
};

use crate::support::Namespace;

/// What is told of an advertisement.
const FIELDS: [&str; 13] = [
    "eth.src",
    "eth.dst",
    "ipv6.dst",
    "ipv6.hlim",
    "icmpv6.type",
    "icmpv6.checksum.status",
    "icmpv6.nd.na.flag.r",
    "icmpv6.nd.na.flag.s",
    "icmpv6.nd.na.flag.o",
    "icmpv6.nd.na.target_address",
    "icmpv6.opt.type",
    "icmpv6.opt.linkaddr",
    "_ws.malformed",
];

/// Those that a pod receives.
pub(crate) struct Advertisements {
    tshark: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Advertisements {
    /// Watches from now on.
    pub(crate) fn watch(pod: &Namespace) -> Self {
        let mut tshark = pod.command("timeout");
        tshark.args(["30", "tshark", "-l", "-n", "-i", "eth1", "-T", "fields"]);
        tshark.args(["-E", "separator=;", "-f", "icmp6 and ip6[40] == 136"]);
        tshark.args(FIELDS.into_iter().flat_map(|field| ["-e", field]));
        let tshark = tshark.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut tshark = tshark.spawn().unwrap();
        let lines = BufReader::new(tshark.stdout.take().unwrap()).lines();
        // From then on it misses nothing.
        let mut told = BufReader::new(tshark.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(told.any(|line| line.contains("Capture started")), "the sniffer does not start");
        Self { tshark, lines }
    }

    /// The next one of an address: its fields.
    pub(crate) fn next_of(mut self, address: &str) -> [(String, String); FIELDS.len()] {
        let line = self.lines.by_ref().map(Result::unwrap).find(|line| line.contains(address));
        // It ends with its time limit else.
        let _ = self.tshark.kill();
        let _ = self.tshark.wait();
        assert!(line.is_some(), "{address} is not advertised");
        let line = line.unwrap_or_default();
        let mut values = line.split(';');
        FIELDS.map(|field| (field.to_owned(), values.next().unwrap_or_default().to_owned()))
    }
}
