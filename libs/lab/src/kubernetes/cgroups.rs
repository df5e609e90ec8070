//! Control groups: a tree for each node, so that no kubelet sees the containers of another.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::error::{Context, LabError};

/// Where the hierarchies of control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// The hierarchies that containerd and kubelet use.
pub(super) const HIERARCHIES: [&str; 9] =
    ["blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids", "systemd"];

/// Makes the groups called `name`, one in each hierarchy.
///
/// # Errors
/// The kernel refuses, or has no hierarchy for each controller (it is mounted as version 2).
pub(super) fn create(name: &str) -> Result<(), LabError> {
    for hierarchy in HIERARCHIES {
        let parent = Path::new(ROOT).join(hierarchy);
        if !parent.join("cgroup.procs").exists() {
            return Err(LabError::NoCgroups(parent));
        }
        let group = parent.join(name);
        fs::create_dir_all(&group).context(|| format!("make {}", group.display()))?;
        if hierarchy == "cpuset" {
            // A group without processors and memory takes no process.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                fs::copy(parent.join(file), group.join(file))
                    .context(|| format!("set {file} of {}", group.display()))?;
            }
            let children = group.join("cgroup.clone_children");
            fs::write(&children, "1").context(|| format!("set {}", children.display()))?;
        }
    }
    Ok(())
}

/// The groups whose names begin with `prefix`.
pub(crate) fn list(prefix: &str) -> Vec<PathBuf> {
    let directories = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let hierarchies = directories(Path::new(ROOT)).map(|entry| entry.path());
    let mut groups: Vec<_> = hierarchies
        .flat_map(|hierarchy| directories(&hierarchy).collect::<Vec<_>>())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    groups.sort();
    groups
}

/// Removes a group with those in it. Their processes must have ended.
pub(crate) fn remove(group: &Path) -> Result<(), LabError> {
    remove_tree(group).context(|| format!("remove {}", group.display()))
}

fn remove_tree(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    // The files of a group go with it.
    fs::remove_dir(group)
}
