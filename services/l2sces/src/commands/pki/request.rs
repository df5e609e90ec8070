//! Certificates that an issuer signs, for the agents that a Kubernetes cluster starts.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use l2sces_grpc::{Dialer, shutdown_signal};
use l2sces_pki::{
    CertificateRequest, CertificateSummary, CredentialPaths, Credentials, belong_together,
    summarize,
};
use l2sces_proto::issuer::v1::{
    IssueCertificateRequest, issuer_service_client::IssuerServiceClient,
};
use time::OffsetDateTime;
use tokio::time::sleep;
use tonic::Code;

use super::read;
use crate::{args::ConnectionArgs, error::CliError, progress::Progress, session};

/// File names, without extension, of the certificate and its key.
const OWN: &str = "own";

/// How often a certificate is looked at that is kept valid.
const LOOK_INTERVAL: Duration = Duration::from_secs(3_600);

/// Longest that ago a certificate was signed for the pod that is there. An older one was kept when the pod
/// started, since nobody signed; its addresses may be former ones.
const START: Duration = Duration::from_secs(900);

/// Pauses between attempts that fail, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Whom to ask, and for what.
pub(super) struct Request<'a> {
    pub(super) connection: &'a ConnectionArgs,
    /// Read each time: the kubelet renews it.
    pub(super) token_file: &'a Path,
    pub(super) dir: &'a Path,
}

