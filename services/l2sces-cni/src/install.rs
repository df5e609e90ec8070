//! Putting the plugin into a node, and taking it out again.

use std::{
    env, fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;

use crate::{configuration::DEFAULT_SOCKET, version::Version};

/// Name of the program, which is the type in configurations.
const PLUGIN: &str = "l2sces-cni";
/// Name of the configuration. Runtimes take the first by name.
const CONFIGURATION: &str = "00-l2sces.conflist";
/// What the configuration is called where there is no other plugin's.
const ALONE: &str = "l2sces";

/// How the plugin is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Behind the node's other plugins: pods have the interface that those make, and ours beside it. Where
    /// the first of them is Multus, as `multus`
    Chained,
    /// By nobody but Multus: only the program is installed
    Multus,
    /// As the only one: pods have our interfaces only
    Alone,
}

/// Where things are on the node.
#[derive(Clone, Debug, Args)]
struct Places {
    /// Where the node's plugins are
    #[arg(
        long,
        env = "L2SCES_CNI_BIN_DIR",
        value_name = "DIRECTORY",
        default_value = "/opt/cni/bin"
    )]
    bin_dir: PathBuf,
    /// Where the configurations of the node's plugins are
    #[arg(
        long,
        env = "L2SCES_CNI_CONF_DIR",
        value_name = "DIRECTORY",
        default_value = "/etc/cni/net.d"
    )]
    conf_dir: PathBuf,
}

/// Arguments of `install`.
#[derive(Clone, Debug, Args)]
pub(crate) struct InstallArgs {
    /// How the plugin is called
    #[arg(long, env = "L2SCES_CNI_MODE", value_enum, default_value = "chained")]
    mode: Mode,
    /// Where the node's sps-agent listens, as seen from the node
    #[arg(
        long,
        env = "L2SCES_ATTACHMENT_SOCKET",
        value_name = "PATH",
        default_value = DEFAULT_SOCKET
    )]
    attachment_socket: PathBuf,
    /// A namespace whose pods are never attached, and start although nobody can be asked; may be given
    /// more than once
    #[arg(
        long = "exclude-namespace",
        env = "L2SCES_CNI_EXCLUDE_NAMESPACES",
        value_name = "NAME",
        value_delimiter = ',',
        default_values = ["kube-system", "l2sces-system"]
    )]
    excluded_namespaces: Vec<String>,
    #[command(flatten)]
    places: Places,
}

/// Arguments of `uninstall`.
#[derive(Clone, Debug, Args)]
pub(crate) struct UninstallArgs {
    #[command(flatten)]
    places: Places,
}

/// Puts the plugin into the node: first the program, then the configuration by which it is called. May
/// be repeated, and brings the configuration up to date.
///
/// # Errors
/// A file cannot be written, or there is no plugin yet to be behind of.
pub(crate) fn install(args: &InstallArgs) -> Result<()> {
    let Places { bin_dir, conf_dir } = &args.places;
    let own = env::current_exe().context("cannot find this program")?;
    let program = fs::read(&own).with_context(|| format!("cannot read {}", own.display()))?;
    write(bin_dir, PLUGIN, &program, 0o755)?;
    let list = match args.mode {
        Mode::Multus => return remove(&conf_dir.join(CONFIGURATION)),
        Mode::Chained => match chained(conf_dir, args)? {
            Some(list) => list,
            None => return remove(&conf_dir.join(CONFIGURATION)),
        },
        Mode::Alone => json!({
            "cniVersion": Version::V1_0_0.as_str(),
            "name": ALONE,
            "plugins": [entry(args)],
        }),
    };
    let mut text = serde_json::to_vec_pretty(&list)?;
    text.push(b'\n');
    write(conf_dir, CONFIGURATION, &text, 0o644)
}

/// Takes the plugin out of the node: what was called before is called again. May be repeated.
///
/// # Errors
/// A file cannot be removed.
pub(crate) fn uninstall(args: &UninstallArgs) -> Result<()> {
    let Places { bin_dir, conf_dir } = &args.places;
    // Nobody must be told to call a program that is not there.
    remove(&conf_dir.join(CONFIGURATION))?;
    remove(&bin_dir.join(PLUGIN))
}

/// The plugin's own part of a configuration.
fn entry(args: &InstallArgs) -> Value {
    json!({
        "type": PLUGIN,
        "socket": args.attachment_socket,
        "excludeNamespaces": args.excluded_namespaces,
    })
}

/// The configuration that the node would use without this plugin, and the plugin behind it; nothing: that
/// is Multus', which calls the plugin for each network itself, and takes any other configuration for
/// that of the cluster's network when it starts anew.
fn chained(conf_dir: &Path, args: &InstallArgs) -> Result<Option<Value>> {
    let path = first_other(conf_dir)?;
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let read: Map<String, Value> = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no configuration", path.display()))?;
    if is_of_multus(&read) {
        return Ok(None);
    }
    let appended = append(read, entry(args));
    appended.map(Some).with_context(|| format!("{} is no configuration", path.display()))
}

