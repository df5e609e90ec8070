use l2sces_model::Name;

use super::Report;

/// Names of a request that has nothing else: each must be a DNS label.
///
/// # Errors
/// One is not.
pub fn named<const N: usize>(fields: [(&str, &str); N]) -> Result<[Name; N], Report> {
    let mut report = Report::default();
    let names = fields.map(|(field, text)| report.check(field, text.parse::<Name>()));
    let found: Vec<Name> = names.into_iter().flatten().collect();
    report.finish(found.try_into().ok())
}

/// Names by which a list or watch is narrowed, outermost first. Each may be empty; but only if all
/// after it are.
///
/// # Errors
/// One is neither empty nor a DNS label, or one is empty before another that is not.
pub fn optional_names(fields: &[(&str, &str)]) -> Result<(), Report> {
    let mut report = Report::default();
    for (index, (field, text)) in fields.iter().enumerate() {
        let inner = fields[index + 1..].iter().find(|(_, text)| !text.is_empty());
        if !text.is_empty() {
            report.check(field, text.parse::<Name>());
        } else if let Some((inner, _)) = inner {
            report.add(*field, format!("must be set when {inner} is"));
        }
    }
    report.finish(Some(()))
}

/// A list of names, each valid and there once; at most `most`.
pub fn names(report: &mut Report, field: &str, texts: &[String], most: usize) -> Vec<Name> {
    report.limit(field, texts.len(), most);
    let mut names = Vec::with_capacity(texts.len().min(most));
    let mut seen = std::collections::BTreeSet::new();
    for (index, text) in texts.iter().take(most).enumerate() {
        let field = format!("{field}[{index}]");
        let Some(name) = report.check(&field, text.parse::<Name>()) else { continue };
        if seen.insert(name.clone()) {
            names.push(name);
        } else {
            report.add(field, format!("'{name}' is there already"));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrowing_name_needs_the_names_above_it() {
        let check = |slice, network| {
            optional_names(&[("slice", slice), ("network", network)])
                .map_err(|report| report.to_string())
        };
        assert_eq!(check("", ""), Ok(()));
        assert_eq!(check("s", ""), Ok(()));
        assert_eq!(check("s", "n"), Ok(()));
        assert_eq!(check("", "n"), Err("slice: must be set when network is".to_owned()));
        assert_eq!(
            check("S", "n"),
            Err("slice: must consist of a-z, 0-9 and '-', not 'S'".to_owned())
        );
    }

    #[test]
    fn a_list_has_each_name_once() {
        let mut report = Report::default();
        let texts = ["a", "b", "a", "A"].map(ToOwned::to_owned);
        let found = names(&mut report, "f", &texts, 10);
        assert_eq!(found.iter().map(Name::as_str).collect::<Vec<_>>(), ["a", "b"]);
        let fields: Vec<_> = report.violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["f[2]", "f[3]"]);
        let mut report = Report::default();
        names(&mut report, "f", &texts, 2);
        assert_eq!(report.to_string(), "f: must have at most 2 elements, not 4");
    }
}
