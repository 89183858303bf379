//! The option table: the single source of every name, type, default, range and explanation.
//!
//! `docs/configuration.md` is generated from it, the setters of all languages go through it, and
//! the settings structs are made of it. Knows the stages only by what it tells users about them.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::accepted::CLIENT_ID;
use crate::config::accepted::COMMAND;
use crate::config::accepted::NAME;
use crate::config::accepted::SERVER_NAME;
use crate::config::accepted::TOPIC;
use crate::config::accepted::USERNAME;
use crate::config::accepted::VARIABLE;
use crate::config::accepted::ZOOKEEPER_PATH;
use crate::config::accepted::bytes;
use crate::config::accepted::choice;
use crate::config::accepted::count;
use crate::config::accepted::duration;
use crate::config::accepted::micros;
use crate::config::accepted::range;
use crate::config::choices::Acks;
use crate::config::choices::Codec;
use crate::config::choices::Discovery;
use crate::config::choices::Format;
use crate::config::choices::RingFull;
use crate::config::choices::SaslMechanism;
use crate::config::choices::SpoolFull;
use crate::config::choices::SpoolOrder;
use crate::config::choices::SpoolStore;
use crate::config::choices::SpoolSync;
use crate::config::choices::Timestamps;
use crate::config::option::OptionSpec;
use crate::config::option::options;
use crate::config::value::Accepts;
use crate::config::value::GIB;
use crate::config::value::KIB;
use crate::config::value::Kind;
use crate::config::value::MIB;
use crate::config::value::Value;

