//! Kafka's rules for the names of topics.

/// The longest name, inclusive, in bytes.
const LENGTH_MAX: usize = 249;

/// What is wrong with a topic's name, in words that finish "the name is not legal: …"; `None` if nothing is.
/// Source: apache/kafka, `Topic.validate`.
pub fn topic_name_fault(name: &str) -> Option<&'static str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        Some("it is empty")
    } else if name == "." || name == ".." {
        Some("\".\" and \"..\" are reserved")
    } else if name.len() > LENGTH_MAX {
        Some("it has more than 249 characters")
    } else if !name.chars().all(legal) {
        Some("only ASCII letters, digits, '.', '_' and '-' are allowed")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        for legal in ["lines", "a.b_c-9", "...", &"x".repeat(249)] {
            assert_eq!(topic_name_fault(legal), None, "{legal}");
        }
        for illegal in ["", ".", "..", "a b", "a/b", "ä", &"x".repeat(250)] {
            assert!(topic_name_fault(illegal).is_some(), "{illegal}");
        }
    }
}
