//! The types of TLS where it is not built: they cannot be made, and asking for them says so.

use std::io;
use std::io::IoSlice;

use mio::net::TcpStream;

use crate::transport::tls::Material;
use crate::transport::tls::TlsError;

/// Makes sessions that verify a server; there are none.
#[derive(Clone, Debug)]
pub enum Connector {}

/// Makes sessions that prove a server's identity; there are none.
#[derive(Clone, Debug)]
pub enum Acceptor {}

/// One connection's encryption; there is none.
#[derive(Debug)]
pub enum Session {}

impl Connector {
    /// Refuses.
    ///
    /// # Errors
    /// [`TlsError::NotBuilt`], always.
    pub fn new(_material: &Material, _is_insecure: bool) -> Result<Self, TlsError> {
        Err(TlsError::NotBuilt)
    }

    /// Cannot be called.
    pub fn start(&self, _server_name: &str) -> Result<Session, TlsError> {
        match *self {}
    }
}

impl Acceptor {
    /// Refuses.
    ///
    /// # Errors
    /// [`TlsError::NotBuilt`], always.
    pub fn new(_material: &Material) -> Result<Self, TlsError> {
        Err(TlsError::NotBuilt)
    }

    /// Cannot be called.
    pub fn start(&self) -> Result<Session, TlsError> {
        match *self {}
    }
}

impl Session {
    /// Cannot be called.
    pub fn handshake(&mut self, _stream: &TcpStream) -> io::Result<bool> {
        match *self {}
    }

    /// Cannot be called.
    pub fn send(
        &mut self,
        _stream: &TcpStream,
        _pieces: &[IoSlice<'_>],
    ) -> io::Result<Option<usize>> {
        match *self {}
    }

    /// Cannot be called.
    pub fn receive(
        &mut self,
        _stream: &TcpStream,
        _buffer: &mut [u8],
    ) -> io::Result<Option<usize>> {
        match *self {}
    }

    /// Cannot be called.
    pub fn flush(&mut self, _stream: &TcpStream) -> io::Result<bool> {
        match *self {}
    }

    /// Cannot be called.
    pub fn close(&mut self, _stream: &TcpStream) {
        match *self {}
    }
}
