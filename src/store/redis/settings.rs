//! What the server must be, and how it must be set, to keep a durability.

use redis::{RedisError, aio::MultiplexedConnection};

use super::error::{self, Fault};
use crate::config::Durability;

const OLDEST_MAJOR: u32 = 7;
/// As a server calls its role.
const PRIMARY: &str = "master";

/// What a server says of itself.
#[derive(Clone, Debug, Default)]
struct Settings {
    version: String,
    role: String,
    maxmemory_policy: String,
    appendonly: String,
    appendfsync: String,
    no_appendfsync_on_rewrite: String,
}

/// Refuses a server that cannot keep `durability`, in one line that says what to change.
pub(super) async fn check(
    connection: &mut MultiplexedConnection,
    address: &str,
    durability: Durability,
) -> Result<(), Fault> {
    let settings = read(connection, address).await?;
    judge(&settings, durability).map_err(|fault| {
        let text = format!("Redis at {address}: {fault}");
        // A fail-over may make it the primary, or let another be found.
        if settings.role == PRIMARY {
            Fault::Unfit(text)
        } else {
            Fault::Away(text)
        }
    })
}

async fn read(connection: &mut MultiplexedConnection, address: &str) -> Result<Settings, Fault> {
    let info: String = redis::cmd("INFO")
        .arg(&["server", "replication"])
        .query_async(connection)
        .await
        .map_err(|error| refused(address, "INFO", "+info", &error))?;
    let mut settings = Settings {
        version: info_field(&info, "redis_version"),
        role: info_field(&info, "role"),
        ..Settings::default()
    };
    for (name, value) in [
        ("maxmemory-policy", &mut settings.maxmemory_policy),
        ("appendonly", &mut settings.appendonly),
        ("appendfsync", &mut settings.appendfsync),
        (
            "no-appendfsync-on-rewrite",
            &mut settings.no_appendfsync_on_rewrite,
        ),
    ] {
        let pair: Vec<(String, String)> = redis::cmd("CONFIG")
            .arg(&["GET", name])
            .query_async(connection)
            .await
            .map_err(|error| refused(address, "CONFIG GET", "+config|get", &error))?;
        *value = pair.into_iter().map(|(_, value)| value).collect();
    }
    Ok(settings)
}

fn refused(address: &str, command: &str, permission: &str, error: &RedisError) -> Fault {
    if error::must_reconnect(error) {
        let error = error::text(error);
        return Fault::Away(format!("cannot reach Redis at {address}: {error}"));
    }
    let text = format!(
        "Redis at {address} refuses {command} ({}), so its settings cannot be checked against `durability`; \
         permit it to Hookgate's user: redis-cli ACL SETUSER NAME {permission}",
        error::text(error)
    );
    // Otherwise it may be busy or loading.
    if error.code() == Some("NOPERM") {
        Fault::Unfit(text)
    } else {
        Fault::Away(text)
    }
}

