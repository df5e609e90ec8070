//! Pages of a list. A token names the list and the last resource seen, in a form that clients do
//! not read.

use std::fmt::Write as _;

use crate::{
    domain::{Key, Kind, Resource},
    store::{Page, Scope},
    validate::Report,
};

const DEFAULT_SIZE: usize = 100;
const MAX_SIZE: i32 = 1_000;

/// How many resources a page has.
///
/// # Errors
/// The size is negative.
pub(super) fn size(page_size: i32) -> Result<usize, Report> {
    match page_size {
        0 => Ok(DEFAULT_SIZE),
        size => usize::try_from(size.min(MAX_SIZE))
            .map_err(|_| Report::of("page_size", "must not be negative")),
    }
}

/// The token of the page after this one; empty: there is none.
pub(super) fn next<R: Resource>(scope: Scope<'_>, page: &Page<R>) -> String {
    match page.resources.last() {
        Some(last) if page.more => token(scope, &last.meta.key),
        _ => String::new(),
    }
}

fn token(scope: Scope<'_>, last: &Key) -> String {
    let text = [
        last.kind().as_str(),
        scope.slice,
        scope.network,
        last.slice(),
        last.network(),
        last.name().as_str(),
    ]
    .join("/");
    text.bytes().fold(String::new(), |mut token, byte| {
        // Writing to a string does not fail.
        let _ = write!(token, "{byte:02x}");
        token
    })
}

/// The resource that a page comes after; none: the list begins.
///
/// # Errors
/// The token is none of this list's.
pub(super) fn after(kind: Kind, scope: Scope<'_>, token: &str) -> Result<Option<Key>, Report> {
    if token.is_empty() {
        return Ok(None);
    }
    let key = || {
        let text = String::from_utf8(bytes(token)?).ok()?;
        let parts: Vec<&str> = text.split('/').collect();
        let &[of, scope_slice, scope_network, slice, network, name] = parts.as_slice() else {
            return None;
        };
        let same =
            of == kind.as_str() && scope_slice == scope.slice && scope_network == scope.network;
        same.then(|| Key::from_parts(of, slice, network, name).ok()).flatten()
    };
    let wrong = || Report::of("page_token", "must be the next_page_token of the same list");
    key().map(Some).ok_or_else(wrong)
}

fn bytes(token: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = token.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| {
        pairs.map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap_or_default()).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_on_in_its_own_list_only() {
        let key = Key::from_parts("network", "s", "", "blue").unwrap();
        let all = Scope::default();
        let of_slice = Scope { slice: "s", network: "" };
        let token = token(of_slice, &key);
        assert_eq!(after(Kind::Network, of_slice, ""), Ok(None));
        assert_eq!(after(Kind::Network, of_slice, &token), Ok(Some(key)));
        assert!(after(Kind::Network, all, &token).is_err());
        assert!(after(Kind::Port, of_slice, &token).is_err());
        for bad in ["x", "0", "00", "é", &token[2..], &token[..token.len() - 1]] {
            assert!(after(Kind::Network, of_slice, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(size(0), Ok(100));
        assert_eq!(size(7), Ok(7));
        assert_eq!(size(5_000), Ok(1_000));
        assert!(size(-1).is_err());
    }
}
