//! Where packages come from: `REPOSITORY/NAME/manifest.json` describes the newest version, and
//! `REPOSITORY/NAME/VERSION/manifest.json` a certain one; the files it names are beside it.

use std::collections::BTreeMap;

use capstan_sdk::download::{self, Part};
use capstan_sdk::s3::{Bucket, Location};
use capstan_sdk::{Context, Failure, Platform, files, http, serde_json};
use serde::Deserialize;

const MANIFEST_BYTES: usize = 4 << 20;

/// The distributor's manifest, schema 2.0.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: String,
    pub(crate) version: String,
    /// Platform, its version, architecture.
    packages: BTreeMap<String, BTreeMap<String, BTreeMap<String, Package>>>,
    files: BTreeMap<String, File>,
}

#[derive(Debug, Deserialize)]
struct Package {
    file: String,
}

#[derive(Debug, Deserialize)]
struct File {
    checksums: BTreeMap<String, String>,
}

/// One package of a repository.
pub(crate) struct Source {
    place: Place,
    /// `NAME` or `NAME/VERSION`, with the repository's own path before it.
    folder: String,
}

enum Place {
    Folder,
    Web,
    S3(Bucket),
}

/// Finds a package.
pub(crate) fn find(
    repository: &str,
    name: &str,
    version: Option<&str>,
) -> Result<(Source, Manifest), Failure> {
    let below = match version {
        Some(version) => format!("{name}/{version}"),
        None => name.to_owned(),
    };
    let trimmed = repository.trim_end_matches('/');
    let source = match Location::parse(&format!("{trimmed}/")) {
        Ok(location) => Source {
            place: Place::S3(Bucket::of(&location)),
            folder: format!("{}{below}", location.key),
        },
        Err(_) if repository.starts_with('/') => Source {
            place: Place::Folder,
            folder: format!("{trimmed}/{below}"),
        },
        Err(_) if repository.starts_with("https://") || repository.starts_with("http://") => {
            Source {
                place: Place::Web,
                folder: format!("{trimmed}/{below}"),
            }
        }
        Err(_) => {
            return Err(Failure::invalid(format!(
                "`{repository}` is no repository: a folder, an http or https URL, s3://BUCKET/PREFIX, or system"
            )));
        }
    };
    let path = format!("{}/manifest.json", source.folder);
    let text = match &source.place {
        Place::Folder => files::read_all(&path)?,
        Place::Web => {
            let response = http::send(&http::get(&path))?;
            let status = response.status();
            if status != 200 {
                return Err(Failure::failed(format!(
                    "{path} answered with status {status}"
                )));
            }
            http::body(&response, MANIFEST_BYTES)?
        }
        Place::S3(bucket) => {
            let response = bucket.get(&path, &Part::whole())?;
            if response.status() != 200 {
                return Err(Failure::failed(format!(
                    "{}: {}",
                    bucket.url(&path),
                    bucket.explain(&response)
                )));
            }
            http::body(&response, MANIFEST_BYTES)?
        }
    };
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| Failure::failed(format!("the manifest {path} cannot be read: {error}")))?;
    if manifest.schema_version != "2.0" {
        return Err(Failure::failed(format!(
            "the manifest {path} has schemaVersion {}; 2.0 is known",
            manifest.schema_version
        )));
    }
    if !crate::is_word(&manifest.version) {
        return Err(Failure::failed(format!(
            "the manifest {path} has the version `{}`, which is no name of a folder",
            manifest.version
        )));
    }
    if let Some(wanted) = version
        && wanted != manifest.version
    {
        return Err(Failure::failed(format!(
            "the manifest {path} is of version {}, and not of {wanted}",
            manifest.version
        )));
    }
    Ok((source, manifest))
}

