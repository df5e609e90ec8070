//! The Debian packages that labs need.

use std::{fs, os::unix::fs::OpenOptionsExt, path::Path};

use crate::{
    command,
    error::{Context, LabError},
};

/// What a lab needs.
pub const LAB: &[&str] =
    &["ethtool", "iproute2", "iputils-ping", "openvswitch-switch", "postgresql"];

/// What the probes and the stories of the system need besides.
pub const PROBES: &[&str] =
    &["bind9-dnsutils", "iperf3", "nmap", "prometheus", "python3-scapy", "tcpdump", "tshark"];

/// What labs with Kubernetes need besides. conntrack, ebtables and socat are kubelet's.
pub const KUBERNETES: &[&str] = &[
    "binutils",
    "busybox-static",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "dnsmasq-base",
    "ebtables",
    "etcd-server",
    "iptables",
    "runc",
    "socat",
];

/// What building Kubernetes needs.
pub const KUBERNETES_BUILD: &[&str] =
    &["dpkg-dev", "golang-github-modern-go-reflect2-dev", "golang-go"];

/// What the experiments of the paper need besides: iperf 2, which knows multicast.
pub const PAPER: &[&str] = &["iperf"];

/// What the comparison with OVN needs besides.
pub const OVN: &[&str] = &["ovn-central", "ovn-host"];

/// Consulted by packages before they start their service (invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs the packages that are missing, without starting their services.
///
/// # Errors
/// Not root, interrupted, or apt-get failed.
pub async fn ensure(packages: &[&str]) -> Result<(), LabError> {
    install(&missing(packages).await?).await
}

/// Installs packages without starting their services.
///
/// # Errors
/// Not root, interrupted, or apt-get failed.
pub async fn install(packages: &[String]) -> Result<(), LabError> {
    if packages.is_empty() {
        return Ok(());
    }
    crate::require_root()?;
    tokio::select! {
        installed = install_without_services(packages) => installed,
        // Dropping the installation undoes what must not outlive it.
        _ = tokio::signal::ctrl_c() => Err(LabError::Interrupted),
    }
}

async fn install_without_services(packages: &[String]) -> Result<(), LabError> {
    // Labs run switches and databases of their own; the machine needs none.
    let _policy = Policy::forbid_services()?;
    // The lists of a fresh machine or container are empty or stale.
    apt_get(&["update".to_owned()]).await?;
    let mut arguments = vec!["install".to_owned(), "--no-install-recommends".to_owned()];
    arguments.extend_from_slice(packages);
    apt_get(&arguments).await
}

/// Those of the packages that are not installed.
///
/// # Errors
/// This is no Debian: there is no dpkg-query.
pub async fn missing(packages: &[&str]) -> Result<Vec<String>, LabError> {
    let mut missing = Vec::new();
    for package in packages {
        let mut query = command::command("dpkg-query");
        query.args(["--show", "--showformat=${db:Status-Status}", package]);
        let output = command::output(&mut query).await?;
        if output.stdout != "installed" {
            missing.push((*package).to_owned());
        }
    }
    Ok(missing)
}

async fn apt_get(arguments: &[String]) -> Result<(), LabError> {
    let mut apt_get = command::command("apt-get");
    apt_get
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["--yes", "--quiet=2", "-o", "DPkg::Lock::Timeout=120"])
        .args(arguments);
    command::run(&mut apt_get).await?;
    Ok(())
}

/// Keeps packages from starting services for as long as it lives, unless the machine has a policy
/// of its own.
struct Policy {
    is_ours: bool,
}

impl Policy {
    fn forbid_services() -> Result<Self, LabError> {
        if Path::new(POLICY).exists() {
            return Ok(Self { is_ours: false });
        }
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY);
        file.and_then(|mut file| std::io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n"))
            .context(|| format!("write {POLICY}"))?;
        Ok(Self { is_ours: true })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.is_ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            tracing::warn!(%error, "{POLICY} is left and keeps services from being started");
        }
    }
}
