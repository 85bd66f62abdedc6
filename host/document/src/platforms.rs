//! The platforms that a document is for.

use crate::document::Document;
use crate::precondition::{Platform, Precondition};
use crate::steps::Step;

/// All there are, in the order in which SSM names them.
const ALL: [Platform; 3] = [Platform::Windows, Platform::Linux, Platform::MacOs];

impl Document {
    /// The platforms on which any of its steps can run, after what the actions are for and the preconditions say.
    #[must_use]
    pub fn platforms(&self) -> Vec<Platform> {
        ALL.into_iter()
            .filter(|platform| self.steps().iter().any(|step| step.can_run_on(*platform)))
            .collect()
    }
}

impl Step {
    fn can_run_on(&self, platform: Platform) -> bool {
        let action = match self.action.as_str() {
            "aws:runShellScript" => platform != Platform::Windows,
            "aws:applications" | "aws:cloudWatch" | "aws:psModule" => platform == Platform::Windows,
            "aws:configureDocker" | "aws:domainJoin" | "aws:runDockerAction" => {
                platform != Platform::MacOs
            }
            _ => true,
        };
        action && self.precondition.allows(platform)
    }
}

impl Precondition {
    /// Whether it can be met on a platform, whatever parameters there are.
    fn allows(&self, platform: Platform) -> bool {
        self.conditions.iter().all(|(operator, written, _)| {
            let other = match written.as_slice() {
                [first, other] if first == "platformType" => other,
                [other, second] if second == "platformType" => other,
                _ => return true,
            };
            operator != "StringEquals" || other.eq_ignore_ascii_case(platform.word())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use crate::Document;

    #[test]
    fn platforms_come_from_actions_and_preconditions() {
        let step = |name: &str, action: &str, platform: &str| {
            let precondition = if platform.is_empty() {
                String::new()
            } else {
                format!("\n    precondition: {{StringEquals: [platformType, {platform}]}}")
            };
            format!("  - name: {name}\n    action: {action}{precondition}\n    inputs: {{}}\n")
        };
        let shell = step("a", "aws:runShellScript", "");
        let linux = step("b", "aws:runShellScript", "Linux");
        let windows = step("c", "aws:runPowerShellScript", "Windows");
        for (steps, expected) in [
            (shell.clone(), "Linux MacOS"),
            (linux.clone(), "Linux"),
            (windows.clone(), "Windows"),
            (format!("{linux}{windows}"), "Windows Linux"),
            (step("d", "aws:psModule", ""), "Windows"),
            (step("e", "aws:downloadContent", ""), "Windows Linux MacOS"),
            (step("f", "acme:thing", "macos"), "MacOS"),
            (step("g", "aws:runShellScript", "Windows"), ""),
        ] {
            let text = format!("schemaVersion: '2.2'\nmainSteps:\n{steps}");
            let platforms: Vec<_> = Document::parse(&text, "d")
                .unwrap()
                .platforms()
                .into_iter()
                .map(crate::Platform::word)
                .collect();
            assert_eq!(platforms.join(" "), expected, "{text}");
        }
    }
}
