//! Images, packed without a registry: programs of the machine, with the libraries that they need.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use futures::future::try_join_all;
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::{
    command,
    error::{Context, LabError},
};

/// What every pod's sandbox is made of.
pub(super) const PAUSE: &str = "l2sces.lab/pause:1";

/// The shell and its tools, in one program without libraries.
const BUSYBOX: &str = "/bin/busybox";

/// What an image is made of.
struct Image {
    /// By which name and tag manifests call it.
    name: String,
    /// Programs to put into `/usr/local/bin`, stripped of what debuggers need, with the libraries
    /// that they are linked with. Those that are not there are left out.
    programs: Vec<PathBuf>,
    /// Files, and where they go.
    files: Vec<(PathBuf, PathBuf)>,
    /// What it runs unless told otherwise.
    command: Vec<String>,
}

/// Packs the images that every node has.
pub(super) async fn pack_all(directory: &Path, binaries: &Path) -> Result<(), LabError> {
    fs::create_dir_all(directory).context(|| format!("make {}", directory.display()))?;
    try_join_all(images(binaries).iter().map(|image| image.pack(directory))).await?;
    Ok(())
}

/// The same images as deploy/docker/Dockerfile makes, out of what is installed and built here.
fn images(binaries: &Path) -> Vec<Image> {
    let ours = |programs: &[&str]| programs.iter().map(|program| binaries.join(program)).collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    let mut node: Vec<PathBuf> = ours(&["l2sces", "l2sces-cni", "ned-agent", "sps-agent"]);
    node.extend(
        [
            "/bin/ip",
            "/usr/bin/ovs-appctl",
            "/usr/bin/ovs-ofctl",
            "/usr/bin/ovs-vsctl",
            "/usr/bin/ovsdb-tool",
            "/usr/sbin/ovs-vswitchd",
            "/usr/sbin/ovsdb-server",
        ]
        .map(PathBuf::from),
    );
    vec![
        Image {
            name: PAUSE.to_owned(),
            programs: Vec::new(),
            files: Vec::new(),
            command: words("sleep 2147483647"),
        },
        Image {
            name: "l2sces-tools:lab".to_owned(),
            programs: ["/bin/ip", "/bin/ping", "/usr/bin/dig"].map(PathBuf::from).into(),
            files: Vec::new(),
            command: words("sleep 2147483647"),
        },
        Image {
            name: "l2sces:lab".to_owned(),
            programs: ours(&[
                "inter-domain-dns",
                "l2sces",
                "operator",
                "sco-provider",
                "sdn-controller",
                "slice-manager",
                "slice-operator",
            ]),
            files: Vec::new(),
            command: words("l2sces --help"),
        },
        Image {
            name: "l2sces-node:lab".to_owned(),
            programs: node,
            files: vec![
                (
                    PathBuf::from("/usr/share/openvswitch/vswitch.ovsschema"),
                    PathBuf::from("usr/share/openvswitch/vswitch.ovsschema"),
                ),
                (deploy("ovsdb-server.sh"), PathBuf::from("usr/local/bin/l2sces-ovsdb-server")),
                (deploy("ovs-vswitchd.sh"), PathBuf::from("usr/local/bin/l2sces-ovs-vswitchd")),
            ],
            command: words("sps-agent --help"),
        },
    ]
}

/// A file of the images of the repository.
fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/docker").join(name)
}

impl Image {
    /// Packs it into `directory`, as an archive of `docker save`.
    async fn pack(&self, directory: &Path) -> Result<(), LabError> {
        let file_name = self.name.replace(['/', ':'], "_");
        let work = directory.join(format!("{file_name}.work"));
        fs::create_dir_all(&work).context(|| format!("make {}", work.display()))?;
        let mut files = self.files.clone();
        let mut libraries = BTreeSet::new();
        for program in self.programs.iter().filter(|program| program.exists()) {
            libraries.extend(libraries_of(program).await?);
            let name = program.file_name().unwrap_or_default();
            let stripped = work.join(name);
            let mut strip = command::command("strip");
            command::run(strip.arg("-o").arg(&stripped).arg(program)).await?;
            files.push((stripped, Path::new("usr/local/bin").join(name)));
        }
        for library in libraries {
            let inside = library.strip_prefix("/").unwrap_or(&library).to_owned();
            files.push((library, inside));
        }
        let applets = command::run(command::command(BUSYBOX).arg("--list-full")).await?;
        let archive = directory.join(format!("{file_name}.tar"));
        let (name, command) = (self.name.clone(), self.command.clone());
        let path = archive.clone();
        let write = move || write(&path, &name, &command, &files, &applets);
        let written = tokio::task::spawn_blocking(write).await.map_err(std::io::Error::other);
        written.and_then(|written| written).context(|| format!("write {}", archive.display()))?;
        fs::remove_dir_all(&work).context(|| format!("remove {}", work.display()))
    }
}

