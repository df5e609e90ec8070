//! The programs of Kubernetes: named by the environment, or built once from Debian's source package.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{
    command,
    error::{Context, LabError},
    packages,
};

/// The programs that a lab runs.
pub const PROGRAMS: [&str; 6] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
];

/// Variables of the environment that may name a directory of the programs.
const VARIABLES: [&str; 2] = ["L2SCES_KUBERNETES_BINARIES", "KUBEBUILDER_ASSETS"];

/// What is built: the last version in Debian that builds without a network.
const VERSION: &str = "1.20.2";
/// Debian's source package of it.
const SOURCE: &str = "kubernetes=1.20.5+really1.20.2-1.1+deb12u1";
/// A Go library; see [`replace_reflect2`].
const REFLECT2: &str = "github.com/modern-go/reflect2";
/// Where the source package is.
const REPOSITORY: &str = "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main\n";

/// The programs that a lab uses without being told: those in a directory that the environment names
/// and that has them all, or those built into the target directory that `binaries` is in.
pub(crate) fn directory(binaries: &Path) -> PathBuf {
    let target = binaries.parent().unwrap_or(binaries);
    named_by_environment().unwrap_or_else(|| built(target))
}

/// Builds the programs into a target directory, unless they are there or the environment names
/// others. Takes some ten minutes of a processor; see [`is_missing`].
///
/// # Errors
/// Not root, interrupted, or the source package cannot be had or built.
pub async fn ensure(target: &Path) -> Result<(), LabError> {
    if !is_missing(target) {
        return Ok(());
    }
    tokio::select! {
        built = build(target) => built,
        // Dropping the build ends the compiler.
        _ = tokio::signal::ctrl_c() => Err(LabError::Interrupted),
    }
}

/// Whether [`ensure`] has something to build.
pub fn is_missing(target: &Path) -> bool {
    named_by_environment().is_none() && !has_all(&built(target))
}

fn named_by_environment() -> Option<PathBuf> {
    VARIABLES
        .into_iter()
        .filter_map(env::var_os)
        .map(PathBuf::from)
        // Those that are made for tests of controllers alone have no kubelet.
        .find(|directory| has_all(directory))
}

fn built(target: &Path) -> PathBuf {
    target.join("kubernetes").join(VERSION)
}

fn has_all(directory: &Path) -> bool {
    PROGRAMS.iter().all(|program| directory.join(program).exists())
}

async fn build(target: &Path) -> Result<(), LabError> {
    packages::ensure(packages::KUBERNETES_BUILD).await?;
    let result = built(target);
    let directory = target.join("kubernetes").join(format!("{VERSION}.build"));
    // What an interrupted build left.
    remove(&directory)?;
    let tree = directory.join("go/src/k8s.io/kubernetes");
    for part in ["lists/partial", "source", "programs", "go/src/k8s.io"] {
        let part = directory.join(part);
        fs::create_dir_all(&part).context(|| format!("make {}", part.display()))?;
    }
    unpack(&directory, &tree).await?;
    generate(&directory, &tree).await?;
    compile(&directory, &tree).await?;
    remove(&result)?;
    fs::rename(directory.join("programs"), &result)
        .context(|| format!("make {}", result.display()))?;
    remove(&directory)
}

fn remove(directory: &Path) -> Result<(), LabError> {
    if directory.exists() {
        fs::remove_dir_all(directory).context(|| format!("remove {}", directory.display()))?;
    }
    Ok(())
}

/// Gets the source package by lists of packages of its own: the machine's may not have sources.
async fn unpack(directory: &Path, tree: &Path) -> Result<(), LabError> {
    let list = directory.join("sources.list");
    fs::write(&list, REPOSITORY).context(|| format!("write {}", list.display()))?;
    let source = directory.join("source");
    let apt_get = |arguments: &[&str]| {
        let mut apt_get = command::command("apt-get");
        apt_get
            .current_dir(&source)
            .arg("--quiet=2")
            .arg(format!("-oDir::Etc::SourceList={}", list.display()))
            .arg("-oDir::Etc::SourceParts=/dev/null")
            .arg(format!("-oDir::State::Lists={}", directory.join("lists").display()))
            .arg("-oAPT::Sandbox::User=root")
            .args(arguments);
        apt_get
    };
    command::run(&mut apt_get(&["update"])).await?;
    command::run(&mut apt_get(&["source", "--download-only", SOURCE])).await?;
    let description = fs::read_dir(&source)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "dsc"))
        .ok_or_else(|| LabError::Unknown { kind: "source package", name: SOURCE.to_owned() })?;
    let mut unpack = command::command("dpkg-source");
    // apt-get has checked that it is Debian's.
    unpack.args(["--no-check", "--extract"]).arg(description).arg(tree);
    command::run(&mut unpack).await?;
    replace_reflect2(tree)
}

