//! The local Parameter Store: one file, for this user alone. Secure values are kept in it as they are; what guards
//! them is the file's mode.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use async_trait::async_trait;
use capstan_document::StoredParameter;
use serde::{Deserialize, Serialize};

use crate::error::RunnerError;
use crate::state::open_private;

/// SSM's types of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "SSM's words")]
pub enum ParameterKind {
    String,
    StringList,
    SecureString,
}

/// One version of a parameter.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredVersion {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ParameterKind,
    /// Its value; lists are separated by commas.
    pub value: String,
    /// Counts from 1.
    pub version: u64,
    /// When it was put.
    pub modified: String,
    /// Its labels: names for this version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// Labels of one version, as many as SSM lets it have.
const MAX_LABELS: usize = 10;

/// By SSM's rules: no number could be told from a version.
fn check_label(label: &str) -> Result<(), RunnerError> {
    let lower = label.to_lowercase();
    let good = (1..=100).contains(&label.len())
        && !label.starts_with(|c: char| c.is_ascii_digit())
        && !lower.starts_with("aws")
        && !lower.starts_with("ssm")
        && label
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if good {
        Ok(())
    } else {
        Err(RunnerError::Invalid(format!(
            "`{label}` is no label; labels are of up to 100 letters, digits, `_`, `-` and `.`, and begin with neither a digit nor aws or ssm"
        )))
    }
}

/// Where the parameters come from that documents refer to and that steps read.
#[async_trait]
pub trait ParameterSource: std::fmt::Debug + Send + Sync {
    /// A parameter by name, `name:version` or `name:label`, with the value of a secure one as it is. The caller sees
    /// to it that such a value gets no further than it may.
    ///
    /// # Errors
    /// When it cannot be told whether there is such a parameter.
    async fn parameter(&self, name: &str) -> Result<Option<StoredVersion>, RunnerError>;
}

#[async_trait]
impl ParameterSource for ParameterStore {
    async fn parameter(&self, name: &str) -> Result<Option<StoredVersion>, RunnerError> {
        self.get(name)
    }
}

/// The values that a document refers to, as far as they exist.
pub(crate) async fn resolve(
    source: &dyn ParameterSource,
    names: &[String],
) -> Result<BTreeMap<String, StoredParameter>, RunnerError> {
    let mut values = BTreeMap::new();
    for name in names {
        if let Some(found) = source.parameter(name).await? {
            let value = match found.kind {
                ParameterKind::String => StoredParameter::String(found.value),
                ParameterKind::StringList => {
                    StoredParameter::StringList(found.value.split(',').map(str::to_owned).collect())
                }
                ParameterKind::SecureString => StoredParameter::SecureString,
            };
            values.insert(name.clone(), value);
        }
    }
    Ok(values)
}

/// Parameters in a file.
#[derive(Debug, Clone)]
pub struct ParameterStore {
    path: PathBuf,
}

type Content = BTreeMap<String, Vec<StoredVersion>>;

