//! The settings of a command that name something of other services: a bucket of S3, a role of IAM, a topic of SNS.
//! Whether these exist is not known here; whether they can exist is.

use serde_json::Value;

use crate::error::ApiError;

/// Refuses a bucket that cannot be: the rules for names of general purpose buckets, which the API's model does not tell.
pub(super) fn check_bucket(name: &str) -> Result<(), ApiError> {
    let fits = name
        .bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
    let ends = |edge: Option<char>| edge.is_some_and(|edge| edge.is_ascii_alphanumeric());
    let is_address = name.parse::<std::net::Ipv4Addr>().is_ok();
    if name.is_empty()
        || fits
            && ends(name.chars().next())
            && ends(name.chars().last())
            && !name.contains("..")
            && !is_address
    {
        return Ok(());
    }
    Err(ApiError::new(
        "InvalidOutputFolder",
        format!(
            "{name} is no name of an S3 bucket: 3 to 63 lower-case letters, digits, hyphens and dots, a letter or a digit \
             first and last, and no IP address."
        ),
    ))
}

/// Refuses notices that could not be sent: they need a topic of SNS, and a role to send them with.
pub(super) fn check_notices(role: &str, notices: Option<&Value>) -> Result<(), ApiError> {
    if !role.is_empty() && !is_role(role) {
        return Err(ApiError::new(
            "InvalidRole",
            format!("{role} is no role's ARN, such as arn:aws:iam::123456789012:role/Notify."),
        ));
    }
    let Some(notices) = notices else {
        return Ok(());
    };
    let text = |member: &str| notices.get(member).and_then(Value::as_str).unwrap_or("");
    let topic = text("NotificationArn");
    let has_events = notices
        .get("NotificationEvents")
        .and_then(Value::as_array)
        .is_some_and(|events| !events.is_empty());
    if topic.is_empty() && !has_events && text("NotificationType").is_empty() {
        return Ok(());
    }
    if !is_topic(topic) {
        return Err(ApiError::new(
            "InvalidNotificationConfig",
            format!(
                "The NotificationArn {topic:?} is not the ARN of a standard topic of SNS, such as \
                 arn:aws:sns:us-east-1:123456789012:commands."
            ),
        ));
    }
    if role.is_empty() {
        return Err(ApiError::new(
            "InvalidRole",
            "NotificationConfig needs a ServiceRoleArn: the role that notices are sent with.",
        ));
    }
    Ok(())
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(parts.as_slice(), &["arn", partition, "iam", "", account, resource]
        if partition.starts_with("aws") && is_account(account)
            && resource.strip_prefix("role/").is_some_and(|name| !name.is_empty() && !name.ends_with('/')))
}

fn is_topic(arn: &str) -> bool {
    let parts: Vec<&str> = arn.split(':').collect();
    matches!(parts.as_slice(), &["arn", partition, "sns", region, account, name]
        if partition.starts_with("aws") && !region.is_empty() && is_account(account) && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')))
}
