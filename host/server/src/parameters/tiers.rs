//! Tiers, and how many parameters there are of each.

use capstan_store::{StoreError, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// The tier of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Tier {
    Standard,
    Advanced,
}

/// The tier that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Wanted {
    Standard,
    Advanced,
    #[serde(rename = "Intelligent-Tiering")]
    Intelligent,
}

impl Tier {
    /// As columns have it.
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::Advanced => "Advanced",
        }
    }

    pub(super) fn of_column(text: &str) -> Self {
        if text == "Advanced" {
            Self::Advanced
        } else {
            Self::Standard
        }
    }

    /// Bytes of a value.
    pub(super) fn largest(self) -> usize {
        match self {
            Self::Standard => 4096,
            Self::Advanced => 8192,
        }
    }

    /// Parameters that there can be.
    fn most(self) -> i64 {
        match self {
            Self::Standard => 10_000,
            Self::Advanced => 100_000,
        }
    }

    /// One more of this tier; false when there can be no more.
    pub(super) fn take(self, tx: &mut Transaction<'_>) -> Result<bool, StoreError> {
        let taken = tx.execute(
            "UPDATE parameter_counts SET count = count + 1 WHERE tier = $1 AND count < $2",
            params![self.column(), self.most()],
        )?;
        Ok(taken > 0)
    }

    /// So many less.
    pub(super) fn give_back(self, tx: &mut Transaction<'_>, number: i64) -> Result<(), StoreError> {
        if number > 0 {
            tx.execute(
                "UPDATE parameter_counts SET count = count - $2 WHERE tier = $1",
                params![self.column(), number],
            )?;
        }
        Ok(())
    }

    /// There can be no more of this tier.
    pub(super) fn full(self) -> ApiError {
        let most = self.most();
        ApiError::new(
            "ParameterLimitExceeded",
            match self {
                Self::Standard => format!(
                    "You have reached the maximum number of standard parameters for this AWS account and Region ({most}). \
                     To add more parameters, either delete existing parameters or use the advanced-parameter tier."
                ),
                Self::Advanced => format!(
                    "You have reached the maximum number of advanced parameters for this AWS account and Region ({most}). \
                     To add more parameters, delete existing parameters."
                ),
            },
        )
    }
}
