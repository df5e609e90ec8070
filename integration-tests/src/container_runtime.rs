//! A lab in which the test is the container runtime: it makes network namespaces, and runs the real
//! network plugin in the nodes as containerd does. Everything that the plugin asks is real as well:
//! sps-agents, an operator, an sdn-controller, and an API server of Kubernetes that has the pods. Only
//! kubelets are missing, so that a pod is attached, or not, just when the test says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use l2sces_lab::{Kubectl, Lab, LabOptions, Namespace, Pod, Unit, layout, probe, wait};
use l2sces_proto::fabric::v1::{
    DeletePortRequest, ListPortsRequest, ListedPort, PortKey,
    fabric_service_client::FabricServiceClient, port::Attachment,
};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
};
use tonic::transport::Channel;

/// The plugin's own number of what the pod cannot have.
pub const REFUSED: u64 = 100;
/// The specification's number of what may be possible later.
pub const TRY_AGAIN: u64 = 11;

/// How long anything may take to become as wanted: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The networks that pods can ask for, with the same addresses.
pub const NETWORKS: [&str; 2] = ["blue", "red"];

/// The runtime of a cluster `a` with the nodes `a1` and `a2`.
pub struct Runtime {
    /// The lab.
    pub lab: Lab,
    /// `kubectl` on the API server.
    pub kubectl: Kubectl,
    fabric: FabricServiceClient<Channel>,
}

/// A pod's sandbox.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// The id that the runtime gives it.
    pub id: String,
    /// Its network namespace.
    pub netns: Pod,
    /// The pod's uid.
    pub uid: String,
}

/// An error as the runtime sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The specification's number, or the plugin's own.
    pub code: u64,
    /// One sentence.
    pub message: String,
    /// The version that the plugin speaks.
    pub version: String,
}

/// A call of the plugin.
#[derive(Clone, Debug)]
pub struct Call {
    node: String,
    /// Another plugin's program; none: ours.
    other: Option<PathBuf>,
    environment: BTreeMap<&'static str, String>,
}

impl Call {
    /// A call that is about no sandbox, such as STATUS.
    pub fn on(node: &str, verb: &str) -> Self {
        let environment =
            [("CNI_COMMAND", verb.to_owned()), ("CNI_PATH", "/opt/cni/bin".to_owned())];
        Self { node: node.to_owned(), other: None, environment: environment.into() }
    }

    /// A call about a sandbox, as containerd makes it.
    pub fn about(sandbox: &Sandbox, verb: &str) -> Self {
        let pod = sandbox.netns.name();
        let arguments = format!(
            "IgnoreUnknown=1;K8S_POD_UID={};K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod};\
             K8S_POD_INFRA_CONTAINER_ID={}",
            sandbox.uid, sandbox.id
        );
        Self::on(sandbox.netns.node(), verb)
            .set("CNI_CONTAINERID", &sandbox.id)
            .set("CNI_NETNS", &sandbox.netns.path())
            .set("CNI_IFNAME", "eth0")
            .set("CNI_ARGS", &arguments)
    }

    /// The same of another plugin, one of those in this directory.
    pub fn of(mut self, directory: &Path, plugin: &str) -> Self {
        self.other = Some(directory.join(plugin));
        self.set("CNI_PATH", &directory.display().to_string())
    }

    /// The same with a variable of the environment.
    pub fn set(mut self, variable: &'static str, value: &str) -> Self {
        self.environment.insert(variable, value.to_owned());
        self
    }
}

impl Runtime {
    /// Brings up the lab; pods can be attached to [`NETWORKS`].
    pub async fn up() -> Result<Self> {
        let log_filter = "info,l2sces_controller=debug,operator=debug".to_owned();
        Self::up_with(LabOptions { log_filter, ..LabOptions::default() }).await
    }

    /// The same, with options for the lab.
    pub async fn up_with(options: LabOptions) -> Result<Self> {
        let options = LabOptions { operators: true, ..options };
        let lab = Lab::up(&"a=a1,a2".parse()?, options).await?;
        let kubectl = lab.kubectl("a")?;
        let fabric = FabricServiceClient::new(lab.channel(&Unit::SdnController("a".to_owned()))?);
        let this = Self { lab, kubectl, fabric };
        this.prepare().await?;
        Ok(this)
    }

