//! Record bytes as they lie in a ring: any bytes parse to a record or to an error, and what parses
//! encodes back to the same bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logdrive::record::Record;
use logdrive::record::RecordView;

fuzz_target!(|bytes: &[u8]| {
    let Ok(view) = RecordView::parse(bytes) else { return };
    let pairs: Vec<(&[u8], &[u8])> = view.attribute_pairs().collect();
    let names: Option<Vec<(&str, &[u8])>> = pairs
        .iter()
        .map(|(name, value)| Some((std::str::from_utf8(name).ok()?, *value)))
        .collect();
    let Some(attributes) = names else { return };
    let record = Record {
        severity: view.severity,
        stream: view.stream,
        ticks: view.ticks,
        key: view.key,
        attributes: &attributes,
        body: view.body,
    };
    let mut encoded = Vec::new();
    record.encode(|piece| encoded.extend_from_slice(piece));
    let again = RecordView::parse(&encoded).expect("what was encoded parses");
    assert_eq!(again.body, view.body);
    assert_eq!(again.key, view.key);
    assert!(again.attribute_pairs().eq(view.attribute_pairs()));
});
