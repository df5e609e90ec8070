//! What the manifests refer to, which is another in every cluster: certificates, by which authority they are
//! known, the database's URL, and which cluster it is. The authority's key is not among it.

use std::{collections::BTreeMap, fs, path::Path};

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::api::DynamicObject;
use l2sces_custom_resources::{PART_OF_LABEL, PART_OF_US};
use l2sces_pki::{Authority, CA_CERTIFICATE_FILE, Identity, PkiError, Role};
use sha2::{Digest, Sha256};

use super::{NAMESPACE, certificates, object::converted};
use crate::{args::JoinArgs, error::CliError};

/// The ConfigMap that says which cluster it is.
pub(super) const SETTINGS: &str = "l2sces";

/// Key of [`SETTINGS`]: the cluster's name.
pub(super) const CLUSTER: &str = "L2SCES_CLUSTER";

/// Key of [`SETTINGS`]: the sco-provider's endpoint.
pub(super) const SCO_PROVIDER: &str = "L2SCES_SCO_PROVIDER";

/// Key of [`SETTINGS`]: where names are asked for.
const DNS: &str = "L2SCES_DNS";

/// Annotation of [`SETTINGS`]: the slice-manager that knows the cluster.
pub(super) const SLICE_MANAGER: &str = "l2sces.l2sm.io/slice-manager";

/// The ConfigMap of the authority, for agents.
const AUTHORITY: &str = "l2sces-ca";

/// The Secret with the authority's key that clusters had up to version 0.1.
pub(super) const FORMER_ISSUER: &str = "l2sces-issuer";

/// The Secret of the sdn-controller's database, unless there is another.
const DATABASE_SECRET: &str = "sdn-controller-database";

/// The roles of the Deployments that are reached by their Services.
const SERVERS: [Role; 2] = [Role::SdnController, Role::Operator];

/// All of it; `slice_manager` is the endpoint of the one that knows the cluster, if one does.
pub(crate) fn configuration(
    args: &JoinArgs,
    slice_manager: Option<&str>,
) -> Result<Vec<DynamicObject>, CliError> {
    let authority = Authority::load(&args.pki)?;
    let ca = authority.certificate_pem().to_owned();
    let mut objects = vec![
        converted(&settings(args, slice_manager))?,
        converted(&config_map(AUTHORITY, [(CA_CERTIFICATE_FILE, ca.clone())].into()))?,
    ];
    if let Some(url) = database_url(args)? {
        objects.push(secret(DATABASE_SECRET, [("url", url)])?);
    }
    for role in SERVERS {
        let identity = Identity::new(role, args.name.as_str()).map_err(PkiError::from)?;
        let issued = certificates::of_service(&authority, &args.pki, &identity)?;
        let files = [
            (CA_CERTIFICATE_FILE, ca.clone()),
            ("cert.pem", issued.cert_pem),
            ("key.pem", issued.key_pem),
        ];
        objects.push(secret(&certificate_of(role), files)?);
    }
    Ok(objects)
}

/// The kinds and names of all that it may have, or may have had.
pub(super) fn names() -> impl Iterator<Item = (&'static str, String)> {
    let maps = [SETTINGS, AUTHORITY].map(|name| ("ConfigMap", name.to_owned()));
    let secrets = [FORMER_ISSUER, DATABASE_SECRET].map(str::to_owned).into_iter();
    let secrets = secrets.chain(SERVERS.into_iter().map(certificate_of));
    maps.into_iter().chain(secrets.map(|name| ("Secret", name)))
}

/// The Secret of a server's certificate.
fn certificate_of(role: Role) -> String {
    format!("{role}-tls")
}

/// A digest of it, which tells whether it is another, and nothing else.
pub(crate) fn digest(configuration: &[DynamicObject]) -> Result<String, CliError> {
    let text = serde_json::to_vec(configuration)
        .map_err(|error| CliError::Failed(format!("a manifest cannot be written: {error}")))?;
    Ok(Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn settings(args: &JoinArgs, slice_manager: Option<&str>) -> ConfigMap {
    let mut data = BTreeMap::from([
        (CLUSTER, args.name.to_string()),
        (SCO_PROVIDER, args.sco_provider.clone()),
    ]);
    data.extend(args.dns.map(|address| (DNS, address.to_string())));
    let mut settings = config_map(SETTINGS, data);
    settings.metadata.annotations =
        slice_manager.map(|endpoint| [(SLICE_MANAGER.to_owned(), endpoint.to_owned())].into());
    settings
}

fn database_url(args: &JoinArgs) -> Result<Option<String>, CliError> {
    let database = &args.database;
    let url = match (&database.database_url, &database.database_url_file) {
        (Some(url), _) => url.clone(),
        (None, Some(file)) => read(file)?.trim().to_owned(),
        (None, None) => return Ok(None),
    };
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        let wanted = "must be postgres://ROLE:PASSWORD@HOST:PORT/DATABASE";
        return Err(CliError::Usage(format!("the database's URL {wanted}")));
    }
    Ok(Some(url))
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::Read { path: path.to_owned(), source })
}

fn config_map(name: &str, data: BTreeMap<&str, String>) -> ConfigMap {
    let data = data.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    ConfigMap { metadata: metadata(name), data: Some(data), ..ConfigMap::default() }
}

fn secret<const N: usize>(
    name: &str,
    data: [(&str, String); N],
) -> Result<DynamicObject, CliError> {
    let data =
        data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())));
    converted(&Secret {
        metadata: metadata(name),
        data: Some(data.collect()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    })
}

fn metadata(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(NAMESPACE.to_owned()),
        labels: Some([(PART_OF_LABEL.to_owned(), PART_OF_US.to_owned())].into()),
        ..ObjectMeta::default()
    }
}
