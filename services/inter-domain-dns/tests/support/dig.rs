use std::{net::SocketAddr, process::Command};

/// What the real `dig` understood of a response.
#[derive(Debug)]
pub(crate) struct Dig {
    /// `NOERROR`, `NXDOMAIN`, ...
    pub(crate) status: String,
    /// Such as `qr aa`.
    pub(crate) flags: String,
    /// Records as `name ttl class type data`, one blank between them.
    pub(crate) answer: Vec<String>,
    pub(crate) authority: Vec<String>,
    pub(crate) additional: Vec<String>,
    /// The question as it came back.
    pub(crate) question: String,
    /// Whatever else it prints.
    pub(crate) output: String,
}

impl Dig {
    /// Asks without recursion. `None`: no answer came. Any warning of dig's is a failure.
    pub(crate) fn ask(server: SocketAddr, arguments: &[&str]) -> Option<Self> {
        let output =
            run(server, &[&["+norecurse", "+noall", "+comments"], SECTIONS, arguments].concat())?;
        let word_after = |marker: &str| {
            let rest = output.split_once(marker)?.1;
            Some(rest.split([',', ';', '\n']).next()?.trim().to_owned())
        };
        let section = |name: &str| {
            let heading = format!(";; {name} SECTION:\n");
            let lines = output.split_once(&heading).map_or("", |(_, rest)| rest).lines();
            lines
                .take_while(|line| !line.is_empty())
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect::<Vec<_>>()
        };
        Some(Self {
            status: word_after("status: ")?,
            flags: word_after("flags: ")?,
            answer: section("ANSWER"),
            authority: section("AUTHORITY"),
            additional: section("ADDITIONAL"),
            question: section("QUESTION").concat().trim_start_matches(';').to_owned(),
            output,
        })
    }

    /// The data of the answer's records.
    pub(crate) fn data(&self) -> Vec<&str> {
        self.answer.iter().filter_map(|record| record.splitn(5, ' ').nth(4)).collect()
    }
}

const SECTIONS: &[&str] = &["+question", "+answer", "+authority", "+additional"];

/// The output of `dig +short`: one line for each address.
pub(crate) fn short(server: SocketAddr, name: &str) -> String {
    run(server, &["+norecurse", "+short", name]).expect("an answer").trim().replace('\n', " ")
}

fn run(server: SocketAddr, arguments: &[&str]) -> Option<String> {
    let output = Command::new("dig")
        .env("HOME", "/nonexistent")
        .arg(format!("@{}", server.ip()))
        .args(["-p", &server.port().to_string()])
        .args(arguments)
        .output()
        .expect("dig is installed");
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    // A try that failed does not matter if a later one was answered.
    let (failed, others): (Vec<_>, Vec<_>) =
        said.split_inclusive('\n').partition(|line| line.contains("communications error"));
    let text = others.concat();
    let is_silent = !failed.is_empty() && text.trim().is_empty();
    if text.contains("no servers could be reached") || is_silent {
        return None;
    }
    for complaint in
        ["WARNING", "Warning", "warning", "bad packet", "malformed", "mismatch", "error"]
    {
        assert!(!text.contains(complaint), "dig {arguments:?} complains: {text}");
    }
    Some(text)
}

/// The message that asks for the IPv4 addresses of a name.
pub(crate) fn question(id: u8, name: &str) -> Vec<u8> {
    let mut message = vec![0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}
