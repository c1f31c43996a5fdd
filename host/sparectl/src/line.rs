//! The command line as clap reads it: help, completions and suggestions come from this one description.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use spared_config_reader::{IpNet, parse_duration};

use crate::nagios::Threshold;
use crate::since::Since;

const EXIT_CODES: &str = "\
exit codes of status and probe
  0 fine  1 degraded  2 alone, or both active  3 none active  4 the daemon does not answer
of the other verbs
  0 done  1 refused or failed  4 the daemon does not answer
  64 wrong usage  77 no permission  78 wrong configuration";

const PLUGINS: &str = "\
plugins
  sparectl [plugin] PLUGIN [ARGUMENTS]...   ask a plugin, for example: sparectl vrrp counters

";

/// Query and control spared, the daemon of this node
#[derive(Debug, Parser)]
#[command(
    name = "sparectl",
    version,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    after_help = format!("{PLUGINS}{EXIT_CODES}")
)]
pub struct Line {
    /// Send the command to the other node, over the link
    #[arg(long, global = true, value_name = "NODE")]
    pub node: Option<String>,
    /// Folder of the daemon's control socket
    #[arg(long, global = true, value_name = "DIR", default_value = spared_message::control::DEFAULT_RUNTIME_DIR)]
    pub runtime_dir: PathBuf,
    /// Print the answer as one line of JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Add timers, counters, processes and every address to status
    #[arg(short, long, global = true)]
    pub verbose: bool,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show who is active, what is degraded and what to do
    Status,
    /// Show the status live, with events and the traffic of the links; q ends it
    Watch,
    /// Explain why this node has its role
    Why {
        /// One group instead of all
        group: Option<String>,
    },
    /// List the last 100 role changes on both nodes, across restarts, of a month at most
    History(HistoryPart),
    /// List the newest events, oldest first
    Events {
        /// How many
        #[arg(short = 'n', value_name = "N", default_value = "20", value_parser = count)]
        limit: usize,
    },
    /// List the plugins, and why one does not run
    Plugins,
    /// Print one word for monitoring, with the exit code of status
    Probe {
        /// Succeed if the daemon answers
        #[arg(long, conflicts_with = "active")]
        live: bool,
        /// Succeed if this node is active for GROUP, or for every group
        #[arg(long)]
        active: bool,
        #[arg(requires = "active")]
        group: Option<String>,
        /// Print headlines, findings and performance data as a plugin of Nagios and Icinga, with their exit codes
        #[arg(long, conflicts_with_all = ["live", "active"])]
        nagios: bool,
        /// Warn if the performance data NAME is outside of RANGE, such as lag=1; may be repeated
        #[arg(long, value_name = "NAME=RANGE", requires = "nagios", value_parser = crate::nagios::threshold)]
        warning: Vec<Threshold>,
        /// Turn critical if the performance data NAME is outside of RANGE; may be repeated
        #[arg(long, value_name = "NAME=RANGE", requires = "nagios", value_parser = crate::nagios::threshold)]
        critical: Vec<Threshold>,
    },
    /// Print metrics for Prometheus
    Metrics {
        /// Write OpenMetrics instead of the text format of Prometheus
        #[arg(long)]
        openmetrics: bool,
        /// Replace this file, whose name ends in .prom, for the textfile collector of the node exporter
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Answer snmpd on standard input and output with the rows of VRRPV3-MIB, by its pass_persist
    Snmp,
    /// Validate the configuration and warn of obstacles; change nothing
    Check {
        /// Also compare the configurations in force on both nodes
        #[arg(long)]
        peer: bool,
        #[command(flatten)]
        files: Files,
    },
    /// Write a support bundle of both nodes to one file, secrets masked (root)
    Report {
        /// File to write; by default in the current folder
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        files: Files,
    },
    /// Validate and apply the configuration; a wrong one changes nothing (root)
    Reload {
        /// Reload even if an active group loses addresses, or is left for a while
        #[arg(long)]
        anyway: bool,
        /// Take it back after this time, 5s to 24h, unless `sparectl confirm` comes first
        #[arg(long, value_name = "TIME", value_parser = confirm)]
        confirm: Option<Duration>,
        /// Do not take it back before that time if the daemon starts again
        #[arg(long, requires = "confirm")]
        across_restarts: bool,
        /// Take back now what waits for `sparectl confirm` on this node
        #[arg(long, conflicts_with_all = ["anyway", "confirm"])]
        back: bool,
    },
    /// Keep what `reload --confirm` or `config push` put in force, on both nodes (root)
    Confirm,
    /// Let both nodes be active that are paired but not armed (root)
    Arm,
    /// Switch over without losing a packet, from either node (root)
    Switch {
        /// The node that becomes active
        #[arg(long, value_name = "NODE")]
        to: Option<String>,
        /// One group instead of all
        group: Option<String>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Overrule the election on this node until `force reset` (root)
    Force {
        #[arg(value_name = "ROLE")]
        to: Forced,
        /// One group instead of all
        group: Option<String>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Switch over and keep this node backup, across restarts (root)
    #[command(
        subcommand,
        disable_help_subcommand = true,
        subcommand_value_name = "on|off"
    )]
    Maintenance(Maintenance),
    /// Prevent role changes because of quality or preference, on both nodes (root)
    Freeze {
        /// For how long, such as 30s, or off
        #[arg(value_name = "TIME|off", value_parser = freeze)]
        time: Duration,
    },
    /// Bring this node's configuration to the other node (root)
    #[command(
        subcommand,
        disable_help_subcommand = true,
        subcommand_value_name = "push"
    )]
    Config(Config),
    /// Look at this machine, propose the configuration of a pair, and write it (root)
    Init(Box<Init>),
    /// Translate keepalived.conf and conntrackd.conf to the files of a pair, and print the steps of the migration (root)
    Import(Box<Import>),
    /// Make this node and another one a pair: show a code, or ask for the one that the other node shows (root)
    Pair(Box<Pair>),
    /// Put a new machine in place of the other node, as pair --replace does (root)
    Replace(Box<Pair>),
    /// Leave the pair: delete this node's key and configuration (root)
    Unpair(Unpair),
    /// Save this node's key and files in one file, or restore them (root)
    #[command(
        subcommand,
        disable_help_subcommand = true,
        subcommand_value_name = "save|restore"
    )]
    Identity(Identity),
    /// Start both nodes again in the version that is installed, the backup first, and wait until the pair is OK each time (root)
    Upgrade {
        /// Show the steps
        #[arg(long)]
        dry_run: bool,
        /// Boot the machines again, for a kernel: run it on each node
        #[arg(long)]
        reboot: bool,
        #[command(flatten)]
        consent: Consent,
    },
    /// Create this node's key and print its line for the table "nodes" (root)
    Keygen {
        /// File of the private key
        #[arg(long, default_value = "/etc/spared/key")]
        file: PathBuf,
        /// Replace an existing key
        #[arg(long)]
        replace: bool,
    },
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions { shell: Shell },
    /// Send a request to a plugin of any name
    #[command(hide = true)]
    Plugin {
        /// Its name, and its words
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// The name of a plugin, and its words
    #[command(external_subcommand)]
    External(Vec<OsString>),
}

