//! A drained slice becomes sealed batches: parse, map, encode, compress.
//!
//! Pure: bytes in, bytes out; several encoders run in parallel where `workers` > 1. Owns the builders, one per
//! stream, and the estimate of the compression ratio. Invariant: every record of the slice is in
//! exactly one batch of the group, or counted as malformed; record numbers follow on without holes.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::batch;
use crate::batch::Builder;
use crate::batch::Codec;
use crate::batch::Compressor;
use crate::batch::SealError;
use crate::batch::Sealed;
use crate::clock::Calibration;
use crate::config::BatchSettings;
use crate::config::Settings;
use crate::config::TargetMode;
use crate::ids::BatchIdentity;
use crate::ids::InstanceId;
use crate::ids::RingPosition;
use crate::ids::StreamId;
use crate::pipeline::mapping::Mapping;
use crate::pipeline::placement;
use crate::pipeline::placement::Placement;
use crate::pipeline::placement::STREAMS_MAX;
use crate::record::ParseError;
use crate::record::RecordView;
use crate::record::Severity;
use crate::ring::Slice;
use crate::spool;

/// Raw bytes of a slice at most, however well its records compress.
pub const SLICE_BYTES_MAX: usize = 2 << 20;
/// Compression ratio assumed before the first batch.
const RATIO_AT_START: f64 = 2.0;
/// How much one batch moves the estimate.
const RATIO_WEIGHT: f64 = 0.2;
/// Batches of keyed records in one slice at most: so many frames fit a group with their slice. There
/// are more only where a slice holds more different keys than that before the cluster was ever reached;
/// then the rest waits as one batch for any partition.
const KEYED_OPEN_MAX: usize = 1 << 11;
/// Bodies that are kept for reuse.
const SPARE_BODIES_MAX: usize = 8;
/// What a reader finds in place of a record that could not be read.
const UNREADABLE: &[u8] = b"logdrive: a record was unreadable";
/// Batch numbers of a group start at its ticket times this; a group has fewer batches.
const BATCHES_PER_GROUP_MAX: u64 = 1 << 16;

/// Why a slice could not be encoded; only for lack of memory in a codec, or by a defect.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// A batch could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A batch above `batch.bytes_max` could not be split.
    #[error(transparent)]
    Split(#[from] batch::SplitError),
}

/// What an encoder needs beside the slice.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    /// Number of the drain, from 0.
    pub number: u64,
    /// Number of the slice's first record within the instance.
    pub first_record: u64,
    /// Turns ticks into wall time.
    pub calibration: Calibration,
}

/// One sealed batch of a group.
#[derive(Debug)]
pub struct SealedBatch {
    stream: StreamId,
    partition: i32,
    severity_max: u8,
    identity: BatchIdentity,
    sealed: Sealed,
    body: Vec<u8>,
}

/// All batches of one slice, to be committed together.
#[derive(Debug)]
pub struct SealedGroup {
    /// The ticket of the drain.
    pub ticket: Ticket,
    batches: Vec<SealedBatch>,
    positions: Vec<RingPosition>,
    /// Records in the batches.
    pub records: u64,
    /// Bytes of the bodies as the application gave them.
    pub bytes_in: u64,
    /// Bytes of the compressed batches, headers included.
    pub bytes_out: u64,
    /// Records that travel as placeholders: unreadable ones, of which only a damaged arena has any.
    pub malformed: u64,
    /// Raw bytes that the encoder now expects to compress to `batch.bytes`.
    pub slice_bytes: usize,
}

impl SealedGroup {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// How far the rings were read.
    pub fn positions(&self) -> &[RingPosition] {
        &self.positions
    }

    /// Number of the last batch.
    pub fn last_batch(&self) -> Option<u64> {
        self.batches.last().map(|batch| batch.identity.batch)
    }

    /// The group as the spool takes it; `topics` are the names of the streams.
    pub fn spool_batches<'a>(&'a self, topics: &'a [String]) -> Vec<spool::Batch<'a>> {
        // Only a damaged arena names a stream that is not in its directory.
        let topic = |stream: StreamId| {
            topics.get(usize::from(stream.0)).or(topics.first()).map_or("", String::as_str)
        };
        self.batches
            .iter()
            .map(|batch| spool::Batch {
                topic: topic(batch.stream),
                partition: batch.partition,
                severity_max: batch.severity_max,
                batch_number: batch.identity.batch,
                first_record: batch.identity.first_record,
                record_count: batch.identity.record_count,
                max_timestamp: batch.sealed.max_timestamp,
                header: &batch.sealed.header,
                body: &batch.body,
                body_crc: batch.sealed.body_crc,
            })
            .collect()
    }
}

