//! Sessions over real sockets: bytes both ways, ends of every kind, and material that cannot be used.

#![cfg(feature = "tls")]

use std::io;
use std::io::IoSlice;
use std::net::TcpListener;
use std::time::Duration;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::IsCa;
use rcgen::KeyPair;
use rcgen::PKCS_ECDSA_P256_SHA256;
use rcgen::PKCS_ECDSA_P384_SHA384;
use rcgen::PKCS_ED25519;
use rcgen::SignatureAlgorithm;
use zeroize::Zeroizing;

use crate::transport::Socket;
use crate::transport::SocketOptions;
use crate::transport::tls::Acceptor;
use crate::transport::tls::Connector;
use crate::transport::tls::Identity;
use crate::transport::tls::Material;
use crate::transport::tls::TlsError;

const OPTIONS: SocketOptions = SocketOptions { user_timeout: Duration::from_secs(30) };

/// Authorities, and the identity of `localhost` that comes from them.
fn material() -> Material {
    material_of(&PKCS_ECDSA_P256_SHA256)
}

fn material_of(algorithm: &'static SignatureAlgorithm) -> Material {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate_for(algorithm).unwrap());
    let (issuer, key) = (issuer.unwrap(), KeyPair::generate_for(algorithm).unwrap());
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let identity = Identity {
        certificates: params.signed_by(&key, &issuer).unwrap().pem().into_bytes(),
        key: Zeroizing::new(key.serialize_pem().into_bytes()),
    };
    Material { authorities: Some(issuer.pem().into_bytes()), identity: Some(identity) }
}

/// A client's and a server's socket that have shaken hands, or why they did not.
fn pair(material: &Material, name: &str) -> io::Result<(Socket, Socket)> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Socket::connect(listener.local_addr().unwrap(), &OPTIONS).unwrap();
    client.encrypt(Connector::new(material, false).unwrap().start(name).unwrap());
    let (accepted, _) = listener.accept().unwrap();
    accepted.set_nonblocking(true).unwrap();
    let mut server = Socket::accepted(mio::net::TcpStream::from_std(accepted)).unwrap();
    server.encrypt(Acceptor::new(material).unwrap().start().unwrap());
    let (mut client_stands, mut server_stands) = (false, false);
    while !(client_stands && server_stands) {
        client_stands = client_stands || client.connected()?;
        server_stands = server_stands || server.connected()?;
    }
    Ok((client, server))
}

/// Reads until `count` bytes are there.
fn read(socket: &mut Socket, count: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 10_000];
    while all.len() < count {
        if let Some(read) = socket.receive(&mut buffer).unwrap() {
            assert!(read > 0, "an early end");
            all.extend_from_slice(&buffer[..read]);
        }
    }
    all
}

/// The next end or error; nothing else comes.
fn end(socket: &mut Socket) -> io::Result<usize> {
    loop {
        if let Some(count) = socket.receive(&mut [0; 100])? {
            return Ok(count);
        }
    }
}

#[test]
fn bytes_arrive_in_order_through_buffers_that_are_full() {
    let (mut client, mut server) = pair(&material(), "localhost").unwrap();
    let sent: Vec<u8> = (0..8_000_000u32).map(|n| (n % 251) as u8).collect();
    let (mut from, mut received, mut was_full) = (0, Vec::new(), false);
    let mut buffer = [0; 65_536];
    while received.len() < sent.len() {
        // As much as the kernel takes, so that it is often full.
        while from < sent.len() {
            let (head, body) = (&sent[from..][..1.min(sent.len() - from)], &sent[from + 1..]);
            match client.send(&[IoSlice::new(head), IoSlice::new(body)]).unwrap() {
                Some(count) => from += count,
                None => {
                    was_full = true;
                    break;
                }
            }
        }
        client.flush().unwrap();
        if let Some(count) = server.receive(&mut buffer).unwrap() {
            received.extend_from_slice(&buffer[..count]);
        }
    }
    assert!(was_full && received == sent);
    let reply = [IoSlice::new(b"ok")];
    assert_eq!(server.send(&reply).unwrap(), Some(2));
    assert_eq!(read(&mut client, 2), b"ok");
}

#[test]
fn an_announced_end_is_one_and_a_dropped_socket_is_an_error_that_says_nothing() {
    let (client, mut server) = pair(&material(), "localhost").unwrap();
    let mut client = client;
    client.close();
    drop(client);
    assert_eq!(end(&mut server).unwrap(), 0);
    let (client, mut server) = pair(&material(), "localhost").unwrap();
    // What a forked child does with its parent's sockets, and what an attacker does to cut an answer off.
    drop(client);
    let error = end(&mut server).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_wrong_name_and_a_foreign_authority_are_refused() {
    let ours = material();
    let error = pair(&ours, "elsewhere").map(drop).unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
    let theirs = Material { authorities: material().authorities, ..ours };
    let error = pair(&theirs, "localhost").map(drop).unwrap_err();
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
}

#[test]
fn keys_of_both_curves_are_taken_and_of_no_other() {
    pair(&material_of(&PKCS_ECDSA_P384_SHA384), "localhost").unwrap();
    let error = Acceptor::new(&material_of(&PKCS_ED25519)).unwrap_err();
    assert!(error.to_string().contains("neither an RSA key nor an ECDSA key"), "{error}");
}

#[test]
fn material_that_cannot_be_used_is_named_and_not_repeated() {
    let good = material();
    let other = material();
    let with = |certificates: &[u8], key: &[u8]| Material {
        identity: Some(Identity {
            certificates: certificates.to_vec(),
            key: Zeroizing::new(key.to_vec()),
        }),
        ..good.clone()
    };
    let (mine, theirs) = (good.identity.clone().unwrap(), other.identity.unwrap());
    let canary = b"-----BEGIN PRIVATE KEY-----\ncanary";
    for (material, expected) in [
        (with(&mine.certificates, &theirs.key), "the key cannot be used"),
        (with(b"", &mine.key), "the certificate cannot be used"),
        (with(&mine.certificates, canary), "the key cannot be used"),
        (Material { authorities: Some(b"none".to_vec()), identity: None }, "authorities"),
    ] {
        let error = Connector::new(&material, false).map(drop).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("canary"), "{error}");
        assert!(Acceptor::new(&material).is_err());
        assert!(!format!("{material:?}").contains("PRIVATE"));
    }
    let connector = Connector::new(&good, false).unwrap();
    let refused = connector.start("no name").map(drop).unwrap_err();
    assert_eq!(refused, TlsError::ServerName("no name".to_owned()));
}
