# SPDX-License-Identifier: MIT OR Apache-2.0
# What one does with spared. `make help` lists the targets.

PREFIX  ?= /usr
DESTDIR ?=
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
PLUGINS := vrrp health conntrack sets dhcp ipsec service files files-root exec alarm web

# what docs/plugin.md names for authors of plugins; installed below share/doc/spared/examples, under the paths of here
vendor_files := abi/RULES.md abi/contract.cddl abi/contract/golden.txt \
	$(wildcard abi/c/examples/*.c abi/c/examples/*.cpp abi/c/examples/go/*)
vendor_programs := $(wildcard plugins/exec/examples/*.py)

# what the demo starts; all else that the release builds would take longer than the demo
demo_crates := spared sparectl spared-vrrp spared-conntrack spared-sets spared-dhcp spared-ipsec spared-service spared-web spared-tests
demo_build := cargo build --locked --profile demo $(addprefix -p ,$(demo_crates)) --lib --bin demo --bin machine-console --bin spared --bin sparectl

# all but the benches beside other programs: building them takes minutes, and no test runs one
suite := --workspace --exclude spared-bench

needs := sh packaging/prerequisites.sh
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin
export RUSTDOCFLAGS ?= -D warnings

.PHONY: help build demo demo-web demo-video test minutes matrix messages check fmt clippy docs book deny msrv \
	bench bench-failover bench-groups bench-idle bench-link bench-conntrack bench-dhcp bench-ipsec bench-sets bench-files bench-replica \
	bench-contract bench-pairs test-bench test-web web-pictures \
	soak soak-fence soak-guard soak-strangers soak-kinds soak-storm soak-pairs soak-forger soak-older soak-versions soak-upgrade soak-truth soak-overload soak-engines soak-networks soak-conntrack soak-sets soak-dhcp \
	soak-ipsec soak-ipsec-orders soak-ipsec-pools soak-ipsec-truth soak-machines soak-paused soak-files soak-web soak-fuzz \
	fuzz fuzz-seeds release fixture-version programs notices sbom install install-examples install-files install-units uninstall deb test-deb repository release-check clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 24

build: ## the programs, plugins and tests, to try out
	@$(needs) build
	cargo build --locked $(suite) --all-targets

demo: ## two pairs of routers on this machine, spared and keepalived with conntrackd, with the same faults for two minutes
	@$(needs) build demo
	$(demo_build)
	target/demo/demo

demo-web: ## a broken pair of spared to look at in a browser, until Ctrl-C
	@$(needs) build demo
	$(demo_build)
	target/demo/demo --hold

demo-video: ## the same as a recording of asciinema's format, and the picture of docs/performance.md
	@$(needs) build demo
	cargo build --locked --release --workspace
	target/release/demo --record docs/pictures/demo.cast
	python3 packaging/recording.py docs/pictures/demo.cast docs/pictures/demo.svg

# SPARED_BUILT: tests that load example plugins need not have cargo build them
test: export SPARED_BUILT := yes
# SPARED_SKIPPED: tests that cannot run here write why into it
test: export SPARED_SKIPPED := $(CURDIR)/target/skipped.txt
test: build ## every test, then what was skipped, minutes by test file and who needed a second try
	@$(needs) test
	@sh tests/kernel/choose.sh build >/dev/null
	@sh tests/kernel/stock.sh build >/dev/null || :
	@mkdir -p target && rm -f $(SPARED_SKIPPED)
	@if cargo nextest --version >/dev/null 2>&1; \
	then cargo test --quiet --locked $(suite) --doc && \
		target/debug/minutes tests/as-root.sh cargo nextest run --locked $(suite) --no-fail-fast; \
	else echo "cargo-nextest: not installed; minutes and second tries are not measured"; \
		tests/as-root.sh cargo test --locked $(suite) --no-fail-fast; fi; \
	ended=$$?; [ ! -e $(SPARED_SKIPPED) ] || sort -u $(SPARED_SKIPPED); exit $$ended

minutes: ## keep the minutes of the last `make test`, with which later ones are compared: for a release
	cp target/minutes.txt tests/minutes.txt

matrix: ## the broken states that tests make, and what each node says of them
	@$(needs) build
	@cargo run --quiet --locked -p spared-tests --bin matrix

messages: ## every line that the programs print, as one list to read: target/messages.txt
	@$(needs) build
	@mkdir -p target
	@cargo run --quiet --locked -p spared-tests --bin printed >target/messages.txt
	@wc -l target/messages.txt

# .ci/run reads this list, too
checks := fmt clippy docs deny notices msrv test
check: $(checks) ## what a change must pass: fmt, clippy, docs, deny, notices, msrv, test

fmt:
	cargo fmt --all --check

clippy:
	@$(needs) build
	cargo clippy --locked --workspace --all-targets -- -D warnings

docs:
	@$(needs) build docs
	cargo doc --locked --workspace --no-deps
	python3 packaging/pictures.py --check
	python3 packaging/plots.py --check
	python3 packaging/check-links.py
	rm -rf target/installed-docs # the pages that the package installs without the others
	install -D -m 644 -t target/installed-docs $$(cat packaging/debian/spared.docs)
	python3 packaging/check-links.py target/installed-docs
	$(MAKE) --no-print-directory book

book: ## the manual as HTML with a search: target/book/html/index.html
	@$(needs) docs
	sh packaging/book.sh target/book
	python3 packaging/check-links.py target/book/html

# named as a goal, or in CI, it must not be passed over
deny: ## licences, sources and advisories of the crates; needs cargo-deny
	@DEMANDED=$(if $(filter true,$(CI))$(filter deny release-check,$(MAKECMDGOALS)),yes) sh packaging/deny.sh

# demanded as `deny` is
msrv: ## the programs and plugins with Debian's compiler of the oldest Rust that is promised
	@$(needs) build msrv
	@DEMANDED=$(if $(filter true,$(CI))$(filter msrv,$(MAKECMDGOALS)),yes) sh packaging/msrv.sh $(PLUGINS)

bench: bench-failover bench-groups bench-idle bench-link bench-conntrack bench-dhcp bench-ipsec bench-sets bench-files bench-replica ## beside keepalived, plain TCP, conntrackd, rsync and the kernel alone, into target/bench/

bench-failover:
	@$(needs) build demo
	cargo build --locked --release --workspace
	target/release/bench-failover

bench-groups:
	@$(needs) build demo
	cargo build --locked --release --workspace
	target/release/bench-groups

bench-idle:
	@$(needs) build bench
	cargo build --locked --release --workspace
	target/release/bench-idle

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
	@sh tests/kernel/choose.sh build >/dev/null
	cargo build --locked --release --workspace
	target/release/bench-ipsec

bench-sets:
	@$(needs) build bench
	cargo build --locked --release --workspace
	target/release/bench-sets

bench-files:
	@$(needs) build bench
	cargo build --locked --release --workspace
	target/release/bench-files

bench-replica:
	@$(needs) build
	cargo run --locked --release -p spared-replica --example bench

# what tests/web/run.sh opens, from the samples
pages := cargo build --locked $(suite) --example pages

test-web: ## the plugin's page in headless Chromium: sizes, colours, accessibility, live changes; pictures into target/web/shots
	@$(needs) build web
	$(pages) --example live_page --bins --lib
	tests/web/run.sh --shots target/web/shots
	tests/as-root.sh target/debug/examples/live_page /usr/bin/python3 tests/web/live.py --shots target/web/shots

web-pictures: ## the pictures of the page in docs/pictures
	@$(needs) build web
	$(pages)
	tests/web/run.sh --pictures docs/pictures

test-bench: ## the tests of the benches themselves, for a change of a bench
	@$(needs) build
	cargo test --locked -p spared-bench

# What takes longer than `make test` may; target/soak.txt gets date, result and figures of each run. Tests at random are told by SPARED_SEED, SPARED_ROUNDS and SPARED_INTERVAL_MS,
# engines by PROPTEST_CASES, sets by SETS_ELEMENTS, fuzzers by FUZZ_SECONDS.
soak := sh tests/soak.sh
# as `build` builds them: other packages would have other features, and be built again
in_lab := tests/as-root.sh cargo test --locked $(suite) --test
alone := -- --ignored --nocapture --test-threads=1
# in the midst of a recipe: `make -n` runs every recipe that has $(MAKE) itself in it
another_make := $(MAKE) --no-print-directory

# Ctrl-C ends it without a trace.
soak: MINUTES ?= 60
soak: build ## everything enabled, a fault every 5 s for MINUTES (60), then as many faults of a tunnel, and each verdict compared with the truth; SPARED_SEED repeats a run
	@$(needs) test
	@sh tests/kernel/choose.sh build >/dev/null
	SPARED_MINUTES=$(MINUTES) $(soak) all tests/as-root.sh target/debug/soak
	SPARED_ROUNDS=$${SPARED_ROUNDS:-$(MINUTES)} $(soak) ipsec-truth $(in_lab) end_to_end $(alone) ipsec_truth::

soak-fence: build ## routers that are stopped at random moments for random times, SPARED_ROUNDS (100) for each kind
	@$(needs) test
	SPARED_ROUNDS=$${SPARED_ROUNDS:-100} $(soak) fence $(in_lab) end_to_end -- --nocapture --test-threads=1 fence::

soak-kinds: build ## groups and links on every kind of interface, in machines: renamed (SPARED_ROUNDS times), without carrier, in a failover; SPARED_KINDS=VLAN,bridge for some
	@$(needs) test
	@sh tests/kernel/choose.sh build >/dev/null
	$(soak) kinds $(in_lab) end_to_end $(alone) kinds::groups_on_every kinds_link::

soak-storm: build ## random faults of cables, nodes and switchovers, SPARED_ROUNDS (100) of each
	@$(needs) test
	SPARED_ROUNDS=$${SPARED_ROUNDS:-100} $(soak) storm $(in_lab) end_to_end $(alone) storm:: of_a_seed

soak-pairs: build ## pairs of faults within half a second, SPARED_ROUNDS (40) of them
	@$(needs) test
	SPARED_ROUNDS=$${SPARED_ROUNDS:-40} $(soak) pairs $(in_lab) end_to_end $(alone) two_faults_at_random

# these mostly wait
soak-guard: build ## anything that can happen to interfaces and addresses, SPARED_ROUNDS (1000) sequences from the SPARED_SEED-th on, in SPARED_SHARDS (4) processes at once; SPARED_KIND=plain, vmac or ipv6
	@$(needs) test
	SPARED_ROUNDS=$${SPARED_ROUNDS:-1000} $(soak) guard sh tests/shards.sh $${SPARED_SHARDS:-4} $(in_lab) end_to_end $(alone) guard::sequences_at_random

# these mostly wait
soak-strangers: build ## faults of strangers' networks, compared with what stations see and status says, SPARED_ROUNDS (200) sequences from the SPARED_SEED-th on, in SPARED_SHARDS (4) processes at once; SPARED_KIND=plain, vmac, ipv6 or one of them with -unlinked
	@$(needs) test
	SPARED_ROUNDS=$${SPARED_ROUNDS:-200} $(soak) strangers sh tests/shards.sh $${SPARED_SHARDS:-4} $(in_lab) end_to_end $(alone) strangers_networks::sequences_at_random

soak-forger: build ## failovers beside a forging station, SPARED_ROUNDS (40) with it and without for each family
	@$(needs) test
	SPARED_ROUNDS=$${SPARED_ROUNDS:-40} $(soak) forger $(in_lab) end_to_end $(alone) forging::

soak-older: build ## a pair of this build and an older one, whose programs are in SPARED_OLDER
	@$(needs) test
	@test -x "$$SPARED_OLDER/spared" || { echo "SPARED_OLDER=\"$$SPARED_OLDER\" is no folder of an older build; bench-pairs leaves one in target/pairs/COMMIT/release" >&2; exit 2; }
	$(soak) older $(in_lab) end_to_end $(alone) older::

soak-versions: build ## pairs of this build and of each release in tests/versions, upgraded and taken back in random order, SPARED_ROUNDS (1) seeds from SPARED_SEED on
	@$(needs) test
	$(soak) versions $(in_lab) end_to_end $(alone) versions::

soak-upgrade: build ## `sparectl upgrade` there and back, SPARED_ROUNDS (20) times from either node in turns, under UDP and connections through NAT: nothing may be lost
	@$(needs) test
	$(soak) upgrade $(in_lab) end_to_end $(alone) upgrade::timed::upgrades_there

soak-truth: build ## every broken state that takes longer than `make test` may
	@$(needs) test
	@sh tests/kernel/choose.sh build >/dev/null
	$(soak) truth $(in_lab) end_to_end $(alone) truth:: units::

soak-overload: build ## SPARED_SECONDS (300) without processor, memory and disk: a minute later all must run again, by itself
	@$(needs) test
	$(soak) overload $(in_lab) end_to_end $(alone) overload::

soak-engines: ## random histories of the engines without a kernel, PROPTEST_CASES (20000) of each
	@$(needs) build
	PROPTEST_CASES=$${PROPTEST_CASES:-20000} $(soak) engines cargo test --locked --release --lib \
		-p spared-conntrack -p spared-dhcp -p spared-files -p spared-group -p spared-ipsec -p spared-link -p spared-replica \
		-p spared-service -p spared-sets -p spared-vrrp -- random whatever

soak-networks: ## two engines on the virtual clock: every fault of one network, and SPARED_ROUNDS (100000) random histories of both from the SPARED_SEED-th on
	@$(needs) build
	$(soak) networks cargo test --locked $(suite) --lib $(alone) engine::tests::networks

soak-conntrack: build ## connections through every fault with both nodes active, beside conntrackd, SPARED_ROUNDS of its cases from the SPARED_SEED-th on; ten minutes without a link; switchovers there and back, after which nobody lacks flows
	@$(needs) test
	$(soak) conntrack $(in_lab) end_to_end $(alone) conntrack_both:: conntrack_quiet::

soak-sets: ## lists that are replaced while nodes die, roles move and links are cut, SPARED_ROUNDS (200) sequences from the SPARED_SEED-th on, in SPARED_SHARDS (2) processes at once, of lists of SETS_ELEMENTS (20 000); a million elements of a set, from kernel to kernel, and 100 000 in rulesets loaded again
	@$(needs) test
	cargo build --locked --release --workspace
	SPARED_ROUNDS=$${SPARED_ROUNDS:-200} $(soak) sets sh tests/shards.sh $${SPARED_SHARDS:-2} $(in_lab) end_to_end --release $(alone) lists_at_random
	$(soak) sets $(in_lab) end_to_end --release $(alone) a_million
	$(soak) sets $(in_lab) end_to_end --release $(alone) a_hundred_thousand
	$(soak) sets $(in_lab) sets_kernel --release $(alone) large_set

soak-dhcp: ## twenty thousand leases of every format
	@$(needs) build
	$(soak) dhcp cargo test --locked --release -p spared-dhcp --test formats $(alone) measure

soak-ipsec: build ## every order of a role and an IKE daemon, stops of up to 90 seconds, SPARED_ROUNDS of them from the SPARED_SEED-th on, in SPARED_SHARDS (10) processes at once; pools; verdicts beside faults; then IKE sessions of every kind over faults, the random ones for SPARED_SECONDS (180, those of every kind 600); switchovers without a loss
	@$(needs) test
	@sh tests/kernel/choose.sh build >/dev/null
	@for it in libreswan strongswan-6; do sh tests/unpack.sh $$it build; done >/dev/null || :
	code=0; \
	$(another_make) --keep-going -j3 soak-ipsec-orders soak-ipsec-pools soak-ipsec-truth || code=1; \
	$(soak) ipsec-sessions $(in_lab) end_to_end $(alone) ipsec_sessions:: || code=1; \
	$(soak) ipsec-switchover $(in_lab) end_to_end $(alone) ipsec_switchover:: && exit $$code

# these mostly wait
soak-ipsec-orders:
	$(soak) ipsec sh tests/shards.sh $${SPARED_SHARDS:-10} $(in_lab) end_to_end $(alone) ipsec_orders::in_whatever

soak-ipsec-pools:
	$(soak) ipsec-pools $(in_lab) end_to_end -- --include-ignored --nocapture --test-threads=1 ipsec_pools:: a_charon_that_runs

soak-ipsec-truth:
	SPARED_ROUNDS=$${SPARED_ROUNDS:-20} $(soak) ipsec-truth $(in_lab) end_to_end $(alone) ipsec_truth::

soak-machines: build ## what test machines carry, in packets and SAs
	@$(needs) test
	$(soak) machines $(in_lab) end_to_end $(alone) machines::measured

soak-paused: build ## machines that stand still for up to half a minute
	@$(needs) test
	$(soak) paused $(in_lab) end_to_end $(alone) machines_that_are_paused

soak-files: build ## 10 000 files and 1 GB to the other node, compared by others; power cut at every step of every change
	@$(needs) test
	@sh tests/kernel/choose.sh build >/dev/null
	$(soak) files $(in_lab) end_to_end $(alone) files_large::
	$(soak) files-power $(in_lab) end_to_end $(alone) files_power::

soak-web: build ## a hundred open pages and two hundred slow connections for SPARED_SECONDS (600), then what one page costs: memory, processor time, the punctuality of adverts
	@$(needs) test
	@$(another_make) programs
	SPARED_BUILD_DIR=$(CURDIR)/target/release $(soak) web $(in_lab) end_to_end $(alone) web::crowd::alone

soak-fuzz: ## every fuzz target for FUZZ_SECONDS (3600)
	FUZZ_SECONDS=$${FUZZ_SECONDS:-3600} $(soak) fuzz sh packaging/fuzz.sh

# A commit's build is kept in target/pairs/. OPTIONS go to the bench: words that select cases, and --quick.
bench-pairs: OPTIONS ?= --quick
bench-pairs: N ?= 15
bench-pairs: ## BASE=commit BENCH=name N=15: a bench of two builds in turns, and what changed
	@$(needs) bench
	@case "$(BENCH)" in *ipsec*) sh tests/kernel/choose.sh build >/dev/null ;; esac
	cargo build --locked --release -p spared-tests --bin bench-pairs
	target/release/bench-pairs "$(BASE)" "$(BENCH)" "$(N)" $(OPTIONS)

# N=0: without the benches. Give it the machine for itself.
bench-contract: N ?= 15
bench-contract: ## BASE=commit N=15: how long the contract with plugins is, and in turns what it costs
	@$(needs) bench
	cargo build --locked --release -p spared-tests --bin bench-pairs
	sh tests/bench/contract.sh "$(BASE)" "$(N)"

fuzz: ## every fuzz target by libFuzzer for a minute each, under AddressSanitizer with cargo-fuzz and a nightly toolchain
	@sh packaging/fuzz.sh

fuzz-seeds: ## inputs of the fuzz targets that the code itself encodes, into fuzz/seeds
	@$(needs) build
	cargo run --locked -p spared-fuzz-targets --bin seeds

release: ## the programs and plugins as `make install` installs them
	@$(needs) build
	$(MAKE) programs notices

# Later builds are tested beside it (tests/versions/README.md).
fixture-version: ## the programs of this release, as `make release` built them, into tests/versions
	sh tests/versions/make.sh target/release

# SPARED_PROGRAMS: a folder that has them, for a package that is tested and not released
programs:
ifdef SPARED_PROGRAMS
	install -D -t target/release $(addprefix $(SPARED_PROGRAMS)/,spared sparectl spared-plugin-check $(foreach plugin,$(PLUGINS),libspared_$(subst -,_,$(plugin)).so))
else
	cargo build --locked --release $(addprefix -p ,spared sparectl spared-plugin-check $(addprefix spared-,$(PLUGINS)))
endif

notices: ## of third parties whose crates are in the programs, into target/THIRD-PARTY
	@mkdir -p target
	sh packaging/third-party.sh target/THIRD-PARTY $(PLUGINS)

sbom: ## the crates in the programs, as CycloneDX, into target/sbom.json
	@mkdir -p target
	python3 packaging/sbom.py target/sbom.json $(PLUGINS)

install: install-files install-units ## what `make release` built, into DESTDIR and PREFIX

# The Debian package has helpers of its own for units and users.
install-units:
	install -d $(DESTDIR)/usr/lib/systemd/system
	for unit in spared.service spared-starter.service spared-starter.socket; do \
		sed 's|/usr/\(s\?bin\)/spare|$(PREFIX)/\1/spare|' packaging/debian/$$(echo $$unit | sed 's/^spared-/spared.spared-/') \
			>$(DESTDIR)/usr/lib/systemd/system/$$unit || exit; done
	install -D -m 644 packaging/debian/spared.sysusers $(DESTDIR)/usr/lib/sysusers.d/spared.conf

install-examples:
	for file in $(vendor_files); do install -D -m 644 $$file $(DESTDIR)$(PREFIX)/share/doc/spared/examples/$$file || exit; done
	for file in $(vendor_programs); do install -D $$file $(DESTDIR)$(PREFIX)/share/doc/spared/examples/$$file || exit; done
	for file in spared_plugin.h spared_plugin.c; do ln -sf ../../../../../../include/spared/$$file \
		$(DESTDIR)$(PREFIX)/share/doc/spared/examples/abi/c/$$file || exit; done

install-files: install-examples
	sh packaging/manuals.sh target/man
	install -D -t $(DESTDIR)$(PREFIX)/sbin target/release/spared
	install -D -t $(DESTDIR)$(PREFIX)/bin target/release/sparectl target/release/spared-plugin-check
	sh packaging/completions.sh target/completions
	install -D -m 644 target/completions/bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sparectl
	install -D -m 644 target/completions/zsh $(DESTDIR)$(ZSH_COMPLETIONS)/_sparectl
	install -D -m 644 target/completions/fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/sparectl.fish
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include/spared abi/c/spared_plugin.h abi/c/spared_plugin.c
	for plugin in $(PLUGINS); do install -D -m 644 target/release/libspared_$$(echo $$plugin | tr - _).so \
		$(DESTDIR)$(PREFIX)/lib/spared/plugins/$$plugin.so || exit; done
	for section in 1 5 8; do install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man$$section \
		target/man/*.$$section || exit; done
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/dbus-1/system.d packaging/dbus/spared.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/spared target/THIRD-PARTY
	install -d $(DESTDIR)/etc/spared/plugins $(DESTDIR)/etc/spared/hooks/active.d \
		$(DESTDIR)/etc/spared/hooks/backup.d $(DESTDIR)/etc/spared/hooks/fault.d
	[ -e $(DESTDIR)/etc/spared/spared.toml ] || install -m 644 -t $(DESTDIR)/etc/spared etc/spared.toml

# Plugins of others stay, and so do the folders of the configuration and of the state.
uninstall: ## what `make install` has installed, without /etc/spared and /var/lib/spared
	rm -f $(addprefix $(DESTDIR)/usr/lib/systemd/system/,spared.service spared-starter.service spared-starter.socket) \
		$(DESTDIR)/usr/lib/sysusers.d/spared.conf \
		$(addprefix $(DESTDIR)$(PREFIX)/,sbin/spared bin/sparectl bin/spared-plugin-check \
			share/bash-completion/completions/sparectl share/fish/vendor_completions.d/sparectl.fish \
			include/spared/spared_plugin.h include/spared/spared_plugin.c share/dbus-1/system.d/spared.conf share/doc/spared/THIRD-PARTY) \
		$(DESTDIR)$(ZSH_COMPLETIONS)/_sparectl \
		$(patsubst %,$(DESTDIR)$(PREFIX)/lib/spared/plugins/%.so,$(PLUGINS))
	for page in docs/man/*.scd; do page=$$(basename $$page .scd); \
		rm -f $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$$page; done
	rm -rf $(addprefix $(DESTDIR)$(PREFIX)/share/doc/spared/examples/,abi plugins)
	rmdir --ignore-fail-on-non-empty $(wildcard $(DESTDIR)$(PREFIX)/share/doc/spared/examples) $(addprefix $(DESTDIR)$(PREFIX)/,include/spared share/doc/spared lib/spared/plugins lib/spared)

deb: ## the Debian package, into target/deb
	@$(needs) build docs deb
	packaging/build-deb target/deb

# KEY: a secret key of gpg. The packages of the last `make deb` are added to those that REPOSITORY has.
repository: REPOSITORY ?= target/repository
repository: ## KEY=FINGERPRINT: a signed apt repository of the packages that `make deb` has made, in REPOSITORY (target/repository)
	@$(needs) build repository
	@test -n "$(KEY)" || { echo "KEY names no secret key of gpg, as \`gpg --list-secret-keys\` lists them" >&2; exit 2; }
	packaging/repository "$(REPOSITORY)" "$(KEY)" target/deb/*.deb

test-deb: deb ## install, start, reload, stop and purge it in a fresh Debian
	@$(needs) root
	packaging/test-deb target/deb/spared_*.deb

release-check: deny test-bench ## the files of a release, twice from nothing, which must be the same: packages, source, notes, checksums and SBOM, into target/release-check/release
	@$(needs) build docs deb
	packaging/release-check target/release-check

clean: ## remove what was built
	cargo clean
