//! Sets what the kernel does with a packet whose policy finds no SA: it drops it, or keeps up to 100 behind each
//! policy. The setting applies to the whole machine. A run of the plugin that is killed during a switchover cannot
//! restore it: the next run does.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::state_file::StateFile;

const FILE: &str = "/proc/sys/net/core/xfrm_larval_drop";
const OFF: &str = "0";
const RISK: &str = "net.core.xfrm_larval_drop may stay 0";

pub struct LarvalDrop {
    file: PathBuf,
    /// File with the previous value, for the next run.
    state_file: StateFile,
    before: Option<String>,
}

impl LarvalDrop {
    /// Restores the value that an earlier run since the boot left changed.
    pub fn open(folder: Option<&Path>) -> Self {
        Self::with_file(Path::new(FILE), folder)
    }

    fn with_file(file: &Path, folder: Option<&Path>) -> Self {
        let opened = Self {
            file: file.to_owned(),
            state_file: StateFile::new(folder, "larval-drop", RISK),
            before: None,
        };
        if let Err(error) = opened.restore_earlier() {
            log::warn!("{}, as an earlier run left it: {error}", file.display());
        }
        opened
    }

    fn restore_earlier(&self) -> io::Result<()> {
        let left = self.state_file.read();
        if left.is_empty() {
            return Ok(());
        }
        // a value that was set since then has priority
        if self.read()? == OFF {
            fs::write(&self.file, left)?;
        }
        self.state_file.write(&[]);
        Ok(())
    }

    /// Makes the kernel keep such packets.
    ///
    /// # Errors
    /// The setting cannot be read or written.
    pub fn switch_off(&mut self) -> io::Result<()> {
        if self.before.is_some() {
            return Ok(());
        }
        let before = self.read()?;
        if before != OFF {
            self.state_file.write(before.as_bytes());
            fs::write(&self.file, OFF)?;
            self.before = Some(before);
        }
        Ok(())
    }

    /// Checks that [`switch_off`](Self::switch_off) would succeed now.
    ///
    /// # Errors
    /// The setting cannot be read, or could not be written.
    pub fn check(&self) -> io::Result<()> {
        match self.read()?.as_str() {
            OFF => Ok(()),
            _ => fs::File::options().write(true).open(&self.file).map(drop),
        }
    }

    /// Restores the previous value.
    ///
    /// # Errors
    /// The setting cannot be written.
    pub fn restore(&mut self) -> io::Result<()> {
        if let Some(before) = self.before.take() {
            fs::write(&self.file, before)?;
            self.state_file.write(&[]);
        }
        Ok(())
    }

    fn read(&self) -> io::Result<String> {
        Ok(fs::read_to_string(&self.file)?.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder for one test, with a file in place of the setting.
    struct Setting(PathBuf);

    impl Setting {
        fn new(test: &str) -> Self {
            let name = format!("spared-drops-{test}-{}", std::process::id());
            let it = Self(std::env::temp_dir().join(name));
            fs::create_dir_all(&it.0).unwrap();
            it.set("1\n");
            it
        }

        fn file(&self) -> PathBuf {
            self.0.join("xfrm_larval_drop")
        }

        fn set(&self, value: &str) {
            fs::write(self.file(), value).unwrap();
        }

        fn value(&self) -> String {
            let value = fs::read_to_string(self.file()).unwrap();
            value.trim().to_owned()
        }

        fn open(&self) -> LarvalDrop {
            LarvalDrop::with_file(&self.file(), Some(&self.0))
        }
    }

    impl Drop for Setting {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_a_run_that_was_killed_left_is_put_back_by_the_next_one_and_once() {
        let setting = Setting::new("killed");
        for _ in 0..2 {
            let mut killed = setting.open();
            killed.switch_off().unwrap();
            killed.switch_off().unwrap();
            assert_eq!(setting.value(), "0");
            drop(killed);
            setting.open();
            assert_eq!(setting.value(), "1");
        }
        setting.set("0");
        setting.open();
        assert_eq!(setting.value(), "0", "an administrator's");
    }

    #[test]
    fn what_somebody_set_after_a_run_was_killed_stays() {
        let setting = Setting::new("set");
        setting.open().switch_off().unwrap();
        setting.set("2");
        setting.open();
        setting.set("0");
        setting.open();
        assert_eq!(setting.value(), "0");
    }

    #[test]
    fn a_setting_that_is_not_there_keeps_nothing_and_a_look_changes_nothing() {
        let setting = Setting::new("looked-at");
        setting.open().check().unwrap();
        assert_eq!(setting.value(), "1");
        fs::remove_file(setting.file()).unwrap();
        assert!(setting.open().check().is_err());
        assert!(setting.open().switch_off().is_err());
    }

    #[test]
    fn a_run_that_ends_leaves_nothing_to_the_next_one() {
        let setting = Setting::new("ended");
        for value in ["1", "0"] {
            setting.set(value);
            let mut larval_drop = setting.open();
            larval_drop.switch_off().unwrap();
            assert_eq!(setting.value(), "0");
            larval_drop.restore().unwrap();
            assert_eq!(setting.value(), value);
            setting.set("0");
            setting.open();
            assert_eq!(setting.value(), "0");
        }
    }
}
