//! Any bytes as an event of the log and as a stream of frames: an error or a value, and a value is
//! written and read again as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_flow::wire::v1::{
    FrameDecoder, decode_event, decode_message, decode_request, encode_event,
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(event) = decode_event(bytes)
        && let Ok(written) = encode_event(&event)
    {
        assert!(decode_event(&written).is_ok(), "what was written cannot be read");
    }
    let mut decoder = FrameDecoder::new(1 << 16);
    for piece in bytes.chunks(7) {
        decoder.push(piece);
        while let Ok(Some(body)) = decoder.next_frame() {
            let _ = (decode_request(body), decode_message(body));
        }
    }
});