    async fn prepare(&self) -> Result<()> {
        let nodes = self.lab.layout().nodes().map(|node| {
            let address = json!({ "type": "InternalIP", "address": node.management_address });
            json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": { "name": node.name },
                // The kubelet's word, which an API server takes with a new node.
                "status": { "addresses": [address] },
            })
        });
        let mut items: Vec<Value> = nodes.collect();
        items.push(json!({
            "apiVersion": "l2sm.l2sm.k8s.local/v1", "kind": "Overlay",
            "metadata": { "name": "overlay", "namespace": "default" },
            "spec": {
                "provider": { "name": "hosts", "domain": [layout::CONTROL_ADDRESS] },
                "topology": { "nodes": ["a1", "a2"], "links": [] },
            },
        }));
        self.create(&items).await?;
        for network in NETWORKS {
            self.create_network(network, Some("10.1.0.0/16")).await?;
        }
        Ok(())
    }

    /// Creates a network, without a CIDR one that has no addresses, and waits until pods can be attached.
    pub async fn create_network(&self, name: &str, cidr: Option<&str>) -> Result<()> {
        let mut network = json!({
            "apiVersion": "l2sm.l2sm.k8s.local/v1", "kind": "L2Network",
            "metadata": { "name": name, "namespace": "default" },
            "spec": { "type": "vnet" },
        });
        if let Some(cidr) = cidr {
            network["spec"]["networkCIDR"] = cidr.into();
        }
        self.create(&[network]).await?;
        let network = format!("l2network/{name}");
        wait::holds(&format!("{network} is ready"), PATIENCE, || async {
            let shown = self.kubectl.run(["get", &network, "--output", "json"]).await;
            let shown: Value = serde_json::from_str(&shown.map_err(|error| error.to_string())?)
                .map_err(|error| error.to_string())?;
            let conditions = shown["status"]["conditions"].as_array();
            let is_ready =
                |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
            match conditions.is_some_and(|conditions| conditions.iter().any(is_ready)) {
                true => Ok(()),
                false => Err(shown["status"].to_string()),
            }
        })
        .await?;
        Ok(())
    }

    /// Deletes a network, and waits until it is gone.
    pub async fn delete_network(&self, name: &str) -> Result<()> {
        self.kubectl.run(["delete", "l2network", name]).await?;
        Ok(())
    }

    /// Creates objects.
    pub async fn create(&self, items: &[Value]) -> Result<()> {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        self.kubectl.with_input(["create", "-f", "-"], &list.to_string()).await?;
        Ok(())
    }

    /// A pod on a node that asks for networks, in the syntax of the annotation `l2sm/networks`; none:
    /// it has no label.
    pub async fn pod(&self, node: &str, name: &str, networks: Option<&str>) -> Result<Sandbox> {
        let names = [name.to_owned()];
        let sandboxes = self.pods(node, &names, networks).await?;
        sandboxes.into_iter().next().context("no sandbox")
    }

    /// The same for many.
    pub async fn pods(
        &self,
        node: &str,
        names: &[String],
        networks: Option<&str>,
    ) -> Result<Vec<Sandbox>> {
        let pod = |name: &String| {
            let mut metadata = json!({ "name": name, "namespace": "default" });
            if let Some(networks) = networks {
                metadata["labels"] = json!({ "l2sm": "true" });
                metadata["annotations"] = json!({ "l2sm/networks": networks });
            }
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                "spec": { "nodeName": node, "containers": [{ "name": "pod", "image": "none" }] },
            })
        };
        self.create(&names.iter().map(pod).collect::<Vec<_>>()).await?;
        let uids = "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{'\\n'}{end}";
        let uids = self.kubectl.run(["get", "pods", "--output", uids]).await?;
        let uids: BTreeMap<&str, &str> =
            uids.lines().filter_map(|line| line.split_once(' ')).collect();
        let mut sandboxes = Vec::with_capacity(names.len());
        for name in names {
            let uid = uids.get(name.as_str()).context("no uid")?;
            sandboxes.push(Sandbox {
                // As long as containerd's are.
                id: format!("{:0>64}", uid.replace('-', "")),
                netns: self.lab.pod(node, name).await?,
                uid: (*uid).to_owned(),
            });
        }
        Ok(sandboxes)
    }

    /// Another sandbox of the same pod, as the kubelet has one made when the first has failed.
    pub async fn next_sandbox(&self, sandbox: &Sandbox) -> Result<Sandbox> {
        let (node, name) = (sandbox.netns.node(), sandbox.netns.name());
        self.lab.delete_pod(&sandbox.netns)?;
        let netns = self.lab.pod(node, name).await?;
        let id = format!("{:f>64}", sandbox.id.trim_start_matches('0'));
        Ok(Sandbox { id, netns, uid: sandbox.uid.clone() })
    }

    /// A pod goes: the API server has it no more, and its namespace is gone.
    pub async fn remove(&self, sandbox: &Sandbox) -> Result<()> {
        self.forget(sandbox).await?;
        Ok(self.lab.delete_pod(&sandbox.netns)?)
    }

    /// The API server has a pod no more.
    pub async fn forget(&self, sandbox: &Sandbox) -> Result<()> {
        let pod = format!("pod/{}", sandbox.netns.name());
        let delete = ["delete", &pod, "--force", "--grace-period=0", "--ignore-not-found"];
        self.kubectl.run(delete).await?;
        Ok(())
    }

    /// A configuration of the plugin on a node: as the only one.
    pub fn alone(&self, node: &str, version: &str) -> Result<Value> {
        let socket = &self.lab.node(node)?.attachment_socket;
        Ok(json!({
            "cniVersion": version, "name": "pods", "type": "l2sces-cni", "socket": socket,
            "excludeNamespaces": ["kube-system"],
        }))
    }

    /// A configuration of the plugin on a node: behind one that has made `eth0`.
    pub fn chained(&self, sandbox: &Sandbox, version: &str) -> Result<Value> {
        let mut configuration = self.alone(sandbox.netns.node(), version)?;
        configuration["prevResult"] = previous(sandbox, version);
        Ok(configuration)
    }

    /// Starts the plugin.
    pub async fn start(&self, call: &Call, configuration: &Value) -> Result<Child> {
        let ours = || self.lab.layout().binaries.join("l2sces-cni");
        let namespace = Namespace::named(&self.lab.node(&call.node)?.namespace);
        let mut command: Command = namespace.command(call.other.clone().unwrap_or_else(ours))?;
        let mut plugin =
            command.env_clear().envs(&call.environment).stdin(Stdio::piped()).spawn()?;
        let mut stdin = plugin.stdin.take().context("no input")?;
        // One that refuses its environment does not read.
        let _ = stdin.write_all(configuration.to_string().as_bytes()).await;
        Ok(plugin)
    }

    /// Runs the plugin to its end. What it says to success may be nothing.
    pub async fn run(&self, call: &Call, configuration: &Value) -> Result<Result<Value, Refusal>> {
        told_by(&self.output(call, configuration).await?)
    }

    async fn output(&self, call: &Call, configuration: &Value) -> Result<Output> {
        Ok(self.start(call, configuration).await?.wait_with_output().await?)
    }

    /// Runs the plugin, which must do as it is told.
    pub async fn succeed(&self, call: &Call, configuration: &Value) -> Result<Value> {
        accepted(call, self.run(call, configuration).await?)
    }

    /// Makes a DEL, which must succeed; again while it leaves the sandbox for later, since nobody
    /// answered in time: containerd makes more than one.
    pub async fn del(&self, del: &Call, configuration: &Value) -> Result<()> {
        let made = wait::holds("a DEL is answered", PATIENCE, || async {
            match self.left_by(del, configuration).await {
                Ok(Some(left)) => Err(left),
                made => Ok(made.map(drop)),
            }
        });
        made.await?
    }

    /// Makes a DEL once; what it says if it leaves the sandbox for later.
    async fn left_by(&self, del: &Call, configuration: &Value) -> Result<Option<String>> {
        let output = self.output(del, configuration).await?;
        accepted(del, told_by(&output)?)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(said.contains("is left to be detached later").then_some(said))
    }

    /// Runs the plugin, which must refuse.
    pub async fn fail(&self, call: &Call, configuration: &Value) -> Result<Refusal> {
        match self.run(call, configuration).await? {
            Ok(told) => anyhow::bail!("{call:?} succeeds: {told}"),
            Err(refusal) => Ok(refusal),
        }
    }

    /// The ADD of a sandbox behind another plugin.
    pub async fn attach(&self, sandbox: &Sandbox) -> Result<Value> {
        let configuration = self.chained(sandbox, "1.0.0")?;
        self.succeed(&Call::about(sandbox, "ADD"), &configuration).await
    }

    /// The DEL of a sandbox behind another plugin.
    pub async fn detach(&self, sandbox: &Sandbox) -> Result<()> {
        let configuration = self.chained(sandbox, "1.0.0")?;
        self.del(&Call::about(sandbox, "DEL"), &configuration).await
    }

    /// The ports that the sdn-controller has, those that are being deleted too.
    pub async fn ports(&self) -> Result<Vec<ListedPort>> {
        let ports = self.fabric.clone().list_ports(ListPortsRequest::default()).await?;
        Ok(ports.into_inner().ports)
    }

    /// Those of a sandbox.
    pub async fn ports_of(&self, sandbox: &Sandbox) -> Result<Vec<ListedPort>> {
        let mut ports = self.ports().await?;
        ports.retain(|port| match port.port.as_ref().and_then(|port| port.attachment.as_ref()) {
            Some(Attachment::Namespace(namespace)) => namespace.attachment_id == sandbox.id,
            _ => false,
        });
        Ok(ports)
    }

    /// Removes a port as an operator undoes the attempt that made it; says whether nothing of that attempt
    /// is left.
    pub async fn undo(&self, port: &ListedPort) -> Result<bool> {
        let port = port.port.clone().context("no port")?;
        let Some(Attachment::Namespace(namespace)) = port.attachment else {
            bail!("no port of a sandbox")
        };
        let request = DeletePortRequest {
            key: Some(PortKey { slice: port.slice, network: port.network, name: port.name }),
            attachment_id: namespace.attachment_id,
            generation: port.version.unwrap_or_default().generation,
        };
        Ok(self.fabric.clone().delete_port(request).await?.into_inner().gone)
    }

    /// Waits until nothing is attached but these sandboxes, which are: with ports of theirs in the
    /// controller, as many interfaces on the node, and names; and flows for nobody when there are none.
    pub async fn only(&self, sandboxes: &[&Sandbox]) -> Result<()> {
        wait::holds("only what is to be attached is", PATIENCE, || async {
            self.differences(sandboxes).await.map_err(|error| format!("{error:#}")).and_then(
                |differences| match differences.as_slice() {
                    [] => Ok(()),
                    differences => Err(format!("{differences:#?}")),
                },
            )
        })
        .await?;
        Ok(())
    }

    async fn differences(&self, sandboxes: &[&Sandbox]) -> Result<Vec<String>> {
        let mut differences = Vec::new();
        let wanted: BTreeSet<&str> = sandboxes.iter().map(|sandbox| sandbox.id.as_str()).collect();
        let mut found = BTreeSet::new();
        let mut interfaces = BTreeMap::<String, usize>::new();
        let ports = self.ports().await?;
        for listed in &ports {
            let port = listed.port.clone().unwrap_or_default();
            let state = listed.state.clone().unwrap_or_default();
            *interfaces.entry(port.node.clone()).or_default() += 1;
            let Some(Attachment::Namespace(namespace)) = port.attachment else { continue };
            if !wanted.contains(namespace.attachment_id.as_str()) || !state.ready {
                let name = format!("{}/{}", port.network, port.name);
                differences.push(format!("port {name}: {} {}", state.reason, state.message));
            }
            found.insert(namespace.attachment_id);
        }
        for sandbox in sandboxes.iter().filter(|sandbox| !found.contains(&sandbox.id)) {
            differences.push(format!("{} has no port", sandbox.netns.name()));
        }
        for node in self.lab.layout().nodes() {
            let wanted = interfaces.get(&node.name).copied().unwrap_or_default();
            let veths = node.veths().await?;
            let ours: Vec<_> = veths.iter().filter(|name| name.starts_with("l2p-")).collect();
            if ours.len() != wanted {
                differences.push(format!("{wanted} ports on {}, interfaces {ours:?}", node.name));
            }
            let flows = node.flows("br-sps").await?;
            let of_ports: Vec<_> = flows.iter().filter(|flow| is_of_ports(flow)).collect();
            if of_ports.is_empty() != (wanted == 0) {
                differences.push(format!("flows on {}: {of_ports:#?}", node.name));
            }
        }
        Ok(differences)
    }

    /// Waits until a network says that it has so many pods, with an address each.
    pub async fn counts(&self, network: &str, pods: usize) -> Result<()> {
        let status = ["get", "l2network", network, "--output", "jsonpath={.status}"];
        wait::holds(&format!("{network} says that it has {pods} pods"), PATIENCE, || async {
            let shown = self.kubectl.run(status).await.map_err(|error| error.to_string())?;
            let status: Value = serde_json::from_str(&shown).map_err(|error| error.to_string())?;
            let addresses = status["assignedIPs"].as_object().map_or(0, serde_json::Map::len);
            if status["connectedPodCount"] == pods && addresses == pods {
                Ok(())
            } else {
                Err(shown)
            }
        })
        .await?;
        Ok(())
    }

    /// Waits until a pod's name in a network stands for these addresses.
    pub async fn named(&self, pod: &str, network: &str, addresses: &[&str]) -> Result<()> {
        let dns = self.lab.layout().control.dns;
        let name = format!("{pod}.{network}.inter.l2sces");
        wait::holds(&format!("{name} is {addresses:?}"), PATIENCE, || async {
            let answer = probe::resolve(&self.lab.control(), dns, &name, "A").await;
            let data = answer.map_err(|error| error.to_string())?.data;
            if data == addresses { Ok(()) } else { Err(format!("{data:?}")) }
        })
        .await?;
        Ok(())
    }

    /// Kills a process and starts it again.
    pub async fn restart(&self, unit: &Unit) -> Result<()> {
        self.lab.kill(unit).await?;
        Ok(self.lab.start(unit).await?)
    }

    /// Takes the lab down; what is left of it is an error.
    pub async fn down(self) -> Result<()> {
        Ok(self.lab.down().await?)
    }
}