/// Answers to the questions of `init`.
#[derive(Args, Debug, Default, PartialEq)]
pub struct Init {
    /// Name of the other node
    #[arg(long, value_name = "NODE")]
    pub peer: Option<String>,
    /// Interface of the link, a cable to the other node
    #[arg(long, value_name = "IF")]
    pub link: Option<String>,
    /// Addresses of the link, this node's first
    #[arg(long, value_name = "OWN/LEN,PEER/LEN", value_parser = crate::init::link_addresses)]
    pub link_addresses: Option<[IpNet; 2]>,
    /// Name of the group, by default "main"
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Number of the group's virtual routers, by default 50
    #[arg(long, value_name = "VRID", value_parser = clap::value_parser!(u8).range(1..))]
    pub vrid: Option<u8>,
    /// Virtual address of an interface; may be repeated
    #[arg(long = "virtual", value_name = "IF=ADDRESS/LEN", value_parser = crate::init::virtual_address)]
    pub virtuals: Vec<(String, IpNet)>,
    /// Gateway of a default route that the active node alone has
    #[arg(long, value_name = "ADDRESS")]
    pub gateway: Option<IpAddr>,
    /// Ask nothing, and agree to the changes of files that are shown
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub files: Files,
}

impl Init {
    /// Returns true if a person is asked.
    pub fn asks(&self) -> bool {
        !self.yes && crate::init::has_terminal()
    }
}

/// Files of a pair that runs keepalived.
#[derive(Args, Debug, Default, PartialEq)]
pub struct Import {
    /// File of keepalived, as on this node
    #[arg(value_name = "KEEPALIVED.CONF")]
    pub keepalived: PathBuf,
    /// File of conntrackd
    #[arg(value_name = "CONNTRACKD.CONF")]
    pub conntrackd: Option<PathBuf>,
    /// The other node's keepalived.conf, if it is another file
    #[arg(long, value_name = "FILE")]
    pub peer: Option<PathBuf>,
    /// Names of both nodes, this one first; ID=NODE if lines for one node have another name
    #[arg(long = "id", value_name = "NODE", value_parser = crate::import::id)]
    pub ids: Vec<(String, String)>,
    /// Write the files of two nodes that both run spared
    #[arg(long)]
    pub both: bool,
    /// Take changes by hand out of the files that --both writes
    #[arg(long, requires = "both")]
    pub discard: bool,
    /// Show all and write nothing; needs no rights
    #[arg(long)]
    pub dry_run: bool,
    /// Agree to the changes of files that are shown
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub files: Files,
}

/// Part of the history.
#[derive(Args, Clone, Debug)]
pub struct HistoryPart {
    /// All since this time: 2h, 7d, 2026-11-20 or "2026-11-20 09:30"
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub since: Option<Since>,
    /// Role changes of one group alone
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Also list what was not as configured: each finding with its begin and its end
    #[arg(long)]
    pub findings: bool,
}

