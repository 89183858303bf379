//! The `logdrive` command: a receiver and the tools around it.
//!
//! This file parses and dispatches; each subcommand has a file of its own. Exit codes: 0 when all
//! is well, 1 when the command ran and something is not (its output says what), 2 when it could not
//! run.

mod cat;
mod dead_letters;
mod delivery;
mod drain;
mod input;
mod json;
mod output;
mod receive;
mod ship;
mod spool;
mod summary;
mod target;
mod verify;

use std::process::ExitCode;

use clap::Parser;
use clap::Subcommand;

/// Ships log records into Kafka clusters or receivers of its own, and accounts for every one.
#[derive(Parser)]
#[command(name = "logdrive", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Receive(receive::Arguments),
    Ship(ship::Arguments),
    Cat(cat::Arguments),
    Verify(verify::Arguments),
    Spool(spool::Arguments),
    Drain(drain::Arguments),
}

/// What a subcommand that ran found.
enum Outcome {
    /// All is well.
    Good,
    /// The command did its work, and something is missing or damaged.
    Bad,
}

fn main() -> ExitCode {
    // On a usage error clap prints it with a hint and exits with 2.
    let outcome = match Arguments::parse().command {
        Command::Receive(arguments) => receive::run(arguments),
        Command::Ship(arguments) => ship::run(&arguments),
        Command::Cat(arguments) => cat::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Spool(arguments) => spool::run(&arguments),
        Command::Drain(arguments) => drain::run(&arguments),
    };
    match outcome {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::from(1),
        Err(error) => {
            output::remark(format_args!("logdrive: {error}"));
            ExitCode::from(2)
        }
    }
}
