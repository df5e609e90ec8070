mod request;

use std::{fs, path::Path};

use l2sces_pki::{
    Authority, CA_CERTIFICATE_FILE, CA_KEY_FILE, CertificateSummary, Identity, PkiError, summarize,
};

use self::request::Request;
use crate::{
    args::{ConnectionArgs, Format, PkiCommand},
    error::CliError,
    output::Output,
    progress::Progress,
};

/// Makes, signs, requests and shows certificates.
pub(super) async fn run(connection: &ConnectionArgs, command: PkiCommand) -> Result<(), CliError> {
    let text = match command {
        PkiCommand::Init { dir } => init(&dir)?,
        PkiCommand::Issue { dir, role, name, cluster, sans, out } => {
            let identity = match &cluster {
                Some(cluster) => Identity::in_cluster(role, cluster, &name),
                None => Identity::new(role, &name),
            };
            let identity = identity.map_err(PkiError::from)?;
            issue(&dir, &identity, &sans, out.as_deref())?
        }
        PkiCommand::Request { token_file, dir, keep } => {
            let request = Request { connection, token_file: &token_file, dir: &dir };
            if keep {
                request.keep().await;
                return Ok(());
            }
            let files = request.make_or_keep(&mut Progress::stderr()).await?;
            files.iter().map(|file| format!("{}\n", file.display())).collect()
        }
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
    // No name has an @, so that no two identities have one file.
    let cluster = identity.cluster.as_ref().map(|cluster| format!("@{cluster}"));
    let stem = format!("{}-{}{}", identity.role, identity.name, cluster.unwrap_or_default());
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
    fn agents_of_one_name_in_two_clusters_have_files_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        init(dir.path()).unwrap();
        for (cluster, file) in [("a", "ned-agent-n1@a.pem"), ("b", "ned-agent-n1@b.pem")] {
            let identity = Identity::in_cluster(Role::NedAgent, cluster, "n1").unwrap();
            let written = issue(dir.path(), &identity, &[], None).unwrap();
            assert!(written.contains(file), "{written}");
        }
        let shown = show(&dir.path().join("ned-agent-n1@a.pem")).unwrap();
        assert!(shown.contains("identity     spiffe://l2sces/ned-agent/a/n1\n"), "{shown}");
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