impl Source {
    /// Fetches the archive for this machine and checks it.
    pub(crate) fn fetch(
        &self,
        context: &Context,
        manifest: &Manifest,
        to: &str,
    ) -> Result<(), Failure> {
        let file = manifest.file_for(&context.platform)?;
        let sha256 = manifest
            .files
            .get(file)
            .and_then(|file| file.checksums.get("sha256"))
            .ok_or_else(|| {
                Failure::failed(format!("the manifest has no SHA-256 of its file {file}"))
            })?;
        if file.starts_with('.') || file.contains('/') {
            return Err(Failure::failed(format!(
                "the manifest names the file `{file}`, which is not beside it"
            )));
        }
        let path = format!("{}/{file}", self.folder);
        match &self.place {
            Place::S3(bucket) => bucket.download(&path, to, 0o600, Some(sha256)),
            Place::Web => {
                let get = |part: &Part| http::send(&http::get_part(&path, part));
                download::to_file(&path, get, to, 0o600, Some(sha256))
            }
            Place::Folder => {
                let (writer, _) = files::create(to, 0o600, None)?;
                let mut at = 0;
                loop {
                    let part = files::read(&path, at, 1 << 20)?;
                    if part.is_empty() {
                        break;
                    }
                    at += part.len() as u64;
                    writer.write(&part)?;
                }
                let found = writer.sha256();
                if !found.eq_ignore_ascii_case(sha256) {
                    return Err(Failure::failed(format!(
                        "{path} has the SHA-256 {found}, and not {sha256}"
                    )));
                }
                Ok(writer.commit()?)
            }
        }
    }
}

impl Manifest {
    /// The file for a machine: its own platform, version and architecture before `_any`.
    fn file_for(&self, platform: &Platform) -> Result<&str, Failure> {
        let none = || {
            Failure::failed(format!(
                "version {} of the package is not for {} {} on {}",
                self.version, platform.name, platform.version, platform.architecture
            ))
        };
        let versions = platform_names(&platform.name)
            .iter()
            .find_map(|name| self.packages.get(*name))
            .ok_or_else(none)?;
        let architectures = versions
            .iter()
            .filter_map(|(pattern, found)| Some((fit(pattern, &platform.version)?, found)))
            .max_by_key(|(fit, _)| *fit)
            .map(|(_, found)| found)
            .ok_or_else(none)?;
        let names: &[&str] = match platform.architecture.as_str() {
            "aarch64" => &["arm64", "aarch64", "_any"],
            "x86_64" => &["x86_64", "amd64", "_any"],
            "x86" => &["i386", "_any"],
            _ => &["_any"],
        };
        names
            .iter()
            .find_map(|name| architectures.get(*name))
            .map(|package| package.file.as_str())
            .ok_or_else(none)
    }
}

/// The distributor's names of a platform, from the `ID` of os-release.
fn platform_names(id: &str) -> Vec<&str> {
    let theirs = match id {
        "amzn" => "amazon",
        "rhel" => "redhat",
        "sles" | "sled" | "opensuse-leap" => "suse",
        "ol" => "oracle",
        other => other,
    };
    vec![id, theirs, "_any"]
}

/// How well a version fits a pattern: exactly, by `7.*`, or as `_any`.
fn fit(pattern: &str, version: &str) -> Option<usize> {
    if pattern == "_any" {
        Some(0)
    } else if pattern == version {
        Some(usize::MAX)
    } else {
        let prefix = pattern.strip_suffix('*')?;
        version.starts_with(prefix).then_some(prefix.len() + 1)
    }
}

#[cfg(test)]
mod tests {
    use capstan_sdk::{Platform, serde_json};

    use super::Manifest;

    #[test]
    fn the_nearest_platform_wins() {
        let manifest: Manifest = serde_json::from_str(
            r#"{ "schemaVersion": "2.0", "version": "1", "files": {}, "packages": {
                "amazon": { "2": { "x86_64": { "file": "amazon2.zip" } }, "_any": { "_any": { "file": "amazon.zip" } } },
                "redhat": { "7.*": { "x86_64": { "file": "redhat7.zip" } } },
                "_any": { "_any": { "arm64": { "file": "any-arm.zip" } } } } }"#,
        )
        .unwrap();
        for (name, version, architecture, expected) in [
            ("amzn", "2", "x86_64", Some("amazon2.zip")),
            ("amzn", "2023", "aarch64", Some("amazon.zip")),
            ("rhel", "7.9", "x86_64", Some("redhat7.zip")),
            ("rhel", "8.1", "x86_64", None),
            ("debian", "12", "aarch64", Some("any-arm.zip")),
            ("debian", "12", "x86_64", None),
        ] {
            let platform = Platform {
                kind: "linux".into(),
                name: name.into(),
                version: version.into(),
                architecture: architecture.into(),
            };
            assert_eq!(
                manifest.file_for(&platform).ok(),
                expected,
                "{name} {version} {architecture}"
            );
        }
    }
}
