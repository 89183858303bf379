//! What a batch costs: ns per record to push, MB/s per codec to seal, to check and to walk.
//!
//! `cargo bench --bench batch`. Reads the lines of `../shared/data/loghub` where present, made-up
//! ones otherwise. Best of several rounds; compare within one run only.

use std::fs;
use std::hint::black_box;
use std::time::Instant;

use logdrive::batch::Builder;
use logdrive::batch::Codec;
use logdrive::batch::Compressor;
use logdrive::batch::HEADER_BYTES;
use logdrive::batch::Record;
use logdrive::batch::RecordHeader;
use logdrive::batch::Validation;
use logdrive::batch::bind;
use logdrive::batch::validate;
use logdrive::ids::BatchIdentity;
use logdrive::ids::InstanceId;

const ROUNDS: usize = 9;
const BATCH_BYTES: usize = 1 << 20;
const RECORDS_LIMIT: usize = 16 << 20;

fn main() {
    let line = [b'x'; 200];
    let severity: [RecordHeader<'_>; 1] = [(b"severity", Some(b"INFO"))];
    println!("push of 200 B, no headers   {:6.1} ns/record", push_ns(&line, &[]));
    println!("push of 200 B, one header   {:6.1} ns/record", push_ns(&line, &severity));

    let text = corpus();
    println!("\n{} bytes of lines, batches of 1 MiB of records", text.len());
    println!("codec      seal MB/s   validate MB/s   ratio");
    for codec in Codec::ALL {
        codec_row(codec, &text);
    }
}

fn push_ns(line: &[u8], headers: &[RecordHeader<'_>]) -> f64 {
    const RECORDS: usize = 2_000;
    let mut builder = Builder::with_capacity(BATCH_BYTES);
    best_seconds(|| {
        for _ in 0..100 {
            builder.clear();
            for index in 0..RECORDS {
                builder.push(&Record {
                    timestamp_ms: 1_700_000_000_000 + index as i64,
                    key: None,
                    value: Some(black_box(line)),
                    headers: headers.iter().copied(),
                });
            }
        }
    }) * 1e9
        / (100 * RECORDS) as f64
}

fn codec_row(codec: Codec, text: &[u8]) {
    let mut compressor = Compressor::new(codec, None).expect("the default level exists");
    let mut builder = Builder::with_capacity(BATCH_BYTES);
    let mut raw_bytes = 0;
    let mut batches: Vec<([u8; HEADER_BYTES], Vec<u8>)> = Vec::new();
    let mut spare: Vec<Vec<u8>> = Vec::new();
    let seal_seconds = best_seconds(|| {
        raw_bytes = 0;
        spare.extend(batches.drain(..).map(|(_, body)| body));
        let mut lines = text.split(|&byte| byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            builder.push(&Record {
                timestamp_ms: 1_700_000_000_000,
                key: None,
                value: Some(line),
                headers: [].into_iter(),
            });
            if builder.raw_bytes() >= BATCH_BYTES || lines.peek().is_none() {
                raw_bytes += builder.raw_bytes();
                let mut body = spare.pop().unwrap_or_default();
                body.clear();
                batches.push((seal(&mut builder, &mut compressor, &mut body), body));
            }
        }
    });
    let mut scratch = Vec::new();
    let validate_seconds = best_seconds(|| {
        for (header, body) in &batches {
            let checked = validate(header, body, Validation::Records, RECORDS_LIMIT, &mut scratch);
            black_box(checked.expect("our own batch is valid"));
        }
    });
    let body_bytes: usize = batches.iter().map(|(_, body)| body.len()).sum();
    println!(
        "{codec:<10} {:9.0} {:15.0} {:7.2}",
        raw_bytes as f64 / seal_seconds / 1e6,
        raw_bytes as f64 / validate_seconds / 1e6,
        raw_bytes as f64 / body_bytes as f64,
    );
}

fn seal(builder: &mut Builder, compressor: &mut Compressor, body: &mut Vec<u8>) -> [u8; 61] {
    let identity = BatchIdentity {
        instance: InstanceId([7; 16]),
        batch: 0,
        first_record: 0,
        record_count: builder.record_count(),
    };
    let sealed = builder.seal(&identity, compressor, body).expect("1 MiB of records can be sealed");
    let mut header = sealed.header;
    bind(&mut header, sealed.body_crc, sealed.body_bytes, 4000, 0, 0);
    header
}

#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock by its nature")]
fn best_seconds(mut work: impl FnMut()) -> f64 {
    let round = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn corpus() -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/loghub");
    let mut text = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "log") {
            text.extend(fs::read(entry.path()).unwrap_or_default());
        }
    }
    if text.is_empty() {
        println!("{folder} is not there: made-up lines instead");
        let line = |n: u64| {
            let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            format!(
                "INFO dfs.DataNode: Received block blk_{mixed} of size {n} from 10.250.{mixed}\n"
            )
        };
        text = (0..40_000).flat_map(|n| line(n).into_bytes()).collect();
    }
    text
}
