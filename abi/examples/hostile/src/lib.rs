//! Does all the harm that a plugin can do, so that tests see what happens to it and to the others.
//!
//! Each copy of this library behaves as its file's name says: `segv-in-role.so` writes to an
//! unmapped address when it is told a role. Without `-in-PLACE` the behaviour begins 200 ms after
//! start. The names are in `act::ACTS`, `act::STATUSES` and `descriptor::LIES`, the places in
//! `place::NAMES`. An attempt that the kernel or the host refuses is logged as "denied: ..."; one
//! that succeeds although it must not, as "ALLOWED: ...".
//!
//! It uses the plain ABI, as the SDK would prevent most of this.

mod act;
mod callbacks;
mod descriptor;
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

use std::cell::UnsafeCell;
use std::ffi::CString;
use std::sync::OnceLock;

use spared_abi as abi;

use act::Behaviour;
use place::Place;

/// The descriptor, writable: its name is the file's, which is known only when it is loaded.
#[repr(transparent)]
pub struct Table(UnsafeCell<abi::Plugin>);

// SAFETY: it is written once, before anybody reads it.
unsafe impl Sync for Table {}

/// The symbol that the host looks for.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static spared_plugin_v0: Table = Table(UnsafeCell::new(callbacks::TABLE));

#[used]
#[unsafe(link_section = ".init_array")]
static ON_LOAD: extern "C" fn() = on_load;

static BEHAVIOUR: OnceLock<Behaviour> = OnceLock::new();

fn behaviour() -> Option<&'static Behaviour> {
    BEHAVIOUR.get()
}

extern "C" fn on_load() {
    let name = own_name();
    let behaviour = BEHAVIOUR.get_or_init(|| Behaviour::named(&name));
    let name = CString::new(name).unwrap_or_default().into_raw();
    // SAFETY: nobody else has seen it yet.
    let table = unsafe { &mut *spared_plugin_v0.0.get() };
    table.name = name;
    if let Some(lie) = behaviour.lie {
        lie(table);
    }
    act::at(Place::Load);
}

/// The plugin's name, from the command line of its worker: `spared worker NAME`.
fn own_name() -> String {
    let line = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).skip(2);
    String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned()
}
