//! What files hold in PEM format.

use std::{fs, path::Path};

use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject};

use crate::PkiError;

pub(crate) fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::Read { path: path.to_owned(), source })
}

/// The certificates in the text of a file: at least one.
pub(crate) fn certificates(
    pem: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let refused = || PkiError::Pem { path: path.to_owned(), wanted: "certificate" };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| refused())?;
    if found.is_empty() { Err(refused()) } else { Ok(found) }
}

/// The authorities in the text of a file: at least one.
pub(crate) fn authorities(pem: &str, path: &Path) -> Result<RootCertStore, PkiError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(pem, path)? {
        roots
            .add(authority)
            .map_err(|_| PkiError::Pem { path: path.to_owned(), wanted: "authority" })?;
    }
    Ok(roots)
}
