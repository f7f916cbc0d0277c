//! Connects, and judges whether the server may be used.

use std::time::Duration;

use redis::{
    Client, ConnectionInfo, IntoConnectionInfo as _, TlsCertificates,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

use super::{RedisOptions, scripts::Scripts};

/// How long the first connection may take.
const START: Duration = Duration::from_secs(5);

/// How long the network may say nothing of what was sent until the connection is given up. Where it swallows everything, the system would
/// go on with the same connection for a quarter of an hour.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_secs(2);

/// Why a server is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the URL of the session store cannot be used")]
    Url(#[source] redis::RedisError),
    #[error("Redis cannot be reached, or refuses")]
    Redis(#[from] redis::RedisError),
    #[error("Redis did not answer within {START:?}")]
    Silent(#[from] tokio::time::error::Elapsed),
    #[error(
        "maxmemory-policy is {0:?} and must be noeviction: a server that drops keys when memory is short forgets how often \
         somebody has tried"
    )]
    Evicts(String),
    #[error("Redis does not say its maxmemory-policy: the user needs the command INFO")]
    Reticent,
}

pub(super) async fn connect(
    url: &str,
    options: &RedisOptions,
    scripts: &Scripts,
) -> Result<ConnectionManager, ConnectError> {
    let client = client(url, options).map_err(ConnectError::Url)?;
    tokio::time::timeout(START, check(&client, options.allow_eviction, scripts)).await??;
    // A lost connection is made again in the background, soon and often: a server that comes back is used within a second.
    // After the last try the next command begins anew.
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(1)))
        // Each command has its own limit: a second timer would only cost.
        .set_response_timeout(None)
        .set_min_delay(Duration::from_millis(20))
        .set_max_delay(Duration::from_millis(300))
        .set_exponent_base(2.0)
        .set_number_of_retries(64);
    Ok(ConnectionManager::new_lazy_with_config(client, config)?)
}

fn client(url: &str, options: &RedisOptions) -> redis::RedisResult<Client> {
    let info: ConnectionInfo = url.into_connection_info()?;
    // Not sent: the name of the library is of no use to the server, and needs one more right.
    let redis = info.redis_settings().clone().set_skip_set_lib_name();
    let info = info.set_redis_settings(redis);
    #[cfg(target_os = "linux")]
    let info = info.clone().set_tcp_settings(info.tcp_settings().clone().set_user_timeout(SILENCE));
    if !url.starts_with("rediss:") {
        return Client::open(info);
    }
    // The client takes the process's default provider; one that was installed before stays.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let certificates = TlsCertificates { client_tls: None, root_cert: options.ca_pem.clone() };
    Client::build_with_tls(info, certificates)
}

async fn check(client: &Client, allow_eviction: bool, scripts: &Scripts) -> Result<(), ConnectError> {
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("PING").exec_async(&mut connection).await?;
    // The others are loaded when they are needed, which is one more way to the server. Nobody waits for this one.
    scripts.load_settle(&mut connection).await?;
    let memory: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await?;
    match judge(&memory) {
        Err(ConnectError::Evicts(policy)) if allow_eviction => {
            tracing::warn!(policy, "the session store may drop throttles when its memory is short; this was allowed");
            Ok(())
        }
        verdict => verdict,
    }
}

/// Judges what a server says of its memory (`INFO memory`).
pub(super) fn judge(memory: &str) -> Result<(), ConnectError> {
    let policy =
        memory.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).ok_or(ConnectError::Reticent)?.trim();
    if policy == "noeviction" { Ok(()) } else { Err(ConnectError::Evicts(policy.to_owned())) }
}
