//! The fleet in virtual time, by theme. Every failure names the seed of its run.

mod balance;
mod discovery;
mod failure;
mod properties;
mod rebinding;
mod simulation;
mod storm;
