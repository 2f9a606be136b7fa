//! Documents that do harm on purpose, for the tests of supervision. Only in builds with the feature `faults`.
//!
//! A document whose text begins with `bowline-fault: WHAT` does WHAT to its worker.

use std::hint::black_box;
use std::time::Duration;

/// Does what the document asks for, if it asks.
#[expect(unsafe_code, reason = "a fault document crashes on purpose; never in a release build")]
pub(crate) fn act(text: &[u8]) {
    let Some(rest) = text.strip_prefix(b"bowline-fault: ") else { return };
    let what = rest.split(|&b| b == b'\n').next().unwrap_or_default();
    match what {
        // SAFETY: none; this is the crash that the tests want.
        b"segv" => unsafe { std::ptr::null_mut::<u8>().write_volatile(1) },
        b"abort" => std::process::abort(),
        b"exit" => std::process::exit(7),
        b"panic" => panic!("a fault document"),
        b"hang" => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        b"slow" => std::thread::sleep(Duration::from_millis(50)),
        b"overflow" => {
            black_box(recurse(1));
        }
        b"memory" => {
            let mut eaten: Vec<Vec<u8>> = Vec::new();
            loop {
                eaten.push(black_box(vec![1; 16 << 20]));
            }
        }
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "overflows the stack on purpose")]
fn recurse(depth: u64) -> u64 {
    let page = black_box([depth; 512]);
    page[(depth % 512) as usize] + recurse(depth + 1)
}
