//! Evaluates a trust policy as IAM does, for one service and `sts:AssumeRole`.

use serde_json::Value;

/// Result: may a service assume the role?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Yes,
    /// Under conditions, such as `aws:SourceAccount`, that are evaluated only by IAM.
    Conditional,
    /// `"Principal": "*"`.
    Anyone,
    Denied,
    No,
}

pub(super) fn of(policy: &Value, service: &str) -> Trust {
    let mut trust = Trust::No;
    for statement in list(policy.get("Statement")) {
        if !names_assume_role(statement) {
            continue;
        }
        let effect = statement.get("Effect").and_then(Value::as_str);
        let conditional = statement
            .get("Condition")
            .and_then(Value::as_object)
            .is_some_and(|conditions| !conditions.is_empty());
        let anyone = is_anyone(statement.get("Principal"));
        if !anyone && !names_service(statement, service) {
            continue;
        }
        match (effect, conditional) {
            // A denial takes precedence; a conditional one may never apply.
            (Some("Deny"), false) => return Trust::Denied,
            (Some("Allow"), true) if trust == Trust::No => trust = Trust::Conditional,
            (Some("Allow"), false) if anyone => trust = Trust::Anyone,
            (Some("Allow"), false) if trust != Trust::Anyone => trust = Trust::Yes,
            _ => {}
        }
    }
    trust
}

/// Treats a single value as a list of one, as IAM does.
fn list(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(values)) => values,
        Some(value) => std::slice::from_ref(value),
        None => &[],
    }
}

fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    list(value).iter().filter_map(Value::as_str)
}

fn names_assume_role(statement: &Value) -> bool {
    texts(statement.get("Action"))
        .any(|pattern| matches(pattern.to_ascii_lowercase().as_bytes(), b"sts:assumerole"))
}

fn is_anyone(principal: Option<&Value>) -> bool {
    let star = |value: Option<&Value>| texts(value).any(|text| text == "*");
    star(principal) || star(principal.and_then(|principal| principal.get("AWS")))
}

fn names_service(statement: &Value, service: &str) -> bool {
    let services = statement
        .get("Principal")
        .and_then(|principal| principal.get("Service"));
    texts(services).any(|name| name.eq_ignore_ascii_case(service))
}

/// Matches wildcards of IAM: `*` for any text, `?` for one character.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        // Merges stars, which avoids exponential time.
        (Some((b'*', rest)), _) if rest.first() == Some(&b'*') => matches(rest, text),
        (Some((b'*', rest)), _) => {
            matches(rest, text)
                || text
                    .split_first()
                    .is_some_and(|(_, text)| matches(pattern, text))
        }
        (Some((b'?', pattern)), Some((_, text))) => matches(pattern, text),
        (Some((a, pattern)), Some((b, text))) if a == b => matches(pattern, text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SAGEMAKER: &str = "sagemaker.amazonaws.com";

    fn allow(principal: &Value) -> Value {
        json!({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})
    }

    #[test]
    fn evaluates_trust_policies() {
        let sagemaker = json!({"Service": SAGEMAKER});
        let good = allow(&sagemaker);
        let with = |key: &str, value: Value| {
            let mut statement = good.clone();
            statement[key] = value;
            statement
        };
        let condition = json!({"StringEquals": {"aws:SourceAccount": "123456789012"}});
        let cases = [
            (json!([good]), Trust::Yes),
            (good.clone(), Trust::Yes),
            (
                json!([allow(&json!({"Service": ["ec2.amazonaws.com", SAGEMAKER]}))]),
                Trust::Yes,
            ),
            (
                json!([with("Action", json!(["sts:TagSession", "sts:AssumeRole"]))]),
                Trust::Yes,
            ),
            (json!([with("Action", json!("sts:*"))]), Trust::Yes),
            (json!([with("Action", json!("STS:assumer?le"))]), Trust::Yes),
            (json!([with("Action", json!("*"))]), Trust::Yes),
            (
                json!([with("Condition", condition.clone())]),
                Trust::Conditional,
            ),
            (
                json!([with("Condition", condition.clone()), good]),
                Trust::Yes,
            ),
            (json!([with("Condition", json!({}))]), Trust::Yes),
            (json!([allow(&json!("*"))]), Trust::Anyone),
            (json!([allow(&json!({"AWS": "*"})), good]), Trust::Anyone),
            (json!([good, with("Effect", json!("Deny"))]), Trust::Denied),
            (json!([with("Effect", json!("Deny"))]), Trust::Denied),
            (
                json!([allow(&json!({"Service": "ec2.amazonaws.com"}))]),
                Trust::No,
            ),
            (
                json!([allow(&json!({"AWS": "arn:aws:iam::123456789012:root"}))]),
                Trust::No,
            ),
            (
                json!([with("Action", json!("sts:AssumeRoleWithSAML"))]),
                Trust::No,
            ),
            (json!([]), Trust::No),
            (json!("nonsense"), Trust::No),
        ];
        for (statement, expected) in cases {
            let policy = json!({"Version": "2012-10-17", "Statement": statement});
            assert_eq!(of(&policy, SAGEMAKER), expected, "{policy}");
        }
        assert_eq!(of(&Value::Null, SAGEMAKER), Trust::No);
    }
}
