//! The options whose values are words: one enum each, with the spelling beside every variant.
//!
//! Knows nothing of what a stage does with the choice.

use std::time::Duration;

use crate::config::value::Kind;
use crate::config::value::Value;

macro_rules! choices {
    ($($(#[doc = $doc:literal])+ $name:ident {
        $($(#[doc = $variant_doc:literal])+ $variant:ident = $word:literal,)+
    })+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[doc = $variant_doc])+ $variant,)+
        }

        impl $name {
            /// The accepted words, in the order of the variants.
            pub const NAMES: &'static [&'static str] = &[$($word,)+];

            /// The word that selects the variant.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl Value for $name {
            fn parse(text: &str, _: &Kind) -> Option<Self> {
                match text {
                    $($word => Some($name::$variant),)+
                    _ => None,
                }
            }
        }
    )+};
}

choices! {
    /// How a batch is compressed (`codec`).
    Codec {
        /// Not at all.
        None = "none",
        /// RFC 1952.
        Gzip = "gzip",
        /// Snappy in xerial framing.
        Snappy = "snappy",
        /// One LZ4 frame of independent blocks.
        Lz4 = "lz4",
        /// Zstandard.
        Zstd = "zstd",
    }
    /// What the value of a Kafka record holds (`format`).
    Format {
        /// The text as the application gave it; severity and attributes are record headers.
        Text = "text",
        /// One JSON object with time, severity, message and attributes.
        Json = "json",
    }
    /// Resolution of the time that travels with a record (`timestamps`).
    Timestamps {
        /// Milliseconds, in Kafka's own timestamp field.
        Milliseconds = "ms",
        /// Milliseconds there, and nanoseconds in a record header.
        Nanoseconds = "ns",
    }
    /// What a log call does when the arena is full (`ring.full`).
    RingFull {
        /// Returns at once; the record is counted as refused.
        Refuse = "refuse",
        /// Waits for room, at most `ring.full_deadline`.
        Block = "block",
    }
    /// What gives way when the spool has reached its quota (`spool.full`).
    SpoolFull {
        /// The oldest stored batches, counted as dropped.
        DropOldest = "drop_oldest",
        /// What is not accepted yet: the rings fill and refuse.
        DropNewest = "drop_newest",
        /// Nothing; the same as `drop_newest`, named for its use with `ring.full=block`.
        Block = "block",
    }
    /// What of the spool goes first (`spool.order`).
    SpoolOrder {
        /// The oldest.
        Strict = "strict",
        /// What was logged lately; what has waited gets its share beside it.
        FreshFirst = "fresh_first",
    }
    /// How segment files are written (`spool.store`).
    SpoolStore {
        /// As the file system allows.
        Auto = "auto",
        /// Through a mapping.
        Mmap = "mmap",
        /// By `pwrite`.
        File = "file",
    }
    /// How we prove who we are (`sasl.mechanism`), in Kafka's spelling.
    SaslMechanism {
        /// Not at all.
        None = "none",
        /// User and password.
        Plain = "PLAIN",
        /// A proof of the password with SHA-256.
        ScramSha256 = "SCRAM-SHA-256",
        /// A proof of the password with SHA-512.
        ScramSha512 = "SCRAM-SHA-512",
        /// A token that somebody else issued.
        OauthBearer = "OAUTHBEARER",
    }
    /// Who says where the receivers are (`discovery`).
    Discovery {
        /// The URL: its hosts are the receivers, or a cluster's bootstrap servers.
        Hosts = "hosts",
        /// DNS: the URL's hosts are names whose SRV records list them.
        Srv = "srv",
        /// The file `discovery.file`; until it can be read, the URL's hosts.
        File = "file",
        /// ZooKeeper: the URL's hosts are its servers, `discovery.path` the node above the receivers'.
        ZooKeeper = "zookeeper",
    }
    /// Whose word an acknowledgement is (`acks`).
    Acks {
        /// Every in-sync replica's.
        All = "all",
        /// The partition leader's alone.
        Leader = "leader",
        /// Nobody's: a batch is done once the kernel has sent it, and counts as `unconfirmed`.
        None = "none",
    }
}

/// When stored batches are forced to the medium (`spool.sync`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolSync {
    /// Whenever the kernel likes: survives a crash of the process, not of the machine.
    None,
    /// Before a group counts as stored.
    Batch,
    /// At least this often.
    Interval(Duration),
}

impl SpoolSync {
    /// The accepted words beside a duration.
    pub const NAMES: &'static [&'static str] = &["none", "batch"];
}

impl Value for SpoolSync {
    fn parse(text: &str, kind: &Kind) -> Option<Self> {
        match text {
            "none" => Some(SpoolSync::None),
            "batch" => Some(SpoolSync::Batch),
            _ => Duration::parse(text, kind).map(SpoolSync::Interval),
        }
    }
}
