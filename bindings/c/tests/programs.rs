//! C and C++ programs against a receiver: what they were told is accepted is there, and nothing crashes.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::process::Stdio;

use support::Receiver;

const RECORDS_PER_THREAD: u64 = 800;

fn everything(options: &[&str], records_per_thread: u64, wrapper: &[&str]) {
    let receiver = Receiver::start();
    let program = support::compile("c/everything.c", options, receiver.path());
    let mut command = match wrapper.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    let accepted =
        support::succeed(command.arg(receiver.url()).arg(records_per_thread.to_string()));
    assert_eq!(accepted.trim().parse(), Ok(4 * records_per_thread));
    assert_eq!(receiver.verified(), 4 * records_per_thread);
}

#[test]
fn every_way_to_log_arrives_exactly() {
    everything(&[], RECORDS_PER_THREAD, &[]);
}

#[test]
fn attributes_and_places_travel_with_the_record() {
    let receiver = Receiver::start();
    let program = support::compile("c/everything.c", &[], receiver.path());
    support::succeed(Command::new(program).arg(receiver.url()).arg("8"));
    let text = receiver.lines(&["--format", "json"]);
    let line = text.lines().find(|line| line.contains("\"value\":\"attributes\"")).unwrap();
    for expected in [
        "\"text\":\"value\"",
        "\"signed\":\"0\"",
        "\"unsigned\":\"18446744073709551615\"",
        "\"real\":\"0.5\"",
        "\"boolean\":\"true\"",
        "everything.c",
        "\"code.function.name\":\"log_all\"",
    ] {
        assert!(line.contains(expected), "{expected} in {line}");
    }
    let longer = text.lines().find(|line| line.contains(&"x".repeat(2999)));
    assert!(longer.is_some_and(|line| !line.contains(&"x".repeat(3000))));
}

#[test]
fn everything_under_address_sanitizer_which_is_proven_to_look() {
    let asan = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    everything(&asan, 80, &[]);
    let receiver = Receiver::start();
    // With files of its own: what it leaves would be the next program's to deliver.
    let elsewhere = Receiver::start();
    let bad = support::compile("c/bad_arguments.c", &asan, elsewhere.path());
    support::succeed(Command::new(bad).arg(unreachable(&elsewhere)));
    // Without the other sanitizer, which would stop the program first.
    let proof = ["-fsanitize=address", "-DPROVE_SANITIZER"];
    let program = support::compile("c/everything.c", &proof, receiver.path());
    let output = support::run(Command::new(program).arg(receiver.url()).arg("8"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("AddressSanitizer: heap-buffer-overflow"), "{text}");
}

#[test]
fn everything_under_valgrind_which_is_proven_to_look() {
    if !support::has("valgrind") {
        return;
    }
    let valgrind = [
        "valgrind",
        "-q",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite",
        "--error-exitcode=9",
    ];
    everything(&[], 8, &valgrind);
    let receiver = Receiver::start();
    let program = support::compile("c/everything.c", &["-DPROVE_LEAK"], receiver.path());
    let mut command = Command::new(valgrind[0]);
    command.args(&valgrind[1..]).arg(program).arg(receiver.url()).arg("8");
    let output = support::run(&mut command);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(9) && text.contains("4,321"), "{}: {text}", output.status);
}

/// A URL where nobody listens: port 1 of this machine.
fn unreachable(receiver: &Receiver) -> String {
    let url = receiver.url();
    let (_, rest) = url.split_once("/c-tests").unwrap();
    format!("receivers://127.0.0.1:1/c-tests{rest}")
}

#[test]
fn every_bad_argument_of_every_function_gives_a_code() {
    let receiver = Receiver::start();
    let program = support::compile("c/bad_arguments.c", &[], receiver.path());
    support::succeed(Command::new(program).arg(unreachable(&receiver)));
}

#[test]
fn threads_that_logged_end_after_the_library_was_closed() {
    let receiver = Receiver::start();
    let program = support::compile("c/unload.c", &[], receiver.path());
    let mut command = Command::new(program);
    support::succeed(command.arg(support::library()).arg(receiver.url()).arg("50"));
    assert_eq!(receiver.verified(), 50);
}

#[test]
fn children_of_a_fork_end_and_the_parent_loses_nothing() {
    let receiver = Receiver::start();
    let program = support::compile("c/fork.c", &[], receiver.path());
    support::succeed(Command::new(program).arg(receiver.url()));
    assert_eq!(receiver.verified(), 40);
}

#[test]
fn no_child_of_a_fork_waits_for_a_lock_of_a_thread_that_it_does_not_have() {
    const CHILDREN: u64 = 25;
    const RECORDS: u64 = 20;
    let receiver = Receiver::start();
    let program = support::compile("c/fork_storm.c", &[], receiver.path());
    let mut storm = Command::new(program);
    storm.arg(receiver.url() + "&close.deadline=40s&ring.bytes_max=1MiB&poll.idle=5ms");
    let accepted = support::succeed(storm.args([CHILDREN.to_string(), RECORDS.to_string()]));
    assert_eq!(accepted.trim().parse(), Ok(2 * CHILDREN * RECORDS));
    receiver.verified();
    let children = receiver.lines(&["--topic", "c-tests"]);
    assert_eq!(children.lines().count() as u64, 2 * CHILDREN * RECORDS);
}

