//! Putting the real program into a node, and taking it out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

const OTHER: &str = r#"{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "bridge"}]}"#;

/// The folders of a node.
struct Node(TempDir);

impl Node {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn configure(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path("net.d")).unwrap();
        fs::write(self.path("net.d").join(name), text).unwrap();
    }

    /// Runs the program; what it says when it fails is an error.
    fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let output = Command::new(env!("CARGO_BIN_EXE_l2sces-cni"))
            .env_clear()
            .args(arguments)
            .args(["--bin-dir".as_ref(), self.path("bin").as_os_str()])
            .args(["--conf-dir".as_ref(), self.path("net.d").as_os_str()])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    fn configuration(&self) -> Value {
        let path = self.path("net.d/00-l2sces.conflist");
        assert_eq!(mode(&path), 0o644);
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    /// Names of all files.
    fn files(&self) -> Vec<String> {
        let folders = ["bin", "net.d"].map(|folder| self.path(folder));
        let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn it_comes_behind_the_first_plugin_of_the_node_and_goes_without_a_trace() {
    let node = Node::new();
    node.configure("10-pods.conflist", OTHER);
    node.configure("20-unused.conf", r#"{"cniVersion": "0.4.0", "type": "ptp"}"#);
    node.configure("README", "no configuration");
    let before = node.files();
    let install = || {
        let socket = ["--attachment-socket", "/run/x.sock"];
        node.run(&[&["install"][..], &socket, &["--exclude-namespace", "infra"]].concat()).unwrap();
    };
    install();
    // Again, as whoever keeps it there does: nobody who watches sees a change.
    let files = ["bin/l2sces-cni", "net.d/00-l2sces.conflist"].map(|file| node.path(file));
    let inodes = || files.each_ref().map(|file| fs::metadata(file).unwrap().ino());
    let first = inodes();
    install();
    assert_eq!(inodes(), first);
    let ours = json!({
        "type": "l2sces-cni", "socket": "/run/x.sock", "excludeNamespaces": ["infra"],
    });
    let expected =
        json!({"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "bridge"}, ours]});
    assert_eq!(node.configuration(), expected);
    assert_eq!(mode(&node.path("bin/l2sces-cni")), 0o755);
    assert_eq!(node.files().len(), before.len() + 2);
    for _ in 0..2 {
        node.run(&["uninstall"]).unwrap();
        assert_eq!(node.files(), before);
    }
}

#[test]
fn behind_nobody_it_says_what_to_do() {
    let node = Node::new();
    node.configure("README", "no configuration");
    let said = node.run(&["install"]).unwrap_err();
    assert!(said.contains("--mode alone") && said.lines().count() == 1, "{said}");
    node.configure("10-broken.conflist", "{");
    let said = node.run(&["install"]).unwrap_err();
    assert!(said.contains("10-broken.conflist"), "{said}");
    assert!(!node.path("net.d/00-l2sces.conflist").exists());
}

#[test]
fn alone_and_under_multus_nobody_else_is_needed() {
    let node = Node::new();
    node.run(&["install", "--mode", "alone"]).unwrap();
    let alone = node.configuration();
    assert_eq!(alone["plugins"].as_array().unwrap().len(), 1);
    assert_eq!(alone["plugins"][0]["socket"], "/run/l2sces/attachment.sock");
    assert_eq!(alone["plugins"][0]["excludeNamespaces"], json!(["kube-system", "l2sces-system"]));
    node.run(&["install", "--mode", "multus"]).unwrap();
    assert_eq!(node.files(), ["l2sces-cni"]);
}