/// Whether Multus is what a configuration calls first, by one of its names: the plugin of its thin or of its
/// thick deployment.
fn is_of_multus(configuration: &Map<String, Value>) -> bool {
    let first = configuration.get("plugins").and_then(|plugins| plugins.get(0)?.get("type"));
    let plugin = first.or_else(|| configuration.get("type")).and_then(Value::as_str);
    matches!(plugin, Some("multus" | "multus-shim"))
}

/// A configuration with one plugin more at its end. One of a single plugin becomes a list.
fn append(mut configuration: Map<String, Value>, entry: Value) -> Result<Value> {
    let version = configuration.get("cniVersion").and_then(Value::as_str).unwrap_or_default();
    version.parse::<Version>().map_err(|error| anyhow::anyhow!(error.message))?;
    if !configuration.contains_key("plugins") {
        ensure!(configuration.contains_key("type"), "it has neither plugins nor a type");
        let [version, name] = ["cniVersion", "name"].map(|key| configuration.remove(key));
        let (version, name) = (version.unwrap_or_default(), name.unwrap_or_default());
        configuration = Map::from_iter([
            ("cniVersion".to_owned(), version),
            ("name".to_owned(), name),
            ("plugins".to_owned(), json!([configuration])),
        ]);
    }
    let Some(plugins) = configuration.get_mut("plugins").and_then(Value::as_array_mut) else {
        bail!("plugins is no list");
    };
    plugins.retain(|plugin| plugin["type"] != PLUGIN);
    plugins.push(entry);
    Ok(Value::Object(configuration))
}

/// The configuration that a runtime would take if this plugin had none: the first by name.
fn first_other(conf_dir: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(conf_dir)
        .with_context(|| format!("cannot read {}", conf_dir.display()))?
        .collect::<io::Result<Vec<_>>>()
        .with_context(|| format!("cannot read {}", conf_dir.display()))?;
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    let is_configuration = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("conf" | "conflist" | "json")) && !path.ends_with(CONFIGURATION)
    };
    paths.into_iter().find(is_configuration).with_context(|| {
        format!(
            "{} has no configuration of another plugin yet: install one, or use --mode alone",
            conf_dir.display()
        )
    })
}

/// Writes a file as a whole, unless it is so already: whoever watches the directory never sees half of
/// it, and sees it at once, because it is made in the same directory.
fn write(directory: &Path, name: &str, content: &[u8], mode: u32) -> Result<()> {
    let path = directory.join(name);
    let is_there = || -> io::Result<bool> {
        let found = fs::metadata(&path)?.permissions().mode() & 0o777;
        Ok(found == mode && fs::read(&path)? == content)
    };
    let written = || -> io::Result<()> {
        if is_there().unwrap_or(false) {
            return Ok(());
        }
        fs::create_dir_all(directory)?;
        let mut file = NamedTempFile::new_in(directory)?;
        file.write_all(content)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.with_context(|| format!("cannot remove {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn types(configuration: &Value) -> Vec<&str> {
        let plugins = configuration["plugins"].as_array().unwrap();
        plugins.iter().map(|plugin| plugin["type"].as_str().unwrap()).collect()
    }

    #[test]
    fn the_plugin_comes_last_and_once() {
        let list = json!({
            "cniVersion": "0.4.0", "name": "calico",
            "plugins": [{"type": "calico"}, {"type": "l2sces-cni", "socket": "/old"}, {"type": "portmap"}],
        });
        let appended = append(map(&list), json!({"type": "l2sces-cni"})).unwrap();
        assert_eq!(types(&appended), ["calico", "portmap", "l2sces-cni"]);
        assert_eq!(appended["name"], "calico");
    }

    #[test]
    fn a_single_plugin_becomes_a_list() {
        let single = json!({"cniVersion": "0.3.1", "name": "net", "type": "bridge", "bridge": "b"});
        let appended = append(map(&single), json!({"type": "l2sces-cni"})).unwrap();
        let expected = json!({
            "cniVersion": "0.3.1", "name": "net",
            "plugins": [{"type": "bridge", "bridge": "b"}, {"type": "l2sces-cni"}],
        });
        assert_eq!(appended, expected);
    }

    #[test]
    fn multus_is_known_by_its_plugin_whatever_its_file_is_called() {
        for (configuration, expected) in [
            (json!({"name": "multus-cni-network", "type": "multus"}), true),
            (json!({"plugins": [{"type": "multus-shim"}, {"type": "portmap"}]}), true),
            (json!({"name": "multus", "plugins": [{"type": "calico"}]}), false),
            (json!({"plugins": []}), false),
        ] {
            assert_eq!(is_of_multus(&map(&configuration)), expected, "{configuration}");
        }
    }

    #[test]
    fn what_is_no_configuration_or_too_old_is_refused() {
        for odd in [
            json!({"cniVersion": "0.4.0"}),
            json!({"cniVersion": "0.4.0", "plugins": 7}),
            json!({"cniVersion": "0.2.0", "type": "bridge"}),
            json!({"type": "bridge"}),
        ] {
            assert!(append(map(&odd), json!({})).is_err(), "{odd}");
        }
    }
}
