//! The node's AWS credentials, and what is signed with them. No component and no worker ever sees them.

use std::path::PathBuf;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use capstan_runtime::{BrokerError, SignRequest};
use configparser::ini::Ini;

/// From the environment, else from the shared credentials file: the first two places where AWS's own tools look.
///
/// # Errors
/// [`BrokerError::NotFound`] when there are none, [`BrokerError::Io`] when the file cannot be read.
pub fn find() -> Result<Credentials, BrokerError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let (Some(id), Some(key)) = (
        variable("AWS_ACCESS_KEY_ID"),
        variable("AWS_SECRET_ACCESS_KEY"),
    ) {
        let token = variable("AWS_SESSION_TOKEN");
        return Ok(Credentials::new(id, key, token, None, "environment"));
    }
    let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
    let file = variable("AWS_SHARED_CREDENTIALS_FILE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".aws/credentials")));
    let missing = || {
        BrokerError::NotFound(format!(
            "AWS credentials of this node (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile {profile} of the shared credentials file)"
        ))
    };
    let Some(file) = file.filter(|file| file.is_file()) else {
        return Err(missing());
    };
    let mut ini = Ini::new_cs();
    ini.load(&file)
        .map_err(|error| BrokerError::Io(format!("{}: {error}", file.display())))?;
    match (
        ini.get(&profile, "aws_access_key_id"),
        ini.get(&profile, "aws_secret_access_key"),
    ) {
        (Some(id), Some(key)) => {
            let token = ini.get(&profile, "aws_session_token");
            Ok(Credentials::new(id, key, token, None, "shared file"))
        }
        _ => Err(missing()),
    }
}

/// The headers that sign a request with these keys.
///
/// # Errors
/// When the request cannot be signed.
pub fn sign_with(
    id: &str,
    key: &str,
    request: &SignRequest,
    now: SystemTime,
) -> Result<Vec<(String, String)>, BrokerError> {
    headers(
        &Credentials::new(id, key, None, None, "given"),
        request,
        now,
    )
}

/// The headers that sign a request (Signature Version 4).
///
/// # Errors
/// When the request cannot be signed.
pub fn headers(
    credentials: &Credentials,
    request: &SignRequest,
    now: SystemTime,
) -> Result<Vec<(String, String)>, BrokerError> {
    let mut settings = SigningSettings::default();
    if request.service == "s3" {
        // S3 takes paths as they are, and wants the hash of the body as a header.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    let failed = |error: &dyn std::fmt::Display| {
        BrokerError::Invalid(format!("{} cannot be signed: {error}", request.url))
    };
    let identity = credentials.clone().into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(&request.region)
        .name(&request.service)
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| failed(&error))?
        .into();
    let sent = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let signable = SignableRequest::new(
        &request.method,
        &request.url,
        sent,
        SignableBody::Precomputed(request.body_sha256.clone()),
    )
    .map_err(|error| failed(&error))?;
    let (instructions, _) = sign(signable, &parameters)
        .map_err(|error| failed(&error))?
        .into_parts();
    Ok(instructions
        .headers()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::{Duration, UNIX_EPOCH};

    use aws_credential_types::Credentials;
    use capstan_runtime::SignRequest;

    use super::headers;

    /// The example "GET Object" of AWS's page on signing for S3.
    #[test]
    fn a_request_to_s3_is_signed_as_documented() {
        let credentials = Credentials::new(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            None,
            None,
            "test",
        );
        let request = SignRequest {
            service: "s3".into(),
            region: "us-east-1".into(),
            method: "GET".into(),
            url: "https://examplebucket.s3.amazonaws.com/test.txt".into(),
            headers: vec![("range".into(), "bytes=0-9".into())],
            body_sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into(),
        };
        let now = UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        let signed = headers(&credentials, &request, now).unwrap();
        let authorization = &signed
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
            .unwrap()
            .1;
        assert!(
            authorization.ends_with(
                "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
            ),
            "{authorization}"
        );
    }
}
