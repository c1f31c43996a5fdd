//! Renders the samples to a folder, for a browser: `pages FOLDER`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::ZonedDateTime;
use jiff::fmt::temporal::DateTimeParser;
use spared_web::page::{self, View};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("name a folder")?;
    let folder = PathBuf::from(folder);
    fs::create_dir_all(&folder)?;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    for file in fs::read_dir(&samples)? {
        let path = file?.path();
        let name = path
            .file_name()
            .and_then(|it| it.to_str())
            .unwrap_or_default();
        if let Some(name) = name.strip_suffix(".status.json") {
            write(&folder, name, &sample(&samples, name)?)?;
        }
    }
    let now = "2026-11-20T11:45:50+01:00[+01:00]".parse()?;
    let silent = View::silent("no answer within 2 s", &now);
    write(&folder, "silent", &silent)?;
    fs::write(
        folder.join("login.html"),
        page::login("This password is wrong"),
    )?;
    for path in [
        "/style.css",
        "/script.js",
        "/icon-ok.svg",
        "/icon-warn.svg",
        "/icon-bad.svg",
    ] {
        let (_, content) = page::asset(path).ok_or("no such asset")?;
        fs::write(folder.join(path.trim_start_matches('/')), content)?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, view: &View) -> Result<(), Box<dyn Error>> {
    fs::write(folder.join(format!("{name}.html")), page::document(view))?;
    fs::write(
        folder.join(format!("{name}.fragment.html")),
        page::fragment(view),
    )?;
    Ok(())
}

fn sample(samples: &Path, name: &str) -> Result<View, Box<dyn Error>> {
    let read = |verb: &str| fs::read_to_string(samples.join(format!("{name}.{verb}.json")));
    let (status, history, why) = (read("status")?, read("history")?, read("why")?);
    let view = View::parse(&status, &history, &why, &at(&status)?)?;
    Ok(view)
}

// Moment of a status, at the offset that it has.
fn at(status: &str) -> Result<ZonedDateTime, Box<dyn Error>> {
    let status: serde_json::Value = serde_json::from_str(status)?;
    let at = status["at"].as_str().ok_or("a status without a time")?;
    let pieces = DateTimeParser::new().parse_pieces(at)?;
    let offset = pieces
        .to_numeric_offset()
        .ok_or("a time without an offset")?;
    Ok(at
        .parse::<jiff::Timestamp>()?
        .to_zoned_datetime(offset.to_time_zone()))
}
