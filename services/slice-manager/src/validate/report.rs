use std::fmt;

/// One thing that is wrong with a request.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Violation {
    /// Path of the field in the request, such as `network.spec.cidr`.
    pub field: String,
    /// What is wrong with it, in words that follow the path and a colon.
    pub description: String,
}

/// Everything that is wrong with a request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    violations: Vec<Violation>,
}

/// Most violations of a report: a request with thousands of nodes can be wrong in thousands of
/// ways, and the answer has to fit into the headers of an HTTP/2 response.
const MAX_VIOLATIONS: usize = 20;

impl Report {
    /// A report of one violation.
    pub fn of(field: impl Into<String>, description: impl Into<String>) -> Self {
        let mut report = Self::default();
        report.add(field, description);
        report
    }

    /// Notes a violation; beyond the first twenty they are dropped.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        if self.violations.len() < MAX_VIOLATIONS {
            let (field, description) = (field.into(), description.into());
            self.violations.push(Violation { field, description });
        }
    }

    /// The value; or nothing, and its error is noted.
    pub fn check<T, E: fmt::Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(field, error.to_string())).ok()
    }

    /// Notes more than `most` elements. Whoever looks at each should look at no more.
    pub fn limit(&mut self, field: &str, count: usize, most: usize) {
        if count > most {
            self.add(field, format!("must have at most {most} elements, not {count}"));
        }
    }

    /// The value if nothing is wrong.
    ///
    /// # Errors
    /// Something is.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.violations.is_empty() => Ok(value),
            _ => Err(self),
        }
    }

    /// What is wrong, in the order of the request.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Violation { field, description }) in self.violations.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{field}: {description}")?;
        }
        Ok(())
    }
}
