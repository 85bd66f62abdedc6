//! `sourceType: S3`: an object, or all that is below a prefix.

use capstan_sdk::s3::{Bucket, Location};
use capstan_sdk::{Context, Failure, Outcome};

use crate::{MODE, below, done, folder, place, source};

pub(crate) fn fetch(
    context: &Context,
    url: &str,
    destination: &str,
    sha256: Option<&str>,
) -> Result<Outcome, Failure> {
    let location = Location::parse(url)?;
    if location.key.is_empty() {
        return Err(Failure::invalid(format!("{url} names no object")));
    }
    let bucket = Bucket::of(&location);
    let prefix = format!("{}/", location.key.trim_end_matches('/'));
    // Whoever may read one object need not be allowed to list the bucket: then it is an object. What has a version
    // is one as well.
    let listed = if location.version.is_some() {
        Vec::new()
    } else {
        match bucket.list(&prefix) {
            Ok(keys) => keys,
            Err(error) if location.key.ends_with('/') => return Err(error),
            Err(_) => Vec::new(),
        }
    };
    let keys: Vec<&String> = listed.iter().filter(|key| !key.ends_with('/')).collect();
    if keys.is_empty() && location.key.ends_with('/') {
        return Err(Failure::failed(format!("there is nothing below {url}")));
    }
    if keys.is_empty() {
        let name = source::file_name(&location.key).or_else(|| location.key.rsplit('/').next());
        let path = place(context, destination, name.unwrap_or("download"));
        bucket.download(&location.key, &path, MODE, sha256)?;
        return done(&path);
    }
    source::no_sum(sha256, "a folder")?;
    let folder = folder(context, destination)?;
    for key in &keys {
        let path = below(&folder, &key[prefix.len()..])?;
        bucket.download(key, &path, MODE, None)?;
    }
    done(&folder)
}
