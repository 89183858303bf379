//! How connections begin: sockets, encryption, sessions; and when they are renewed for their credentials' sake.

use crate::config::Acks;
use crate::ids::LaneId;
use crate::ids::Moment;
use crate::pipeline::credentials::Keyring;
use crate::pipeline::sender::Sender;
use crate::pipeline::sender::connection::ConnectionError;
use crate::proto::fleet::Target;
use crate::proto::kafka::client;
use crate::proto::kafka::client::Authentication;
use crate::proto::kafka::client::SessionOptions;
use crate::proto::kafka::sasl::NONCE_BYTES;
use crate::transport::Socket;
use crate::transport::SocketOptions;

/// Largest response that is accepted: metadata of a cluster with many thousand partitions.
const RESPONSE_BYTES_MAX: u32 = 16 << 20;
/// An authentication is renewed after 85 to 95 % of the time that it holds, as Kafka's own clients do.
const RENEW_PERCENT_MIN: u32 = 85;
const RENEW_PERCENT_SPAN: u32 = 11;

impl Sender {
    /// A socket that begins to connect, and encrypts all if it is to.
    pub(super) fn open(&self, target: Target) -> Result<Socket, ConnectionError> {
        let keyring = self.keyring()?;
        let options = SocketOptions { user_timeout: self.settings.transport.tcp_user_timeout };
        let mut socket = Socket::connect(target.address, &options)?;
        if let Some(connector) = &keyring.connector {
            let known = self.endpoints.iter().find(|known| known.id == target.endpoint);
            let host = known.map(|known| known.host.as_str());
            let name = self.settings.tls.server_name.as_deref().or(host);
            socket.encrypt(connector.start(name.ok_or(ConnectionError::Nameless)?)?);
        }
        Ok(socket)
    }

    /// How a session on a connection that now stands behaves.
    pub(super) fn session_options(&self) -> Result<SessionOptions, ConnectionError> {
        let session = &self.settings.session;
        let authentication = match &self.keyring()?.sasl {
            Some(credentials) => {
                let mut nonce = [0; NONCE_BYTES];
                getrandom::fill(&mut nonce).map_err(|_| ConnectionError::NoRandom)?;
                let renew_percent = RENEW_PERCENT_MIN + u32::from(nonce[0]) % RENEW_PERCENT_SPAN;
                Some(Authentication { credentials: credentials.clone(), nonce, renew_percent })
            }
            None => None,
        };
        Ok(SessionOptions {
            client_id: session.client_id.clone(),
            acks: match session.acks {
                Acks::All => client::Acks::All,
                Acks::Leader => client::Acks::Leader,
                Acks::None => client::Acks::None,
            },
            request_timeout: session.request_timeout,
            frame_bytes_max: RESPONSE_BYTES_MAX,
            authentication,
        })
    }

    /// Looks after the credentials; where they changed, the lanes that stand are moved to them.
    pub(super) fn check_credentials(&mut self, now: Moment) {
        if self.credentials.poll(now) {
            // The first token may have been waited for: there was no use in connecting without it.
            self.set_endpoints(now);
            for index in 0..self.connections.len() {
                self.retire_outdated(now, LaneId(index as u32));
            }
        }
    }

    /// Moves a lane whose connection was made with credentials that were replaced meanwhile.
    pub(super) fn retire_outdated(&mut self, now: Moment, lane: LaneId) {
        let current = self.credentials.generation;
        if self.connection(lane).is_some_and(|connection| connection.generation != current) {
            self.fleet.renew(now, lane);
        }
    }

    fn keyring(&self) -> Result<&Keyring, ConnectionError> {
        self.credentials.keyring().ok_or(ConnectionError::NoToken)
    }
}
