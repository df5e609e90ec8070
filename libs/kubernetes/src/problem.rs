/// Why something that a resource asks for cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One CamelCase word.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
}

impl Problem {
    /// A problem by its reason, one CamelCase word, and its message, one sentence.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
