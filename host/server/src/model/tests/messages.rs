//! Inputs, and the very words of what is wrong with them.

use serde_json::{Value, json};

use crate::model::{ModelError, Service, model};

fn check(operation: &str, input: &Value) -> Result<(), ModelError> {
    let service = match operation {
        "FailMessage" => Service::Ec2Messages,
        _ => Service::Ssm,
    };
    model().operation(service, operation).unwrap().check(input)
}

fn invalid(operation: &str, input: Value, message: &str) {
    assert_eq!(
        check(operation, &input),
        Err(ModelError::Validation(message.into())),
        "{operation}"
    );
}

fn mistyped(operation: &str, input: Value, message: &str) {
    assert_eq!(
        check(operation, &input),
        Err(ModelError::Serialization(message.into())),
        "{operation}"
    );
}

#[test]
fn good_inputs_pass() {
    for (operation, input) in [
        (
            "SendCommand",
            json!({"DocumentName": "AWS-RunShellScript", "Targets": [{"Key": "tag:Role", "Values": ["web", "db"]}],
                "Parameters": {"commands": ["echo $HOME", "ls"]}, "TimeoutSeconds": 30, "MaxErrors": "50%",
                "Comment": null, "Unheard": {"of": 1}}),
        ),
        (
            "PutParameter",
            json!({"Name": "/a/b", "Value": "", "Type": "SecureString", "Overwrite": true}),
        ),
        ("DescribeInstanceInformation", json!({})),
        ("DescribeInstanceInformation", Value::Null),
        (
            "CreateActivation",
            json!({"IamRole": "service-role/x", "ExpirationDate": 1_705_276_800.5}),
        ),
        (
            "CreateActivation",
            json!({"IamRole": "x", "ExpirationDate": "2024-01-15T00:00:00Z"}),
        ),
        (
            "UpdateInstanceInformation",
            json!({"InstanceId": "mi-0123456789abcdef0", "AgentVersion": "3.3.1.0"}),
        ),
        (
            "FailMessage",
            json!({"MessageId": "aws.ssm.x", "FailureType": "NoHandlerExists"}),
        ),
        (
            "RegisterTaskWithMaintenanceWindow",
            json!({"WindowId": "mw-0123456789abcdef0", "TaskArn": "f", "TaskType": "LAMBDA",
                "TaskInvocationParameters": {"Lambda": {"Payload": "e30="}}}),
        ),
    ] {
        assert_eq!(check(operation, &input), Ok(()), "{operation} {input}");
    }
}

#[test]
fn lengths_and_values_are_bounded() {
    invalid(
        "GetParameters",
        json!({"Names": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]}),
        "1 validation error detected: Value '[a, b, c, d, e, f, g, h, i, j, k]' at 'names' failed to satisfy \
         constraint: Member must have length less than or equal to 10",
    );
    invalid(
        "GetParameters",
        json!({"Names": []}),
        "1 validation error detected: Value '[]' at 'names' failed to satisfy constraint: Member must have length \
         greater than or equal to 1",
    );
    invalid(
        "DescribeInstanceInformation",
        json!({"MaxResults": 4}),
        "1 validation error detected: Value '4' at 'maxResults' failed to satisfy constraint: Member must have value \
         greater than or equal to 5",
    );
    invalid(
        "DescribeInstanceInformation",
        json!({"MaxResults": 51}),
        "1 validation error detected: Value '51' at 'maxResults' failed to satisfy constraint: Member must have value \
         less than or equal to 50",
    );
    // Code points count, not bytes.
    let comment = |length| json!({"DocumentName": "doc", "Comment": "ä".repeat(length)});
    assert_eq!(check("SendCommand", &comment(100)), Ok(()));
    invalid(
        "SendCommand",
        comment(101),
        &format!(
            "1 validation error detected: Value '{}' at 'comment' failed to satisfy constraint: Member must have \
             length less than or equal to 100",
            "ä".repeat(101)
        ),
    );
}

#[test]
fn all_violations_are_told_in_the_order_of_the_model() {
    invalid(
        "SendCommand",
        json!({"DocumentName": "a", "TimeoutSeconds": 29, "MaxConcurrency": "0"}),
        "3 validation errors detected: Value 'a' at 'documentName' failed to satisfy constraint: Member must satisfy \
         regular expression pattern: ^[a-zA-Z0-9_\\-.:/]{3,128}$; Value '29' at 'timeoutSeconds' failed to satisfy \
         constraint: Member must have value greater than or equal to 30; Value '0' at 'maxConcurrency' failed to \
         satisfy constraint: Member must satisfy regular expression pattern: \
         ^([1-9][0-9]*|[1-9][0-9]%|[1-9]%|100%)$",
    );
    invalid(
        "PutParameter",
        json!({"Name": "", "Type": "Secret", "Tags": [{"Key": "a#", "Value": "b"}]}),
        "4 validation errors detected: Value '' at 'name' failed to satisfy constraint: Member must have length greater \
         than or equal to 1; Value null at 'value' failed to satisfy constraint: Member must not be null; Value \
         'Secret' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [String, StringList, \
         SecureString]; Value 'a#' at 'tags.1.member.key' failed to satisfy constraint: Member must satisfy regular \
         expression pattern: ^([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)$",
    );
}

