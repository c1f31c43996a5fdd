//! Finds the kernel's addresses of a daemon that does not answer. Their protocol identifies them.

use std::io;

use spared_netlink::Requests;

pub struct LeftOver {
    pub address: String,
    pub interface: String,
}

/// Addresses in this network namespace. Reading them needs no privilege.
pub fn addresses() -> io::Result<Vec<LeftOver>> {
    let mut kernel = Requests::open()?;
    let links = kernel.links()?;
    let name = |index| links.iter().find(|link| link.index == index);
    let ours = kernel.addresses()?.into_iter().filter(|it| it.is_ours());
    Ok(ours
        .map(|it| LeftOver {
            address: format!("{}/{}", it.address, it.prefix),
            interface: name(it.index).map_or_else(|| it.index.to_string(), |l| l.name.clone()),
        })
        .collect())
}

/// Sentence about the addresses and what they mean.
pub fn sentence(found: &io::Result<Vec<LeftOver>>) -> String {
    match found {
        Err(error) => format!("cannot tell whether addresses of spared are present: {error}\n"),
        Ok(left) if left.is_empty() => "no address of spared is present.\n".into(),
        Ok(left) => {
            let lines = left
                .iter()
                .map(|it| format!("    {} on {}\n", it.address, it.interface));
            let rest = "They answer only while the fence lease is valid; the next start of spared removes them.\n";
            ["still present:\n".to_owned()]
                .into_iter()
                .chain(lines)
                .chain([rest.to_owned()])
                .collect()
        }
    }
}