/// Puts Debian's own version of a library in the place of the one that the source package has: that one
/// relies on what Go was before 1.18 inside, and API servers with it crash now and then.
fn replace_reflect2(tree: &Path) -> Result<(), LabError> {
    let old = tree.join("vendor").join(REFLECT2);
    let new = Path::new("/usr/share/gocode/src").join(REFLECT2);
    remove(&old)?;
    let copy = || {
        fs::create_dir(&old)?;
        for entry in fs::read_dir(&new)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_test = name.to_string_lossy().ends_with("_test.go");
            if entry.file_type()?.is_file() && !is_test {
                fs::copy(entry.path(), old.join(name))?;
            }
        }
        Ok(())
    };
    let copied: std::io::Result<()> = copy();
    copied.context(|| format!("copy {}", new.display()))
}

/// A command of Go, in the tree.
fn go(
    directory: &Path,
    tree: &Path,
    program: impl AsRef<std::ffi::OsStr>,
) -> tokio::process::Command {
    let mut go = command::command(program);
    go.current_dir(tree)
        .env("HOME", directory)
        .env("GOPATH", directory.join("go"))
        .env("GOCACHE", directory.join("cache"))
        .env("GO111MODULE", "off")
        .env("GOFLAGS", "")
        .env("CGO_ENABLED", "0");
    go
}

/// Makes the only source file that the package does not have: the schema of the whole API.
async fn generate(directory: &Path, tree: &Path) -> Result<(), LabError> {
    let generator = directory.join("openapi-gen");
    let mut build = go(directory, tree, "go");
    build
        .arg("build")
        .arg("-o")
        .arg(&generator)
        .arg("./vendor/k8s.io/kube-openapi/cmd/openapi-gen");
    command::run(&mut build).await?;
    let mut marked = command::command("grep");
    marked.current_dir(tree).args(["-rl", "+k8s:openapi-gen=", "--include=*.go"]);
    let files = command::run(marked.args(["staging/src/k8s.io", "pkg", "cmd", "plugin"])).await?;
    let mut generate = go(directory, tree, generator);
    generate
        .args(["--logtostderr", "--input-dirs", &packages_of(&files)])
        .args(["--output-package", "k8s.io/kubernetes/pkg/generated/openapi"])
        .args(["--output-file-base", "zz_generated.openapi"])
        .args(["--go-header-file", "vendor/k8s.io/code-generator/hack/boilerplate.go.txt"])
        .arg("--report-filename")
        .arg(directory.join("report"));
    command::run(&mut generate).await?;
    Ok(())
}

/// The Go packages of source files, without those of examples, separated by commas.
fn packages_of(files: &str) -> String {
    let mut packages: Vec<_> = files
        .lines()
        .filter(|file| {
            ["code-generator/", "sample-apiserver/", "_examples", "testdata"]
                .iter()
                .all(|part| !file.contains(part))
        })
        .filter_map(|file| file.rsplit_once('/'))
        .map(|(directory, _)| match directory.strip_prefix("staging/src/") {
            Some(staged) => format!("k8s.io/kubernetes/vendor/{staged}"),
            None => format!("k8s.io/kubernetes/{directory}"),
        })
        .collect();
    packages.sort();
    packages.dedup();
    packages.join(",")
}

async fn compile(directory: &Path, tree: &Path) -> Result<(), LabError> {
    let mut link = "-s -w".to_owned();
    let mut parts = VERSION.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    for package in ["component-base/version", "client-go/pkg/version"] {
        for (variable, value) in [
            ("gitVersion", format!("v{VERSION}")),
            ("gitMajor", major.to_owned()),
            ("gitMinor", minor.to_owned()),
            ("gitTreeState", "clean".to_owned()),
        ] {
            link += &format!(" -X k8s.io/kubernetes/vendor/k8s.io/{package}.{variable}={value}");
        }
    }
    let mut build = go(directory, tree, "go");
    build
        .arg("build")
        .arg("-o")
        .arg(directory.join("programs"))
        // A lab is in no cloud and has no Docker: their clients would be a third of the work.
        .args(["-tags", "providerless,dockerless"])
        .args(["-gcflags=all=-dwarf=false", "-ldflags", &link])
        .args(PROGRAMS.map(|program| format!("./cmd/{program}")));
    command::run(&mut build).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_follow_from_files() {
        let files = "staging/src/k8s.io/api/core/v1/doc.go\nstaging/src/k8s.io/api/core/v1/types.go\n\
                     pkg/apis/abac/v1beta1/doc.go\nstaging/src/k8s.io/sample-apiserver/pkg/doc.go\n";
        assert_eq!(
            packages_of(files),
            "k8s.io/kubernetes/pkg/apis/abac/v1beta1,k8s.io/kubernetes/vendor/k8s.io/api/core/v1"
        );
    }
}
