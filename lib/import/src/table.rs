//! Fates of the words of keepalived.conf and conntrackd.conf: one row for words of one fate. The tables of
//! `docs/migrating-from-keepalived.md` and `docs/howto/migrate-from-conntrackd.md` are made of these rows.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Block in which a word stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Block {
    Top,
    Global,
    Instance,
    Sync,
    Authentication,
    Script,
    File,
    Process,
    /// Any block of conntrackd.conf.
    Conntrackd,
    /// A list whose entries the translation reads by itself.
    Entries,
    /// All that is in it has the fate of its first word.
    Whole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is translated to this.
    Becomes(&'static str),
    /// It has no counterpart, and none is needed.
    Needless,
    /// It has no counterpart: what to do.
    Lost(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub words: Words,
    pub block: Block,
    /// Block that the word opens.
    pub opens: Option<Block>,
    pub fate: Fate,
    /// Reason, or what to know.
    pub note: Text,
}

type Text = &'static str;
type Words = &'static [Text];

const fn becomes(block: Block, words: Words, key: Text, note: Text) -> Row {
    row(block, words, Fate::Becomes(key), note)
}

const fn needless(block: Block, words: Words, note: Text) -> Row {
    row(block, words, Fate::Needless, note)
}

const fn lost(block: Block, words: Words, note: Text, todo: Text) -> Row {
    row(block, words, Fate::Lost(todo), note)
}

const fn row(block: Block, words: Words, fate: Fate, note: Text) -> Row {
    Row {
        words,
        block,
        opens: None,
        fate,
        note,
    }
}

impl Row {
    const fn opens(self, block: Block) -> Self {
        Self {
            opens: Some(block),
            ..self
        }
    }
}

use Block::{
    Authentication, Conntrackd, Entries, File, Global, Instance, Process, Script, Sync, Top, Whole,
};

const LVS: &str = "spared does no load balancing (LVS)";
const LVS_TODO: &str =
    "keep a keepalived for it, with these blocks alone and without `vrrp_instance`";
const STATIC: &str = "it does not move with a role";
const STATIC_TODO: &str = "keepalived keeps it, as the steps say; or give it to the network configuration of each node, and import again without it";
const MAIL: &str = "spared mails no change of a role";
const MAIL_TODO: &str = "copy /usr/share/doc/spared/examples/hook-mail to hooks/active.d, backup.d and fault.d of /etc/spared, and set its address";
const FIFO: &str = "spared writes no FIFO";
const FIFO_TODO: &str = "copy /usr/share/doc/spared/examples/hook-fifo to hooks/active.d, backup.d and fault.d of /etc/spared, and set its path";
const BFD: &str = "spared has no BFD";
const BFD_TODO: &str =
    "a `[[ping]]` or `[[route]]` of plugins/health.toml, whose daemon has the BFD session";
const SOCKETS: &str = "spared sizes its sockets by itself";
const SCHEDULE: &str = "spared runs in real time, locked in memory, by itself";
const ANNOUNCE: &str = "addresses are announced five times within 5 s, and after each conflict";
const PROCESS: &str = "it is about keepalived's own process";
const SNMP: &str = "not implemented";
const SNMP_TODO: &str = "`sparectl probe` and `sparectl --json status`, see docs/howto/monitor.md";
const STRICT: &str = "keepalived then sends no password, begins as BACKUP unless its priority is 255, and ignores `preempt_delay` and `down_timer_adverts`: so do the files";
pub const USER: &str = "checks run as user spared-health, without capabilities; those of keepalived as `user`, as `script_user`, as keepalived_script if there is such a user, or as root";
pub const USER_TODO: &str = "see that each works so: `setpriv --reuid spared-health --regid spared-health --clear-groups --no-new-privs --bounding-set=-all SCRIPT`; in place of one that pings write a `[[ping]]`";
const TRACKED: &str = "points off the priority while it fails; without a weight 253 points";

/// All words.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    becomes(Top, &["vrrp_instance"], "`[[group]]` with one `[[group.interface]]`", "").opens(Instance),
    becomes(Top, &["vrrp_sync_group"], "one `[[group]]`, a `[[group.interface]]` for each instance", "one election: they cannot fall apart").opens(Sync),
    becomes(Top, &["vrrp_script"], "`[[script]]` of `plugins/health.toml`, or `[[process]]` for `killall -0`, `pidof`, `pgrep`, `[[ping]]` for `ping`", "").opens(Script),
    becomes(Top, &["track_file", "vrrp_track_file"], "`[[number]]` of `plugins/health.toml`", "a missing file counts as 0").opens(File),
    becomes(Top, &["vrrp_track_process", "track_process"], "`[[process]]` of `plugins/health.toml`", "looked for each second").opens(Process),
    becomes(Top, &["global_defs"], "see below", "").opens(Global),
    becomes(Top, &["interface_up_down_delays"], "`up_delay`, `down_delay` of the `[[interface]]`", "for tracked interfaces").opens(Entries),
    needless(Top, &["garp_group"], "announcements are few").opens(Whole),
    needless(Top, &["linkbeat_interfaces", "linkbeat_use_polling"], "the kernel reports the carrier").opens(Whole),
    needless(Top, &["use_pid_dir", "instance", "child_wait_time", "config_save_dir", "tmp_config_directory"], PROCESS),
    lost(Top, &["static_ipaddress", "static_routes", "static_rules", "track_group"], STATIC, STATIC_TODO).opens(Whole),
    lost(Top, &["net_namespace", "net_namespace_ipvs", "namespace_with_ipsets"], "a daemon runs in the namespace in which it is started", "one unit for each namespace: docs/howto/containers.md"),
    lost(Top, &["bfd_instance"], BFD, BFD_TODO).opens(Whole),
    lost(Top, &["virtual_server", "virtual_server_group", "SSL"], LVS, LVS_TODO).opens(Whole),
    //
    becomes(Instance, &["interface"], "`interface`", "it may be absent and come later"),
    becomes(Instance, &["virtual_router_id"], "`vrid`", ""),
    becomes(Instance, &["priority"], "`priority = { r1 = 200, r2 = 100 }`, later `prefer`", "254 is reserved: 253"),
    needless(Instance, &["state"], "it decides no election in keepalived either, but that without a `priority` MASTER is 255"),
    becomes(Instance, &["advert_int"], "`advert_interval`", "default 100 ms, in version 2 1 s"),
    becomes(Instance, &["down_timer_adverts"], "`advert_loss`", ""),
    becomes(Instance, &["version"], "`version`", "spared's default is 3"),
    becomes(Instance, &["virtual_ipaddress"], "`addresses`; with `dev` of another interface `[[group.address]]` and `advertised`", "without a prefix keepalived means /32 or /128").opens(Entries),
    becomes(Instance, &["virtual_ipaddress_excluded"], "`unadvertised`, or `[[group.address]]`", "").opens(Entries),
    becomes(Instance, &["virtual_routes"], "`[[group.route]]`", "destination, gateway, interface, source, metric, table").opens(Entries),
    becomes(Instance, &["virtual_rules"], "`[[group.rule]]`", "from, to, iif, oif, fwmark, table, priority").opens(Entries),
    becomes(Instance, &["nopreempt"], "`preempt = false`, later no `prefer`", "of the node with the greater priority; with `state MASTER` keepalived clears it, and `prefer` is written"),
    needless(Instance, &["preempt"], "it is the default"),
    becomes(Instance, &["preempt_delay"], "`failback_delay`", "when both run spared; before that no role moves back"),
    becomes(Instance, &["unicast_peer"], "`unicast = true`, `peers`", "never falls back to multicast").opens(Entries),
    becomes(Instance, &["unicast_src_ip", "mcast_src_ip"], "`advert_source`, and one of `peers`", ""),
    becomes(Instance, &["unicast_ttl"], "`min_ttl`", "what the peer sends; spared sends 255"),
    needless(Instance, &["unicast_fault_no_peer", "check_unicast_src", "track_src_ip"], "always so"),
    becomes(Instance, &["use_vmac"], "`vmac = true`, `vmac_name`", "silent while backup, by the fence; no MAC address of one's own"),
    lost(Instance, &["vmac_xmit_base"], "with `vmac = true`, adverts always come from the virtual MAC", "take it out on both nodes at once, as the steps say"),
    lost(Instance, &["use_vmac_addr", "use_ipvlan", "vrf"], "not implemented", "see docs/man/spared-vrrp.5.scd, KINDS OF INTERFACE"),
    becomes(Instance, &["no_accept"], "`accept = false`", ""),
    needless(Instance, &["accept"], "it is the default"),
    becomes(Instance, &["strict_mode"], "`accept = false`", STRICT),
    becomes(Instance, &["garp_master_refresh"], "`refresh`", ""),
    needless(Instance, &["garp_master_delay", "garp_master_repeat", "garp_lower_prio_delay", "garp_lower_prio_repeat", "garp_master_refresh_repeat", "garp_extra_if", "garp_interval", "gna_interval", "garp_lower_prio_rep"], ANNOUNCE),
    needless(Instance, &["lower_prio_no_advert", "higher_prio_send_advert"], "spared answers as RFC 9568 says"),
    becomes(Instance, &["track_interface"], "automatic for the interfaces of the group, of its addresses and of its routes; for others `[[interface]]` of `plugins/health.toml`", TRACKED).opens(Entries),
    becomes(Instance, &["track_script"], "the check's `weight`", TRACKED).opens(Entries),
    becomes(Instance, &["track_process", "track_file"], "the check's `weight`", TRACKED).opens(Entries),
    lost(Instance, &["track_bfd"], BFD, BFD_TODO).opens(Whole),
    becomes(Instance, &["dont_track_primary"], "`carrier_weight = 0`, and `weight = 0` of the interface", ""),
    becomes(Instance, &["authentication"], "`auth_pass`", "as long as keepalived runs on one node; it protects nothing").opens(Authentication),
    lost(Instance, &["auth_hmac"], "spared's heartbeats are authenticated by the nodes' keys", "set its `mode` to `receive-only` on both nodes before you begin: in `permissive` and `enforce` spared says SP-0216, and with `enforce` keepalived drops spared's adverts").opens(Whole),
    becomes(Instance, &["notify_master", "notify_backup", "notify_fault", "notify"], "a hook that runs the script with its arguments and without a shell, or `[[service]]` of `plugins/service.toml`", "below"),
    lost(Instance, &["notify_stop"], "the hooks of backup run before spared ends", "move what it does into the hook in backup.d"),
    lost(Instance, &["notify_master_rx_lower_pri"], "the hooks of active run again when two nodes were active", "move what it does into the hook in active.d"),
    lost(Instance, &["notify_deleted", "notify_priority_changes"], "not implemented", "leave it out"),
    lost(Instance, &["smtp_alert"], MAIL, MAIL_TODO),
    lost(Instance, &["mcast_dst_ip"], "spared sends to the address of RFC 9568 alone", "take it out on both nodes at once, as the steps say, or use unicast"),
    lost(Instance, &["lvs_sync_daemon_interface", "lvs_sync_daemon_inteface"], LVS, LVS_TODO),
    needless(Instance, &["promote_secondaries"], "addresses are removed one by one"),
    needless(Instance, &["native_ipv6", "skip_check_adv_addr", "debug", "linkbeat_use_polling"], "spared has no use for it"),
    needless(Instance, &["old_unicast_checksum"], "the form that the peer sends is used"),
    needless(Instance, &["kernel_rx_buf_size"], SOCKETS),
    //
    becomes(Authentication, &["auth_type", "auth_pass"], "`auth_pass`", "8 letters of it count; `AH` is not possible; none in strict mode"),
    //
    becomes(Sync, &["group"], "the interfaces of the group", "").opens(Entries),
    becomes(Sync, &["track_interface", "track_script", "track_process", "track_file"], "as in an instance", "").opens(Entries),
    lost(Sync, &["track_bfd"], BFD, BFD_TODO).opens(Whole),
    becomes(Sync, &["notify_master", "notify_backup", "notify_fault", "notify"], "a hook", "as in an instance"),
    lost(Sync, &["notify_stop"], "the hooks of backup run before spared ends", "move what it does into the hook in backup.d"),
    lost(Sync, &["notify_deleted", "notify_priority_changes"], "not implemented", "leave it out"),
    lost(Sync, &["smtp_alert"], MAIL, MAIL_TODO),
    becomes(Sync, &["sync_group_tracking_weight", "global_tracking"], "the weights of checks in its instances", "without it keepalived ignores these checks, and the import leaves them out; unweighted ones, `track_process` and those of the group itself count"),
    //
    becomes(Script, &["script"], "`argv`", "no shell, and what is not in quotes is its first word alone, as in keepalived; it runs as user spared-health"),
    becomes(Script, &["interval"], "`interval`", "keepalived's default is 1 s"),
    becomes(Script, &["timeout"], "`timeout`", "at most the interval: a longer one makes the interval as long"),
    becomes(Script, &["weight"], "`weight`, `reverse`", "a positive one is added to the priority and taken off while the check fails"),
    becomes(Script, &["rise", "fall"], "`rise`, `fall`", ""),
    lost(Script, &["user"], USER, USER_TODO),
    needless(Script, &["init_fail"], "the first result counts at once, and a new node waits until it is in sync"),
    //
    becomes(File, &["file"], "`path`", ""),
    becomes(File, &["weight"], "`weight`, `worse`", "each 1 in the file"),
    needless(File, &["init_file"], "a missing file counts as 0"),
    //
    becomes(Process, &["process"], "`process`", "by its name, without arguments"),
    becomes(Process, &["weight"], "`weight`, `reverse`", ""),
    becomes(Process, &["delay", "fork_delay", "terminate_delay"], "`up_delay`, `down_delay`", ""),
    lost(Process, &["quorum", "quorum_max", "param_match", "full_command"], "a process is found by its name, and one is enough", "write a `[[script]]` that counts"),
    //
    becomes(Global, &["vrrp_version"], "`version`", ""),
    becomes(Global, &["vrrp_startup_delay"], "`start_delay`", ""),
    becomes(Global, &["vrrp_garp_master_refresh"], "`refresh`", ""),
    becomes(Global, &["vrrp_down_timer_adverts"], "`advert_loss`", ""),
    becomes(Global, &["vrrp_strict"], "`accept = false`", STRICT),
    becomes(Global, &["script_user"], "hooks run their scripts as this user", "checks always run as spared-health"),
    needless(Global, &["router_id", "lvs_id"], "nodes have their host names"),
    needless(Global, &["enable_script_security"], "files that others than root can write are never run"),
    needless(Global, &["dynamic_interfaces", "allow_if_changes"], "interfaces may come and go"),
    needless(Global, &["default_interface"], "static addresses alone are on it: an instance needs its `interface` in keepalived, too"),
    needless(Global, &["vrrp_garp_master_delay", "vrrp_garp_master_repeat", "vrrp_garp_lower_prio_delay", "vrrp_garp_lower_prio_repeat", "vrrp_garp_master_refresh_repeat", "vrrp_garp_interval", "vrrp_gna_interval", "vrrp_min_garp", "vrrp_garp_extra_if", "garp_master_delay", "garp_master_repeat"], ANNOUNCE),
    needless(Global, &["vrrp_lower_prio_no_advert", "vrrp_higher_prio_send_advert", "vrrp_check_unicast_src", "vrrp_skip_check_adv_addr", "log_unknown_vrids"], "spared answers as RFC 9568 says, and counts what it drops"),
    needless(Global, &["vrrp_iptables", "vrrp_ipsets", "nftables", "vrrp_nftables", "nftables_priority", "nftables_counters", "nftables_ifindex", "disable_local_igmp"], "the fence has its own nftables table"),
    needless(Global, &["vrrp_netlink_cmd_rcv_bufs", "vrrp_netlink_cmd_rcv_bufs_force", "vrrp_netlink_monitor_rcv_bufs", "vrrp_netlink_monitor_rcv_bufs_force", "process_monitor_rcv_bufs", "process_monitor_rcv_bufs_force", "vrrp_rx_bufs_policy", "vrrp_rx_bufs_multiplier"], SOCKETS),
    needless(Global, &["vrrp_priority", "vrrp_no_swap", "vrrp_rt_priority", "vrrp_rlimit_rttime", "vrrp_rlimit_rtime", "vrrp_cpu_affinity", "max_auto_priority", "min_auto_priority_delay", "bfd_priority", "bfd_no_swap", "bfd_rt_priority", "bfd_rlimit_rttime", "bfd_cpu_affinity", "checker_priority", "checker_no_swap", "checker_rt_priority", "checker_rlimit_rttime", "checker_cpu_affinity"], SCHEDULE),
    needless(Global, &["process_names", "process_name", "vrrp_process_name", "checker_process_name", "bfd_process_name", "umask", "random_seed", "reload_check_config", "include_check", "reload_time_file", "reload_repeat", "reload_file", "data_use_instance", "config_save_dir", "tmp_config_directory", "use_pid_dir", "child_wait_time", "instance"], PROCESS),
    needless(Global, &["vmac_prefix", "vmac_addr_prefix"], "the names of devices are written as `vmac_name`"),
    needless(Global, &["linkbeat_use_polling"], "the kernel reports the carrier"),
    lost(Global, &["notification_email", "notification_email_from", "smtp_server", "smtp_helo_name", "smtp_connect_timeout", "smtp_alert", "smtp_alert_vrrp", "smtp_alert_checker", "no_email_faults", "no_checker_emails"], MAIL, MAIL_TODO).opens(Whole),
    lost(Global, &["notify_fifo", "notify_fifo_script", "vrrp_notify_fifo", "vrrp_notify_fifo_script", "fifo_write_vrrp_states_on_reload", "vrrp_notify_priority_changes"], FIFO, FIFO_TODO),
    lost(Global, &["startup_script", "startup_script_timeout", "shutdown_script", "shutdown_script_timeout"], "spared runs no script at its start and end", "a unit of systemd with `Before=spared.service`"),
    lost(Global, &["snmp_socket", "enable_snmp_keepalived", "enable_snmp_vrrp", "enable_snmp_checker", "enable_snmp_rfc", "enable_snmp_rfcv2", "enable_snmp_rfcv3", "enable_traps", "enable_dbus", "dbus_service_name"], SNMP, SNMP_TODO),
    lost(Global, &["vrrp_mcast_group4", "vrrp_mcast_group6"], "spared sends to the addresses of RFC 9568 alone", "take it out on both nodes at once, as the steps say"),
    lost(Global, &["lvs_sync_daemon", "lvs_timeouts", "lvs_flush", "lvs_flush_on_stop", "lvs_flush_onstop", "lvs_notify_fifo", "lvs_notify_fifo_script", "lvs_netlink_cmd_rcv_bufs", "lvs_netlink_cmd_rcv_bufs_force", "lvs_netlink_monitor_rcv_bufs", "lvs_netlink_monitor_rcv_bufs_force", "nftables_ipvs", "nftables_ipvs_priority", "nftables_ipvs_start_fwmark", "rs_init_notifies", "checker_log_all_failures"], LVS, LVS_TODO),
    lost(Global, &["net_namespace", "net_namespace_ipvs", "namespace_with_ipsets"], "a daemon runs in the namespace in which it is started", "one unit for each namespace: docs/howto/containers.md"),
    //
    becomes(Conntrackd, &["Sync", "General"], "the settings in it", ""),
    needless(Conntrackd, &["Mode"], "the link neither loses nor repeats messages"),
    needless(Conntrackd, &["ResendQueueSize", "ResendBufferSize", "ACKWindowSize", "RefreshTime", "CacheTimeout", "QueueSize", "BacklogSize", "ChannelWindow"], "the link neither loses nor repeats messages"),
    needless(Conntrackd, &["DisableExternalCache", "DisableInternalCache"], "always: flows are in both kernels"),
    needless(Conntrackd, &["StartupResync"], "always; the backup is ready when it has all flows"),
    needless(Conntrackd, &["PurgeTimeout", "CommitTimeout", "GracePeriod"], "replicated flows expire after three resync intervals without a refresh (117 s by default, at least 15 s); their times are restored after a failover"),
    becomes(Conntrackd, &["Multicast", "UDP", "TCP"], "`[[link]]` in `spared.toml`", "encrypted, with pinned keys; a second block is listed, for a second `[[link]]` that takes over"),
    needless(Conntrackd, &["TCPWindowTracking"], "replicated flows are tracked liberally"),
    becomes(Conntrackd, &["Options"], "the settings in it", ""),
    becomes(Conntrackd, &["ExpectationSync"], "`expectations`", "on by default, for every helper"),
    becomes(Conntrackd, &["NetlinkBufferSize", "NetlinkBufferSizeMaxGrowth"], "`event_buffer_kib`", "64 MiB by default; a greater size is taken over"),
    needless(Conntrackd, &["NetlinkOverrunResync"], "at once"),
    needless(Conntrackd, &["PollSecs"], "flows are compared each `resync_interval`, in addition to events"),
    needless(Conntrackd, &["HashSize", "HashLimit"], "there is no cache; `nf_conntrack_max` of the kernel"),
    becomes(Conntrackd, &["Filter"], "`[[include]]`, `[[exclude]]`", ""),
    becomes(Conntrackd, &["Protocol"], "`[[include]]` with `protocol`; `Ignore`: `[[exclude]]`", ""),
    becomes(Conntrackd, &["Address"], "`[[exclude]]` with `source` and `destination`", "connections of the routers themselves are never replicated, unless `local = true`"),
    becomes(Conntrackd, &["State"], "`[[include]]` with `protocol` and `state`", "needs another `[[include]]` for protocols other than TCP"),
    needless(Conntrackd, &["Nice", "Scheduler", "LogFile", "Syslog", "LockFile", "UNIX", "Systemd", "EventIterationLimit", "NetlinkEventsReliable"], "handled by the daemon and the journal"),
    lost(Conntrackd, &["Helper", "Stats"], "not implemented", "keep conntrackd for it, without the block Sync"),
];

static BY_WORD: LazyLock<HashMap<(Block, &str), &Row>> = LazyLock::new(|| {
    let words = ROWS
        .iter()
        .flat_map(|row| row.words.iter().map(move |word| ((row.block, *word), row)));
    words.collect()
});

/// The row of a word in a block.
pub fn find(block: Block, word: &str) -> Option<&'static Row> {
    BY_WORD.get(&(block, word)).copied()
}
