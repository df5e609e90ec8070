use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use l2sces_proto::attachment::v1::{
    AttachRequest, AttachedInterface, CollectRequest, DetachRequest, NetworkReference, Pod,
};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// What the node's sandboxes have been attached to and not been detached from: a file for each interface,
/// in a directory that is empty when the node starts anew, as its sandboxes are gone then.
#[derive(Clone, Debug)]
pub(super) struct Records {
    directory: PathBuf,
}

/// An interface of a sandbox, as it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    sandbox_id: String,
    pub(super) namespace_path: PathBuf,
    pod_namespace: String,
    pod_name: String,
    pod_uid: String,
    network: String,
    pub(super) interface: String,
    address: String,
    mac: String,
}

impl Record {
    fn new(request: &AttachRequest, made: &AttachedInterface) -> Self {
        let pod = request.pod.clone().unwrap_or_default();
        Self {
            sandbox_id: request.sandbox_id.clone(),
            namespace_path: PathBuf::from(&request.namespace_path),
            pod_namespace: pod.namespace,
            pod_name: pod.name,
            pod_uid: pod.uid,
            network: made.network.clone(),
            interface: made.name.clone(),
            address: made.address.clone(),
            mac: made.mac.clone(),
        }
    }

    /// What is to be asked for to have the interface made again, just as it was.
    pub(super) fn attachment(&self, node: &str, attempt: i64) -> AttachRequest {
        let this = self.clone();
        AttachRequest {
            node: node.to_owned(),
            pod: Some(Pod {
                namespace: this.pod_namespace.clone(),
                name: this.pod_name,
                uid: this.pod_uid,
            }),
            sandbox_id: this.sandbox_id,
            namespace_path: this.namespace_path.display().to_string(),
            network: Some(NetworkReference { namespace: this.pod_namespace, name: this.network }),
            interface_name: this.interface,
            address: this.address,
            mac: this.mac,
            attempt,
            restores: true,
        }
    }

    /// What is to be asked for to have the interface removed.
    pub(super) fn detachment(&self, node: &str) -> DetachRequest {
        DetachRequest {
            node: node.to_owned(),
            sandbox_id: self.sandbox_id.clone(),
            network: None,
            interface_name: self.interface.clone(),
        }
    }

    /// No id of a sandbox has an `@`.
    fn file_name(&self) -> String {
        format!("{}@{}", self.sandbox_id, self.interface)
    }

    /// Networks are in the namespaces of their pods, which is meant if none is named.
    fn is_of(&self, network: Option<&NetworkReference>) -> bool {
        network.is_none_or(|network| {
            network.name == self.network
                && (network.namespace.is_empty() || network.namespace == self.pod_namespace)
        })
    }
}

impl Records {
    /// The records in a directory, which is made when there is one. Removes what is none.
    pub(super) fn new(directory: PathBuf) -> Self {
        let this = Self { directory };
        if let Err(error) = this.remove_leftovers() {
            tracing::warn!(%error, "cannot remove what was only half noted");
        }
        this
    }

    /// Notes what was made for a sandbox.
    pub(super) fn note(
        &self,
        request: &AttachRequest,
        made: &[AttachedInterface],
    ) -> io::Result<()> {
        if made.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(&self.directory)?;
        for interface in made {
            let record = Record::new(request, interface);
            let mut file = NamedTempFile::new_in(&self.directory)?;
            file.write_all(&serde_json::to_vec(&record)?)?;
            file.persist(self.path(&record))?;
        }
        Ok(())
    }

    /// Forgets what is being detached.
    pub(super) fn forget(&self, request: &DetachRequest) -> io::Result<()> {
        let DetachRequest { sandbox_id, network, interface_name, .. } = request;
        self.remove_if(|record| {
            record.sandbox_id == *sandbox_id
                && record.is_of(network.as_ref())
                && (interface_name.is_empty() || record.interface == *interface_name)
        })
    }

    /// Forgets all that is not among what stays.
    pub(super) fn collect(&self, request: &CollectRequest) -> io::Result<()> {
        let network = request.network.as_ref();
        self.remove_if(|record| {
            let is_valid = request.valid.iter().any(|valid| {
                valid.sandbox_id == record.sandbox_id
                    && (network.is_none() || valid.interface_name == record.interface)
            });
            record.is_of(network) && !is_valid
        })
    }

    /// All records.
    pub(super) fn all(&self) -> io::Result<Vec<Record>> {
        Ok(self.files()?.iter().filter_map(|path| self.record_in(path)).collect())
    }

