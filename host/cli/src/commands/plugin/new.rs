//! `capstan plugin new`.

use std::path::Path;

use anyhow::{Result, bail};

use super::{NewArguments, carried};
use crate::exit::Exit;

pub(super) fn new(arguments: &NewArguments) -> Result<Exit> {
    let name = arguments.name.as_str();
    check_name(name)?;
    let action = match &arguments.action {
        Some(action) => {
            check_action(action)?;
            action.clone()
        }
        None => format!("local:{}", camel_case(name)),
    };
    let folder = Path::new(name);
    if folder.exists() && std::fs::read_dir(folder).map_or(true, |mut found| found.next().is_some())
    {
        bail!("{name} is there already, and is no empty folder; take another name");
    }
    for (path, content) in carried::template(arguments.lang, arguments.collector) {
        let content = content
            .replace("{{name}}", name)
            .replace("{{action}}", &action);
        carried::write(&folder.join(path), &content)?;
    }
    carried::put_sdk(folder, arguments.lang)?;
    let what = if arguments.collector {
        "collector"
    } else {
        "action"
    };
    outln!("{name}: a project for the {what} {action}; next:");
    outln!("  cd {name}");
    outln!("  capstan plugin test");
    outln!("  capstan plugin install .");
    outln!("  capstan run document.yaml --policy policy.yaml");
    Ok(Exit::Success)
}

fn check_name(name: &str) -> Result<()> {
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !name.ends_with('-')
        && name.len() <= 64;
    if !good {
        bail!(
            "`{name}` is no name of a project: up to 64 lower-case letters, digits and hyphens, such as rotate-logs"
        );
    }
    Ok(())
}

fn check_action(action: &str) -> Result<()> {
    let good = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    match action.split_once(':') {
        Some(("aws", _)) => bail!(
            "the namespace aws is taken by the built-in actions; take your own, such as acme:{}",
            &action[4..]
        ),
        Some((namespace, name)) if good(namespace) && good(name) => Ok(()),
        _ => bail!(
            "`{action}` is no name of an action: it has two parts, whose it is and what it does, such as acme:rotateLogs"
        ),
    }
}

/// `rotate-logs` as `rotateLogs`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut text, word| {
        let mut letters = word.chars();
        text.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        text.push_str(letters.as_str());
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{camel_case, check_action, check_name};

    #[test]
    fn names_are_checked() {
        for good in ["a", "rotate-logs", "x2"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "../a", "a b", "2x"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        for good in ["acme:rotateLogs", "a.b:c_d-e"] {
            assert!(check_action(good).is_ok(), "{good}");
        }
        for bad in ["acme", ":x", "a:", "a:b:c", "aws:x", "a:{{b}}"] {
            assert!(check_action(bad).is_err(), "{bad}");
        }
        assert_eq!(camel_case("rotate-old-logs"), "rotateOldLogs");
        assert_eq!(camel_case("a--b"), "aB");
    }
}