/// What the plugin has said.
fn told_by(output: &Output) -> Result<Result<Value, Refusal>> {
    let told = match str::from_utf8(&output.stdout)? {
        "" => Value::Null,
        text => serde_json::from_str(text).with_context(|| text.to_owned())?,
    };
    if output.status.success() {
        return Ok(Ok(told));
    }
    let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    let code = told["code"].as_u64().with_context(|| format!("an error: {told}"))?;
    Ok(Err(Refusal { code, message: text("msg"), version: text("cniVersion") }))
}

/// What a call was told that must not be refused.
fn accepted(call: &Call, told: Result<Value, Refusal>) -> Result<Value> {
    told.map_err(|refusal| anyhow::anyhow!("{call:?}: {refusal:?}"))
}

/// What another plugin has made before: `eth0`, by which the kubelet reaches the pod.
pub fn previous(sandbox: &Sandbox, version: &str) -> Value {
    let mut address =
        json!({ "address": "10.244.1.5/24", "interface": 1, "gateway": "10.244.1.1" });
    if version.starts_with("0.") {
        address["version"] = "4".into();
    }
    json!({
        "cniVersion": version,
        "interfaces": [
            { "name": "cni0" },
            { "name": "eth0", "mac": "0a:00:00:00:00:01", "sandbox": sandbox.netns.path() },
        ],
        "ips": [address],
        "routes": [{ "dst": "0.0.0.0/0" }],
        "dns": {},
    })
}

