//! Does all the harm that a plugin can do, so that tests see what happens to it and to the others.
//!
//! Each copy of this library behaves as its file's name says: `segv-in-role.so` writes to an
//! unmapped address when it is told a role. Without `-in-PLACE` the behaviour begins 200 ms after
//! start. The names are in `act::ACTS` and `act::STATUSES`, the places in `place::NAMES`. An attempt
//! that the kernel or the daemon refuses is logged as "denied: ..."; one that succeeds although it must
//! not, as "ALLOWED: ...".
//!
//! Its note is room for another: whoever makes a copy writes there what the copy says of itself
//! (`spared_tests::hostile`). It speaks the contract by itself, as every loop would prevent most of this.

mod act;
mod end;
mod exhaust;
mod flood;
mod host;
mod lie;
mod lie_group;
mod partner;
mod place;
mod reach;
mod records;
mod run;

use std::ffi::c_int;
use std::sync::OnceLock;

use act::Behaviour;
use place::Place;

/// Bytes of the note's text, more than a note may have.
const ROOM: usize = 6000;

/// The note of a copy, as the contract has it.
#[repr(C, align(4))]
pub struct Note {
    name_size: u32,
    text_size: u32,
    kind: u32,
    name: [u8; 8],
    text: [u8; ROOM],
}

/// Room for a note, which is looked for and written over.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".note.spared")]
#[allow(non_upper_case_globals)]
pub static spared_plugin_note: Note = Note {
    name_size: 7,
    text_size: ROOM as u32,
    kind: 1,
    name: *b"spared\0\0",
    text: [b'#'; ROOM],
};

#[used]
#[unsafe(link_section = ".init_array")]
static ON_LOAD: extern "C" fn() = on_load;

static BEHAVIOUR: OnceLock<Behaviour> = OnceLock::new();

fn behaviour() -> Option<&'static Behaviour> {
    BEHAVIOUR.get()
}

extern "C" fn on_load() {
    BEHAVIOUR.get_or_init(|| Behaviour::named(&own_name()));
    act::at(Place::Load);
}

/// Runs until the daemon ends it. A panic ends the process.
#[unsafe(no_mangle)]
pub extern "C" fn spared_plugin_main(_socket: c_int) -> c_int {
    run::run()
}

/// The plugin's name, from the command line of its worker: `spared worker NAME`.
fn own_name() -> String {
    let line = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).skip(2);
    String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned()
}
