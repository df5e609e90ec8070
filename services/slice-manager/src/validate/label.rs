use std::collections::BTreeMap;

use super::Report;

/// Most labels of one thing.
const MAX_LABELS: usize = 64;
/// Longest name and value of a label, in bytes.
const MAX_LENGTH: usize = 63;
/// Longest prefix of a label's key, in bytes: that of a DNS name.
const MAX_PREFIX: usize = 253;

/// Labels with the syntax of Kubernetes: `[prefix/]name` and a value, which may be empty.
pub(super) fn labels(
    report: &mut Report,
    field: &str,
    labels: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    report.limit(field, labels.len(), MAX_LABELS);
    for (key, value) in labels.iter().take(MAX_LABELS) {
        let field = format!("{field}[{key:?}]");
        report.check(&field, check_key(key));
        if !value.is_empty() {
            report.check(&field, check_text(value).map_err(|error| format!("its value {error}")));
        }
    }
    labels.clone()
}

fn check_key(key: &str) -> Result<(), String> {
    match key.split_once('/') {
        None => check_text(key),
        Some((prefix, name)) => check_prefix(prefix).and_then(|()| check_text(name)),
    }
    .map_err(|error| format!("its key {error}"))
}

/// A name or a value.
fn check_text(text: &str) -> Result<(), String> {
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let (first, last) = (text.bytes().next(), text.bytes().last());
    if text.len() <= MAX_LENGTH && is_end(first) && is_end(last) && text.bytes().all(is_inner) {
        Ok(())
    } else {
        Err(format!(
            "must have 1 to {MAX_LENGTH} letters, digits, '-', '_' and '.', and begin and end with \
             a letter or digit"
        ))
    }
}

/// A DNS name.
fn check_prefix(prefix: &str) -> Result<(), String> {
    let is_label = |label: &str| label.parse::<l2sces_model::Name>().is_ok();
    if prefix.len() <= MAX_PREFIX && prefix.split('.').all(is_label) {
        Ok(())
    } else {
        Err("must have a DNS name before the slash".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, value: &str) -> usize {
        let mut report = Report::default();
        labels(&mut report, "l", &[(key.to_owned(), value.to_owned())].into());
        report.violations().len()
    }

    #[test]
    fn accepts_what_kubernetes_accepts() {
        for (key, value) in [
            ("size", "large"),
            ("size", ""),
            ("topology.kubernetes.io/zone", "eu-west_1.a"),
            ("A-b_c.9", "X"),
            (&"x".repeat(63), &"y".repeat(63)),
        ] {
            assert_eq!(check(key, value), 0, "{key}={value}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for (key, value) in [
            ("", "x"),
            ("-a", "x"),
            ("a.", "x"),
            ("a b", "x"),
            ("/a", "x"),
            ("b/", "x"),
            ("a/b/c", "x"),
            ("A.b/c", "x"),
            ("a", "-x"),
            ("a", "x y"),
            ("ä", "x"),
            (&"x".repeat(64), "x"),
            ("a", &"x".repeat(64)),
        ] {
            assert_eq!(check(key, value), 1, "{key}={value}");
        }
        let many = (0..65).map(|n| (format!("k{n}"), String::new())).collect();
        let mut report = Report::default();
        labels(&mut report, "l", &many);
        assert_eq!(report.violations()[0].field, "l");
    }
}
