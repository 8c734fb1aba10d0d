//! The few forms of Terraform's language that are written here.

use serde_json::Value;

/// `"text"`. Names have been checked; this is for what a check might forget.
pub(super) fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    escape_templates(&out)
}

/// A policy, as it is printed, in a heredoc that goes to the line of its parent.
pub(super) fn policy(document: &Value) -> String {
    let text = escape_templates(&format!("{document:#}"));
    format!("<<-JSON\n{text}\nJSON")
}

/// `${` and `%{` start templates.
fn escape_templates(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_text() {
        assert_eq!(string(r#"a"b\${x}"#), r#""a\"b\\$${x}""#);
        let policy = policy(&serde_json::json!({"a": "${aws:username}%{x}"}));
        assert_eq!(
            policy,
            "<<-JSON\n{\n  \"a\": \"$${aws:username}%%{x}\"\n}\nJSON"
        );
    }
}
