//! The shape of a program's arguments: a list of literals and typed holes, never a joined command line.

use crate::pattern::is_normal_path;
use crate::request::ProgramRequest;

/// Arguments that do not fit the manifest's template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("argument {index} ({found}) does not fit {wanted}")]
pub struct ArgumentMismatch {
    /// Counts from 1.
    pub index: usize,
    /// What was passed.
    pub found: String,
    /// What the template has there.
    pub wanted: String,
}

impl ProgramRequest {
    /// Whether the arguments fit the template.
    ///
    /// # Errors
    /// The first argument that does not fit.
    pub fn matches(&self, arguments: &[String]) -> Result<(), ArgumentMismatch> {
        let mut rest = arguments.iter();
        let mut index = 0;
        for hole in &self.arguments {
            if let Some(each) = hole
                .strip_suffix("...}")
                .and_then(|hole| hole.strip_prefix('{'))
            {
                for argument in rest.by_ref() {
                    index += 1;
                    let each = if each == "rest" {
                        "text"
                    } else {
                        each.trim_end_matches('s')
                    };
                    fits(&format!("{{{each}}}"), argument, index)?;
                }
                continue;
            }
            index += 1;
            let Some(argument) = rest.next() else {
                return Err(ArgumentMismatch {
                    index,
                    found: "nothing".into(),
                    wanted: hole.clone(),
                });
            };
            fits(hole, argument, index)?;
        }
        match rest.next() {
            Some(extra) => Err(ArgumentMismatch {
                index: index + 1,
                found: extra.clone(),
                wanted: "the end of the arguments".into(),
            }),
            None => Ok(()),
        }
    }
}

fn fits(hole: &str, argument: &str, index: usize) -> Result<(), ArgumentMismatch> {
    let good = match hole {
        "{word}" => {
            !argument.is_empty()
                && !argument.starts_with('-')
                && !argument.contains(char::is_control)
        }
        "{int}" => argument.parse::<i64>().is_ok(),
        "{path}" => is_normal_path(argument),
        "{text}" => true,
        literal => literal == argument,
    };
    if good {
        Ok(())
    } else {
        Err(ArgumentMismatch {
            index,
            found: argument.to_owned(),
            wanted: hole.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::request::ProgramRequest;

    #[test]
    fn arguments_fit_or_do_not() {
        let request = |arguments: &[&str]| ProgramRequest {
            paths: Vec::new(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            reason: String::new(),
            optional: false,
        };
        let list = |arguments: &[&str]| {
            arguments
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        for (template, arguments, expected) in [
            (&["-c", "{path}"][..], &["-c", "/a/b"][..], true),
            (&["-c", "{path}"], &["-c", "a; rm -rf /"], false),
            (&["-c", "{path}"], &["-c", "/a/../b"], false),
            (&["-c", "{path}"], &["-c"], false),
            (&["-c", "{path}"], &["-c", "/a", "/b"], false),
            (
                &["install", "-y", "{words...}"],
                &["install", "-y", "a", "b"],
                true,
            ),
            (
                &["install", "-y", "{words...}"],
                &["install", "-y", "a", "--force"],
                false,
            ),
            (&["{int}"], &["12"], true),
            (&["{int}"], &["12x"], false),
            (&["{rest...}"], &["-x", ""], true),
        ] {
            assert_eq!(
                request(template).matches(&list(arguments)).is_ok(),
                expected,
                "{template:?} {arguments:?}"
            );
        }
    }
}
