//! Instances of both nodes: they are the same one by family, interface and VRID, whatever their names.

use spared_import::Import;

use crate::common::{of_two, told};

/// An instance on an interface, with these lines.
fn instance(name: &str, interface: &str, vrid: u8, address: &str, lines: &str) -> String {
    format!(
        "vrrp_instance {name} {{\ninterface {interface}\nvirtual_router_id {vrid}\nvirtual_ipaddress {{\n{address}\n}}\n{lines}\n}}\n"
    )
}

fn vrrp(import: &Import) -> &str {
    &import.texts["plugins/vrrp.toml"]
}

#[test]
fn names_of_instances_are_those_of_their_node() {
    let import = of_two(
        &instance(
            "ha_master",
            "eth0",
            51,
            "10.0.0.9/24",
            "state MASTER\npriority 150\nnotify /n",
        ),
        &instance(
            "ha_backup",
            "eth0",
            51,
            "10.0.0.9/24",
            "state BACKUP\npriority 100\nnotify /n",
        ),
    );
    let (vrrp, list) = (vrrp(&import), told(&import));
    assert!(
        vrrp.contains("name = \"ha_master\"\npriority = { r1 = 150, r2 = 100 }"),
        "{vrrp}"
    );
    assert_eq!(vrrp.matches("[[group]]").count(), 1, "{vrrp}");
    assert!(
        list.contains("vrrp_instance ha_backup: r2 calls so what is ha_master in the files"),
        "{list}"
    );
    assert!(
        !list.contains("twice") && !list.contains("only r1 has"),
        "{list}"
    );
    assert!(
        import.steps[0].what.contains("see which node is backup"),
        "{:?}",
        import.steps[0]
    );
    let hook = &import.texts["hooks/active.d/60-ha_master-notify"];
    for line in [
        "r1) exec /n INSTANCE ha_master MASTER 150",
        "r2) exec /n INSTANCE ha_backup MASTER 100",
    ] {
        assert!(hook.contains(line), "{hook}");
    }
}

#[test]
fn sync_groups_are_the_same_by_their_members() {
    let group = |name: &str, node: &str, secret: &str| {
        let pass = format!("authentication {{\nauth_type PASS\nauth_pass {secret}\n}}");
        format!(
            "vrrp_sync_group {name} {{\ngroup {{\nlan_{node}\nwan_{node}\n}}\n}}\n{}{}",
            instance(&format!("lan_{node}"), "eth0", 51, "10.0.0.9/24", &pass),
            instance(&format!("wan_{node}"), "eth1", 52, "10.0.1.9/24", ""),
        )
    };
    let import = of_two(&group("one", "r1", "secret"), &group("two", "r2", "other"));
    let (vrrp, list) = (vrrp(&import), told(&import));
    assert_eq!(vrrp.matches("[[group]]").count(), 1, "{vrrp}");
    assert_eq!(vrrp.matches("[[group.interface]]").count(), 2, "{vrrp}");
    for expected in [
        "vrrp_sync_group two: r2 calls so what is one in the files",
        "auth_pass other: r1 has auth_pass secret, and both nodes need the same",
    ] {
        assert!(list.contains(expected), "{expected} is not in {list}");
    }
    assert!(
        !list.contains("no instance of this name") && !list.contains("twice"),
        "{list}"
    );
}

#[test]
fn checks_are_the_same_by_their_lines() {
    let text = |check: &str, path: &str| {
        format!(
            "vrrp_script {check} {{\nscript {path}\nweight -9\n}}\n{}",
            instance(
                "a",
                "eth0",
                1,
                "10.0.0.1",
                &format!("track_script {{\n{check}\n}}")
            )
        )
    };
    let import = of_two(&text("own", "/s"), &text("other", "/s"));
    let health = &import.texts["plugins/health.toml"];
    assert_eq!(health.matches("[[script]]").count(), 1, "{health}");
    assert!(!told(&import).contains("tracks it"), "{}", told(&import));
    let import = of_two(&text("own", "/s"), &text("other", "/t"));
    assert!(told(&import).contains("own: only r1 tracks it"));
}

#[test]
fn a_name_alone_does_not_make_instances_the_same() {
    // crossed names, and interfaces that are called otherwise
    let import = of_two(
        &(instance("a", "eth0", 1, "10.0.0.9", "") + &instance("b", "eth1", 2, "10.0.1.9", "")),
        &(instance("b", "ens0", 1, "10.0.0.9", "") + &instance("a", "eth1", 2, "10.0.1.9", "")),
    );
    let vrrp = vrrp(&import);
    for table in [
        "interface = { r1 = \"eth0\", r2 = \"ens0\" }\nvrid = 1\naddresses = [\"10.0.0.9/32\"]",
        "interface = \"eth1\"\nvrid = 2\naddresses = [\"10.0.1.9/32\"]",
    ] {
        assert!(vrrp.contains(table), "{vrrp}");
    }
}

#[test]
fn an_address_in_other_instances_of_the_other_node_is_refused() {
    let import = of_two(
        &(instance("a", "eth0", 1, "10.0.0.9", "") + &instance("c", "eth0", 3, "10.0.0.7", "")),
        &(instance("b", "eth1", 2, "10.0.0.9", "") + &instance("c", "eth0", 3, "10.0.0.7", "")),
    );
    let list = told(&import);
    assert!(
        list.contains("vrrp_instance b: the other node has 10.0.0.9 in another instance"),
        "{list}"
    );
    assert!(!list.contains("twice"), "{list}");
}
