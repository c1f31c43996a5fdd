// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pair of a soak, with everything enabled that needs no other kernel, and its users: a transfer through NAT, a
//! DHCP client that renews, elements of a set, a file that an administrator edits.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Result;
use crate::dhcp::{Client, Duo, Identity, Make, Options, Program, Server, Setup};
use crate::flows::{Ends, Transfer};
use crate::lab::{CLIENT, Disk, Lab, VIRTUAL, Wire};
use crate::linked::Linked;
use crate::probe::{Asker, Questions};
use crate::router::{Clock, Link, Plan, PluginFile, Ruleset};
use crate::truth::{Bed, plain};

/// Processes of a node, by the words with which they were started: the elector, the other plugins, and the host's own.
pub const PROCESSES: [&str; 10] = [
    "vrrp",
    "conntrack",
    "sets",
    "dhcp",
    "service",
    "health",
    "files",
    "files-root",
    "link",
    "firewall",
];
/// Host number of the second group's address on the lan.
const PHONES: u8 = 77;
/// Bytes per second and direction of the transfer.
const RATE: u64 = 200_000;
const RENEWAL: Duration = Duration::from_secs(3);
/// Time between two new elements.
const ELEMENT: Duration = Duration::from_secs(2);
const ELEMENTS: u32 = 200;
/// Configuration of a tree that is replicated automatically.
const TREE: &str = r#"
[[tree]]
name = "notes"
paths = ["/mnt/notes"]
sync = "change"
group = "office"
check = ["test", "-s", "/mnt/notes/page"]
apply = ["cp", "/mnt/notes/page", "/mnt/applied"]
"#;
/// Time between two edits.
const EDIT: Duration = Duration::from_secs(20);
/// Age of an edit that is not replicated, at which an administrator copies it to the other node.
const PATIENCE: Duration = Duration::from_secs(14);

pub struct World<'l> {
    pub bed: Bed<'l>,
    pub transfer: Transfer,
    pub client: Client,
    /// The newest element, and the time at which it was added.
    pub element: Option<(Ipv4Addr, Instant)>,
    /// The edited file on both nodes, and the time of its last change on either.
    pages: ([Vec<u8>; 2], Instant),
    edited: Instant,
    edits: u32,
    pushed: Instant,
    added: u32,
    renewed: Instant,
    _asker: Asker,
}

/// Returns the addresses of the groups on the lan: of "office", then of "phones".
pub fn addresses() -> [Ipv4Addr; 2] {
    [VIRTUAL, PHONES].map(|host| Wire::Lan.ipv4(host))
}

impl<'l> World<'l> {
    /// Starts everything, and waits until both nodes report OK.
    pub fn start(lab: &'l Lab) -> Result<Self> {
        let folder = lab.dir.join("scripts");
        plain::install(lab, &folder)?;
        for site in &lab.sites {
            Ruleset::snat().load(site)?;
        }
        let setup = Setup::new(Make::Kea4);
        let servers = Duo::install(lab, &[setup])?;
        let disks = servers.iter().flatten().map(Server::disk);
        let disks = disks.collect::<Result<Vec<_>>>()?;
        let plans = [
            plan(lab, 0, &folder, &servers)?,
            plan(lab, 1, &folder, &servers)?,
        ];
        let states = lab.sites.iter().map(|site| state_disk(lab, &site.name));
        let states = states.collect::<Result<Vec<_>>>()?;
        for site in 0..2 {
            fs::create_dir_all(own(lab, site).join("notes"))?;
            fs::write(page(lab, site), "edit 0\n")?;
        }
        let pair = Linked::begin(lab, plans)?;
        let mut bed = Bed::new(pair);
        (bed.servers, bed.disks) = (servers, disks);
        bed.disks.extend(states);
        bed.wait_ok()?;
        let questions = Questions {
            ipv4: addresses().to_vec(),
            ..Questions::default()
        };
        let asker = Asker::start(lab, questions, Duration::from_millis(40))?;
        let (client, _) = Client::bound(lab, Program::Udhcpc, &Identity::default())?;
        bed.wait_ok()?;
        Ok(Self {
            transfer: transfer(lab)?,
            bed,
            client,
            element: None,
            pages: (Default::default(), Instant::now()),
            edited: Instant::now(),
            edits: 0,
            pushed: Instant::now(),
            added: 0,
            renewed: Instant::now(),
            _asker: asker,
        })
    }