options! {
    /// The topic while it may still be missing; checked settings hold it as plain text.
    "Client" stream: StreamSettings {
        /// The Kafka topic of the records. It is the path of the URL; the setter may change it.
        topic: Option<String> = ("topic", "", TOPIC);
    }

    /// What the application calls itself, and how long it waits for its own records.
    "Client" client: ClientSettings {
        /// Identifies the application's slots below `ring.dir` and `spool.dir`: a process takes
        /// over what a dead process of the same name left behind. Give each application its own.
        name: String = ("name", "default", NAME);
        /// How long closing waits for acknowledgements. What is not acknowledged by then stays in
        /// the spool for the next process of that `name`.
        close_deadline: Duration = ("close.deadline", "5s", duration(0, 3_600_000));
    }

    /// The rings that log calls write to, all in one file, the arena.
    "Ring" ring: RingSettings {
        /// Directory of the arena. It should be on tmpfs: on a disk file system a log call may stall for
        /// milliseconds while the kernel writes a page back. A relative path is resolved when the client is opened.
        /// Must differ from `spool.dir`.
        dir: Option<PathBuf> =
            ("ring.dir", "", Accepts::or_unset(Kind::Path, "a 0700 directory on the tmpfs"));
        /// Room for records in the arena, for all threads together. It absorbs bursts: at 200 bytes per record 1
        /// MiB holds some 4,000 records that are not yet batched. The rings' heads come on top, see
        /// `ring.threads_max`.
        bytes_max: Option<u64> = ("ring.bytes_max", "0", Accepts::or_unset(
            Kind::Bytes(MIB, 4 * GIB),
            "automatic: the least of 16 MiB, 1/4 of the free tmpfs, 1/16 of the memory limit",
        ));
        /// How many threads may have a ring at the same time. The log call of one more thread is refused with
        /// `TOO_MANY_THREADS`. Each takes 256 bytes in the arena's head, used or not.
        threads_max: u32 = ("ring.threads_max", "4096", count(1, 65_536));
        /// What a log call does when the arena is full: `refuse` returns `RING_FULL` at once, `block` waits for
        /// room at most `ring.full_deadline`. Both are counted.
        full: RingFull = ("ring.full", "refuse", choice(RingFull::NAMES));
        /// How long a log call may wait for room. Only used with `ring.full=block`; after it the record is refused.
        full_deadline: Duration = ("ring.full_deadline", "1s", duration(1, 3_600_000));
        /// Share of the arena, in percent, that only records of severity WARN and above may use, so that a flood of
        /// DEBUG lines does not displace the error that explains it.
        reserve_percent: u32 = ("ring.reserve", "10", count(0, 90));
        /// Largest record: body, key and attributes together, before compression; a key counts 4 bytes more than it
        /// has, an attribute 6. A larger one is refused with `RECORD_TOO_LARGE`. At most 9/10 of `batch.bytes_max`,
        /// and with `format=json` 1/8 of `spool.segment_bytes`.
        record_bytes_max: u64 = ("record.bytes_max", "256KiB", bytes(KIB, 900_000));
    }

    /// How records are drained from the rings, encoded and compressed.
    "Batch" batch: BatchSettings {
        /// Compression of batches. `lz4` and `snappy` cost little processor time; `zstd` and `gzip` make smaller
        /// batches for more of it; `none` suits a fast local network.
        codec: Codec = ("codec", "lz4", choice(Codec::NAMES));
        /// Level of `gzip` (1 to 9) or `zstd` (1 to 19): higher is smaller and slower. The other codecs have no
        /// levels.
        codec_level: Option<u32> =
            ("codec.level", "0", Accepts::or_unset(Kind::Count(1, 19), "the codec's own default"));
        /// What the value of a Kafka record holds: `text` is the message, byte for byte, with severity and
        /// attributes as record headers; `json` is one object with all of it.
        format: Format = ("format", "text", choice(Format::NAMES));
        /// Resolution of the time that travels: Kafka's own field holds milliseconds; `ns` adds a record header
        /// with the nanoseconds, which makes every record larger.
        timestamps: Timestamps = ("timestamps", "ms", choice(Timestamps::NAMES));
        /// How long a record may wait for others to share its batch. Higher compresses better and costs less per
        /// record; lower arrives sooner. 0 seals at every poll.
        linger: Duration = ("linger", "20ms", duration(0, 10_000));
        /// Compressed size at which a batch is sealed before `linger` has passed. Not above `batch.bytes_max`.
        bytes: u64 = ("batch.bytes", "256KiB", bytes(4 * KIB, 1_000_000));
        /// Size that no sealed batch exceeds. Kafka brokers refuse more than 1,048,588 bytes unless their
        /// `message.max.bytes` was raised.
        bytes_max: u64 = ("batch.bytes_max", "1000000", bytes(16 * KIB, 1_000_000));
        /// Number of records at which a batch is sealed.
        records_max: u32 = ("batch.records_max", "100000", count(1, 1_000_000));
        /// Threads that compress. One handles about as many bytes per second as its codec; the order of records is
        /// kept with any number.
        workers: u32 = ("workers", "1", count(1, 64));
        /// How often the batcher looks at the rings while records come in. Lower costs processor time and slows the
        /// log calls, whose cache lines it takes away.
        poll_busy: Duration = ("poll.busy", "1ms", micros(100, 1_000_000));
        /// How often the batcher looks at the rings when nothing comes in. A record logged into silence may wait
        /// that long, then `linger`. Not below `poll.busy`.
        poll_idle: Duration = ("poll.idle", "50ms", micros(1_000, 10_000_000));
    }

    /// Where sealed batches are kept until they are acknowledged.
    "Spool" spool: SpoolSettings {
        /// Directory of the spool. Unset, it lives beside the arena on tmpfs: it survives `kill -9`, but neither a
        /// reboot nor, perhaps, a container's restart. Set it to a directory on a disk to survive those. Must
        /// differ from `ring.dir`.
        dir: Option<PathBuf> =
            ("spool.dir", "", Accepts::or_unset(Kind::Path, "beside the arena, on tmpfs"));
        /// Quota over all slots of this `name`, living or dead; two segments are allowed to each process in any
        /// case. At the quota `spool.full` decides.
        bytes_max: Option<u64> = ("spool.bytes_max", "0", Accepts::or_unset(
            Kind::Bytes(16 * MIB, 1024 * GIB),
            "automatic: 1 GiB with spool.dir, else the lesser of 64 MiB and half the free tmpfs",
        ));
        /// Size of one segment file, preallocated. Space is given back by whole segments. At most half of
        /// `spool.bytes_max`. Batches that are stored together and need more get one file of their own, at most 32 MiB.
        segment_bytes: u64 = (
            "spool.segment_bytes", "4MiB", Accepts::of(Kind::Pages(4 * MIB, 256 * MIB))
        );
        /// What gives way at the quota: `drop_oldest` the oldest stored batches, counted as dropped, those of dead
        /// processes first; `drop_newest` and `block` nothing that was accepted: above 90 % only records of
        /// severity WARN and above are admitted, others are refused with `SPOOL_FULL`; then the rings fill.
        /// `ring.full` decides whether who is not admitted is refused or waits.
        full: SpoolFull = ("spool.full", "drop_oldest", choice(SpoolFull::NAMES));
        /// What goes first after an outage: `strict` the oldest; `fresh_first` what was logged lately, while the
        /// backlog (what waited for more than one to two seconds, what dead processes left) gets its share. Order
        /// is then kept within each of the two only. What was read already and waits for a partition's leader or a
        /// topic goes before both.
        order: SpoolOrder = ("spool.order", "strict", choice(SpoolOrder::NAMES));
        /// Percent of the batches that the backlog gets with `fresh_first` beside fresh ones.
        backlog_share: u32 = ("spool.backlog_share", "20", count(1, 90));
        /// Bound on the files below `dead-letters/` of this `name`: records that a receiver refused for good, kept
        /// for `logdrive spool --dead-letters`. Beyond it such a record is only counted and reported. 0 keeps none.
        dead_letters_bytes_max: u64 = ("dead_letters.bytes_max", "64MiB", bytes(0, 1024 * GIB));
        /// What survives a power cut: `batch` all that was stored, a duration all that is older than it, `none`
        /// what the kernel happened to write. A crash of the process alone loses nothing with any of them. Other
        /// than `none` it needs `spool.dir`.
        sync: SpoolSync = ("spool.sync", "none", Accepts::of(Kind::ChoiceOrDuration(
            SpoolSync::NAMES,
            Duration::from_millis(1),
            Duration::from_secs(3_600),
        )));
        /// How segment files are written: `mmap` through a mapping, `file` by `pwrite`, `auto` by `mmap` on tmpfs,
        /// ext4 and XFS and by `file` on any other file system: only on those three does space that was allocated
        /// stay ours. XFS files that were cloned (reflink) need `file`.
        store: SpoolStore = ("spool.store", "auto", choice(SpoolStore::NAMES));
        /// Room for batches in memory while the disk refuses files (full, failed, read-only). They are delivered
        /// from there, or moved to the disk when it takes files again; until then a crash loses them, and
        /// `spool_memory_mode` in the statistics says so. At least two segments.
        memory_bytes_max: Option<u64> = ("spool.memory_bytes_max", "0", Accepts::or_unset(
            Kind::Bytes(8 * MIB, 4 * GIB),
            "automatic: the greater of 16 MiB and two segments",
        ));
        /// Whether a fault behind a file of ours (truncated by somebody, or on a broken disk) is caught by a
        /// handler of SIGBUS. Faults elsewhere go to the handler that was there before. The first client of a
        /// process that has it on installs it, for the life of the process.
        sigbus_guard: bool = ("spool.sigbus_guard", "true", Accepts::of(Kind::Flag));
        /// How often a process that logs looks for slots of its `name` whose process has died, to deliver what they
        /// hold. Dead is whose record lock is free, never who is silent.
        adoption_interval: Duration = ("adoption.interval", "5s", duration(100, 3_600_000));
        /// How many slots of dead processes are open at a time; each takes some file descriptors and maps its
        /// oldest segments. The next one follows when one is delivered.
        adoption_slots_max: u32 = ("adoption.slots_max", "16", count(1, 1_024));
    }

    /// The Kafka protocol, spoken to clusters and to our own receivers alike.
    "Session" session: SessionSettings {
        /// The name under which brokers log us and account quotas.
        client_id: String = ("client_id", "logdrive", CLIENT_ID);
        /// Whose acknowledgement counts: `all` in-sync replicas', the `leader`'s alone, or
        /// `none`: then a batch is done when the kernel has sent it, and is counted `unconfirmed`.
        /// Other than `all` it needs `idempotence=false`.
        acks: Acks = ("acks", "all", choice(Acks::NAMES));
        /// Numbers batches so that a cluster drops what it has already appended. Switch it off for
        /// clusters that forbid `InitProducerId`; a retry may then duplicate a batch.
        idempotence: bool = ("idempotence", "true", Accepts::of(Kind::Flag));
        /// How long a broker may take over one request; sent along with every Produce request.
        /// In `kafka://` mode not above `acknowledgement.deadline`.
        request_timeout: Duration = ("request.timeout", "30s", duration(100, 600_000));
        /// How long a sent batch may stay unacknowledged before its lane is given up and the batch
        /// is sent again elsewhere or anew. Not above `tcp.user_timeout`.
        acknowledgement_deadline: Option<Duration> =
            ("acknowledgement.deadline", "0", Accepts::or_unset(
                range(100_000, 600_000_000),
                "automatic: 10s in `receivers://` mode, 30s in `kafka://` mode",
            ));
        /// Whether a cluster may create the topic when it does not exist. It does so only where its
        /// own `auto.create.topics.enable` allows it too. Without it, records of a topic that does
        /// not exist stay stored until it does.
        topic_auto_create: bool = ("topic.auto_create", "true", Accepts::of(Kind::Flag));
        /// Age at which what is known of a cluster (leaders, partitions) is asked for again, even
        /// when nothing failed.
        metadata_age_max: Duration = ("metadata.age_max", "5m", duration(1_000, 3_600_000));
    }

    /// Which connection gets the next batch, and when connections are made, left and moved.
    "Fleet" fleet: FleetSettings {
        /// Number of lanes, that is of connections that carry batches. Not above `lanes.max`. In
        /// `kafka://` mode each broker has one lane instead, and neither option has an effect.
        lanes: Option<u32> =
            ("lanes", "0", Accepts::or_unset(Kind::Count(1, 1_024), "automatic: one for each receiver, at least two"));
        /// Most lanes that the automatic number of lanes may reach.
        lanes_max: u32 = ("lanes.max", "16", count(1, 1_024));
        /// Batches that one lane may have unacknowledged. More hide a longer round trip; a Kafka
        /// broker remembers the last 5 of a producer, so that is the limit.
        lane_batches_in_flight_max: u32 = ("lane.batches_in_flight_max", "5", count(1, 5));
        /// Bytes that one lane may have unacknowledged.
        lane_bytes_in_flight_max: u64 =
            ("lane.bytes_in_flight_max", "4MiB", bytes(MIB, 256 * MIB));
        /// Compressed bytes after which a lane drains and moves to another receiver, so that a new
        /// or restarted receiver gets its share. The first of the three triggers counts, each
        /// with a jitter of 15 %. In `kafka://` mode the partitions' leaders decide instead, and
        /// the three have no effect.
        rebind_bytes: Option<u64> =
            ("rebind.bytes", "256MiB", Accepts::or_unset(Kind::Bytes(MIB, 1024 * GIB), "off"));
        /// Records after which a lane moves; see `rebind.bytes`.
        rebind_records: Option<u64> = ("rebind.records", "0", Accepts::or_unset(
            Kind::Count(1_000, 1_000_000_000_000),
            "off",
        ));
        /// Time after which a lane moves; see `rebind.bytes`.
        rebind_interval: Option<Duration> =
            ("rebind.interval", "5m", Accepts::or_unset(range(1_000_000, 86_400_000_000), "off"));
        /// How often an idle lane asks its peer for a sign of life, so that a dead one is known
        /// before it is needed.
        heartbeat_interval: Duration = ("heartbeat.interval", "5s", duration(100, 600_000));
        /// First pause before a failed endpoint is tried again. Pauses double up to `backoff.max`,
        /// each drawn at random from the whole span, and start anew after an acknowledgement.
        backoff_min: Duration = ("backoff.min", "100ms", duration(1, 60_000));
        /// Longest pause before a failed endpoint is tried again; `rebind.interval`, if that is
        /// shorter, while others take batches. Not below `backoff.min`.
        backoff_max: Duration = ("backoff.max", "10s", duration(1, 3_600_000));
        /// Connection attempts at the same time, so that an outage of many receivers does not end
        /// in a storm.
        connects_concurrent_max: u32 = ("connects.concurrent_max", "8", count(1, 1_024));
    }

    /// Sockets and names.
    "Transport" transport: TransportSettings {
        /// Who says where the receivers (or a cluster's bootstrap servers) are: `hosts` the URL itself;
        /// `srv` the SRV records of the names in the URL; `file` the file `discovery.file`, and the
        /// URL until it can be read; `zookeeper` the nodes below `discovery.path` of the ZooKeeper
        /// servers in the URL. Every name that is found is resolved to all its addresses.
        discovery: Discovery = ("discovery", "hosts", choice(Discovery::NAMES));
        /// The file that lists receivers with `discovery=file`: one `host:port` per line, `#` begins
        /// a comment, at most 64 KiB and 1,024 hosts.
        discovery_file: Option<PathBuf> =
            ("discovery.file", "", Accepts::or_unset(Kind::Path, "no file"));
        /// The node whose children are receivers with `discovery=zookeeper`: the place is a child's
        /// data, `host:port`, or where it has none, its name.
        discovery_path: String = ("discovery.path", "/logdrive/receivers", ZOOKEEPER_PATH);
        /// How often `srv`, `file` and `zookeeper` are asked again. What they listed before stays in
        /// use while they fail.
        discovery_interval: Duration = ("discovery.interval", "5s", duration(100, 3_600_000));
        /// How long one connection attempt may take.
        connect_timeout: Duration = ("connect.timeout", "3s", duration(10, 300_000));
        /// `TCP_USER_TIMEOUT`: after that long without a TCP acknowledgement the kernel ends a
        /// connection. Not below `acknowledgement.deadline`, which shall notice first.
        tcp_user_timeout: Duration = ("tcp.user_timeout", "45s", duration(1_000, 3_600_000));
        /// How often host names are resolved again while lanes stand. They are resolved at every
        /// connect and every move anyway.
        resolve_interval: Duration = ("resolve.interval", "30s", duration(1_000, 3_600_000));
    }

    /// Encrypted connections: with the schemes `kafka+tls://` and `receivers+tls://`, and only there.
    "TLS" tls: TlsSettings {
        /// PEM file with the authorities that a server's certificate must come from.
        ca_file: Option<PathBuf> =
            ("tls.ca_file", "", Accepts::or_unset(Kind::Path, "the authorities that the system trusts"));
        /// PEM file with our certificate and those between it and its authority, for servers that
        /// ask for one. Needs `tls.key_file`.
        certificate_file: Option<PathBuf> =
            ("tls.certificate_file", "", Accepts::or_unset(Kind::Path, "none is shown"));
        /// PEM file with the key of `tls.certificate_file`; keep it at mode 0600.
        key_file: Option<PathBuf> = ("tls.key_file", "", Accepts::or_unset(Kind::Path, "none"));
        /// The name that a server's certificate must hold, where it is not the host of the URL (or, in
        /// Kafka mode, the host that a broker advertises).
        server_name: Option<String> =
            ("tls.server_name", "", Accepts::or_unset(SERVER_NAME, "the host connected to"));
        /// Believes any certificate: whoever can reach between us and the server can read and change
        /// everything. For experiments only; `Snapshot` and its JSON show it as `tls_unverified`.
        insecure_skip_verification: bool =
            ("tls.insecure_skip_verification", "false", Accepts::of(Kind::Flag));
        /// How often the files above, and the files and commands of `sasl`, are read again. What changed
        /// in a way that can be used (certificate and key match) is used from then on, and the lanes
        /// that stand are moved to it one by one.
        reload_interval: Duration = ("credentials.reload_interval", "30s", duration(100, 86_400_000));
    }

    /// Who we are to a broker or receiver that asks. A secret is never a value: it comes from a file, an
    /// environment variable or a command.
    "SASL" sasl: SaslSettings {
        /// How we prove who we are, in Kafka's spelling.
        mechanism: SaslMechanism = ("sasl.mechanism", "none", choice(SaslMechanism::NAMES));
        /// The user, for PLAIN and SCRAM.
        username: Option<String> = ("sasl.username", "", Accepts::or_unset(USERNAME, "none"));
        /// File whose first line is the password; keep it at mode 0600.
        password_file: Option<PathBuf> =
            ("sasl.password_file", "", Accepts::or_unset(Kind::Path, "see sasl.password_variable"));
        /// Name of the environment variable that holds the password.
        password_variable: Option<String> =
            ("sasl.password_variable", "", Accepts::or_unset(VARIABLE, "see sasl.password_file"));
        /// File whose first line is the token, for OAUTHBEARER.
        token_file: Option<PathBuf> =
            ("sasl.token_file", "", Accepts::or_unset(Kind::Path, "see sasl.token_command"));
        /// Command that prints the token, run by `sh -c` in a thread of its own every
        /// `credentials.reload_interval`, at most 30 s at a time. The host sees a child process.
        token_command: Option<String> =
            ("sasl.token_command", "", Accepts::or_unset(COMMAND, "see sasl.token_file"));
        /// Lets PLAIN and OAUTHBEARER send the password or token over a connection without TLS, where
        /// everybody on the way can read it.
        insecure_cleartext: bool = ("sasl.insecure_cleartext", "false", Accepts::of(Kind::Flag));
    }
}
