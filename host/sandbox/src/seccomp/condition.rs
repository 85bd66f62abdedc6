//! Conditions on the arguments of a system call.

use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use crate::error::SandboxError;

pub(super) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> SandboxError {
    SandboxError::System {
        what: "building the seccomp filter".into(),
        error: std::io::Error::other(error),
    }
}

pub(super) fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, SandboxError> {
    SeccompRule::new(conditions).map_err(failed)
}

pub(super) fn condition(
    argument: u8,
    length: SeccompCmpArgLen,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, SandboxError> {
    SeccompCondition::new(argument, length, operator, value).map_err(failed)
}

/// An argument of 32 bits is this.
pub(super) fn is(argument: u8, value: u64) -> Result<SeccompCondition, SandboxError> {
    condition(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

/// An argument of 32 bits is not this.
pub(super) fn differs(argument: u8, value: u64) -> Result<SeccompCondition, SandboxError> {
    condition(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
}

/// An argument of 64 bits, such as a pointer, is not this.
pub(super) fn differs_wide(argument: u8, value: u64) -> Result<SeccompCondition, SandboxError> {
    condition(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, value)
}

/// An argument of 32 bits has all of these bits.
pub(super) fn has_bits(argument: u8, bits: u64) -> Result<SeccompCondition, SandboxError> {
    condition(
        argument,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(bits),
        bits,
    )
}

/// An argument of 64 bits has all of these bits.
pub(super) fn has_bits_wide(argument: u8, bits: u64) -> Result<SeccompCondition, SandboxError> {
    condition(
        argument,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(bits),
        bits,
    )
}