fn info_field(info: &str, name: &str) -> String {
    info.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

fn judge(settings: &Settings, durability: Durability) -> Result<(), String> {
    let major = settings.version.split('.').next().unwrap_or_default();
    if major.parse::<u32>().unwrap_or(0) < OLDEST_MAJOR {
        return Err(format!(
            "version {} is too old; Hookgate needs Redis 7.0 or newer, or Valkey",
            settings.version
        ));
    }
    if settings.role != PRIMARY {
        return Err("it is a replica; connect to the primary (in `store.url`)".into());
    }
    // Under any other policy Redis removes remembered ids and stored events without an error.
    must_be(
        "maxmemory-policy",
        &settings.maxmemory_policy,
        &["noeviction"],
        "never to lose events",
    )?;
    let (fsync, promise): (&[&str], _) = match durability {
        Durability::Memory => return Ok(()),
        Durability::Everysec => (&["everysec", "always"], "for durability = \"everysec\""),
        Durability::Always => (&["always"], "for durability = \"always\""),
    };
    must_be("appendonly", &settings.appendonly, &["yes"], promise)?;
    must_be("appendfsync", &settings.appendfsync, fsync, promise)?;
    // With it nothing is synced for as long as a rewrite of the file or a snapshot takes, whatever `appendfsync` says.
    must_be(
        "no-appendfsync-on-rewrite",
        &settings.no_appendfsync_on_rewrite,
        &["no"],
        promise,
    )
}

fn must_be(setting: &str, value: &str, allowed: &[&str], why: &str) -> Result<(), String> {
    if allowed.contains(&value) {
        return Ok(());
    }
    let needed = allowed[0];
    Err(format!(
        "{setting} is {value} and must be {needed} {why}; run: redis-cli CONFIG SET {setting} {needed} \
         (and put the line `{setting} {needed}` into redis.conf)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Settings {
        Settings {
            version: "7.0.15".into(),
            role: "master".into(),
            maxmemory_policy: "noeviction".into(),
            appendonly: "yes".into(),
            appendfsync: "always".into(),
            no_appendfsync_on_rewrite: "no".into(),
        }
    }

    #[test]
    fn a_durable_server_keeps_every_durability() {
        for durability in [Durability::Always, Durability::Everysec, Durability::Memory] {
            assert_eq!(judge(&good(), durability), Ok(()));
        }
    }

    #[test]
    fn everysec_is_enough_only_for_everysec() {
        let settings = Settings {
            appendfsync: "everysec".into(),
            ..good()
        };
        assert_eq!(judge(&settings, Durability::Everysec), Ok(()));
        let fault = judge(&settings, Durability::Always).unwrap_err();
        assert!(
            fault.contains("appendfsync is everysec and must be always"),
            "{fault}"
        );
        assert!(
            fault.contains("redis-cli CONFIG SET appendfsync always"),
            "{fault}"
        );
    }

    #[test]
    fn no_durability_survives_eviction() {
        for policy in ["allkeys-lru", "allkeys-random", "volatile-ttl", ""] {
            let settings = Settings {
                maxmemory_policy: policy.into(),
                ..good()
            };
            let fault = judge(&settings, Durability::Memory).unwrap_err();
            assert!(fault.contains("maxmemory-policy"), "{fault}");
        }
    }

    #[test]
    fn memory_needs_no_append_only_file_and_the_others_do() {
        let settings = Settings {
            appendonly: "no".into(),
            ..good()
        };
        assert_eq!(judge(&settings, Durability::Memory), Ok(()));
        for durability in [Durability::Always, Durability::Everysec] {
            assert!(
                judge(&settings, durability)
                    .unwrap_err()
                    .contains("appendonly is no")
            );
        }
    }

    #[test]
    fn a_rewrite_must_not_suspend_the_syncs() {
        let settings = Settings {
            no_appendfsync_on_rewrite: "yes".into(),
            ..good()
        };
        assert_eq!(judge(&settings, Durability::Memory), Ok(()));
        for durability in [Durability::Always, Durability::Everysec] {
            let fault = judge(&settings, durability).unwrap_err();
            assert!(fault.contains("no-appendfsync-on-rewrite"), "{fault}");
        }
    }

    #[test]
    fn old_servers_and_replicas_are_refused() {
        for (version, role, word) in [
            ("6.2.14", "master", "too old"),
            ("", "master", "too old"),
            ("7.2.4", "slave", "replica"),
        ] {
            let settings = Settings {
                version: version.into(),
                role: role.into(),
                ..good()
            };
            let fault = judge(&settings, Durability::Memory).unwrap_err();
            assert!(fault.contains(word), "{fault}");
        }
    }

    #[test]
    fn fields_are_found_in_the_servers_own_words() {
        let info = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\n# Replication\r\nrole:master\r\n";
        assert_eq!(info_field(info, "redis_version"), "7.2.4");
        assert_eq!(info_field(info, "role"), "master");
        assert_eq!(info_field(info, "absent"), "");
    }
}