    fn remove_leftovers(&self) -> io::Result<()> {
        let files = self.files()?;
        let mut leftovers = files.iter().filter(|path| self.record_in(path).is_none());
        leftovers.try_for_each(fs::remove_file)
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => entries?.map(|entry| Ok(entry?.path())).collect(),
        }
    }

    /// The record that a file is. What cannot be read is none, and neither is what lies there under another
    /// name: whoever wrote it died before it was one.
    fn record_in(&self, path: &Path) -> Option<Record> {
        read(path).filter(|record| self.path(record) == path)
    }

    /// Whether a record is still there.
    pub(super) fn has(&self, record: &Record) -> bool {
        read(&self.path(record)).as_ref() == Some(record)
    }

    /// Removes a record. Succeeds if it is not there.
    pub(super) fn remove(&self, record: &Record) -> io::Result<()> {
        match fs::remove_file(self.path(record)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn remove_if(&self, is_meant: impl Fn(&Record) -> bool) -> io::Result<()> {
        self.all()?
            .iter()
            .filter(|record| is_meant(record))
            .try_for_each(|record| self.remove(record))
    }

    fn path(&self, record: &Record) -> PathBuf {
        self.directory.join(record.file_name())
    }
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use l2sces_proto::attachment::v1::ValidAttachment;
    use tempfile::TempDir;

    use super::*;

    fn request(sandbox: &str) -> AttachRequest {
        AttachRequest {
            pod: Some(Pod { namespace: "shop".into(), name: "web".into(), uid: "u1".into() }),
            sandbox_id: sandbox.into(),
            namespace_path: "/var/run/netns/x".into(),
            ..AttachRequest::default()
        }
    }

    fn made(network: &str, name: &str) -> AttachedInterface {
        AttachedInterface {
            network: network.into(),
            name: name.into(),
            mac: "02:00:00:00:00:01".into(),
            address: "10.1.0.1/24".into(),
            mtu: 1438,
        }
    }

    /// Two sandboxes with two interfaces each, of which the id of one begins like that of the other.
    fn noted() -> (TempDir, Records) {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::new(directory.path().join("attachments"));
        for sandbox in ["s", "s-1"] {
            let made = [made("blue", "net1"), made("red", "net2")];
            records.note(&request(sandbox), &made).unwrap();
        }
        (directory, records)
    }

    fn names(records: &Records) -> Vec<String> {
        let mut names: Vec<_> = records.all().unwrap().iter().map(Record::file_name).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_made_is_asked_for_again_as_it_was() {
        let (_directory, records) = noted();
        records.note(&request("s"), &[made("blue", "net1")]).unwrap();
        assert_eq!(names(&records), ["s-1@net1", "s-1@net2", "s@net1", "s@net2"]);
        let all = records.all().unwrap();
        let record = all.iter().find(|record| record.file_name() == "s@net2").unwrap();
        let wanted = AttachRequest {
            node: "a1".into(),
            network: Some(NetworkReference { namespace: "shop".into(), name: "red".into() }),
            interface_name: "net2".into(),
            address: "10.1.0.1/24".into(),
            mac: "02:00:00:00:00:01".into(),
            attempt: 7,
            restores: true,
            ..request("s")
        };
        assert_eq!(record.attachment("a1", 7), wanted);
    }

    #[test]
    fn what_was_only_half_noted_does_not_count() {
        let (directory, records) = noted();
        let directory = directory.path().join("attachments");
        fs::copy(directory.join("s@net1"), directory.join(".tmp1")).unwrap();
        fs::write(directory.join("s-2@net1"), "{").unwrap();
        assert_eq!(names(&records), ["s-1@net1", "s-1@net2", "s@net1", "s@net2"]);
        let records = Records::new(directory.clone());
        assert_eq!(names(&records), ["s-1@net1", "s-1@net2", "s@net1", "s@net2"]);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 4);
    }

    #[test]
    fn what_is_detached_is_forgotten() {
        let (_directory, records) = noted();
        let whole = DetachRequest { sandbox_id: "s".into(), ..DetachRequest::default() };
        let network = Some(NetworkReference { name: "blue".into(), ..Default::default() });
        let (sandbox_id, interface_name) = ("s-1".to_owned(), "net1".to_owned());
        let part = DetachRequest { sandbox_id, network, interface_name, node: String::new() };
        let record = records.all().unwrap().into_iter().find(|record| record.sandbox_id == "s");
        let record = record.unwrap();
        assert!(records.has(&record));
        for _ in 0..2 {
            records.forget(&whole).unwrap();
            assert_eq!(names(&records), ["s-1@net1", "s-1@net2"]);
        }
        assert!(!records.has(&record));
        records.forget(&part).unwrap();
        assert_eq!(names(&records), ["s-1@net2"]);
    }

    #[test]
    fn what_is_not_valid_is_forgotten() {
        let valid = |sandbox: &str, interface: &str| ValidAttachment {
            sandbox_id: sandbox.into(),
            interface_name: interface.into(),
        };
        let (_directory, records) = noted();
        let network = Some(NetworkReference { name: "red".into(), ..Default::default() });
        let valid = [valid("s", "net2"), valid("s-1", "eth0")];
        let of_network =
            CollectRequest { network, valid: valid.to_vec(), ..CollectRequest::default() };
        let network = Some(NetworkReference { namespace: "office".into(), name: "red".into() });
        records.collect(&CollectRequest { network, ..of_network.clone() }).unwrap();
        assert_eq!(names(&records).len(), 4, "those are of another namespace");
        records.collect(&of_network).unwrap();
        assert_eq!(names(&records), ["s-1@net1", "s@net1", "s@net2"]);
        let whole = CollectRequest { network: None, valid: valid[1..].to_vec(), ..of_network };
        records.collect(&whole).unwrap();
        assert_eq!(names(&records), ["s-1@net1"]);
    }
}
