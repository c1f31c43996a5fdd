//! Names of kernel settings.

/// Setting of a device, of "ipv4" or "ipv6". The dots of a device's name are slashes, as sysctl(8) has it, since the setting
/// has dots between its parts.
pub fn setting_of(family: &str, device: &str, key: &str) -> String {
    format!("net.{family}.conf.{}.{key}", device.replace('.', "/"))
}
