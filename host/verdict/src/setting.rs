//! Makes names of kernel settings.

/// Returns the name of a device's setting; `family` is "ipv4" or "ipv6". Dots in the device's name become slashes as in
/// sysctl(8), because dots separate the parts of the setting.
pub fn setting_of(family: &str, device: &str, key: &str) -> String {
    format!("net.{family}.conf.{}.{key}", device.replace('.', "/"))
}