/// Settings of an encoder, shared by all workers.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose records.
    pub instance: InstanceId,
    /// Batch and codec settings.
    pub batch: Arc<BatchSettings>,
    /// Where keyed records go, and how large a batch each topic takes.
    pub placement: Arc<Placement>,
}

impl Options {
    /// For the records of `instance` under these settings.
    pub fn new(instance: InstanceId, settings: &Settings) -> Self {
        let is_kafka = settings.target.mode == TargetMode::Kafka;
        Self {
            instance,
            batch: Arc::new(settings.batch.clone()),
            placement: Arc::new(Placement::new(is_kafka)),
        }
    }
}

#[derive(Default)]
struct OpenBatch {
    builder: Builder,
    severity_max: u8,
}

impl OpenBatch {
    /// Whether it is to be sealed before `bytes` more. A slice has the bytes of about one batch; the
    /// slack avoids a second, tiny one.
    #[inline]
    fn is_full(&self, bytes: usize, raw_bytes_max: usize) -> bool {
        let raw_bytes = self.builder.raw_bytes();
        raw_bytes + bytes > raw_bytes_max + raw_bytes_max / 4 && raw_bytes > 0
    }
}

/// See the module's head.
pub struct Encoder {
    options: Options,
    compressor: Compressor,
    mapping: Mapping,
    /// Without keys, by stream.
    open: Vec<OpenBatch>,
    /// With keys, by stream and mark of the partition.
    keyed: BTreeMap<(StreamId, i32), OpenBatch>,
    spare_bodies: Vec<Vec<u8>>,
    ratio: f64,
}

impl Encoder {
    /// An encoder for `options`; fails where the codec's level is out of its range.
    pub fn new(options: Options) -> Result<Self, batch::LevelError> {
        let level = options.batch.codec_level.map(u32::cast_signed);
        let codec = match options.batch.codec {
            crate::config::Codec::None => Codec::None,
            crate::config::Codec::Gzip => Codec::Gzip,
            crate::config::Codec::Snappy => Codec::Snappy,
            crate::config::Codec::Lz4 => Codec::Lz4,
            crate::config::Codec::Zstd => Codec::Zstd,
        };
        let compressor = Compressor::new(codec, level)?;
        let mapping = Mapping::new(options.batch.format, options.batch.timestamps);
        let ratio = if codec == Codec::None { 1.0 } else { RATIO_AT_START };
        Ok(Self {
            options,
            compressor,
            mapping,
            open: Vec::new(),
            keyed: BTreeMap::new(),
            spare_bodies: Vec::new(),
            ratio,
        })
    }

    /// Raw bytes that are expected to compress to `batch.bytes`.
    pub fn slice_bytes(&self) -> usize {
        let bytes = self.options.placement.smallest_bytes_max();
        let bytes = bytes.min(self.options.batch.bytes as usize);
        let target = bytes as f64 * self.ratio;
        (target as usize).clamp(bytes, SLICE_BYTES_MAX)
    }

    /// Takes the memory of a committed group back.
    pub fn recycle(&mut self, group: SealedGroup) {
        for mut batch in group.batches {
            batch.body.clear();
            self.spare_bodies.push(batch.body);
        }
        self.spare_bodies.truncate(SPARE_BODIES_MAX);
    }

    /// Encodes all records of `slice`.
    pub fn encode(&mut self, slice: &Slice, ticket: Ticket) -> Result<SealedGroup, EncodeError> {
        self.encode_with(slice, ticket, |bytes| RecordView::parse(bytes))
    }

    /// Encodes a placeholder for each record of `slice`, which could not be encoded as they are.
    pub fn encode_lost(
        &mut self,
        slice: &Slice,
        ticket: Ticket,
    ) -> Result<SealedGroup, EncodeError> {
        self.encode_with(slice, ticket, |_| Err(ParseError::Truncated("encoding")))
    }

