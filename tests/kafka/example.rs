//! The example of a cluster: `examples/kafka/run.sh` runs to its end, and ends what it started.

use std::process::Command;

use crate::peers::install;

#[test]
fn the_example_of_a_cluster_runs() {
    if !(install("python") && install("kafka-4")) {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kafka/run.sh");
    let mut command = Command::new(script);
    let output = command.arg("20000").env("LOGDRIVE", env!("CARGO_BIN_EXE_logdrive")).output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(text.ends_with("missing 0, duplicated 0\n"), "{text}");
}
