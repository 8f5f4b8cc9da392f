//! What went wrong, in words that hold no key, value or secret.

use std::{error::Error, io, sync::Arc};

use redis::{ErrorKind, RedisError};

use super::{super::StoreError, DEADLINE};

/// Why a server cannot be used, in one line.
#[derive(Debug)]
pub(super) enum Fault {
    /// It may pass by itself.
    Away(String),
    /// It lasts until somebody changes a setting.
    Unfit(String),
}

impl Fault {
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Away(text) | Self::Unfit(text) => text,
        }
    }
}

/// An error of a call, by what its caller can do about it. The result of the call is unknown.
pub(super) fn store_error(error: &RedisError) -> StoreError {
    if error.is_timeout() {
        return StoreError::Deadline(DEADLINE);
    }
    match error.code() {
        Some("OOM") => StoreError::Full("Redis has reached its maxmemory".into()),
        _ => StoreError::Unavailable(text(error)),
    }
}

/// Whether the connection must be replaced: it is lost, or leads to a server that may not be written to, as after
/// a fail-over.
pub(super) fn must_reconnect(error: &RedisError) -> bool {
    const WRONG_SERVER: [&str; 5] = [
        "READONLY",
        "MOVED",
        "CLUSTERDOWN",
        "MASTERDOWN",
        // It may be the old primary, cut off from the others.
        "NOREPLICAS",
    ];
    error.is_unrecoverable_error()
        || error.is_io_error()
        || error
            .code()
            .is_some_and(|code| WRONG_SERVER.contains(&code))
}

/// Whether another server has the keys: this one did nothing.
pub(super) fn is_moved(error: &RedisError) -> bool {
    error.code() == Some("MOVED")
}

/// A short text from fixed words: the server's own messages may quote keys and values.
pub(super) fn text(error: &RedisError) -> String {
    if error.is_connection_refusal() {
        return "connection refused".into();
    }
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let fixed = match error.code() {
        Some("READONLY") => "Redis is a read-only replica",
        Some("LOADING") => "Redis is loading its data",
        Some("BUSY") => "Redis is busy with a script",
        Some("MISCONF") => "Redis cannot write to its disk",
        Some("OOM") => "Redis has reached its maxmemory",
        Some("NOPERM") => "Redis does not permit this user a command",
        Some("MOVED" | "ASK" | "TRYAGAIN") => "the Redis cluster is moving the shard",
        Some("CLUSTERDOWN") => "the Redis cluster is down",
        Some("NOREPLICAS") => "Redis has fewer replicas than min-replicas-to-write asks for",
        Some("NOAUTH" | "WRONGPASS") => "Redis refuses the user name or password",
        Some(code) => return format!("Redis answered with the error {}", shown(code)),
        None => match error.kind() {
            ErrorKind::Io => return transport(error),
            ErrorKind::AuthenticationFailed => "Redis refuses the user name or password",
            ErrorKind::RESP3NotSupported => "the server does not speak RESP3",
            ErrorKind::InvalidClientConfig => "the connection's settings are not valid",
            _ => "Redis gave an answer that cannot be understood",
        },
    };
    fixed.into()
}

/// The system's or the TLS library's words for a failing connection: they know nothing of keys and values.
fn transport(error: &RedisError) -> String {
    // The crate gives its source out inside an `Arc`, which must be looked through.
    let cause = error
        .source()
        .and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>())
        .and_then(|shared| shared.downcast_ref::<io::Error>());
    match cause {
        Some(cause) => format!("the connection failed: {cause}"),
        None => "the connection was lost".into(),
    }
}

/// A reply that no script of ours gives.
pub(super) fn unexpected() -> StoreError {
    StoreError::Unavailable("Redis gave an unexpected reply".into())
}

/// An error code is one word in capitals; anything else is not shown.
fn shown(code: &str) -> &str {
    let is_word = code.len() <= 32 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_word { code } else { "(unknown)" }
}

#[cfg(test)]
mod tests {
    use redis::make_extension_error;

    use super::*;

    #[test]
    fn an_error_never_quotes_the_server() {
        let codes = [
            "OOM",
            "READONLY",
            "LOADING",
            "BUSY",
            "MISCONF",
            "WRONGTYPE",
            "secret-x",
        ];
        for code in codes {
            let error = make_extension_error(code.into(), Some("key secret-42".into()));
            assert!(
                !store_error(&error).to_string().contains("secret"),
                "{code}"
            );
        }
    }

    #[test]
    fn only_oom_is_full() {
        let error = |code: &str| store_error(&make_extension_error(code.into(), None));
        assert!(matches!(error("OOM"), StoreError::Full(_)));
        assert!(matches!(error("MISCONF"), StoreError::Unavailable(_)));
    }
}