impl Request<'_> {
    /// Has a new key certified, and writes both; or keeps what is there, if that is good and there cannot be
    /// another now: a node that has a certificate does not need those who sign. The files.
    pub(super) async fn make_or_keep(
        &self,
        progress: &mut Progress,
    ) -> Result<[PathBuf; 2], CliError> {
        match self.make().await {
            Err(error) if is_nobodys_refusal(&error) && self.has_certificate() => {
                error.lines().iter().for_each(|line| progress.note(line));
                let [cert, key] = self.files();
                progress.note(&format!("{} is kept, which is valid", cert.display()));
                Ok([cert, key])
            }
            made => made,
        }
    }

    /// Has a new key certified, and writes both; their files.
    async fn make(&self) -> Result<[PathBuf; 2], CliError> {
        let needed = |flag: &str| CliError::Usage(format!("{flag} is needed"));
        let connection = self.connection;
        let endpoint = connection.endpoint.as_ref().ok_or_else(|| needed("--endpoint"))?;
        let ca = connection.tls.tls_ca.as_deref().ok_or_else(|| needed("--tls-ca"))?;
        let dialer = Dialer::without_certificate(ca)?;
        let channel =
            dialer.channel(endpoint).map_err(|error| CliError::Usage(error.to_string()))?;
        let issuer = IssuerServiceClient::new(channel);

        let token = read(self.token_file)?.trim().to_owned();
        let request = CertificateRequest::create()?;
        let message = IssueCertificateRequest { csr_pem: request.csr_pem.clone(), token };
        let answer =
            session::call(async || issuer.clone().issue_certificate(message.clone()).await);
        let answer = answer.await.map_err(|status| CliError::Call {
            endpoint: endpoint.clone(),
            status: Box::new(status),
        })?;
        request.answered(answer.into_inner().certificate_pem).save(self.dir, OWN)?;
        Ok(self.files())
    }

    fn files(&self) -> [PathBuf; 2] {
        ["pem", "key"].map(|extension| own_file(self.dir, extension))
    }

    /// Whether there is a certificate of the authority, valid now, and its key.
    fn has_certificate(&self) -> bool {
        let Some(ca) = self.connection.tls.tls_ca.clone() else { return false };
        let [cert, key] = self.files();
        let credentials = Credentials::load(&CredentialPaths { ca, cert, key });
        credentials.is_ok_and(|own| own.is_certified() && own.identity().is_some())
    }

    /// Keeps the certificate valid until the process is asked to end.
    pub(super) async fn keep(&self) {
        tokio::select! {
            () = self.renew_for_ever() => {}
            () = shutdown_signal() => {}
        }
    }

    async fn renew_for_ever(&self) {
        let mut progress = Progress::stderr();
        let mut pause = FIRST_PAUSE;
        let mut was_kept = own(self.dir).is_some_and(|own| !is_of_this_start(&own));
        loop {
            if !was_kept && !is_due(self.dir) {
                sleep(LOOK_INTERVAL).await;
                pause = FIRST_PAUSE;
                continue;
            }
            match self.make().await {
                Ok(_) => {
                    was_kept = false;
                    progress.note(&format!("{} is renewed", own_file(self.dir, "pem").display()));
                }
                Err(error) => {
                    error.lines().iter().for_each(|line| progress.note(line));
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// Whether a call failed because somebody is away, or has no authority: not because whoever asks is no agent,
/// or asks for nothing of use.
fn is_nobodys_refusal(error: &CliError) -> bool {
    let CliError::Call { status, .. } = error else { return false };
    !matches!(status.code(), Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied)
}

/// Whether it is time for another certificate in a directory: there is none, or none of the key that is
/// there, or little of its validity is left.
fn is_due(dir: &Path) -> bool {
    own(dir).is_none_or(|own| OffsetDateTime::now_utc() >= own.renewal())
}

/// What the certificate in a directory says, if it is one of the key that is there.
fn own(dir: &Path) -> Option<CertificateSummary> {
    let (pem, key) = (read(&own_file(dir, "pem")).ok()?, read(&own_file(dir, "key")).ok()?);
    summarize(&pem).filter(|_| belong_together(&pem, &key))
}

/// Whether it was signed for the pod that has just started.
fn is_of_this_start(own: &CertificateSummary) -> bool {
    OffsetDateTime::now_utc() - own.not_before < START
}

fn own_file(dir: &Path, extension: &str) -> PathBuf {
    dir.join(format!("{OWN}.{extension}"))
}

#[cfg(test)]
mod tests {
    use l2sces_pki::{Authority, Identity, Role};
    use tonic::Status;

    use super::*;

    #[test]
    fn a_certificate_is_kept_for_those_who_are_away_and_not_for_those_who_refuse() {
        let failed = |code| {
            let status = Box::new(Status::new(code, "why"));
            is_nobodys_refusal(&CliError::Call { endpoint: "https://a:1".into(), status })
        };
        for code in
            [Code::Unavailable, Code::DeadlineExceeded, Code::FailedPrecondition, Code::Internal]
        {
            assert!(failed(code), "{code}");
        }
        for code in [Code::InvalidArgument, Code::Unauthenticated, Code::PermissionDenied] {
            assert!(!failed(code), "{code}");
        }
        assert!(!is_nobodys_refusal(&CliError::Usage("--tls-ca is needed".into())));
    }

    #[test]
    fn a_certificate_that_was_kept_is_older_than_its_pod() {
        let identity = Identity::new(Role::SpsAgent, "a1").unwrap();
        let issued = Authority::create().unwrap().issue(&identity, &[]).unwrap();
        let mut own = summarize(&issued.cert_pem).unwrap();
        assert!(is_of_this_start(&own));
        own.not_before -= Duration::from_secs(3_600);
        assert!(!is_of_this_start(&own));
    }

    #[test]
    fn a_certificate_is_due_when_it_or_its_key_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_due(dir.path()));
        let identity = Identity::new(Role::SpsAgent, "a1").unwrap();
        let authority = Authority::create().unwrap();
        let issue = || authority.issue(&identity, &[]).unwrap();
        issue().save(dir.path(), OWN).unwrap();
        assert!(!is_due(dir.path()));
        // Whoever renewed it died before the key was in its place.
        std::fs::write(own_file(dir.path(), "pem"), issue().cert_pem).unwrap();
        assert!(is_due(dir.path()));
        issue().save(dir.path(), OWN).unwrap();
        assert!(!is_due(dir.path()));
        std::fs::remove_file(own_file(dir.path(), "key")).unwrap();
        assert!(is_due(dir.path()));
    }
}
