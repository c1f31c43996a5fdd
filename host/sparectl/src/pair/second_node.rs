//! The second node: a person types the code of the first node, whose configuration it takes.

use std::io;
use std::time::Duration;

use spared_pairing::{Channel, Code, Introduction, Join, Message, Texts, spared_toml};

use super::link_local::{Port, addresses, find};
use super::own_node::OwnNode;
use super::wire::Wire;
use super::{PERSON, STEP, code_terminal, compose, service};
use crate::consent::{agree, is_lossy};
use crate::folder::{host_text, last_line};
use crate::output::say;
use crate::refusal::Refusal;
use crate::used;

/// Time for which the first node is looked for.
const SEARCH: Duration = Duration::from_secs(30);

/// The second node.
pub struct Second<'a> {
    pub here: OwnNode<'a>,
}

impl Second<'_> {
    /// Asks for the code, finds the first node on the cable, and takes its configuration.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn join(&self) -> Result<(), Refusal> {
        self.may_join()?;
        let code = code_terminal::read_code(self.here.pair)?;
        let ports = match &self.here.pair.interface {
            Some(interface) => vec![Port::of(interface)?],
            None => {
                let text = host_text(&self.here.texts);
                let links = spared_toml::link_interfaces(text, &self.here.name);
                let ports = Port::likely(&links);
                ports.map_err(|error| format!("the interfaces cannot be read: {error}"))?
            }
        };
        let shown = names(&ports);
        say(&format!("looking for the first node on {shown} ..."));
        let found = find(&ports, SEARCH)?;
        let (port, stream) = found.ok_or_else(|| none_found(&ports))?;
        let own = self.here.introduction(&port.interface, addresses(&stream));
        let wire = Wire::of_stream(stream);
        let mut wire = wire.map_err(|error| format!("{}: {error}", port.interface))?;
        wire.set_patience(STEP);
        let channel = prove(&mut wire, code, own)?;
        say(&format!(
            "found {} on {}",
            channel.peer.node, port.interface
        ));
        self.converse(wire, channel, false)
    }

    /// Joins over standard input and output, for ssh: the first line is the code.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn join_by_pipes(&self) -> Result<(), Refusal> {
        self.may_join()?;
        let code = code_terminal::read_code(self.here.pair)?;
        let mut wire = Wire::of_pipes(io::stdin(), io::stdout());
        let own = self.here.introduction("", Default::default());
        let channel = prove(&mut wire, code, own)?;
        self.converse(wire, channel, true)
    }

    /// An active node keeps its configuration: it would lose its addresses.
    fn may_join(&self) -> Result<(), Refusal> {
        let groups = service::active_groups(self.here.args)?;
        if groups.is_empty() {
            return Ok(());
        }
        Err(format!(
            "this node is active for {}, and the second node of a pairing takes the configuration of the first: begin \
             here, with `sparectl pair` and no code, and type the code on the other node",
            groups.join(", ")
        )
        .into())
    }

    /// Takes the files of the first node. `agrees_there`: somebody at the first node agrees to the changes.
    fn converse(
        &self,
        mut wire: Wire,
        mut channel: Channel,
        agrees_there: bool,
    ) -> Result<(), Refusal> {
        wire.set_patience(PERSON);
        let peer = channel.peer.node.clone();
        let Message::Configuration { files, used } = wire.hear(&mut channel)? else {
            return Err(format!("{peer} does not send its configuration").into());
        };
        let OwnNode {
            args,
            folder,
            texts,
            ..
        } = &self.here;
        let prepared = self.prepare(&files, agrees_there).and_then(|prepared| {
            // before the first node is ready to write, too
            folder.stays(texts)?;
            Ok(prepared)
        });
        let (new, changes) = match prepared {
            Ok(prepared) => prepared,
            Err(why) => return Err(wire.refuse(&mut channel, why)),
        };
        let missing = used::missing(self.here.folder, used);
        wire.tell(&mut channel, &Message::Ready { changes, missing })?;
        let Message::Go = wire.hear(&mut channel)? else {
            return Err(format!("{peer} does not go on").into());
        };
        if let Err(why) = service::write_disarmed(args, folder, texts, &new) {
            return Err(wire.refuse(&mut channel, why));
        }
        let told = wire.tell(&mut channel, &Message::Written);
        let first = told.and_then(|()| wire.hear(&mut channel));
        let is_pair = matches!(first, Ok(Message::Written));
        let brought = service::bring_up(self.here.args, self.here.folder)?;
        drop(wire);
        if !is_pair {
            return Err(format!(
                "this node has the files, and {peer} may not have them: run `sparectl pair` there again, and `sparectl pair --join` here"
            )
            .into());
        }
        if agrees_there {
            return Ok(());
        }
        say(&format!("{peer} and {} are a pair", self.here.name));
        say(&brought);
        say(&service::wait_for_link(self.here.args, &peer));
        say(
            "`sparectl status` shows the pair. A node that was not active stays backup until `sparectl arm`, on either node",
        );
        Ok(())
    }

    /// Checks the files, and has a person agree to what they change. Returns them, and what they change.
    fn prepare(&self, files: &Texts, agrees_there: bool) -> Result<(Texts, String), Refusal> {
        let new = compose::for_second(files, &self.here.name, &spared_key::default_name())?;
        let checked = self.here.folder.check(&new)?;
        let changes = self.here.folder.changes(&self.here.texts, &new);
        if agrees_there {
            return Ok((new, changes));
        }
        say(&format!("{}: {}", self.here.name, last_line(&checked)));
        if !changes.is_empty() {
            say(&format!("the files change:\n{}", changes.trim_end()));
        }
        agree(self.here.pair.yes, is_lossy(&self.here.texts, &new))?;
        Ok((new, changes))
    }
}

fn names(ports: &[Port]) -> String {
    let names: Vec<&str> = ports.iter().map(|it| it.interface.as_str()).collect();
    names.join(", ")
}

/// Sentence about a search that found nobody, with the interfaces where the first node may be as well.
fn none_found(ports: &[Port]) -> String {
    let others = names(&Port::others(ports).unwrap_or_default());
    let others = match others.as_str() {
        "" => String::new(),
        others => format!("; not looked on were {others}: --interface IF looks there"),
    };
    let shown = names(ports);
    format!(
        "no node with a code was found on {shown}: run `sparectl pair` on the first node, check the cable of the link, and \
         let TCP and UDP 3780 pass there{others}; or run `sparectl pair --ssh HOST` on the first node"
    )
}

/// Proves that this node knows the code, and has the first node prove it.
fn prove(wire: &mut Wire, code: Code, own: Introduction) -> Result<Channel, String> {
    let greeting = wire.receive()?;
    let (hello, joining) = Join::new(code, own)
        .handle_greeting(&greeting)
        .map_err(|fault| fault.to_string())?;
    wire.send(&hello)?;
    let answer = wire.receive()?;
    let (confirmation, channel) = joining
        .handle_answer(&answer)
        .map_err(|fault| fault.to_string())?;
    wire.send(&confirmation)?;
    Ok(channel)
}