/// What a result tells of an interface: its MAC address, and its IP address with prefix length.
pub fn told(result: &Value, interface: &str) -> Result<(String, String)> {
    let interfaces = result["interfaces"].as_array().context("no interfaces")?;
    let number = interfaces.iter().position(|told| told["name"] == interface);
    let number = number.with_context(|| format!("no {interface} in {result}"))?;
    let mac = interfaces[number]["mac"].as_str().unwrap_or_default().to_owned();
    let addresses = result["ips"].as_array().context("no addresses")?;
    let address = addresses.iter().find(|told| told["interface"] == number);
    let address = address.with_context(|| format!("no address of {interface} in {result}"))?;
    Ok((mac, address["address"].as_str().unwrap_or_default().to_owned()))
}

/// An interface in a sandbox is as a result tells; if not, how it is.
pub async fn is_as_told(sandbox: &Sandbox, result: &Value, interface: &str) -> Result<()> {
    let (mac, address) = told(result, interface)?;
    let shown = sandbox.netns.run(["ip", "-oneline", "link", "show", "dev", interface]).await?;
    ensure!(shown.contains(&mac) && shown.contains("state UP"), "{interface}: {shown}");
    let shown = sandbox.netns.run(["ip", "-oneline", "address", "show", "dev", interface]).await?;
    ensure!(shown.contains(&address), "{interface} has {shown}, not {address}");
    Ok(())
}

/// The names of the interfaces that a sandbox has, sorted.
pub async fn interfaces(sandbox: &Sandbox) -> Result<Vec<String>> {
    let mut names = sandbox.netns.namespace().veths().await?;
    names.sort();
    Ok(names)
}

/// Whether a flow is there for a port: it takes frames from one, or delivers to one.
fn is_of_ports(flow: &str) -> bool {
    flow.contains("l2p-")
}
