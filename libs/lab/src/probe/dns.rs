use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use crate::{error::LabError, namespace::Namespace};

/// What a name server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The response code, such as `NOERROR` or `NXDOMAIN`.
    pub status: String,
    /// Whether the server says that it is the authority for the name.
    pub authoritative: bool,
    /// Data of the records in the answer section, such as addresses, sorted.
    pub data: Vec<String>,
}

/// Asks a name server for records of a type, such as `A`, with dig.
///
/// # Errors
/// dig could not be run, or got no answer.
pub async fn resolve(
    namespace: &Namespace,
    server: SocketAddr,
    name: &str,
    record_type: &str,
) -> Result<Answer, LabError> {
    dig(namespace, server, &[name, record_type]).await
}

/// Asks a name server for the name of an address, with dig.
///
/// # Errors
/// dig could not be run, or got no answer.
pub async fn reverse(
    namespace: &Namespace,
    server: SocketAddr,
    address: IpAddr,
) -> Result<Answer, LabError> {
    dig(namespace, server, &["-x", &address.to_string()]).await
}

/// Looks a name up as any program does, through the C library, on a host whose resolver is
/// `server` (on port 53: resolv.conf(5) knows no other). No addresses: there is no such name.
///
/// # Errors
/// The look-up could not be run.
pub async fn look_up(
    namespace: &Namespace,
    server: IpAddr,
    name: &str,
) -> Result<BTreeSet<IpAddr>, LabError> {
    // In a mount namespace of its own, so that no other process sees this resolv.conf.
    let script = "mount -t tmpfs none /mnt && printf 'nameserver %s\\n' \"$1\" > /mnt/resolv && \
                  mount --bind /mnt/resolv /etc/resolv.conf && exec getent ahosts \"$2\"";
    let server = server.to_string();
    let output = namespace
        .exec(["unshare", "--mount", "sh", "-c", script, "look-up", &server, name])
        .await?;
    Ok(output.stdout.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect())
}

async fn dig(
    namespace: &Namespace,
    server: SocketAddr,
    question: &[&str],
) -> Result<Answer, LabError> {
    let (address, port) = (format!("@{}", server.ip()), server.port().to_string());
    let mut command_line = vec!["dig", address.as_str(), "-p", port.as_str()];
    command_line.extend(["+time=2", "+tries=3", "+noall", "+comments", "+answer"]);
    command_line.extend(question);
    Ok(parse(&namespace.run(command_line).await?))
}

fn parse(text: &str) -> Answer {
    let field = |name: &str| text.split_once(name).map_or("", |(_, rest)| rest);
    let mut data: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with(';'))
        // Name, time to live, class, type and data.
        .filter_map(|line| line.split_whitespace().nth(4).map(str::to_owned))
        .collect();
    data.sort();
    let flags = field(";; flags: ").split(';').next().unwrap_or_default();
    Answer {
        status: field("status: ").split(',').next().unwrap_or_default().to_owned(),
        authoritative: flags.split(' ').any(|flag| flag == "aa"),
        data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_dig_says() {
        let text = ";; Got answer:\n\
            ;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 4711\n\
            ;; flags: qr aa rd; QUERY: 1, ANSWER: 2, AUTHORITY: 0, ADDITIONAL: 1\n\n\
            ;; ANSWER SECTION:\n\
            web.blue.inter.l2sces.\t5\tIN\tA\t10.1.0.3\n\
            web.blue.inter.l2sces.\t5\tIN\tA\t10.1.0.2\n";
        let answer = parse(text);
        assert_eq!(answer.status, "NOERROR");
        assert!(answer.authoritative);
        assert_eq!(answer.data, ["10.1.0.2", "10.1.0.3"]);
        assert!(!parse(";; flags: qr rd; QUERY: 1").authoritative);
    }
}