    /// Does what clients and administrators do all the time; `office` is the node that answers for that group.
    pub fn live(&mut self, office: Option<usize>) -> Result<()> {
        if self.renewed.elapsed() >= RENEWAL {
            self.client.ask()?;
            self.renewed = Instant::now();
        }
        let is_due = self.element.is_none_or(|(_, at)| at.elapsed() >= ELEMENT);
        if let Some(site) = office.filter(|_| is_due) {
            let number = self.added % ELEMENTS;
            let element = Ipv4Addr::from([10, 99, (number / 200) as u8, (number % 200) as u8]);
            // a fault may have deleted the set
            let line = format!("add element inet filter bans {{ {element} }}");
            if self.bed.nft(site, &line).is_ok() {
                self.added += 1;
                self.element = Some((element, Instant::now()));
            }
        }
        let pages = [0, 1].map(|site| fs::read(page(self.bed.pair.lab, site)).unwrap_or_default());
        if pages != self.pages.0 {
            self.pages = (pages, Instant::now());
        }
        match office {
            Some(site) => self.edit(site),
            None => Ok(()),
        }
    }

    // Edits on the active node. An edit that is not replicated, such as in a conflict, is copied by an order.
    fn edit(&mut self, site: usize) -> Result<()> {
        if self.edited.elapsed() >= EDIT {
            self.edits += 1;
            let text = format!("edit {}\n", self.edits);
            fs::write(page(self.bed.pair.lab, site), text)?;
            self.edited = Instant::now();
        }
        let differs = self.pages_differ().is_some_and(|it| it >= PATIENCE);
        if differs && self.pushed.elapsed() >= PATIENCE {
            self.pushed = Instant::now();
            let words = ["files", "push", "notes", "--anyway"];
            match self.bed.tell(site, &words) {
                Ok(()) => crate::say!("    pushed from r{}", site + 1),
                Err(why) => crate::say!("    not pushed: {}", why.to_string().trim()),
            }
        }
        Ok(())
    }

    /// Returns the time for which the file has differed between the nodes, since its last change; None if it is equal.
    pub fn pages_differ(&self) -> Option<Duration> {
        let ([one, other], since) = &self.pages;
        (one != other).then(|| since.elapsed())
    }

    /// Begins the transfer again.
    pub fn connect_again(&mut self) -> Result<()> {
        self.transfer = transfer(self.bed.pair.lab)?;
        Ok(())
    }
}

fn transfer(lab: &Lab) -> Result<Transfer> {
    let server = (Wire::Wan.ipv4(CLIENT), 80).into();
    Transfer::start(Ends::plain(&lab.lan, &lab.wan, server), RATE)
}

/// Returns the folder that a node sees as /mnt.
fn own(lab: &Lab, site: usize) -> PathBuf {
    dir(lab, &lab.sites[site].name).join("own")
}

fn dir(lab: &Lab, node: &str) -> PathBuf {
    lab.dir.join(format!("{node}-spared"))
}

fn page(lab: &Lab, site: usize) -> PathBuf {
    own(lab, site).join("notes/page")
}

// The disk is mounted before the daemon starts, which has mounts of its own.
fn state_disk(lab: &Lab, node: &str) -> Result<Disk> {
    let state = dir(lab, node).join("state");
    fs::create_dir_all(&state)?;
    Disk::over(&state, "8m")
}

fn plan(lab: &Lab, site: usize, folder: &Path, servers: &[Vec<Server>; 2]) -> Result<Plan> {
    let services = plain::services(folder);
    let options = Options {
        top: "follow = [\"office\"]\nsave_interval = \"1s\"\n",
        service: &services,
        ..Options::default()
    };
    let mut plan = Duo::plan(servers, options)?;
    for plugin in plan.plugins.iter_mut().filter(|it| it.name == "service") {
        plugin.toml = format!("follow = [\"office\"]\n{}", plugin.toml);
    }
    let plugin = |name: &str, toml: String| PluginFile {
        name: name.to_owned(),
        toml,
        file: format!("libspared_{}.so", name.replace('-', "_")),
    };
    let trees = dir(lab, &lab.sites[site].name).join("etc/plugins/files.toml");
    plan.plugins.extend([
        plugin("conntrack", String::new()),
        plugin("sets", plain::SETS.to_owned()),
        plugin("health", plain::health_toml(folder)),
        plugin("files", TREE.to_owned()),
        plugin("files-root", format!("trees = {trees:?}\n")),
    ]);
    plan.own_folder = Some(PathBuf::from("/mnt"));
    plan.link = Some(Link {
        wires: Wire::LINKS.to_vec(),
        prefer: Some("r1".to_owned()),
        ..Link::default()
    });
    plan.clock = Clock::Steps;
    plan.sections = format!(
        "[[group]]\nname = \"phones\"\nprefer = \"r2\"\nadvert_interval = \"100ms\"\n\
         failback_delay = \"500ms\"\nhold = \"500ms\"\n\
         [[group.interface]]\ninterface = \"lan\"\nvrid = 77\naddresses = [\"{}/24\"]\n",
        Wire::Lan.ipv4(PHONES)
    );
    Ok(plan)
}