    fn encode_with(
        &mut self,
        slice: &Slice,
        ticket: Ticket,
        parse: impl for<'a> Fn(&'a [u8]) -> Result<RecordView<'a>, ParseError>,
    ) -> Result<SealedGroup, EncodeError> {
        let slice_bytes = self.slice_bytes();
        let mut group = SealedGroup {
            ticket,
            batches: Vec::new(),
            positions: slice.positions().to_vec(),
            records: 0,
            bytes_in: 0,
            bytes_out: 0,
            malformed: 0,
            slice_bytes,
        };
        self.open.iter_mut().for_each(|open| open.builder.clear());
        self.keyed.clear();
        for encoded in slice.encoded_records() {
            match parse(encoded) {
                Ok(record) if usize::from(record.stream.0) < STREAMS_MAX => {
                    group.bytes_in += record.body.len() as u64;
                    self.push(&record, encoded.len(), slice_bytes, &mut group)?;
                }
                Ok(_) | Err(_) => {
                    group.malformed += 1;
                    let placeholder =
                        RecordView::plain(Severity::Error, ticket.calibration.ticks, UNREADABLE);
                    self.push(&placeholder, UNREADABLE.len(), slice_bytes, &mut group)?;
                }
            }
        }
        for stream in 0..self.open.len() {
            if !self.open[stream].builder.is_empty() {
                let mut open = std::mem::take(&mut self.open[stream]);
                self.seal((StreamId(stream as u16), placement::ANY), &mut open, &mut group)?;
                self.open[stream] = open;
            }
        }
        for (place, mut open) in std::mem::take(&mut self.keyed) {
            self.seal(place, &mut open, &mut group)?;
        }
        group.slice_bytes = self.slice_bytes();
        Ok(group)
    }

    #[inline]
    fn push(
        &mut self,
        record: &RecordView<'_>,
        bytes: usize,
        raw_bytes_max: usize,
        group: &mut SealedGroup,
    ) -> Result<(), EncodeError> {
        if let Some(key) = record.key.filter(|_| self.options.placement.places_keys()) {
            let place = (record.stream, self.options.placement.mark_of(record.stream, key));
            if self.keyed.len() < KEYED_OPEN_MAX || self.keyed.contains_key(&place) {
                let open = self.keyed.entry(place).or_default();
                if open.is_full(bytes, raw_bytes_max) {
                    let mut full = std::mem::take(open);
                    self.seal(place, &mut full, group)?;
                }
                let open = self.keyed.entry(place).or_default();
                open.severity_max = open.severity_max.max(record.severity as u8);
                self.mapping.push(&mut open.builder, record, &group.ticket.calibration);
                return Ok(());
            }
        }
        let stream = usize::from(record.stream.0);
        if stream >= self.open.len() {
            self.open.resize_with(stream + 1, OpenBatch::default);
        }
        if self.open[stream].is_full(bytes, raw_bytes_max) {
            let mut full = std::mem::take(&mut self.open[stream]);
            self.seal((record.stream, placement::ANY), &mut full, group)?;
            self.open[stream] = full;
        }
        let open = &mut self.open[stream];
        open.severity_max = open.severity_max.max(record.severity as u8);
        self.mapping.push(&mut open.builder, record, &group.ticket.calibration);
        Ok(())
    }

    fn seal(
        &mut self,
        (stream, partition): (StreamId, i32),
        open: &mut OpenBatch,
        group: &mut SealedGroup,
    ) -> Result<(), EncodeError> {
        let identity = BatchIdentity {
            instance: self.options.instance,
            batch: group.ticket.number * BATCHES_PER_GROUP_MAX + group.batches.len() as u64,
            first_record: group.ticket.first_record + group.records,
            record_count: open.builder.record_count(),
        };
        let raw_bytes = open.builder.raw_bytes();
        let mut body = self.spare_bodies.pop().unwrap_or_default();
        let sealed = open.builder.seal(&identity, &mut self.compressor, &mut body)?;
        let severity_max = std::mem::take(&mut open.severity_max);
        if self.compressor.codec() != Codec::None {
            let ratio = raw_bytes as f64 / (body.len().max(1)) as f64;
            self.ratio += (ratio.clamp(1.0, 32.0) - self.ratio) * RATIO_WEIGHT;
        }
        group.records += u64::from(sealed.record_count);
        let batch = SealedBatch { stream, partition, severity_max, identity, sealed, body };
        self.add(batch, group)
    }

    /// Adds a batch to the group; one that compressed worse than expected and so is above
    /// `batch.bytes_max`, or what its topic takes, is split first.
    fn add(&mut self, batch: SealedBatch, group: &mut SealedGroup) -> Result<(), EncodeError> {
        let bytes = batch::HEADER_BYTES + batch.body.len();
        let topic_max = self.options.placement.stream_bytes_max(batch.stream);
        if bytes > topic_max.min(self.options.batch.bytes_max as usize)
            && let Some(halves) =
                batch::split(&batch.sealed.header, &batch.body, &mut self.compressor)?
        {
            for half in halves {
                let batch::SplitBatch { sealed, body, identity } = half;
                self.add(SealedBatch { sealed, body, identity, ..batch }, group)?;
            }
            return Ok(());
        }
        group.bytes_out += bytes as u64;
        group.batches.push(batch);
        Ok(())
    }
}
