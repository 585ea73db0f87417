//! Where the server is: the text that a user gives, and how it is connected to.
//!
//! ```text
//! redis://[USER][:PASSWORD@]HOST[:PORT][/DATABASE]     rediss:// for TLS
//!     ?ssl_ca_certs=FILE&ssl_certfile=FILE&ssl_keyfile=FILE (rediss), #insecure
//! unix:///PATH/TO/SOCKET[?db=N&user=U&pass=P]
//! redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/SERVICE[/DATABASE]     rediss+sentinel://
//! redis+cluster://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]     rediss+cluster://
//! ```
//! In a cluster, everything of one application lies in one slot, so the server is the one that has this slot.
//! Only [`Address::shown`] is ever shown: it holds no user, password or query.

use std::fmt;
use std::fs;

use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, TlsMode, Value, cmd,
};

use super::error::ServerError;

const PORT: &str = "6379";
const SENTINEL_PORT: &str = "26379";

/// A server's address. `Debug` shows neither user nor password.
#[derive(Clone)]
pub(crate) struct Address {
    shown: String,
    kind: Kind,
    /// The user and the password, which no text may show.
    secrets: Vec<String>,
}

#[derive(Clone)]
enum Kind {
    Server(Box<ConnectionInfo>, Option<TlsCertificates>),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        service: String,
        node: RedisConnectionInfo,
        is_tls: bool,
    },
    /// Nodes that are asked who has the slot.
    Cluster(Vec<ConnectionInfo>),
}

impl Address {
    /// Reads an address that the setting `parameter` gives.
    pub(crate) fn parse(parameter: &'static str, url: &str) -> Result<Self, ServerError> {
        let wrong = |cause: String| ServerError::Address { parameter, cause };
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| wrong("it has no scheme such as redis://".to_owned()))?;
        match scheme {
            "redis+sentinel" | "rediss+sentinel" => Self::of_sentinels(scheme.starts_with("rediss"), rest),
            "redis+cluster" | "rediss+cluster" => Self::of_cluster(scheme.starts_with("rediss"), rest),
            _ => Self::of_server(url),
        }
        .map_err(wrong)
    }

    fn of_server(url: &str) -> Result<Self, String> {
        let (url, files) = split_files(url)?;
        // Not the library's own text: it may quote the address.
        let info = url.into_connection_info().map_err(|error| plain(error.category()))?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let database = settings.db();
        let info = info.set_redis_settings(settings);
        let shown = match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                format!("{host}:{port}/{database}")
            }
            ConnectionAddr::Unix(path) => format!("{}, database {database}", path.display()),
            _ => "an address".to_owned(),
        };
        if files.is_some() && !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Err("certificates are for rediss:// only".to_owned());
        }
        let secrets = secrets_of(info.redis_settings());
        Ok(Self { shown, kind: Kind::Server(Box::new(info), files), secrets })
    }

    fn of_sentinels(is_tls: bool, rest: &str) -> Result<Self, String> {
        if rest.contains(['?', '#']) {
            // It would be shown as part of a name.
            return Err("an address of sentinels ends with the database: there is no ? or # in it".to_owned());
        }
        let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
        let mut parts = rest.split('/');
        let hosts = parts.next().unwrap_or_default();
        let service = parts.next().filter(|service| !service.is_empty());
        let service =
            service.ok_or("the name of the service is missing: redis+sentinel://HOST:PORT/SERVICE")?;
        let database = parts.next().filter(|text| !text.is_empty()).unwrap_or("0");
        if parts.next().is_some() {
            return Err("there is too much after the database".to_owned());
        }
        // The library reads user and password, percent-encoding included.
        let login = login.map_or_else(String::new, |login| format!("{login}@"));
        let node = format!("redis://{login}localhost/{database}").into_connection_info();
        let node = node.map_err(|error| plain(error.category()))?;
        let node = node.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let sentinels = hosts_of(is_tls, "", hosts, SENTINEL_PORT)?;
        let shown = format!("{service} of the sentinels {hosts}");
        let secrets = secrets_of(&node);
        Ok(Self {
            shown,
            kind: Kind::Sentinel { sentinels, service: service.to_owned(), node, is_tls },
            secrets,
        })
    }

    fn of_cluster(is_tls: bool, rest: &str) -> Result<Self, String> {
        let (login, hosts) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
        let hosts = hosts.strip_suffix("/0").or(hosts.strip_suffix('/')).unwrap_or(hosts);
        if hosts.contains('/') {
            return Err("a cluster has no databases but 0".to_owned());
        }
        let login = login.map_or_else(String::new, |login| format!("{login}@"));
        let nodes = hosts_of(is_tls, &login, hosts, PORT)?;
        let secrets = nodes.first().map(|node| secrets_of(node.redis_settings())).unwrap_or_default();
        Ok(Self { shown: format!("the cluster of {hosts}"), kind: Kind::Cluster(nodes), secrets })
    }

    /// Must everything of an application lie in one slot?
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.kind, Kind::Cluster(_))
    }

    /// A text without user and password, whoever put them there.
    pub(super) fn redact(&self, text: &str) -> String {
        // Servers quote the beginning of commands that they do not know.
        let text = text.split(", with args").next().unwrap_or_default();
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
    }

    /// What may be shown of it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// What connects to it; asks who the master is, or who has the slot of `table`, where there are several.
    pub(super) async fn client(&self, table: &str) -> RedisResult<Client> {
        match &self.kind {
            Kind::Server(info, None) => Client::open((**info).clone()),
            Kind::Server(info, Some(files)) => Client::build_with_tls((**info).clone(), files.clone()),
            Kind::Sentinel { sentinels, service, node, is_tls } => {
                let mut how = SentinelNodeConnectionInfo::default().set_redis_connection_info(node.clone());
                if *is_tls {
                    how = how.set_tls_mode(TlsMode::Secure);
                }
                let mut sentinels = sentinels.clone();
                // Those that are away take their time: another one is asked first next time.
                fastrand::shuffle(&mut sentinels);
                Sentinel::build(sentinels)?.async_master_for(service, Some(&how)).await
            }
            Kind::Cluster(nodes) => {
                let mut failed =
                    RedisError::from((ErrorKind::ClusterConnectionNotFound, "no node was named"));
                for node in nodes {
                    match owner_of(node, table).await {
                        Ok(owner) => return Client::open(owner),
                        Err(error) => failed = error,
                    }
                }
                Err(failed)
            }
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Address").field(&self.shown).finish()
    }
}

