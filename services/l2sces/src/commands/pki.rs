use std::{fs, path::Path};

use l2sces_grpc::Dialer;
use l2sces_pki::{
    Authority, CA_CERTIFICATE_FILE, CA_KEY_FILE, CertificateRequest, CertificateSummary, Identity,
    PkiError, summarize,
};
use l2sces_proto::issuer::v1::{
    IssueCertificateRequest, issuer_service_client::IssuerServiceClient,
};

use crate::{
    args::{ConnectionArgs, Format, PkiCommand},
    error::CliError,
    output::Output,
    session,
};

/// File names, without extension, of a certificate that was requested and its key.
const OWN: &str = "own";

/// Makes, signs, requests and shows certificates.
pub(super) async fn run(connection: &ConnectionArgs, command: PkiCommand) -> Result<(), CliError> {
    let text = match command {
        PkiCommand::Init { dir } => init(&dir)?,
        PkiCommand::Issue { dir, role, name, sans, out } => {
            let identity = Identity::new(role, &name).map_err(PkiError::from)?;
            issue(&dir, &identity, &sans, out.as_deref())?
        }
        PkiCommand::Request { token_file, dir } => request(connection, &token_file, &dir).await?,
        PkiCommand::Show { file } => show(&file)?,
    };
    Output::stdout(Format::Table).text(&text)
}

fn init(dir: &Path) -> Result<String, CliError> {
    Authority::create()?.save(dir)?;
    let (certificate, key) = (dir.join(CA_CERTIFICATE_FILE), dir.join(CA_KEY_FILE));
    Ok(format!(
        "{}\n{} (secret: whoever has it can make any certificate)\n",
        certificate.display(),
        key.display()
    ))
}

fn issue(
    dir: &Path,
    identity: &Identity,
    sans: &[String],
    out: Option<&Path>,
) -> Result<String, CliError> {
    let authority = Authority::load(dir)?;
    let issued = authority.issue(identity, sans)?;
    let stem = format!("{}-{}", identity.role, identity.name);
    let out = out.unwrap_or(dir);
    issued.save(out, &stem)?;
    let ca = out.join(CA_CERTIFICATE_FILE);
    if out != dir {
        fs::write(&ca, authority.certificate_pem())
            .map_err(|source| PkiError::Write { path: ca.clone(), source })?;
    }
    let written = |extension: &str| out.join(format!("{stem}.{extension}"));
    Ok(format!("{}\n{}\n{}\n", written("pem").display(), written("key").display(), ca.display()))
}

async fn request(
    connection: &ConnectionArgs,
    token_file: &Path,
    dir: &Path,
) -> Result<String, CliError> {
    let needed = |flag: &str| CliError::Usage(format!("{flag} is needed"));
    let endpoint = connection.endpoint.as_ref().ok_or_else(|| needed("--endpoint"))?;
    let ca = connection.tls.tls_ca.as_deref().ok_or_else(|| needed("--tls-ca"))?;
    let dialer = Dialer::without_certificate(read(ca)?);
    let channel = dialer.channel(endpoint).map_err(|error| CliError::Usage(error.to_string()))?;
    let issuer = IssuerServiceClient::new(channel);

    let token = read(token_file)?.trim().to_owned();
    let request = CertificateRequest::create()?;
    let message = IssueCertificateRequest { csr_pem: request.csr_pem.clone(), token };
    let answer = session::call(async || issuer.clone().issue_certificate(message.clone()).await);
    let answer = answer.await.map_err(|status| CliError::Call {
        endpoint: endpoint.clone(),
        status: Box::new(status),
    })?;
    let issued = request.answered(answer.into_inner().certificate_pem);
    issued.save(dir, OWN)?;
    let written = |extension: &str| dir.join(format!("{OWN}.{extension}"));
    Ok(format!("{}\n{}\n", written("pem").display(), written("key").display()))
}

fn read(file: &Path) -> Result<String, PkiError> {
    let read = fs::read_to_string(file);
    read.map_err(|source| PkiError::Read { path: file.to_owned(), source })
}

fn show(file: &Path) -> Result<String, CliError> {
    let pem = read(file)?;
    let summary = summarize(&pem)
        .ok_or_else(|| PkiError::Pem { path: file.to_owned(), wanted: "certificate" })?;
    Ok(described(&summary))
}

fn described(summary: &CertificateSummary) -> String {
    let identity = summary.identity.as_ref().map(ToString::to_string);
    let names = summary.alternative_names.join(", ");
    let lines = [
        ("identity", identity.unwrap_or_else(|| "none".into())),
        ("reached by", if names.is_empty() { "nothing: a client only".into() } else { names }),
        ("subject", summary.subject.clone()),
        ("issuer", summary.issuer.clone()),
        ("authority", if summary.is_authority { "yes".into() } else { "no".into() }),
        ("valid from", timestamp(summary.not_before.unix_timestamp())),
        ("valid until", timestamp(summary.not_after.unix_timestamp())),
    ];
    lines.map(|(name, value)| format!("{name:12} {value}\n")).concat()
}

/// As RFC 3339 has it.
fn timestamp(seconds: i64) -> String {
    prost_types::Timestamp { seconds, nanos: 0 }.to_string()
}

impl From<PkiError> for CliError {
    fn from(error: PkiError) -> Self {
        Self::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use l2sces_pki::{CredentialPaths, Credentials, Role};

    use super::*;

    #[test]
    fn what_is_issued_elsewhere_is_all_that_a_service_needs() {
        let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        init(dir.path()).unwrap();
        let identity = Identity::new(Role::SpsAgent, "a1").unwrap();
        let written =
            issue(dir.path(), &identity, &["10.0.0.11".into()], Some(out.path())).unwrap();
        assert_eq!(written.lines().count(), 3);
        let paths = CredentialPaths {
            ca: out.path().join("ca.pem"),
            cert: out.path().join("sps-agent-a1.pem"),
            key: out.path().join("sps-agent-a1.key"),
        };
        assert_eq!(Credentials::load(&paths).unwrap().identity(), Some(&identity));

        let shown = show(&paths.cert).unwrap();
        assert!(shown.contains("identity     spiffe://l2sces/sps-agent/a1\n"), "{shown}");
        assert!(shown.contains("reached by   10.0.0.11\n"), "{shown}");
        assert!(shown.ends_with("Z\n"), "{shown}");
    }

    #[test]
    fn an_authority_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        init(dir.path()).unwrap();
        let error = init(dir.path()).unwrap_err().to_string();
        assert!(error.contains("exists already"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_certificate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = show(&dir.path().join("missing.pem")).unwrap_err().to_string();
        assert!(error.contains("missing.pem"), "{error}");
    }
}
