//! The first node: it has the configuration, makes the code, and waits for the second node.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use spared_pairing::{Channel, Code, Introduction, Invite, Message, Texts, spared_toml};

use super::link_local::{Listener, Port, addresses};
use super::own_node::OwnNode;
use super::wire::Wire;
use super::{PERSON, STEP, code_terminal, compose, service};
use crate::consent::{agree, removes};
use crate::folder::{host_text, last_line};
use crate::output::say;
use crate::refusal::Refusal;
use crate::used;

/// Time for the hello of a connection that has proved nothing. The second node waits for several strangers who connected
/// before it.
const STRANGER: Duration = Duration::from_secs(2);

/// The first node.
pub struct First<'a> {
    pub here: OwnNode<'a>,
}

impl First<'_> {
    /// Shows a code and waits for its one try.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn invite(&self) -> Result<(), Refusal> {
        let port = Port::of(&self.interface()?)?;
        let listener = Listener::open(&port)?;
        let code = Code::generate().map_err(|error| error.to_string())?;
        let mut invite = Invite::new(code.clone(), since_boot());
        say("on the other node run `sparectl pair` and type this code, within five minutes:\n");
        code_terminal::show(&code);
        drop(code);
        say(&format!("\nwaiting on {} ...", port.interface));
        loop {
            let left = invite.left(since_boot());
            if left.is_zero() {
                return Err(self.unused(&port).into());
            }
            // a machine that was suspended meanwhile notices it soon
            let Some(stream) = listener.accept(left.min(Duration::from_secs(1))) else {
                continue;
            };
            let own = self.here.introduction(&port.interface, addresses(&stream));
            let Ok(mut wire) = Wire::of_stream(stream) else {
                continue;
            };
            wire.set_patience(STRANGER);
            let Some(hello) = greeted(&mut wire, &own) else {
                continue;
            };
            match invite.handle_hello(since_boot(), &own, &hello) {
                Ok((answer, inviting)) => {
                    // one try, whatever comes of it: nobody else is heard any more
                    drop(listener);
                    wire.set_patience(STEP);
                    wire.send(&answer)?;
                    let confirmation = wire.receive().map_err(|_| wrong_code())?;
                    let channel = inviting.handle_confirmation(&confirmation);
                    let channel = channel.map_err(|fault| fault.to_string())?;
                    return self.converse(wire, channel, &own, false);
                }
                Err(fault) => say(&format!("refused a connection: {fault}")),
            }
        }
    }

    /// Has ssh run the second node's half on a machine, with a code that nobody sees.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn over_ssh(&self, machine: &str) -> Result<(), Refusal> {
        if machine.starts_with('-') {
            return Err(format!("--ssh: \"{machine}\" is no machine").into());
        }
        let mut command = Command::new("ssh");
        command.args(["-T", "--", machine, "sparectl", "pair", "--stdio"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("ssh: {error}"))?;
        let mut is_answered = false;
        let result = self.through(&mut child, &mut is_answered);
        // its input is closed by now, so that it ends
        let ended = child.wait();
        let code = ended.ok().and_then(|it| it.code());
        match (result, code.filter(|_| !is_answered)) {
            (Err(_), Some(127)) => {
                Err(format!("{machine} has no sparectl: install the package there").into())
            }
            (Err(_), Some(255)) => {
                Err(format!("ssh does not reach {machine}: try `ssh {machine} true`").into())
            }
            (result, _) => result,
        }
    }

    /// Pairs through the pipes of ssh. `is_answered` becomes true with the other node's first answer.
    fn through(&self, child: &mut Child, is_answered: &mut bool) -> Result<(), Refusal> {
        let pipes = child.stdout.take().zip(child.stdin.take());
        let (output, mut input) = pipes.ok_or("ssh has no pipes")?;
        let code = Code::generate().map_err(|error| error.to_string())?;
        let written = writeln!(input, "{}", code.text());
        written.map_err(|error| format!("ssh: {error}"))?;
        let mut wire = Wire::of_pipes(output, input);
        let own = self.here.introduction("", Default::default());
        let mut invite = Invite::new(code, since_boot());
        wire.send(&own.greeting())?;
        let hello = wire.receive()?;
        *is_answered = true;
        let (answer, inviting) = invite
            .handle_hello(since_boot(), &own, &hello)
            .map_err(|fault| fault.to_string())?;
        wire.send(&answer)?;
        let confirmation = wire.receive()?;
        let channel = inviting.handle_confirmation(&confirmation);
        self.converse(
            wire,
            channel.map_err(|fault| fault.to_string())?,
            &own,
            true,
        )
    }

    /// Sends the configuration, and writes this node's files once the other node can write its own.
    fn converse(
        &self,
        mut wire: Wire,
        mut channel: Channel,
        own: &Introduction,
        asks_here: bool,
    ) -> Result<(), Refusal> {
        wire.set_patience(PERSON);
        let peer = channel.peer.clone();
        say(&format!("{} knows the code", peer.node));
        let both = compose::for_both(&self.here.texts, own, &peer, self.here.pair.replace);
        let checked = both.map_err(Refusal::from).and_then(|both| {
            let checked = self.here.folder.check(&both)?;
            say(&format!("{}: {}", self.here.name, last_line(&checked)));
            Ok(both)
        });
        let both = match checked {
            Ok(both) => both,
            Err(why) => return Err(wire.refuse(&mut channel, why)),
        };
        let files = both.clone();
        let used = used::present(self.here.folder, &both);
        wire.tell(&mut channel, &Message::Configuration { files, used })?;
        let Message::Ready { changes, missing } = wire.hear(&mut channel)? else {
            return Err("the other node does not answer with what it would change".into());
        };
        let own_changes = self.here.folder.changes(&self.here.texts, &both);
        show(&self.here.name, &own_changes);
        if asks_here {
            show(&peer.node, &changes);
        }
        if !missing.is_empty() {
            let (first, second) = (&self.here.name, &peer.node);
            say(&used::advice(self.here.folder, &missing, first, second));
        }
        // before the other node writes: what is refused later leaves it alone with its files
        let ready = || -> Result<bool, Refusal> {
            agree(self.here.pair.yes, asks_here && removes(&changes))?;
            self.here.folder.stays(&self.here.texts)?;
            Ok(!service::active_groups(self.here.args)?.is_empty())
        };
        let was_active = match ready() {
            Ok(was_active) => was_active,
            Err(refusal) => return Err(wire.refuse(&mut channel, refusal)),
        };
        let disarms = !was_active && !own_changes.is_empty();
        let written = self.write(&mut wire, &mut channel, &both, disarms);
        written.map_err(|refusal| refusal.with_line(&self.again(&peer.node)))?;
        say(&format!("{} and {} are a pair", self.here.name, peer.node));
        say(&service::bring_up(self.here.args, self.here.folder)?);
        drop(wire);
        say(&service::wait_for_link(self.here.args, &peer.node));
        say(
            "`sparectl status` shows the pair. A node that was not active stays backup until `sparectl arm`, on either node",
        );
        Ok(())
    }

    /// Has the other node write its files, and writes this node's.
    fn write(
        &self,
        wire: &mut Wire,
        channel: &mut Channel,
        both: &Texts,
        disarms: bool,
    ) -> Result<(), Refusal> {
        wire.go(channel)?;
        let Message::Written = wire.hear(channel)? else {
            return Err("the other node does not say that it has the files".into());
        };
        let OwnNode {
            args,
            folder,
            texts,
            ..
        } = &self.here;
        if disarms {
            service::write_disarmed(args, folder, texts, both)?;
        } else {
            folder.write(texts, both, || Ok(()))?;
        }
        Ok(wire.tell(channel, &Message::Written)?)
    }

    /// Sentence about a pairing that broke while the nodes wrote: the second one may have the link of the files by now.
    fn again(&self, peer: &str) -> String {
        match &self.here.pair.ssh {
            Some(machine) => format!(
                "{peer} may have the files: run `sparectl pair --ssh {machine}` here again, or `sparectl pair` here and \
                 `sparectl pair --join` there"
            ),
            None => format!(
                "{peer} may have the files: run `sparectl pair` here again, and `sparectl pair --join` there"
            ),
        }
    }

    /// Interface of the first link, unless another one is named.
    fn interface(&self) -> Result<String, String> {
        let text = host_text(&self.here.texts);
        let of_link = || {
            spared_toml::link_interfaces(text, &self.here.name)
                .into_iter()
                .next()
        };
        let interface = self.here.pair.interface.clone().or_else(of_link);
        interface.ok_or_else(|| {
            "spared.toml has no [[link]]: `sparectl init` writes one, and --interface IF names its interface".to_owned()
        })
    }

    fn unused(&self, port: &Port) -> String {
        format!(
            "nobody used the code: run `sparectl pair` again. If the other node found nothing, check the cable of {}, and \
             let TCP and UDP 3780 pass there, or use `sparectl pair --ssh HOST`",
            port.interface
        )
    }
}

/// Greets, and returns the hello; None for somebody who says none.
fn greeted(wire: &mut Wire, own: &Introduction) -> Option<Vec<u8>> {
    wire.send(&own.greeting()).ok()?;
    wire.receive().ok()
}

fn wrong_code() -> String {
    spared_pairing::Fault::WrongCode.to_string()
}

fn show(node: &str, changes: &str) {
    if changes.is_empty() {
        say(&format!("{node}: the files stay as they are"));
    } else {
        say(&format!(
            "{node}: the files change:\n{}",
            changes.trim_end()
        ));
    }
}

/// Time since the boot, with the time for which the machine was suspended.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}
