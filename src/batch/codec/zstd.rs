//! One Zstandard frame (RFC 8878), the C library through the `zstd` crate.

use std::io::Cursor;
use std::ops::RangeInclusive;

use zstd::stream::read::Decoder;
use zstd::zstd_safe::CCtx;
use zstd::zstd_safe::CParameter;
use zstd::zstd_safe::compress_bound;
use zstd::zstd_safe::get_error_name;

use crate::batch::codec::CappedOutput;
use crate::batch::codec::Failure;
use crate::batch::codec::check_end;

/// Without the "ultra" levels above, which want hundreds of MiB.
pub(super) const LEVELS: RangeInclusive<i32> = -7..=19;
/// 8 MiB: what RFC 8878 asks every decoder to support, and the window of level 19.
const WINDOW_LOG_MAX: u32 = 23;

pub(super) struct Compressor {
    context: CCtx<'static>,
}

impl Compressor {
    /// `level` is one of [`LEVELS`].
    pub(super) fn new(level: i32) -> Self {
        let mut context = CCtx::create();
        context
            .set_parameter(CParameter::CompressionLevel(level))
            .expect("zstd clamps levels, so that none is refused");
        Self { context }
    }

    pub(super) fn compress(&mut self, records: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let start = out.len() as u64;
        out.reserve(compress_bound(records.len()));
        let mut tail = Cursor::new(out);
        tail.set_position(start);
        match self.context.compress2(&mut tail, records) {
            Ok(_) => Ok(()),
            Err(code) => Err(get_error_name(code).to_owned()),
        }
    }
}

pub(super) fn decompress(body: &[u8], output: &mut CappedOutput<'_>) -> Result<(), Failure> {
    // To the decoder no bytes are no frames and fine; a body is one frame.
    if body.is_empty() {
        return Err(Failure::damaged("it is empty"));
    }
    let mut decoder = Decoder::with_buffer(body).map_err(Failure::damaged)?.single_frame();
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(Failure::damaged)?;
    output.read_to_end(&mut decoder)?;
    check_end(decoder.finish())
}