/// How two nodes become a pair.
#[derive(Args, Debug, Default, PartialEq)]
pub struct Pair {
    /// The code that the other node shows; better typed when asked, as others can read a command line
    pub code: Vec<String>,
    /// Ask for the code of the other node, also if this node has a link
    #[arg(long, conflicts_with_all = ["ssh", "key_file"])]
    pub join: bool,
    /// Interface of the link; by default the one of the first link in spared.toml
    #[arg(long, value_name = "IF", conflicts_with_all = ["ssh", "key_file"])]
    pub interface: Option<String>,
    /// Use ssh to the other node instead of a code
    #[arg(long, value_name = "HOST", conflicts_with_all = ["code", "key_file"])]
    pub ssh: Option<String>,
    /// File with the other node's line of keygen, for scripts
    #[arg(long, value_name = "FILE", conflicts_with = "code")]
    pub key_file: Option<PathBuf>,
    /// Put a new machine in place of the other node, which has another key
    #[arg(long)]
    pub replace: bool,
    /// Agree to the changes of files that are shown
    #[arg(long)]
    pub yes: bool,
    /// Second node's half over standard input and output, which --ssh runs
    #[arg(long, hide = true, conflicts_with_all = ["ssh", "key_file", "code"])]
    pub stdio: bool,
    /// Descriptor with the code
    #[arg(long, hide = true)]
    pub code_fd: Option<i32>,
    #[command(flatten)]
    pub files: Files,
}

impl Pair {
    /// The options as arguments, without the code.
    pub fn words(&self) -> Vec<OsString> {
        let mut words = Vec::new();
        let flags = [
            ("--join", self.join),
            ("--replace", self.replace),
            ("--yes", self.yes),
        ];
        words.extend(flags.iter().filter(|it| it.1).map(|it| it.0.into()));
        let paths = [
            ("--interface", self.interface.as_ref().map(OsString::from)),
            ("--config", self.files.config.as_ref().map(OsString::from)),
            (
                "--plugin-dir",
                self.files.plugin_dir.as_ref().map(OsString::from),
            ),
        ];
        for (option, value) in paths {
            words.extend(value.into_iter().flat_map(|value| [option.into(), value]));
        }
        words
    }
}

/// Options of `spared check`.
#[derive(Args, Debug, Default, PartialEq)]
pub struct Files {
    /// Another file than /etc/spared/spared.toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Another folder of plugins
    #[arg(long, value_name = "DIR")]
    pub plugin_dir: Option<PathBuf>,
}

#[derive(Args, Clone, Copy, Debug)]
pub struct Consent {
    /// Continue even if the other node is not ready
    #[arg(long)]
    pub anyway: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Forced {
    /// Become active, whatever the election says
    Active,
    /// Give up being active, and stay backup
    Backup,
    /// Let the election decide again
    Reset,
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Check /etc/spared on both nodes, put it in force on both, and go back if anything is worse
    Push {
        /// Show what would change
        #[arg(long)]
        dry_run: bool,
        /// Also replace what was changed on the other node, and let addresses of an active group go
        #[arg(long)]
        anyway: bool,
        /// For how long nothing may be worse, 5s to 10m
        #[arg(long, value_name = "TIME", default_value = "30s", value_parser = watch)]
        watch: Duration,
    },
}

/// How a node leaves its pair.
#[derive(Args, Debug, PartialEq)]
pub struct Unpair {
    /// Agree to the changes of files that are shown
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub files: Files,
}

#[derive(Debug, PartialEq, Subcommand)]
pub enum Identity {
    /// Write the key and the files of this node to a new file of mode 0600
    Save {
        /// File to write
        #[arg(value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        files: Files,
    },
    /// Make this machine the node whose identity was saved
    Restore {
        /// File of `identity save`
        #[arg(value_name = "FILE")]
        from: PathBuf,
        /// Agree to the changes of files that are shown
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        files: Files,
    },
}

#[derive(Debug, Subcommand)]
pub enum Maintenance {
    /// Switch over to the other node and stay backup
    On {
        /// End it after this time, such as 2h
        #[arg(long = "for", value_name = "TIME", value_parser = time)]
        time: Option<Duration>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Let the election decide again
    Off,
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "not a whole number".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text).filter(|time| !time.is_zero());
    time.ok_or_else(|| "not a time like 30s, 10m or 2h".to_owned())
}

// Parses the time of a freeze. Zero ends the freeze.
fn freeze(text: &str) -> Result<Duration, String> {
    match text {
        "off" => Ok(Duration::ZERO),
        text => time(text).map_err(|why| format!("{why}, and not off")),
    }
}

fn confirm(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(5)..=Duration::from_secs(86_400);
    let time = parse_duration(text).filter(|time| range.contains(time));
    time.ok_or_else(|| "allowed is 5s to 24h".to_owned())
}

fn watch(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(5)..=Duration::from_secs(600);
    let time = parse_duration(text).filter(|time| range.contains(time));
    time.ok_or_else(|| "allowed is 5s to 10m".to_owned())
}
