use std::collections::BTreeMap;

/// A flag's value of the form `NAME[,KEY=VALUE]...`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Compound<'a> {
    pub(crate) name: &'a str,
    settings: Vec<(&'a str, &'a str)>,
}

impl<'a> Compound<'a> {
    /// Parses it; `keys` are those that it may have.
    pub(crate) fn parse(text: &'a str, keys: &[&str]) -> Result<Self, String> {
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default();
        if name.is_empty() || name.contains('=') {
            return Err("must begin with a name".into());
        }
        let mut settings = Vec::new();
        for part in parts {
            let Some((key, value)) = part.split_once('=') else {
                return Err(format!("{part:?} must have the form KEY=VALUE"));
            };
            if !keys.contains(&key) {
                return Err(format!("{key:?} is none of {}", keys.join(", ")));
            }
            settings.push((key, value));
        }
        Ok(Self { name, settings })
    }

    /// The value of a key that may be there once.
    pub(crate) fn one(&self, key: &str) -> Result<Option<&'a str>, String> {
        let mut values = self.all(key);
        let value = values.next();
        if values.next().is_some() {
            return Err(format!("{key} is there twice"));
        }
        Ok(value)
    }

    /// The values of a key that may be repeated, each `KEY=VALUE` itself.
    pub(crate) fn labels(&self, key: &str) -> Result<BTreeMap<String, String>, String> {
        let mut labels = BTreeMap::new();
        for text in self.all(key) {
            let Some((name, value)) = text.split_once('=') else {
                return Err(format!("{key} must have the form {key}=KEY=VALUE, not {text:?}"));
            };
            if labels.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(format!("{key} {name} is there twice"));
            }
        }
        Ok(labels)
    }

    /// The values of a key that may be repeated.
    pub(crate) fn all(&self, key: &str) -> impl Iterator<Item = &'a str> {
        self.settings.iter().filter(move |(other, _)| *other == key).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_a_name_and_settings() {
        let compound = Compound::parse("a1,underlay=fd00::1,x=1,x=2", &["underlay", "x"]).unwrap();
        assert_eq!(compound.name, "a1");
        assert_eq!(compound.one("underlay"), Ok(Some("fd00::1")));
        assert_eq!(compound.one("y"), Ok(None));
        assert_eq!(compound.all("x").collect::<Vec<_>>(), ["1", "2"]);
        assert!(compound.one("x").is_err());
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for text in ["", "x=1", "a,b", "a,y=1", ",x=1"] {
            assert!(Compound::parse(text, &["x"]).is_err(), "{text:?}");
        }
    }
}
