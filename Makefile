# SPDX-License-Identifier: MIT OR Apache-2.0
# What one does with spared. `make help` lists the targets.

PREFIX  ?= /usr
DESTDIR ?=
PLUGINS := vrrp health conntrack sets dhcp ipsec service

needs := sh packaging/prerequisites.sh
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin
export RUSTDOCFLAGS ?= -D warnings

.PHONY: help build demo test check fmt clippy docs deny bench bench-takeover bench-link bench-conntrack bench-dhcp \
	bench-ipsec fuzz release install deb test-deb clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 24

build: ## the programs and plugins, to try out
	@$(needs) build
	cargo build --locked --workspace --all-targets

demo: ## two routers on this machine, four faults and a planned change, each measured
	@$(needs) build demo
	cargo build --locked --release --workspace
	target/release/demo

# SPARED_BUILT: tests that load example plugins need not have cargo build them
test: export SPARED_BUILT := yes
test: build ## every test
	@$(needs) test
	@if cargo nextest --version >/dev/null 2>&1; \
	then cargo test --quiet --locked --workspace --doc && \
		tests/as-root.sh cargo nextest run --locked --workspace --no-fail-fast; \
	else tests/as-root.sh cargo test --locked --workspace --no-fail-fast; fi

check: fmt clippy docs deny test ## what a change must pass: fmt, clippy, docs, deny, test

fmt:
	cargo fmt --all --check

clippy:
	@$(needs) build
	cargo clippy --locked --workspace --all-targets -- -D warnings

docs:
	@$(needs) build docs
	cargo doc --locked --workspace --no-deps
	sh packaging/manuals.sh target/man
	sh packaging/check-links.sh

deny:
	@if ! cargo deny --version >/dev/null 2>&1; \
	then echo "cargo-deny: not installed; licences and advisories not checked"; \
	else cargo deny --locked check bans licenses sources || exit; \
		if cargo deny --locked fetch db >/dev/null 2>&1; \
		then cargo deny --locked check --disable-fetch advisories; \
		else echo "cargo-deny: no advisory database to be had; advisories not checked"; fi; fi

bench: bench-takeover bench-link bench-conntrack bench-dhcp bench-ipsec ## beside keepalived, plain TCP, conntrackd, rsync and the kernel alone, into target/bench/

bench-takeover:
	@$(needs) build demo
	cargo build --locked --release --workspace
	target/release/bench-takeover

bench-link:
	@$(needs) build demo
	cargo build --locked --release --workspace
	cargo test --locked --release -p spared-link --test process measure -- --ignored --nocapture
	target/release/bench-link

bench-conntrack:
	@$(needs) build bench
	cargo build --locked --release --workspace
	target/release/bench-conntrack

bench-dhcp:
	@$(needs) build bench
	cargo build --locked --release --workspace
	target/release/bench-dhcp

bench-ipsec:
	@$(needs) build bench
	cargo build --locked --release --workspace
	target/release/bench-ipsec

fuzz: ## every fuzz target for a minute each; needs cargo-fuzz and a nightly toolchain
	@sh packaging/fuzz.sh

release:
	@$(needs) build
	cargo build --locked --release --workspace

install: ## what `make release` built, into DESTDIR and PREFIX
	sh packaging/manuals.sh target/man
	install -D -t $(DESTDIR)$(PREFIX)/sbin target/release/spared
	install -D -t $(DESTDIR)$(PREFIX)/bin target/release/sparectl target/release/spared-plugin-check
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include/spared abi/include/spared/plugin.h
	for plugin in $(PLUGINS); do install -D -m 644 target/release/libspared_$$plugin.so \
		$(DESTDIR)$(PREFIX)/lib/spared/plugins/$$plugin.so || exit; done
	for section in 1 5 8; do install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man$$section \
		target/man/*.$$section || exit; done
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/dbus-1/system.d packaging/dbus/spared.conf
	install -d $(DESTDIR)/etc/spared/plugins $(DESTDIR)/etc/spared/hooks/active.d \
		$(DESTDIR)/etc/spared/hooks/backup.d $(DESTDIR)/etc/spared/hooks/fault.d
	[ -e $(DESTDIR)/etc/spared/spared.toml ] || install -m 644 -t $(DESTDIR)/etc/spared etc/spared.toml

deb: ## the Debian package, into target/deb
	@$(needs) build docs deb
	packaging/build-deb target/deb

test-deb: deb ## install, start, reload, stop and purge it in a fresh Debian
	@$(needs) root
	packaging/test-deb target/deb/*.deb

clean: ## remove what was built
	cargo clean
