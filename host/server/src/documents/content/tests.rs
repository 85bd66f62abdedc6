//! Good and bad texts of each type.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::check;

const COMMAND: &str = "schemaVersion: '2.2'\nmainSteps:\n- {name: a, action: aws:runShellScript, inputs: {runCommand: [ls]}}\n";
const RUNBOOK: &str = "schemaVersion: '0.3'\nmainSteps:\n- {name: rest, action: aws:sleep, inputs: {Duration: PT1S}}\n";
const CALENDAR: &str = "BEGIN:VCALENDAR\r\nX-CALENDAR-TYPE:DEFAULT_OPEN\r\nBEGIN:VEVENT\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

#[test]
fn each_type_has_its_own_form() {
    for (kind, format, content) in [
        ("Command", "YAML", COMMAND),
        ("Policy", "YAML", COMMAND),
        ("Automation", "YAML", RUNBOOK),
        (
            "Session",
            "JSON",
            r#"{"schemaVersion": "1.0", "sessionType": "Standard_Stream", "inputs": {}}"#,
        ),
        (
            "Package",
            "JSON",
            r#"{"schemaVersion": "2.0", "version": "1", "packages": {}, "files": {}}"#,
        ),
        ("ChangeCalendar", "TEXT", CALENDAR),
        ("ApplicationConfiguration", "TEXT", "anything"),
        ("ApplicationConfiguration", "YAML", "a: 1"),
        ("ApplicationConfigurationSchema", "JSON", "{}"),
        ("CloudFormation", "YAML", "Resources: {}"),
        ("QuickSetup", "JSON", "{}"),
    ] {
        let checked = check("d", kind, format, content);
        assert!(checked.is_ok(), "{kind}: {checked:?}");
    }
}

#[test]
fn what_is_wrong_has_its_code_and_its_place() {
    let (content, version) = ("InvalidDocumentContent", "InvalidDocumentSchemaVersion");
    for (kind, format, text, code, told) in [
        (
            "Command",
            "JSON",
            COMMAND,
            content,
            "say so with DocumentFormat YAML",
        ),
        (
            "Command",
            "JSON",
            "{\n \"a\": }",
            content,
            "d:2:7: error[syntax]",
        ),
        ("Command", "YAML", "a: [", content, "error[syntax]"),
        (
            "Command",
            "TEXT",
            COMMAND,
            content,
            "JSON or YAML, and not TEXT",
        ),
        ("Command", "YAML", "- a", content, "d:1:1"),
        (
            "Command",
            "YAML",
            "mainSteps: []",
            content,
            "no `schemaVersion`",
        ),
        ("Command", "YAML", RUNBOOK, version, "0.3"),
        ("Automation", "YAML", COMMAND, version, "2.2"),
        ("Policy", "YAML", "schemaVersion: '1.2'", version, "1.2"),
        (
            "Command",
            "YAML",
            "schemaVersion: '2.2'\nmainSteps:\n- {name: a, action: aws:runShellScript, inputs: {runCommand: ['{{ x }}']}}\n",
            content,
            "d:3:3: error[undeclared-reference]",
        ),
        (
            "Session",
            "JSON",
            r#"{"schemaVersion": "1.0"}"#,
            content,
            "sessionType",
        ),
        (
            "Package",
            "JSON",
            r#"{"schemaVersion": "2.0"}"#,
            content,
            "packages",
        ),
        (
            "ChangeCalendar",
            "TEXT",
            "BEGIN:VCALENDAR\n",
            content,
            "d:1:1",
        ),
        (
            "ChangeCalendar",
            "TEXT",
            "BEGIN:VCALENDAR\nEND:VEVENT\n",
            content,
            "d:2:1",
        ),
        (
            "ChangeCalendar",
            "TEXT",
            "BEGIN:VCALENDAR\nEND:VCALENDAR\n",
            content,
            "X-CALENDAR-TYPE",
        ),
        ("ChangeCalendar", "JSON", "{}", content, "TEXT"),
        ("CloudFormation", "JSON", "{}", content, "Resources"),
        ("QuickSetup", "JSON", "[]", content, "a mapping"),
        (
            "Automation.ChangeTemplate",
            "YAML",
            RUNBOOK,
            "NoLongerSupportedException",
            "no longer",
        ),
    ] {
        let error = check("d", kind, format, text).unwrap_err();
        assert_eq!(error.code, code, "{kind} {text}: {error}");
        assert!(error.message.contains(told), "{kind} {text}: {error}");
    }
    let large = format!("{COMMAND}# {}", "x".repeat(65_536));
    let error = check("d", "Command", "YAML", &large).unwrap_err();
    assert_eq!(error.code, "MaxDocumentSizeExceeded");
}