/// The libraries that a program is linked with, by the paths by which it looks for them.
async fn libraries_of(program: &Path) -> Result<Vec<PathBuf>, LabError> {
    let output = command::output(command::command("ldd").arg(program)).await?;
    // A program without libraries makes ldd fail, and has none.
    Ok(output
        .stdout
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect())
}

/// Writes the archive: a layer, its description, and what leads to both.
fn write(
    path: &Path,
    name: &str,
    command: &[String],
    files: &[(PathBuf, PathBuf)],
    applets: &str,
) -> std::io::Result<()> {
    let layer = layer(files, applets)?;
    let digest = hex(&Sha256::digest(&layer));
    let configuration = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": command,
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    })
    .to_string();
    let configuration_name = format!("{}.json", hex(&Sha256::digest(&configuration)));
    let layer_name = format!("{digest}/layer.tar");
    let manifest =
        json!([{ "Config": configuration_name, "RepoTags": [name], "Layers": [layer_name] }])
            .to_string();
    let mut archive = Builder::new(File::create(path)?);
    append(&mut archive, &configuration_name, 0o644, configuration.as_bytes())?;
    append(&mut archive, &layer_name, 0o644, &layer)?;
    append(&mut archive, "manifest.json", 0o644, manifest.as_bytes())?;
    archive.into_inner()?.flush()
}

fn layer(files: &[(PathBuf, PathBuf)], applets: &str) -> std::io::Result<Vec<u8>> {
    let mut layer = Builder::new(Vec::new());
    for (directory, mode) in [("tmp", 0o1777), ("etc", 0o755), ("run", 0o755)] {
        let mut header = header(mode, 0);
        header.set_entry_type(EntryType::Directory);
        layer.append_data(&mut header, directory, std::io::empty())?;
    }
    append_link(&mut layer, "var/run", "/run")?;
    let users = "root:x:0:0:root:/root:/bin/sh\nl2sces:x:65532:65532::/:/bin/false\n";
    append(&mut layer, "etc/passwd", 0o644, users.as_bytes())?;
    append(&mut layer, "etc/nsswitch.conf", 0o644, b"hosts: files dns\n")?;
    append(&mut layer, "etc/group", 0o644, b"root:x:0:\nl2sces:x:65532:\n")?;
    append(&mut layer, "bin/busybox", 0o755, &fs::read(BUSYBOX)?)?;
    let taken: BTreeSet<_> = files.iter().filter_map(|(_, inside)| inside.file_name()).collect();
    for applet in applets.lines().map(Path::new) {
        let is_taken = applet.file_name().is_none_or(|name| taken.contains(name));
        if is_taken || applet == Path::new("bin/busybox") {
            continue;
        }
        append_link(&mut layer, applet, BUSYBOX)?;
    }
    for (from, inside) in files {
        // Libraries are found by links: what counts is what they lead to.
        append(&mut layer, inside, 0o755, &fs::read(from)?)?;
    }
    layer.into_inner()
}

fn append(
    archive: &mut Builder<impl Write>,
    path: impl AsRef<Path>,
    mode: u32,
    content: &[u8],
) -> std::io::Result<()> {
    let size = u64::try_from(content.len()).map_err(std::io::Error::other)?;
    archive.append_data(&mut header(mode, size), path, content)
}

fn append_link(
    archive: &mut Builder<impl Write>,
    path: impl AsRef<Path>,
    to: &str,
) -> std::io::Result<()> {
    let mut header = header(0o777, 0);
    header.set_entry_type(EntryType::Symlink);
    archive.append_link(&mut header, path, to)
}

/// Owner and time do not depend on who packs when.
fn header(mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
