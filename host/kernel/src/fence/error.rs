//! Errors of nf_tables.

use std::{error, fmt, io};

const UNSUPPORTED: &str = "; this kernel's nftables lacks the family netdev, which the fence needs \
    (CONFIG_NF_TABLES_NETDEV, OpenWrt: kmod-nft-netdev): set fence = \"off\" in spared.toml to run without it; \
    a hung daemon then keeps its addresses";

/// The fence could not be changed.
#[derive(Debug)]
pub struct FenceError {
    what: String,
    source: io::Error,
}

impl FenceError {
    pub(super) fn new(what: &str, source: io::Error) -> Self {
        Self {
            what: what.to_owned(),
            source,
        }
    }

    /// Returns true if the kernel's nftables lacks a feature that the fence needs.
    fn is_unsupported(&self) -> bool {
        matches!(
            self.source.raw_os_error(),
            Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT)
        )
    }

    /// Returns true if an object or a device that the transaction names did not exist. Another attempt may succeed.
    pub fn is_missing(&self) -> bool {
        matches!(
            self.source.raw_os_error(),
            Some(libc::ENOENT | libc::ENODEV)
        )
    }
}

impl fmt::Display for FenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "fence: cannot {}: {}",
            self.what,
            spared_netlink::reason(&self.source)
        )?;
        if self.is_unsupported() {
            f.write_str(UNSUPPORTED)
        } else {
            Ok(())
        }
    }
}

impl error::Error for FenceError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(errno: i32) -> String {
        let source = io::Error::from_raw_os_error(errno);
        FenceError::new("remove its table", source).to_string()
    }

    #[test]
    fn a_kernel_without_the_family_is_told_what_it_lacks_and_what_doing_without_costs() {
        let text = refused(libc::EOPNOTSUPP);
        assert!(
            text.starts_with("fence: cannot remove its table: operation not supported"),
            "{text}"
        );
        for part in ["netdev", "fence = \"off\"", "keeps its addresses"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!refused(libc::EPERM).contains("off"));
    }
}
