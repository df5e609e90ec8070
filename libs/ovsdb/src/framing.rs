use bytes::{Bytes, BytesMut};
use thiserror::Error;

/// Cuts a byte stream into JSON objects, which follow each other without a delimiter (RFC 7047,
/// section 4: JSON-RPC 1.0 over a stream).
///
/// Every byte is looked at once, however the stream is cut into pieces. Whether an object is valid
/// JSON inside is the reader's to find out.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    /// How far `buffer` has been looked at.
    scanned: usize,
    /// How many braces and brackets are open.
    depth: usize,
    text: Text,
    limit: usize,
}

/// Where the scanner is with respect to string literals, in which braces mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    Escape,
}

/// Why a stream cannot be cut into objects. It stays unreadable after that.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FramingError {
    /// An object is longer than allowed.
    #[error("a message has more than {0} bytes")]
    TooLong(usize),
    /// Something stands where an object should begin.
    #[error("a message begins with byte {0:#04x} instead of '{{'")]
    NoObject(u8),
}

impl Framer {
    /// A framer that refuses objects of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, depth: 0, text: Text::Outside, limit }
    }

    /// Where the stream's next bytes are to be appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next object, if it is complete.
    ///
    /// # Errors
    /// The stream is unreadable.
    pub fn next_object(&mut self) -> Result<Option<Bytes>, FramingError> {
        if self.depth == 0 {
            let blanks = self.buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            drop(self.buffer.split_to(blanks));
            self.scanned = 0;
            match self.buffer.first() {
                None | Some(b'{') => {}
                Some(other) => return Err(FramingError::NoObject(*other)),
            }
        }
        while let Some(byte) = self.buffer.get(self.scanned).copied() {
            self.scanned += 1;
            self.step(byte);
            if self.depth == 0 {
                let object = self.buffer.split_to(self.scanned).freeze();
                self.scanned = 0;
                return self.within_limit(object.len()).map(|()| Some(object));
            }
        }
        self.within_limit(self.scanned).map(|()| None)
    }

    fn within_limit(&self, length: usize) -> Result<(), FramingError> {
        if length > self.limit { Err(FramingError::TooLong(self.limit)) } else { Ok(()) }
    }

    fn step(&mut self, byte: u8) {
        self.text = match (self.text, byte) {
            (Text::Outside, b'"') | (Text::Escape, _) => Text::Inside,
            (Text::Inside, b'"') => Text::Outside,
            (Text::Inside, b'\\') => Text::Escape,
            (text, _) => text,
        };
        if self.text == Text::Outside {
            match byte {
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = r#"{"a":[1,{"b":"}"}]} {"c":"\"}\\"}
        {"d":"\\\\"}{}"#;
    const OBJECTS: [&str; 4] =
        [r#"{"a":[1,{"b":"}"}]}"#, r#"{"c":"\"}\\"}"#, r#"{"d":"\\\\"}"#, "{}"];

    fn objects(framer: &mut Framer) -> Result<Vec<String>, FramingError> {
        let mut objects = Vec::new();
        while let Some(object) = framer.next_object()? {
            objects.push(String::from_utf8(object.to_vec()).unwrap());
        }
        Ok(objects)
    }

    #[test]
    fn cuts_the_same_objects_however_the_stream_is_split() {
        for size in 1..=STREAM.len() {
            let mut framer = Framer::new(64);
            let mut found = Vec::new();
            for piece in STREAM.as_bytes().chunks(size) {
                framer.buffer().extend_from_slice(piece);
                found.extend(objects(&mut framer).unwrap());
            }
            assert_eq!(found, OBJECTS, "pieces of {size}");
        }
    }

    #[test]
    fn refuses_what_is_no_object() {
        for (stream, byte) in [("[1]", b'['), ("x", b'x'), ("{}]", b']')] {
            let mut framer = Framer::new(64);
            framer.buffer().extend_from_slice(stream.as_bytes());
            assert_eq!(objects(&mut framer), Err(FramingError::NoObject(byte)), "{stream}");
        }
    }

    #[test]
    fn refuses_an_object_beyond_the_limit_before_it_is_complete() {
        let mut framer = Framer::new(8);
        framer.buffer().extend_from_slice(br#"{"a":12}"#);
        assert_eq!(objects(&mut framer).map(|found| found.len()), Ok(1));
        framer.buffer().extend_from_slice(br#"{"a":1234"#);
        assert_eq!(objects(&mut framer), Err(FramingError::TooLong(8)));
    }
}
