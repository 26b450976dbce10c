//! What is inside a seal: reports, blocks and the envelope of a control message. What was read is written the same.
#![no_main]

use jump_proto::report::{ControlKind, PathReport, ReceiveReport, RequestBlock, ResponseBlock};
use libfuzzer_sys::fuzz_target;

macro_rules! read_and_write {
    ($kind:ty, $bytes:expr) => {
        if let Ok((value, rest)) = <$kind>::decode($bytes) {
            let mut written = Vec::new();
            value.encode(&mut written);
            let (again, end) = <$kind>::decode(&written).expect("what was written is read");
            assert_eq!(format!("{value:?}"), format!("{again:?}"));
            assert!(end.is_empty() && rest.len() <= $bytes.len());
        }
    };
}

fuzz_target!(|bytes: &[u8]| {
    let _ = ControlKind::split(bytes);
    read_and_write!(ReceiveReport, bytes);
    read_and_write!(PathReport, bytes);
    read_and_write!(RequestBlock, bytes);
    read_and_write!(ResponseBlock, bytes);
});
