//! Certificates of a cluster's Deployments, out of the directory of the authority.

use std::path::Path;

use l2sces_pki::{
    Authority, CA_CERTIFICATE_FILE, CredentialPaths, Credentials, Identity, IssuedCertificate,
    PkiError, summarize,
};
use time::OffsetDateTime;

use super::NAMESPACE;

/// The certificate by which a workload serves its Service: the one that is in the directory, while most of
/// its time is left, or else one that is issued and put there. So whoever asks twice gets the same.
pub(super) fn of_service(
    authority: &Authority,
    directory: &Path,
    identity: &Identity,
) -> Result<IssuedCertificate, PkiError> {
    let service = format!("{}.{NAMESPACE}", identity.role);
    let names = [format!("{service}.svc"), service, "localhost".to_owned()];
    let stem = format!("{}-{}", identity.role, identity.name);
    if let Some(found) = found(directory, &stem, identity, &names) {
        return Ok(found);
    }
    let issued = authority.issue(identity, &names)?;
    issued.save(directory, &stem)?;
    Ok(issued)
}

fn found(
    directory: &Path,
    stem: &str,
    identity: &Identity,
    names: &[String],
) -> Option<IssuedCertificate> {
    let path = |extension: &str| directory.join(format!("{stem}.{extension}"));
    let paths = CredentialPaths {
        ca: directory.join(CA_CERTIFICATE_FILE),
        cert: path("pem"),
        key: path("key"),
    };
    let credentials = Credentials::load(&paths).ok()?;
    let (cert_pem, key_pem) = credentials.own_pem();
    let summary = summarize(&cert_pem)?;
    let is_own = credentials.is_certified() && summary.identity.as_ref() == Some(identity);
    let serves = names.iter().all(|name| summary.alternative_names.contains(name));
    let lasts = OffsetDateTime::now_utc() < summary.renewal();
    (is_own && serves && lasts).then_some(IssuedCertificate { cert_pem, key_pem })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use l2sces_pki::Role;

    use super::*;

    #[test]
    fn a_certificate_is_issued_once_and_again_when_it_serves_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create().unwrap();
        authority.save(directory.path()).unwrap();
        let identity = Identity::new(Role::Operator, "a").unwrap();
        let of_service = |authority| of_service(authority, directory.path(), &identity).unwrap();
        let first = of_service(&authority);
        let names = summarize(&first.cert_pem).unwrap().alternative_names;
        assert_eq!(names, ["operator.l2sces-system.svc", "operator.l2sces-system", "localhost"]);
        assert_eq!(of_service(&authority).cert_pem, first.cert_pem);

        let nameless = authority.issue(&identity, &[]).unwrap();
        nameless.save(directory.path(), "operator-a").unwrap();
        let second = of_service(&authority);
        assert_ne!(second.cert_pem, nameless.cert_pem);

        fs::remove_file(directory.path().join("ca.pem")).unwrap();
        fs::remove_file(directory.path().join("ca.key")).unwrap();
        let other = Authority::create().unwrap();
        other.save(directory.path()).unwrap();
        assert_ne!(of_service(&other).cert_pem, second.cert_pem, "another authority");
    }
}
