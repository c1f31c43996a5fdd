//! Addresses that a daemon which does not answer left in the kernel, known by their protocol.

pub struct LeftOver {
    pub address: String,
    pub interface: String,
}

pub fn addresses() -> Vec<LeftOver> {
    Vec::new()
}

pub fn sentence(left: &[LeftOver]) -> String {
    if left.is_empty() {
        return "no address of spared's is present.\n".into();
    }
    let mut text = String::from("still present (the next start removes what it does not use):\n");
    for LeftOver { address, interface } in left {
        text += &format!("    {address} on {interface}\n");
    }
    text
}
