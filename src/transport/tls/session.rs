//! One connection's encryption, of either side, non-blocking.
//!
//! Holds at most [`TLS_BUFFER_BYTES_MAX`] encrypted bytes and the messages that TLS itself bounds. Invariant: bytes
//! count as sent only when the kernel has all of what they became.

use std::fmt;
use std::io;
use std::io::IoSlice;
use std::io::Read;
use std::io::Write;

use mio::net::TcpStream;

use crate::transport::socket::retry;
use crate::transport::socket::send;
use crate::transport::tls::TLS_BUFFER_BYTES_MAX;

/// See the module's head.
pub struct Session {
    tls: rustls::Connection,
    /// Bytes that were encrypted and have not all reached the kernel.
    encrypted: usize,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("encrypted", &self.encrypted).finish_non_exhaustive()
    }
}

/// Encrypted bytes from and to the kernel.
struct Wire<'a>(&'a TcpStream);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&mut &*self.0).read(buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        send(self.0, &[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        send(self.0, pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Session {
    pub(super) fn new(mut tls: rustls::Connection) -> Self {
        tls.set_buffer_limit(Some(TLS_BUFFER_BYTES_MAX));
        Self { tls, encrypted: 0 }
    }

    /// Goes on with the handshake; true once it is over and both sides know.
    pub fn handshake(&mut self, stream: &TcpStream) -> io::Result<bool> {
        loop {
            let is_flushed = self.flush(stream)?;
            if !self.tls.is_handshaking() {
                return Ok(is_flushed);
            }
            if !self.fill(stream)? {
                return Ok(false);
            }
        }
    }

    /// As [`Socket::send`](crate::transport::Socket::send): after `None` the same bytes are to be given again.
    pub fn send(
        &mut self,
        stream: &TcpStream,
        pieces: &[IoSlice<'_>],
    ) -> io::Result<Option<usize>> {
        if self.encrypted == 0 {
            self.encrypted = self.tls.writer().write_vectored(pieces)?;
        }
        let is_flushed = self.flush(stream)?;
        Ok((is_flushed && self.encrypted > 0).then(|| std::mem::take(&mut self.encrypted)))
    }

    /// As [`Socket::receive`](crate::transport::Socket::receive); the end of the stream is one only where the
    /// peer said so.
    pub fn receive(&mut self, stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.flush(stream)?;
        loop {
            match self.tls.reader().read(buffer) {
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(truncated("without the end that TLS asks for"));
                }
                Err(error) => return Err(error),
            }
            if !self.fill(stream)? {
                return Ok(None);
            }
        }
    }

    /// Gives the kernel what it takes; true when nothing is left.
    pub fn flush(&mut self, stream: &TcpStream) -> io::Result<bool> {
        while self.tls.wants_write() {
            if retry(|| self.tls.write_tls(&mut Wire(stream)))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells the peer that nothing more comes, as far as the kernel takes that now.
    pub fn close(&mut self, stream: &TcpStream) {
        self.tls.send_close_notify();
        // The connection ends either way; without the message the peer takes it for a broken one.
        let _ended_anyway = self.flush(stream);
    }

    /// Reads and decrypts what is there; false where nothing is.
    fn fill(&mut self, stream: &TcpStream) -> io::Result<bool> {
        match retry(|| self.tls.read_tls(&mut Wire(stream)))? {
            None => return Ok(false),
            Some(0) if self.tls.is_handshaking() => {
                return Err(truncated("during the TLS handshake"));
            }
            Some(_) => {}
        }
        if let Err(error) = self.tls.process_new_packets() {
            // The alert says why; the connection ends with or without it.
            let _ended_anyway = self.flush(stream);
            return Err(io::Error::new(io::ErrorKind::InvalidData, explain(&error)));
        }
        Ok(true)
    }
}

fn truncated(when: &str) -> io::Error {
    let text = format!("the peer closed the connection {when}");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

fn explain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidMessage(_) => format!("no TLS: {error}; does the peer speak TLS?"),
        other => format!("TLS: {other}"),
    }
}
