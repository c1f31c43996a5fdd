//! Says whether the IKE sessions of road warriors are replicated, and what charon's settings lack for that.

use super::{Listed, NodeAddresses, is_local_only, named};

/// Settings of charon's plugin `ha` that make this plugin its peer. charon reports none of them.
pub const HA_SETTINGS: [(&str, &str); 7] = [
    ("load", "yes"),
    ("local", "127.0.0.1"),
    ("remote", "127.0.0.2"),
    ("segment_count", "1"),
    ("fifo_interface", "no"),
    ("monitor", "no"),
    ("resync", "no"),
];

/// State of charon's plugin `ha` on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HaState {
    /// charon does not run, or was not asked yet.
    Unknown,
    /// charon runs, and its plugin does not answer.
    Silent,
    /// Sessions are not replicated for this reason.
    Faulty(String),
    Answers,
}

/// Says why sessions of road warriors are not replicated, or which of their addresses could be assigned twice. None: all is
/// well, or there are no road warriors.
pub fn session_obstacle(
    listed: &Listed,
    addresses: &NodeAddresses,
    ha: &HaState,
) -> Option<String> {
    let pools: Vec<&str> = listed.pools.iter().map(|it| it.name.as_str()).collect();
    let pools = named(&pools);
    let mut connections = listed.connections.iter();
    let takes_callers =
        connections.any(|it| it.responds_only && !it.is_ikev1 && !is_local_only(it, addresses));
    if pools.is_empty() && !takes_callers {
        return None;
    }
    match ha {
        HaState::Unknown => None,
        HaState::Silent => Some(format!(
            "not replicated, as charon's plugin ha does not answer: clients lose their IKE session in a failover; write {} \
             into ha.conf of strongSwan, as spared-ipsec(5) has it",
            missing_lines(&pools)
        )),
        HaState::Faulty(why) => Some(format!("not replicated: {why}")),
        HaState::Answers if pools.is_empty() => None,
        HaState::Answers => Some(format!(
            "replicated, but charon does not know which addresses of {pools} their clients have: write {pools} into pools \
             of ha.conf, and not into swanctl.conf"
        )),
    }
}

fn missing_lines(pools: &str) -> String {
    let lines = HA_SETTINGS.map(|(key, value)| format!("{key} = {value}"));
    let lines = lines.join(", ");
    if pools.is_empty() {
        lines
    } else {
        format!("{lines}, and {pools} in its pools,")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Connection, Pool};
    use super::*;

    fn road() -> Connection {
        Connection {
            name: "road".to_owned(),
            local: vec!["10.2.0.1".to_owned()],
            responds_only: true,
            ..Connection::default()
        }
    }

    fn pool() -> Pool {
        Pool {
            name: "clients".to_owned(),
            base: [10, 3, 0, 0].into(),
            size: 254,
        }
    }

    fn obstacle(connection: Connection, pools: Vec<Pool>, ha: &HaState) -> String {
        let own = [[10, 2, 0, 11].into()].into();
        let addresses = NodeAddresses {
            own,
            ..NodeAddresses::default()
        };
        let connections = vec![connection];
        let listed = Listed { connections, pools };
        session_obstacle(&listed, &addresses, ha).unwrap_or_default()
    }

    #[test]
    fn without_the_plugin_every_line_is_named_with_the_pools() {
        let said = obstacle(road(), Vec::new(), &HaState::Silent);
        assert!(said.contains("does not answer"), "{said}");
        for line in ["local = 127.0.0.1", "remote = 127.0.0.2", "resync = no"] {
            assert!(said.contains(line), "{line}: {said}");
        }
        assert!(!said.contains("pools"), "{said}");
        let said = obstacle(road(), vec![pool()], &HaState::Silent);
        assert!(said.contains("clients in its pools"), "{said}");
    }

    #[test]
    fn a_fault_is_named_and_what_is_set_up_is_not() {
        let fault = HaState::Faulty("nobody listens".to_owned());
        let said = obstacle(road(), Vec::new(), &fault);
        assert_eq!(said, "not replicated: nobody listens");
        for ha in [HaState::Answers, HaState::Unknown] {
            assert_eq!(obstacle(road(), Vec::new(), &ha), "", "{ha:?}");
        }
    }

    #[test]
    fn a_pool_that_ha_does_not_have_is_named() {
        let said = obstacle(road(), vec![pool()], &HaState::Answers);
        assert!(said.contains("addresses of clients"), "{said}");
    }

    #[test]
    fn tunnels_without_callers_and_those_of_this_node_are_not_named() {
        let office = Connection {
            responds_only: false,
            ..road()
        };
        let own = Connection {
            local: vec!["10.2.0.11".to_owned()],
            ..road()
        };
        let old = Connection {
            is_ikev1: true,
            ..road()
        };
        for connection in [office, own, old] {
            assert_eq!(obstacle(connection, Vec::new(), &HaState::Silent), "");
        }
    }
}
