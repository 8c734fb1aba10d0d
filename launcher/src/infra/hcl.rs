//! Writes HCL strings and heredocs.

use serde_json::Value;

/// Returns a quoted string, as JSON has them. Names are validated before; escaping is a second
/// safeguard.
pub(super) fn string(text: &str) -> String {
    escape_templates(&Value::from(text).to_string())
}

/// Returns a policy as a heredoc with indentation of its parent.
pub(super) fn policy(document: &Value) -> String {
    let text = escape_templates(&format!("{document:#}"));
    format!("<<-JSON\n{text}\nJSON")
}

/// Escapes `${` and `%{`, which start templates.
fn escape_templates(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_templates() {
        assert_eq!(string(r#"a"b\${x}"#), r#""a\"b\\$${x}""#);
        let policy = policy(&serde_json::json!({"a": "${aws:username}%{x}"}));
        assert_eq!(
            policy,
            "<<-JSON\n{\n  \"a\": \"$${aws:username}%%{x}\"\n}\nJSON"
        );
    }
}
