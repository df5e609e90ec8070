use super::Report;

/// Most bytes of the words that say who manages a resource.
const MAX_LENGTH: usize = 512;

/// Who manages a resource, as a client says.
pub(super) fn manager(report: &mut Report, field: &str, text: String) -> String {
    if text.len() > MAX_LENGTH {
        report.add(field, format!("must have at most {MAX_LENGTH} bytes, not {}", text.len()));
    }
    // Postgres has no NUL in a text.
    if text.chars().any(char::is_control) {
        report.add(field, "must have no control characters");
    }
    text
}
