//! Host that starts one worker, reports that, and waits to be killed: for tests in which the host dies.
//!
//! Usage: host WORKER-EXECUTABLE PLUGIN.so STATE-DIR TOML

use std::os::fd::AsFd;
use std::path::Path;

use spared_contract::{FromPlugin, Surroundings, ToPlugin};
use spared_message::load::Load;
use spared_process::worker::process::Worker;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, exe, plugin, state_dir, toml] = &arguments[..] else {
        return Err("four arguments, please".into());
    };
    let file = std::fs::File::open(plugin)?;
    let load = Load {
        name: "probe".to_owned(),
        state_dir: Some(state_dir.clone()),
        ..Load::default()
    };
    let mut worker = Worker::spawn(Path::new(exe), &load, file.as_fd())?;
    let configure = ToPlugin::Configure {
        token: 1,
        table: spared_config_reader::table(toml).map_err(|fault| fault.why)?,
        check: false,
        surroundings: Surroundings::default(),
    };
    worker.send(&configure, &[])?;
    worker.send(&ToPlugin::Start { token: 2 }, &[])?;
    loop {
        match worker.receive()? {
            Some(FromPlugin::Returned {
                token: 2, status, ..
            }) => {
                println!("{} {status}", worker.pid());
            }
            Some(_) => {}
            None => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    }
}