/// A user's name of one or two letters is in too many words to be cut out of them.
fn secrets_of(settings: &RedisConnectionInfo) -> Vec<String> {
    let user = settings.username().filter(|user| user.len() > 2 && *user != "default");
    let password = settings.password().filter(|password| !password.is_empty());
    password.into_iter().chain(user).map(str::to_owned).collect()
}

/// Addresses of several hosts; the library reads user and password, percent-encoding included.
fn hosts_of(is_tls: bool, login: &str, hosts: &str, port: &str) -> Result<Vec<ConnectionInfo>, String> {
    let scheme = if is_tls { "rediss" } else { "redis" };
    let info = |host: &str| {
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if has_port { host.to_owned() } else { format!("{host}:{port}") };
        let info = format!("{scheme}://{login}{host}/").into_connection_info();
        let info = info.map_err(|error| plain(error.category()))?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        Ok(info.set_redis_settings(settings))
    };
    hosts.split(',').map(info).collect()
}

/// The node of a cluster that has the slot of `table`, as another node says.
async fn owner_of(node: &ConnectionInfo, table: &str) -> RedisResult<ConnectionInfo> {
    let mut connection = Client::open(node.clone())?.get_multiplexed_async_connection().await?;
    let slot: u64 = cmd("CLUSTER").arg("KEYSLOT").arg(table).query_async(&mut connection).await?;
    let ranges: Vec<Value> = cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
    let owner = ranges.iter().find_map(|range| {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &range[..] else { return None };
        let is_it = u64::try_from(*first).ok()? <= slot && slot <= u64::try_from(*last).ok()?;
        let [Value::BulkString(host), Value::Int(port), ..] = &master[..] else { return None };
        is_it.then(|| Some((std::str::from_utf8(host).ok()?.to_owned(), u16::try_from(*port).ok()?)))?
    });
    let unknown = || RedisError::from((ErrorKind::ClusterConnectionNotFound, "nobody has the slot"));
    let (host, port) = owner.ok_or_else(unknown)?;
    let address = match node.addr() {
        // A node that does not know its own name means: the one that was asked.
        ConnectionAddr::Tcp(asked, _) => {
            ConnectionAddr::Tcp(if host.is_empty() { asked.clone() } else { host }, port)
        }
        ConnectionAddr::TcpTls { host: asked, insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host: if host.is_empty() { asked.clone() } else { host },
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => return Err(unknown()),
    };
    Ok(node.clone().set_addr(address))
}

fn plain(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Takes the names of certificate files out of the query, as the library does not know them.
fn split_files(url: &str) -> Result<(String, Option<TlsCertificates>), String> {
    let (before, fragment) = url.split_once('#').map_or((url, None), |(before, after)| (before, Some(after)));
    let Some((base, query)) = before.split_once('?') else { return Ok((url.to_owned(), None)) };
    let (mut ca, mut certificate, mut key, mut others) = (None, None, None, Vec::new());
    for part in query.split('&') {
        let place = match part.split_once('=') {
            Some(("ssl_ca_certs", path)) => (&mut ca, path),
            Some(("ssl_certfile", path)) => (&mut certificate, path),
            Some(("ssl_keyfile", path)) => (&mut key, path),
            _ => {
                others.push(part);
                continue;
            }
        };
        let (place, path) = place;
        *place = Some(fs::read(path).map_err(|error| format!("{path} cannot be read: {error}"))?);
    }
    if ca.is_none() && certificate.is_none() && key.is_none() {
        return Ok((url.to_owned(), None));
    }
    let client_tls = match (certificate, key) {
        (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig { client_cert, client_key }),
        (None, None) => None,
        _ => return Err("ssl_certfile and ssl_keyfile belong together".to_owned()),
    };
    let mut rest = base.to_owned();
    if !others.is_empty() {
        rest = format!("{rest}?{}", others.join("&"));
    }
    if let Some(fragment) = fragment {
        rest = format!("{rest}#{fragment}");
    }
    Ok((rest, Some(TlsCertificates { client_tls, root_cert: ca })))
}
