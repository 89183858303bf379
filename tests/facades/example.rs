//! The example server logs every request, and its user gets all of them.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use crate::support::ReceiverProcess;
use crate::support::site::Site;
use crate::support::site::cat;
use crate::support::site::verify;

const REQUESTS: usize = 40;

/// The example's program, built as this test was.
fn httpd() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["build", "--features", "cli,log,slog,tracing", "--example", "httpd"]);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    profile.join("examples/httpd")
}

fn request(address: &str, head: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "{head} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn each_request_of_the_example_server_arrives_with_its_span() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let mut server = Command::new(httpd())
        .args([&site.url(&[receiver.address], ""), "0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..REQUESTS / 4 {
                    let (path, status) =
                        if number % 2 == 0 { ("/", "200") } else { ("/no", "404") };
                    let answer = request(&address, &format!("GET {path}"));
                    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
                }
            });
        }
    });
    request(&address, "POST /stop");
    assert!(server.wait().unwrap().success());
    verify(&[site.receiver_dir(0)]);
    let out = String::from_utf8(cat(&[site.receiver_dir(0)], &["--format", "json"])).unwrap();
    // Every request, and that the server stopped.
    assert_eq!(out.lines().count(), REQUESTS + 2, "{out}");
    let absent = out.lines().find(|line| line.contains("\"status\":\"404\"")).unwrap();
    for part in
        ["\"path\":\"/no\"", "\"span\":\"worker:request\"", "\"method\":\"GET\"", "\"served\""]
    {
        assert!(absent.contains(part), "{part} in {absent}");
    }
}
