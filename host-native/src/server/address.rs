//! Where the server is: the text that a user gives, and how it is connected to.
//!
//! ```text
//! redis://[USER][:PASSWORD@]HOST[:PORT][/DATABASE]     rediss:// for TLS
//!     ?ssl_ca_certs=FILE&ssl_certfile=FILE&ssl_keyfile=FILE (rediss), #insecure
//! unix:///PATH/TO/SOCKET[?db=N&user=U&pass=P]
//! redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/SERVICE[/DATABASE]     rediss+sentinel://
//! ```
//! Only [`Address::shown`] is ever shown: it holds no user, password or query.

use std::fmt;
use std::fs;

use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, RedisResult, TlsCertificates, TlsMode,
};

use super::error::ServerError;

const SENTINEL_PORT: &str = "26379";

/// A server's address. `Debug` shows neither user nor password.
#[derive(Clone)]
pub(crate) struct Address {
    shown: String,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Server(Box<ConnectionInfo>, Option<TlsCertificates>),
    Sentinel { sentinels: Vec<ConnectionInfo>, service: String, node: RedisConnectionInfo, is_tls: bool },
}

impl Address {
    /// Reads an address that the setting `parameter` gives.
    pub(crate) fn parse(parameter: &'static str, url: &str) -> Result<Self, ServerError> {
        let wrong = |cause: String| ServerError::Address { parameter, cause };
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| wrong("it has no scheme such as redis://".to_owned()))?;
        match scheme {
            "redis+sentinel" | "rediss+sentinel" => Self::of_sentinels(scheme.starts_with("rediss"), rest),
            "redis+cluster" | "rediss+cluster" => {
                Err("clusters are not supported; use Sentinel or one server".into())
            }
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
        Ok(Self { shown, kind: Kind::Server(Box::new(info), files) })
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
        let scheme = if is_tls { "rediss" } else { "redis" };
        let sentinels: Result<Vec<_>, _> = hosts
            .split(',')
            .map(|host| {
                let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
                let host = if has_port { host.to_owned() } else { format!("{host}:{SENTINEL_PORT}") };
                format!("{scheme}://{host}/").into_connection_info().map_err(|error| plain(error.category()))
            })
            .collect();
        let shown = format!("{service} of the sentinels {hosts}");
        Ok(Self {
            shown,
            kind: Kind::Sentinel { sentinels: sentinels?, service: service.to_owned(), node, is_tls },
        })
    }

    /// What may be shown of it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// What connects to it; asks the sentinels who the master is, if there are any.
    pub(super) async fn client(&self) -> RedisResult<Client> {
        match &self.kind {
            Kind::Server(info, None) => Client::open((**info).clone()),
            Kind::Server(info, Some(files)) => Client::build_with_tls((**info).clone(), files.clone()),
            Kind::Sentinel { sentinels, service, node, is_tls } => {
                let mut how = SentinelNodeConnectionInfo::default().set_redis_connection_info(node.clone());
                if *is_tls {
                    how = how.set_tls_mode(TlsMode::Secure);
                }
                Sentinel::build(sentinels.clone())?.async_master_for(service, Some(&how)).await
            }
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Address").field(&self.shown).finish()
    }
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
