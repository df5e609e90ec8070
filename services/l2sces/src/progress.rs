use std::io::{self, IsTerminal, Write};

/// Tells on stderr what is waited for: one line that changes on a terminal, a line for each change
/// elsewhere.
pub(crate) struct Progress {
    stderr: Box<dyn Write>,
    is_terminal: bool,
    shown: String,
}

impl Progress {
    pub(crate) fn stderr() -> Self {
        let stderr = io::stderr();
        let is_terminal = stderr.is_terminal();
        Self { stderr: Box::new(stderr), is_terminal, shown: String::new() }
    }

    /// Shows a line, unless it is shown already.
    pub(crate) fn show(&mut self, line: &str) {
        if line == self.shown {
            return;
        }
        line.clone_into(&mut self.shown);
        // Progress is a courtesy: who closed stderr does not want it.
        let _ = if self.is_terminal {
            // Back to the first column, write, erase what is left of the line before.
            write!(self.stderr, "\r{line}\x1b[K")
        } else {
            writeln!(self.stderr, "{line}")
        };
        let _ = self.stderr.flush();
    }

    /// Tells something that stays.
    pub(crate) fn note(&mut self, line: &str) {
        self.clear();
        let _ = writeln!(self.stderr, "{line}");
    }

    /// Takes the line away, so that what follows begins on an empty one.
    pub(crate) fn clear(&mut self) {
        if self.is_terminal && !self.shown.is_empty() {
            let _ = write!(self.stderr, "\r\x1b[K");
            let _ = self.stderr.flush();
        }
        self.shown.clear();
    }
}

/// Takes the line away also when the command fails.
impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Rc<RefCell<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn shown(is_terminal: bool) -> String {
        let sink = Sink::default();
        let mut progress =
            Progress { stderr: Box::new(sink.clone()), is_terminal, shown: String::new() };
        for line in ["port p1: Pending", "port p1: Pending", "port p1: NoSuchNamespace"] {
            progress.show(line);
        }
        drop(progress);
        String::from_utf8(sink.0.take()).unwrap()
    }

    #[test]
    fn elsewhere_than_on_a_terminal_each_change_is_a_line() {
        assert_eq!(shown(false), "port p1: Pending\nport p1: NoSuchNamespace\n");
    }

    #[test]
    fn on_a_terminal_one_line_changes_and_goes_away() {
        let text = shown(true);
        assert!(!text.contains('\n'), "{text:?}");
        assert!(text.ends_with("\r\x1b[K"), "{text:?}");
        assert_eq!(text.matches("Pending").count(), 1);
    }
}