#[test]
fn what_is_missing_is_null() {
    for input in [
        json!({}),
        Value::Null,
        json!({"DocumentName": null}),
        json!({"documentName": "AWS-RunShellScript"}),
    ] {
        invalid(
            "SendCommand",
            input,
            "1 validation error detected: Value null at 'documentName' failed to satisfy constraint: Member must not \
             be null",
        );
    }
}

#[test]
fn elements_are_told_with_their_list() {
    invalid(
        "SendCommand",
        json!({"DocumentName": "doc", "InstanceIds": ["i-12345678", "web"]}),
        "1 validation error detected: Value '[i-12345678, web]' at 'instanceIds' failed to satisfy constraint: Member \
         must satisfy constraint: [Member must satisfy regular expression pattern: (^i-(\\w{8}|\\w{17})$)|(^mi-\\w{17}$)]",
    );
    invalid(
        "GetParameters",
        json!({"Names": ["a", ""]}),
        "1 validation error detected: Value '[a, ]' at 'names' failed to satisfy constraint: Member must satisfy \
         constraint: [Member must have length less than or equal to 2048, Member must have length greater than or \
         equal to 1]",
    );
    invalid(
        "GetParameters",
        json!({"Names": [null]}),
        "1 validation error detected: Value '[null]' at 'names' failed to satisfy constraint: Member must satisfy \
         constraint: [Member must have length less than or equal to 2048, Member must have length greater than or \
         equal to 1, Member must not be null]",
    );
    let target = json!({"Key": "tag:a", "Values": ["b", "c"]});
    let printed = ["Target(key=tag:a, values=[b, c])"; 6].join(", ");
    invalid(
        "SendCommand",
        json!({"DocumentName": "doc", "Targets": vec![target; 6]}),
        &format!(
            "1 validation error detected: Value '[{printed}]' at 'targets' failed to satisfy constraint: Member must \
             have length less than or equal to 5"
        ),
    );
    invalid(
        "SendCommand",
        json!({"DocumentName": "doc", "Targets": [{"Key": "tag:a"}, {"Key": "a#"}]}),
        "1 validation error detected: Value 'a#' at 'targets.2.member.key' failed to satisfy constraint: Member must \
         satisfy regular expression pattern: ^[\\p{L}\\p{Z}\\p{N}_.:/=\\-@]*$|resource-groups:ResourceTypeFilters|\
         resource-groups:Name",
    );
}

#[test]
fn keys_and_values_are_told_with_their_map() {
    let start = |parameters: Value| json!({"DocumentName": "doc", "Parameters": parameters});
    invalid(
        "StartAutomationExecution",
        start(json!({"": ["b"], "c": ["d", "e"]})),
        "1 validation error detected: Value '{=[b], c=[d, e]}' at 'parameters' failed to satisfy constraint: Map keys \
         must satisfy constraint: [Member must have length less than or equal to 50, Member must have length greater \
         than or equal to 1]",
    );
    invalid(
        "StartAutomationExecution",
        start(json!({"a": vec!["b"; 51]})),
        &format!(
            "1 validation error detected: Value '{{a=[{}]}}' at 'parameters' failed to satisfy constraint: Map value \
             must satisfy constraint: [Member must have length less than or equal to 50, Member must have length \
             greater than or equal to 0]",
            ["b"; 51].join(", ")
        ),
    );
    invalid(
        "StartAutomationExecution",
        start(json!({"a": ["b".repeat(513)]})),
        &format!(
            "1 validation error detected: Value '[{}]' at 'parameters.a.member' failed to satisfy constraint: Member \
             must satisfy constraint: [Member must have length less than or equal to 512, Member must have length \
             greater than or equal to 1]",
            "b".repeat(513)
        ),
    );
}

