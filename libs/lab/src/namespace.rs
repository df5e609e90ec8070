//! Network namespaces: making them, and doing things inside them.
//!
//! A socket belongs for life to the namespace that it was created in. So a thread enters the
//! namespace, creates the socket and ends; everybody else can use the socket from anywhere.

mod creation;

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
    path::{Path, PathBuf},
    thread,
};

use nix::sched::{CloneFlags, setns};
use tokio::{
    net::{TcpSocket, TcpStream},
    process::Command,
};

use crate::{
    command,
    error::{CommandError, Context, LabError},
};

/// Where `ip netns` keeps the names of namespaces.
const NAMESPACES: &str = "/run/netns";

/// A network namespace with a name of `ip netns`, or at another path. Dropping the value leaves the
/// namespace alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Namespace {
    name: String,
    path: PathBuf,
}

impl Namespace {
    /// Makes a namespace whose loopback interface is up. Synchronous and without `ip`, so that
    /// whoever interrupts a lab knows that none is still being made.
    ///
    /// # Errors
    /// It exists already, or the kernel refuses.
    pub fn create(name: &str) -> Result<Self, LabError> {
        creation::create(NAMESPACES.as_ref(), name).context(|| format!("make namespace {name}"))?;
        Ok(Self::named(name))
    }

    /// The namespace called `name`, whether it exists or not.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), path: Path::new(NAMESPACES).join(name) }
    }

    /// The namespace that the file at `path` stands for, such as that of a container, whether it
    /// exists or not. The path is its name.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { name: path.display().to_string(), path }
    }

    /// Names of all namespaces that begin with `prefix`.
    pub fn list(prefix: &str) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(NAMESPACES)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with(prefix))
            .collect();
        names.sort();
        names
    }

    /// Removes the name; the namespace ends with the last process and socket in it. Synchronous,
    /// because labs are also taken down where nothing can be awaited. Removing one that does not
    /// exist succeeds.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn delete(&self) -> Result<(), LabError> {
        let path = self.path();
        let unmounted = nix::mount::umount2(path, nix::mount::MntFlags::MNT_DETACH);
        if !path.exists() {
            return Ok(());
        }
        match unmounted {
            // A name without a mount is what an interrupted creation leaves.
            Ok(()) | Err(nix::Error::EINVAL) => {}
            Err(errno) => return Err(errno).context(|| format!("unmount {}", path.display())),
        }
        fs::remove_file(path).context(|| format!("remove {}", path.display()))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Path of the file that stands for it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it exists.
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    fn open(&self) -> io::Result<File> {
        File::open(self.path()).map_err(|error| {
            io::Error::new(error.kind(), format!("namespace {}: {error}", self.name))
        })
    }

    /// A command that will run inside, killed when its future is dropped.
    ///
    /// # Errors
    /// The namespace does not exist.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Result<Command, LabError> {
        let file = self.open().context(|| "enter a namespace".to_owned())?;
        let mut command = command::command(program);
        // SAFETY: between fork and exec only setns is called, which is async-signal-safe; the
        // descriptor is open for as long as the command exists.
        unsafe {
            command.pre_exec(move || Ok(setns(&file, CloneFlags::CLONE_NEWNET)?));
        }
        Ok(command)
    }

    /// Runs a program inside to its end, whatever that is.
    ///
    /// # Errors
    /// It could not be started.
    pub async fn exec<S: AsRef<OsStr>>(
        &self,
        command_line: impl IntoIterator<Item = S>,
    ) -> Result<command::Output, LabError> {
        Ok(command::output(&mut self.command_line(command_line)?).await?)
    }

    /// Runs a program inside that must succeed, and returns what it wrote to standard output.
    ///
    /// # Errors
    /// It could not be started, or failed.
    pub async fn run<S: AsRef<OsStr>>(
        &self,
        command_line: impl IntoIterator<Item = S>,
    ) -> Result<String, LabError> {
        Ok(command::run(&mut self.command_line(command_line)?).await?)
    }

    fn command_line<S: AsRef<OsStr>>(
        &self,
        command_line: impl IntoIterator<Item = S>,
    ) -> Result<Command, LabError> {
        let mut words = command_line.into_iter();
        let program = words.next().ok_or_else(|| CommandError::Start {
            command: String::new(),
            source: io::ErrorKind::InvalidInput.into(),
        })?;
        let mut command = self.command(program)?;
        command.args(words);
        Ok(command)
    }

    /// Runs `ip` on the namespace.
    ///
    /// # Errors
    /// `ip` failed.
    pub async fn ip<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String, LabError> {
        Ok(command::run(self.command("ip")?.args(arguments)).await?)
    }

    /// Runs several `ip` commands on the namespace, one a line, at the price of one process.
    ///
    /// # Errors
    /// One of them failed; those after it did not run.
    pub async fn ip_batch(&self, lines: &str) -> Result<(), LabError> {
        let mut command = self.command("ip")?;
        command.args(["-batch", "-"]);
        command::run_with_input(&mut command, lines).await?;
        Ok(())
    }

    /// Starts a thread that does `job` inside.
    ///
    /// # Errors
    /// The namespace does not exist; that it cannot be entered is what the thread returns.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<thread::JoinHandle<io::Result<T>>> {
        let file = self.open()?;
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            setns(file.as_fd(), CloneFlags::CLONE_NEWNET)?;
            Ok(job())
        })
    }

    /// Calls `job` on a thread inside the namespace, waits for it and returns what it returns. In
    /// asynchronous code only for what does not block: creating a socket, reading a file.
    ///
    /// # Errors
    /// The namespace does not exist, or `job` failed.
    pub fn enter<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let joined = self.spawn("lab-namespace", job)?.join();
        let panicked = |_| Err(io::Error::other("a thread in a namespace panicked"));
        joined.unwrap_or_else(panicked)?
    }

    /// Names of the virtual Ethernet interfaces inside.
    ///
    /// # Errors
    /// The namespace is gone.
    pub async fn veths(&self) -> Result<Vec<String>, LabError> {
        let list = self.ip(["-oneline", "link", "show", "type", "veth"]).await?;
        let name = |line: &str| Some(line.split(": ").nth(1)?.split('@').next()?.to_owned());
        Ok(list.lines().filter_map(name).collect())
    }

    /// Sets a kernel parameter below `net`, such as `ipv4/icmp_echo_ignore_broadcasts`.
    ///
    /// # Errors
    /// The kernel refuses, or has no such parameter.
    pub fn set_parameter(&self, name: &str, value: &str) -> Result<(), LabError> {
        let (path, value) = (Path::new("/proc/sys/net").join(name), value.to_owned());
        self.enter(move || fs::write(path, value))
            .context(|| format!("set net/{name} in {}", self.name))
    }

    /// Connects a TCP socket from inside.
    ///
    /// # Errors
    /// As connect(2).
    pub async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket =
            self.enter(
                move || {
                    if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
                },
            )?;
        socket.connect(address).await
    }

    /// A blocking UDP socket inside.
    ///
    /// # Errors
    /// As bind(2).
    pub fn bind_udp(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        self.enter(move || UdpSocket::bind(address))
    }
}