#[test]
fn two_copies_of_one_name_in_one_process_leave_each_other_alone() {
    const RECORDS: u64 = 500;
    let receiver = Receiver::start();
    let program = support::compile("c/two_copies.c", &[], receiver.path());
    let other = receiver.path().join("other.so");
    std::fs::copy(support::library(), &other).unwrap();
    let mut command = Command::new(program);
    command.arg(receiver.url()).arg(support::library()).arg(other);
    support::succeed(command.arg(RECORDS.to_string()));
    assert_eq!(receiver.verified(), 4 * 3 * RECORDS);
}

#[test]
fn destructors_of_threads_and_of_the_program_log() {
    let receiver = Receiver::start();
    let program = support::compile("cpp/destructors.cpp", &[], receiver.path());
    support::succeed(Command::new(program).arg(receiver.url()));
    let lines = receiver.lines(&[]);
    let count = |text: &str| lines.lines().filter(|line| *line == text).count();
    assert_eq!((count("thread"), count("main"), count("thread-local")), (3, 1, 4), "{lines}");
    // Static destructors run behind our handler: stored, and sent by the next process of the name.
    support::wait_until("what was stored is sent", || {
        let mut drain = Command::new(support::tool());
        drain.arg("drain").arg(receiver.path().join("spool"));
        // It ends with 1 while something is left.
        support::run(drain.args(["--to", &receiver.url(), "--deadline", "50s"]));
        receiver.verified() == 9
    });
}

#[test]
fn what_was_logged_before_and_in_exit_handlers_arrives_without_a_flush() {
    let receiver = Receiver::start();
    let program = support::compile("c/at_exit.c", &[], receiver.path());
    support::succeed(Command::new(program).arg(receiver.url()));
    assert_eq!(receiver.verified(), 2);
}

#[test]
fn a_process_ends_in_bounded_time_while_its_threads_log() {
    let receiver = Receiver::start();
    let program = support::compile("c/exit_while_logging.c", &[], receiver.path());
    // `run` kills what takes a minute.
    support::succeed(Command::new(program).arg(receiver.url()));
}

#[test]
fn a_signal_handler_logs_or_is_refused_as_reentrant() {
    let receiver = Receiver::start();
    let program = support::compile("c/signals.c", &[], receiver.path());
    support::succeed(Command::new(program).arg(receiver.url()));
}

#[test]
fn every_way_to_log_from_cpp_arrives_exactly() {
    let variants: [(&str, &[&str]); 5] = [
        ("g++", &["-std=c++17"]),
        ("g++", &["-std=c++20"]),
        ("g++", &["-std=c++17", "-fsanitize=address"]),
        ("g++", &["-std=c++17", "-DLOGDRIVE_USE_FMT", "-lfmt"]),
        // The first compiler and library of Debian 12 with <format>.
        ("clang++-19", &["-std=c++20", "-stdlib=libc++", "-DNEEDS_FORMAT"]),
    ];
    for (compiler, options) in variants {
        let receiver = Receiver::start();
        let source = "cpp/everything.cpp";
        let program = support::compile_with(compiler, source, options, receiver.path());
        let accepted = support::succeed(Command::new(program).arg(receiver.url()));
        // One more of the client that was opened first.
        assert_eq!(accepted.trim().parse(), Ok(receiver.verified() - 1), "{options:?}");
    }
}

#[test]
fn a_callback_that_throws_is_told_when_the_receiver_comes_and_goes() {
    for options in [&["-std=c++17"][..], &["-std=c++17", "-fsanitize=address,undefined"]] {
        let mut receiver = Receiver::start();
        let program = support::compile("cpp/events.cpp", options, receiver.path());
        let mut told =
            Command::new(program).arg(receiver.url()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(told.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n", "{options:?}");
        receiver.kill();
        assert!(told.wait().unwrap().success(), "{options:?}");
    }
}

#[test]
fn the_example_servers_log_every_request() {
    let servers =
        [("examples/c/httpd.c", "libmicrohttpd"), ("examples/cpp/httpd.cpp", "cpp-httplib")];
    for (source, package) in servers {
        let receiver = Receiver::start();
        let flags = support::package_flags(package);
        // Headers of others are not held to our warnings.
        let flags: Vec<_> = flags.iter().map(|flag| flag.replace("-I", "-isystem")).collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let program = support::compile(source, &flags, receiver.path());
        let mut server = Command::new(program);
        let mut server =
            server.arg(receiver.url()).arg("0").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap();
        for (path, status) in [("/", "200 OK"), ("/absent", "404 Not Found")] {
            let mut connection = TcpStream::connect(address).unwrap();
            connection
                .write_all(
                    format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
                        .as_bytes(),
                )
                .unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{source}: {answer}");
        }
        support::succeed(Command::new("kill").arg(server.id().to_string()));
        assert!(server.wait().unwrap().success(), "{source}");
        assert_eq!(receiver.verified(), 3, "{source}");
        let text = receiver.lines(&["--format", "json"]);
        assert!(text.contains("\"path\":\"/absent\""), "{source}: {text}");
    }
}