#[test]
fn what_is_sensitive_is_not_repeated() {
    invalid(
        "RegisterManagedInstance",
        json!({"ActivationCode": "hush", "ActivationId": "x", "PublicKey": "k", "Fingerprint": "f"}),
        "2 validation errors detected: Value '***' at 'activationCode' failed to satisfy constraint: Member must have \
         length greater than or equal to 20; Value 'x' at 'activationId' failed to satisfy constraint: Member must \
         satisfy regular expression pattern: ^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    );
    // Nor is what is within it, or what it is within.
    for parameters in [json!({"secret": null}), json!({"secret": ["hush", null]})] {
        let input = json!({"DocumentName": "doc", "Parameters": parameters});
        let Err(ModelError::Validation(message)) = check("SendCommand", &input) else {
            panic!("{input}")
        };
        assert!(
            message.contains("Value '***' at 'parameters") && !message.contains("hush"),
            "{message}"
        );
    }
    let task = json!({"Name": "n", "Sources": vec![json!({"Name": "repo", "Products": ["p"], "Configuration": "hush"}); 21]});
    let Err(ModelError::Validation(message)) = check("CreatePatchBaseline", &task) else {
        panic!()
    };
    assert!(
        message.contains("configuration=***") && !message.contains("hush"),
        "{message}"
    );
}

#[test]
fn wrong_types_come_first() {
    mistyped(
        "SendCommand",
        json!({"DocumentName": "", "TimeoutSeconds": "60"}),
        "STRING_VALUE can not be converted to an Integer at 'timeoutSeconds'",
    );
    for (value, message) in [
        (
            json!(7),
            "NUMBER_VALUE can not be converted to a String at 'comment'",
        ),
        (
            json!(7.5),
            "DECIMAL_VALUE can not be converted to a String at 'comment'",
        ),
        (
            json!(true),
            "TRUE_VALUE can not be converted to a String at 'comment'",
        ),
        (
            json!(["a"]),
            "Start of list found where not expected at 'comment': a String was expected",
        ),
        (
            json!({}),
            "Start of structure or map found where not expected at 'comment': a String was expected",
        ),
    ] {
        mistyped("SendCommand", json!({"Comment": value}), message);
    }
    let nested = "STRING_VALUE can not be converted to a List at 'targets.1.member.values'";
    mistyped(
        "SendCommand",
        json!({"Targets": [{"Key": "a", "Values": "b"}]}),
        nested,
    );
    let item = "NUMBER_VALUE can not be converted to a String at 'names.2.member'";
    mistyped("GetParameters", json!({"Names": ["a", 2]}), item);
    let value = "STRING_VALUE can not be converted to a List at 'parameters.commands.member'";
    mistyped(
        "SendCommand",
        json!({"Parameters": {"commands": "ls"}}),
        value,
    );
    mistyped(
        "SendCommand",
        json!("x"),
        "STRING_VALUE can not be converted to a Structure",
    );
    let integer = "DECIMAL_VALUE can not be converted to an Integer at 'maxResults'";
    mistyped("ListCommands", json!({"MaxResults": 1.5}), integer);
    let integer = "NUMBER_VALUE can not be converted to an Integer at 'maxResults'";
    mistyped(
        "ListCommands",
        json!({"MaxResults": 4_294_967_297_u64}),
        integer,
    );
    let time = "STRING_VALUE can not be converted to a Timestamp at 'expirationDate'";
    mistyped(
        "CreateActivation",
        json!({"ExpirationDate": "tomorrow"}),
        time,
    );
    mistyped(
        "RegisterTaskWithMaintenanceWindow",
        json!({"TaskInvocationParameters": {"Lambda": {"Payload": "no base64"}}}),
        "STRING_VALUE can not be converted to a Blob at 'taskInvocationParameters.lambda.payload'",
    );
}

#[test]
fn messages_have_an_end() {
    let input = json!({"Name": "é".repeat(3000), "Value": "v"});
    invalid(
        "PutParameter",
        input,
        &format!(
            "1 validation error detected: Value '{}…' at 'name' failed to satisfy constraint: Member must have length \
             less than or equal to 2048",
            "é".repeat(1024)
        ),
    );
    let input =
        json!({"DocumentName": "doc", "Targets": vec![json!({"Key": "#".repeat(200)}); 1000]});
    let Err(ModelError::Validation(message)) = check("SendCommand", &input) else {
        panic!()
    };
    assert!(
        message.starts_with("2001 validation errors detected: "),
        "{message}"
    );
    assert!(message.len() < 100 * 1024, "{}", message.len());
    let input = json!({"DocumentName": "doc", "Parameters": {"k".repeat(1000): [null]}});
    let Err(ModelError::Validation(message)) = check("SendCommand", &input) else {
        panic!()
    };
    assert!(
        message.contains(&format!("'parameters.{}….member'", "k".repeat(128))),
        "{message}"
    );
}

#[test]
fn an_operation_can_answer_for_itself() {
    let cancel = model().operation(Service::Ssm, "CancelCommand").unwrap();
    let input = json!({"CommandId": "x", "InstanceIds": ["web"]});
    assert!(cancel.check(&input).is_err());
    assert!(cancel.check_except(&input, &["CommandId"]).is_err());
    for except in [["CommandId", "InstanceId"], ["commandId", "instanceIds"]] {
        assert_eq!(cancel.check_except(&input, &except), Ok(()));
    }
    assert!(
        cancel
            .check_except(&json!({"CommandId": 1}), &["CommandId"])
            .is_err()
    );
}
