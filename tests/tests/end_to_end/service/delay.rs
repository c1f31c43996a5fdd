// SPDX-License-Identifier: MIT OR Apache-2.0
//! Addresses do not wait for services.

use spared_tests::clock::Stamp;
use spared_tests::lab::scenario;
use spared_tests::probe::{Echo, Outage};

use super::*;

const COUNT: usize = 10;

/// Ten services, each of which takes 0.3 s to start and as long to stop, and then none: the users of
/// the address see no difference.
#[test]
fn ten_slow_services_delay_no_address() {
    scenario(2, |lab| {
        let folder = prepare(lab)?;
        let names: Vec<String> = (0..COUNT).map(|number| format!("slow{number}")).collect();
        for name in &names {
            for site in ["r1", "r2"] {
                for verb in ["start", "stop"] {
                    let file = folder.join(site).join(format!("{name}.{verb}-slow"));
                    fs::write(file, "0.3")?;
                }
            }
        }
        let tables = names.iter().map(|name| service(&folder, name, ""));
        let toml = head(&folder) + &tables.collect::<String>();
        let mut services = Services::start(lab, &folder, toml)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        services.wait_at(services.at()?, &names)?;
        let gateway = Echo::at_gateway(lab)?;

        let with = measure(&mut services, &gateway)?;
        for site in [0, 1] {
            Spared(&services.pair.routers[site]).write_plugin("service", "enabled = false\n")?;
            services.pair.done(site, &["reload"])?;
            services.pair.plans[site].plugins.clear();
        }
        let without = measure(&mut services, &gateway)?;
        println!("failover with ten services and without: {with:?} {without:?}");
        for (with, without) in with.into_iter().zip(without) {
            // one after the other they take three seconds
            let more = with.total.saturating_sub(without.total);
            assert!(
                more < Duration::from_millis(250),
                "{with:?}, not {without:?}"
            );
        }
        Ok(())
    });
}

/// Outages by a planned change, and by the death of the active node.
fn measure(services: &mut Services<'_>, gateway: &Echo) -> Result<[Outage; 2]> {
    services.pair.wait_settled()?;
    steady(gateway)?;
    let planned = Stamp::now();
    services.switch()?;
    let limit = Duration::from_secs(10);
    std::thread::sleep(Duration::from_millis(300));
    let planned = gateway.outage_of(planned, Duration::ZERO, limit);

    services.pair.wait_settled()?;
    steady(gateway)?;
    let old = services.at()?;
    let (lab, site) = (services.pair.lab, &services.pair.lab.sites[old]);
    let death = Stamp::now();
    lab.power_off(site)?;
    let death = gateway.outage_of(death, INTERVAL * 3, limit);
    services
        .pair
        .wait("taken over", || services.pair.role(1 - old) == "active")?;
    lab.power_on(site)?;
    services.pair.wait_settled()?;
    match (planned, death) {
        (Some(planned), Some(death)) => Ok([planned, death]),
        other => Err(format!("no end of the outage: {other:?}").into()),
    }
}

fn steady(gateway: &Echo) -> Result<()> {
    if poll(LIMIT, STEP, || gateway.is_steady(INTERVAL * 2)) {
        return Ok(());
    }
    Err("no traffic".into())
}
