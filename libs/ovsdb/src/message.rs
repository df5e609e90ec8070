//! JSON-RPC 1.0 messages, as RFC 7047 uses them.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::error::ConnectionError;

/// A message from the server.
#[derive(Debug, PartialEq)]
pub(crate) enum Message {
    /// The server wants an answer, in practice to `echo`.
    Request { id: Json, method: String, params: Json },
    /// The server tells something.
    Notification { method: String, params: Json },
    /// The answer to a request of ours: the result, or the error.
    Response { id: u64, result: Result<Json, Json> },
}

/// All members that a message may have.
#[derive(Deserialize)]
struct Members {
    #[serde(default)]
    id: Json,
    method: Option<String>,
    #[serde(default)]
    params: Json,
    #[serde(default)]
    result: Json,
    #[serde(default)]
    error: Json,
}

impl Message {
    /// Reads a message.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, ConnectionError> {
        let members: Members = serde_json::from_slice(text)
            .map_err(|error| ConnectionError::Message(error.to_string()))?;
        match (members.method, members.id) {
            (Some(method), Json::Null) => Ok(Self::Notification { method, params: members.params }),
            (Some(method), id) => Ok(Self::Request { id, method, params: members.params }),
            (None, id) => {
                let id = id.as_u64().ok_or_else(|| {
                    ConnectionError::Message(format!("an answer to no request of ours, {id}"))
                })?;
                let result = match members.error {
                    Json::Null => Ok(members.result),
                    error => Err(error),
                };
                Ok(Self::Response { id, result })
            }
        }
    }
}

/// Writes a request.
pub(crate) fn request(id: u64, method: &str, params: &Json) -> String {
    json!({"id": id, "method": method, "params": params}).to_string()
}

/// Writes the answer to a request of the server.
pub(crate) fn response(id: &Json, result: &Json) -> String {
    json!({"id": id, "result": result, "error": null}).to_string()
}

/// Writes the answer to a request of the server that we do not know.
pub(crate) fn error_response(id: &Json, error: &str) -> String {
    json!({"id": id, "result": null, "error": error}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let parse = |json: Json| Message::parse(json.to_string().as_bytes()).unwrap();
        assert_eq!(
            parse(json!({"id": "echo", "method": "echo", "params": []})),
            Message::Request { id: json!("echo"), method: "echo".to_owned(), params: json!([]) }
        );
        assert_eq!(
            parse(json!({"id": null, "method": "update", "params": [1]})),
            Message::Notification { method: "update".to_owned(), params: json!([1]) }
        );
        assert_eq!(
            parse(json!({"id": 7, "result": [{}], "error": null})),
            Message::Response { id: 7, result: Ok(json!([{}])) }
        );
        assert_eq!(
            parse(json!({"id": 7, "result": null, "error": "unknown database"})),
            Message::Response { id: 7, result: Err(json!("unknown database")) }
        );
    }

    #[test]
    fn malformed_messages_are_refused() {
        for text in ["{", r#"{"id":"x","result":1}"#, r#"{"method":1}"#] {
            assert!(Message::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