impl ParameterStore {
    /// In this file, which need not be there yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn failed(&self) -> String {
        format!("the parameters in {}", self.path.display())
    }

    fn load(&self) -> Result<Content, RunnerError> {
        match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                RunnerError::Invalid(format!("{} are damaged: {error}", self.failed()))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Content::new()),
            Err(error) => Err(RunnerError::io(self.failed())(error)),
        }
    }

    /// Changes the content under a lock, and puts it in place as a whole.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Content) -> Result<T, RunnerError>,
    ) -> Result<T, RunnerError> {
        let lock = open_private(&self.path.with_extension("lock"))
            .map_err(RunnerError::io(self.failed()))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|error| RunnerError::io(self.failed())(error.into()))?;
        let mut content = self.load()?;
        let result = change(&mut content)?;
        let temporary = self.path.with_extension("new");
        let put = || -> std::io::Result<()> {
            let mut file = open_private(&temporary)?;
            file.set_len(0)?;
            file.write_all(&serde_json::to_vec_pretty(&content)?)?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)
        };
        put().map_err(RunnerError::io(self.failed()))?;
        Ok(result)
    }

    /// Puts a value and returns its version.
    ///
    /// # Errors
    /// When there is one already and `overwrite` is not set, or the name or value is not allowed.
    pub fn put(
        &self,
        name: &str,
        value: &str,
        kind: ParameterKind,
        overwrite: bool,
    ) -> Result<u64, RunnerError> {
        let good = !name.is_empty()
            && name.len() <= 1011
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'));
        if !good {
            return Err(RunnerError::Invalid(format!(
                "`{name}` is no name for a parameter; names are of letters, digits, `_`, `-`, `.` and `/`"
            )));
        }
        if value.is_empty() || value.len() > 8192 {
            return Err(RunnerError::Invalid(format!(
                "the value of {name} has {} bytes; it has 1 to 8192",
                value.len()
            )));
        }
        let modified = jiff::Timestamp::now().to_string();
        self.change(|content| {
            let versions = content.entry(name.to_owned()).or_default();
            match versions.last() {
                Some(_) if !overwrite => {
                    return Err(RunnerError::Invalid(format!(
                        "the parameter {name} is there already; --overwrite replaces it"
                    )));
                }
                Some(last) if last.kind != kind && kind != ParameterKind::SecureString => {
                    return Err(RunnerError::Invalid(format!(
                        "the parameter {name} is a {:?}; its type cannot be changed",
                        last.kind
                    )));
                }
                _ => {}
            }
            let version = versions.last().map_or(1, |last| last.version + 1);
            versions.push(StoredVersion {
                kind,
                value: value.to_owned(),
                version,
                modified,
                labels: Vec::new(),
            });
            Ok(version)
        })
    }

    /// Gives a version labels, the latest one if none is named, and returns which it was. A label that another
    /// version has moves to this one.
    ///
    /// # Errors
    /// When there is no such version, a label is not allowed, or there are too many.
    pub fn label(
        &self,
        name: &str,
        version: Option<u64>,
        labels: &[String],
    ) -> Result<u64, RunnerError> {
        labels.iter().try_for_each(|label| check_label(label))?;
        self.change(|content| {
            let missing = |what: String| RunnerError::Invalid(format!("there is no {what}"));
            let versions = content
                .get_mut(name)
                .ok_or_else(|| missing(format!("parameter {name}")))?;
            let last = versions.last().map_or(0, |last| last.version);
            let version = version.unwrap_or(last);
            if !versions.iter().any(|one| one.version == version) {
                return Err(missing(format!(
                    "version {version} of the parameter {name}; the latest is {last}"
                )));
            }
            for one in versions {
                one.labels.retain(|label| !labels.contains(label));
                if one.version != version {
                    continue;
                }
                for label in labels {
                    if !one.labels.contains(label) {
                        one.labels.push(label.clone());
                    }
                }
                if one.labels.len() > MAX_LABELS {
                    return Err(RunnerError::Invalid(format!(
                        "version {version} of {name} would have {} labels; it can have {MAX_LABELS}",
                        one.labels.len()
                    )));
                }
            }
            Ok(version)
        })
    }

    /// A parameter by name, `name:version` or `name:label`.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn get(&self, name: &str) -> Result<Option<StoredVersion>, RunnerError> {
        let content = self.load()?;
        if let Some(versions) = content.get(name) {
            return Ok(versions.last().cloned());
        }
        let Some((name, selector)) = name.rsplit_once(':') else {
            return Ok(None);
        };
        let number: Option<u64> = selector.parse().ok();
        Ok(content
            .get(name)
            .and_then(|versions| {
                versions.iter().find(|one| {
                    Some(one.version) == number || one.labels.iter().any(|label| label == selector)
                })
            })
            .cloned())
    }

    /// Removes a parameter with all its versions; tells whether it was there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn delete(&self, name: &str) -> Result<bool, RunnerError> {
        self.change(|content| Ok(content.remove(name).is_some()))
    }

    /// All parameters, each with its last version.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn list(&self) -> Result<Vec<(String, StoredVersion)>, RunnerError> {
        Ok(self
            .load()?
            .into_iter()
            .filter_map(|(name, mut versions)| Some((name, versions.pop()?)))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt as _;

    use capstan_document::StoredParameter;

    use super::ParameterKind::{SecureString, String, StringList};
    use super::ParameterStore;
    use crate::testing::Folder;

    fn store(folder: &Folder) -> ParameterStore {
        ParameterStore::new(folder.path().join("parameters.json"))
    }

    #[test]
    fn values_are_kept_by_version_in_a_file_for_this_user_alone() {
        let folder = Folder::new();
        assert!(store(&folder).get("/app/port").unwrap().is_none());
        assert_eq!(
            store(&folder)
                .put("/app/port", "80", String, false)
                .unwrap(),
            1
        );
        assert!(
            store(&folder)
                .put("/app/port", "81", String, false)
                .unwrap_err()
                .to_string()
                .contains("already")
        );
        assert_eq!(
            store(&folder).put("/app/port", "81", String, true).unwrap(),
            2
        );
        for (name, value) in [
            ("/app/port", Some("81")),
            ("/app/port:1", Some("80")),
            ("/app/port:3", None),
            ("/app:x", None),
        ] {
            assert_eq!(
                store(&folder)
                    .get(name)
                    .unwrap()
                    .map(|found| found.value)
                    .as_deref(),
                value,
                "{name}"
            );
        }
        let file = std::fs::metadata(folder.path().join("parameters.json")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        assert!(store(&folder).delete("/app/port").unwrap());
        assert!(!store(&folder).delete("/app/port").unwrap());
    }

    #[test]
    fn what_is_no_parameter_is_refused() {
        let folder = Folder::new();
        for (name, value) in [("", "x"), ("a b", "x"), ("a:1", "x"), ("é", "x"), ("a", "")] {
            assert!(
                store(&folder).put(name, value, String, false).is_err(),
                "{name:?} {value:?}"
            );
        }
        store(&folder).put("a", "x", String, false).unwrap();
        assert!(store(&folder).put("a", "x", StringList, true).is_err());
        std::fs::write(folder.path().join("parameters.json"), "{").unwrap();
        assert!(
            store(&folder)
                .get("a")
                .unwrap_err()
                .to_string()
                .contains("damaged")
        );
    }

    #[tokio::test]
    async fn documents_get_what_they_may_hold() {
        let folder = Folder::new();
        store(&folder).put("s", "x", String, false).unwrap();
        store(&folder).put("l", "x,y", StringList, false).unwrap();
        store(&folder).put("k", "x", SecureString, false).unwrap();
        let names: Vec<_> = ["s", "l", "k", "none"].map(str::to_owned).into();
        let values = super::resolve(&store(&folder), &names).await.unwrap();
        assert_eq!(values.len(), 3);
        assert_eq!(
            values["l"],
            StoredParameter::StringList(vec!["x".into(), "y".into()])
        );
        assert_eq!(values["k"], StoredParameter::SecureString);
    }

    #[test]
    fn a_label_is_of_one_version_at_a_time() {
        let folder = Folder::new();
        let store = store(&folder);
        for value in ["80", "81"] {
            store.put("/app/port", value, String, true).unwrap();
        }
        let labels = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let value = |name: &str| store.get(name).unwrap().map(|found| found.value);
        assert_eq!(
            store
                .label("/app/port", Some(1), &labels(&["prod", "old"]))
                .unwrap(),
            1
        );
        assert_eq!(value("/app/port:prod").as_deref(), Some("80"));
        assert_eq!(
            store.label("/app/port", None, &labels(&["prod"])).unwrap(),
            2
        );
        assert_eq!(value("/app/port:prod").as_deref(), Some("81"));
        assert_eq!(value("/app/port:old").as_deref(), Some("80"));
        assert_eq!(value("/app/port:none"), None);
        for (name, version, label) in [
            ("/app/port", Some(3), "x"),
            ("/app", None, "x"),
            ("/app/port", None, "1st"),
            ("/app/port", None, "awsome"),
            ("/app/port", None, "a b"),
            ("/app/port", None, ""),
        ] {
            assert!(
                store.label(name, version, &labels(&[label])).is_err(),
                "{name} {version:?} {label}"
            );
        }
        let many: Vec<_> = (0..11).map(|number| format!("l{number}")).collect();
        assert!(store.label("/app/port", Some(1), &many).is_err());
        assert_eq!(value("/app/port:l1"), None);
    }

    #[test]
    fn writers_take_turns() {
        let folder = Folder::new();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let store = store(&folder);
                scope.spawn(move || {
                    for number in 0..10 {
                        store
                            .put(&format!("p{writer}.{number}"), "x", String, false)
                            .unwrap();
                    }
                });
            }
        });
        assert_eq!(store(&folder).list().unwrap().len(), 40);
    }
}
