// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Accounting sessions that both nodes know: a plugin in C++20, with the library for C.
//
//     sparectl sessions start 17f2 anna    # on the active node; the other one knows it
//
// The greater stamp of a record wins, whatever comes twice, or late. A removed session has no user.
// No exception may leave a callback: guarded() makes a status of it.
//
//     cc -c -fPIC -fvisibility=hidden ../spared_plugin.c
//     g++ -std=c++20 -shared -fPIC -fvisibility=hidden -I.. -o sessions.so sessions.cpp spared_plugin.o -lpthread
#include <deque>
#include <map>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "spared_plugin.h"

namespace {

struct Record {
	std::string user;
	uint64_t clock = 0;
	std::string node;
};

struct Sessions {
	std::map<std::string, Record> table;
	uint64_t clock = 0, limit = 1000, drain = 0; // drain: token of a pending one
	std::string node;
	bool is_active = false, is_up = false;
	std::deque<std::string> queue; // messages that the channel has no room for
};

Sessions &of(void *self) { return *static_cast<Sessions *>(self); }

std::string text(spared_str it) { return { it.ptr, it.len }; }

spared_str text(const std::string &it) { return { it.data(), it.size() }; }

spared_status refuse(spared_status status, const char *key, const std::string &why)
{
	spared_fail(key, text(why));
	return status;
}

template <typename Body> spared_status guarded(Body body) noexcept
try {
	return body();
} catch (const std::exception &error) {
	return refuse(-EPROTO, nullptr, error.what());
}

void report(const Sessions &it)
{
	const auto why = std::to_string(it.table.size()) + " of " + std::to_string(it.limit) + " sessions";
	spared_report("room", 100, it.table.size() < it.limit ? 100 : 0, text(why));
}

void flush(Sessions &it)
{
	while (!it.queue.empty()) {
		const auto &next = it.queue.front();
		if (spared_send({ reinterpret_cast<const uint8_t *>(next.data()), next.size() }) == -EAGAIN)
			return; // writable() goes on
		it.queue.pop_front();
	}
	if (it.drain)
		spared_done(it.drain, 0);
	it.drain = 0;
}

// A message is four lines; an empty one is the end of a snapshot.
void tell(Sessions &it, const std::string &id)
{
	const auto &record = it.table[id];
	it.queue.push_back(id + '\n' + record.user + '\n' + std::to_string(record.clock) + '\n' + record.node);
	flush(it);
}

spared_status up(void *self, uint32_t) noexcept
{
	return guarded([&] {
		auto &it = of(self);
		it.is_up = true;
		spared_in_sync(0, spared_text("receives sessions"));
		for (const auto &session : it.table)
			tell(it, session.first);
		it.queue.emplace_back();
		flush(it);
		return 0;
	});
}

spared_status down(void *self) noexcept
{
	of(self).is_up = false;
	of(self).queue.clear();
	flush(of(self)); // nobody is left for a drain
	spared_in_sync(1, spared_text(""));
	return 0;
}

// The bytes come from another machine.
spared_status message(void *self, spared_bytes bytes) noexcept
{
	return guarded([&] {
		auto &it = of(self);
		if (bytes.len == 0) {
			spared_in_sync(1, spared_text(""));
			return 0;
		}
		std::istringstream lines({ reinterpret_cast<const char *>(bytes.ptr), bytes.len });
		std::string id, clock;
		Record record;
		if (!std::getline(lines, id) || !std::getline(lines, record.user) || !std::getline(lines, clock) ||
		    !std::getline(lines, record.node))
			return -EPROTO;
		record.clock = std::stoull(clock);
		it.clock = std::max(it.clock, record.clock);
		const auto known = it.table.find(id);
		if (known == it.table.end() && it.table.size() >= it.limit)
			return refuse(-ENOSPC, nullptr, "no room for session " + id);
		auto &mine = it.table[id];
		if (std::tie(record.clock, record.node) > std::tie(mine.clock, mine.node))
			mine = record;
		report(it);
		return 0;
	});
}

spared_status writable(void *self) noexcept
{
	flush(of(self));
	return 0;
}

spared_status drain(void *self, uint64_t token, uint64_t) noexcept
{
	if (of(self).queue.empty())
		return 0;
	of(self).drain = token;
	return SPARED_PENDING;
}

spared_status change(Sessions &it, const std::string &id, const std::string &user)
{
	it.table[id] = { user, ++it.clock, it.node };
	if (it.is_up)
		tell(it, id);
	report(it);
	return 0;
}

spared_status answer(Sessions &it, uint64_t token, const std::vector<std::string> &words)
{
	uint64_t count = 0;
	for (const auto &[id, record] : it.table) {
		count += !record.user.empty();
		if (words.empty() && !record.user.empty())
			spared_put_text(token, ("session." + id).c_str(), text(record.user));
	}
	if (words.empty() || words[0] == "status")
		return spared_put_u64(token, "sessions", SPARED_ROW_NUMBER, count);
	if (!it.is_active)
		return refuse(-EBUSY, nullptr, "this node is not active");
	if (words[0] == "start" && words.size() == 3) {
		if (!it.table.contains(words[1]) && it.table.size() >= it.limit)
			return refuse(-ENOSPC, nullptr, "no room: limit is " + std::to_string(it.limit));
		return change(it, words[1], words[2]);
	}
	if (words[0] == "stop" && words.size() == 2 && it.table.contains(words[1]))
		return change(it, words[1], "");
	return refuse(-EINVAL, nullptr, "usage: sparectl sessions start ID USER, or stop and an ID of the list");
}

spared_status query(void *self, uint64_t token, const spared_str *argv, size_t argc) noexcept
{
	return guarded([&] {
		std::vector<std::string> words;
		for (size_t i = 0; i < argc; i++)
			words.push_back(text(argv[i]));
		return answer(of(self), token, words);
	});
}

spared_status create(void **self) noexcept
{
	*self = new (std::nothrow) Sessions;
	return *self ? 0 : -ENOMEM;
}

void destroy(void *self) noexcept { delete &of(self); }

spared_status configure(void *self, int check) noexcept
{
	return guarded([&] {
		spared_str it;
		uint64_t limit = 1000;
		for (uint32_t i = 0; spared_config_keys("", i, &it) == 0; i++)
			if (text(it) != "limit")
				return refuse(-EINVAL, text(it).c_str(), "unknown key, allowed: limit");
		if (spared_config_get("limit", &it) == 0) {
			const auto found = text(it);
			const bool is_number = found.find_first_not_of("0123456789") == std::string::npos;
			limit = is_number && found.size() < 7 ? std::stoul(found) : 0;
			if (limit < 1 || limit > 100000)
				return refuse(-EINVAL, "limit", "found " + found + ", allowed 1-100000");
		}
		if (!check) {
			of(self).limit = limit;
			if (spared_config_get("@node", &it) == 0)
				of(self).node = text(it);
			report(of(self)); // what room there is depends on this key
		}
		return 0;
	});
}

spared_status role(void *self, uint64_t, const spared_role *event) noexcept
{
	of(self).is_active = event->role == SPARED_ACTIVE; // of its one group: see follow
	return 0;
}

} // namespace

SPARED_PLUGIN(
	SPARED_NAME("sessions") SPARED_VERSION("1.0") SPARED_VENDOR("spared")
	SPARED_SUMMARY("accounting sessions that both nodes know")
	SPARED_WIRE("1-1") SPARED_ROLES SPARED_TRANSFER SPARED_PEER SPARED_QUERY
	SPARED_ASKS("", "", "lists all sessions")
	SPARED_ASKS("status", "", "counts sessions, for sparectl status")
	SPARED_CHANGES("start", "ID USER", "begins a session")
	SPARED_CHANGES("stop", "ID", "ends a session"),
	.create = create,
	.destroy = destroy,
	.configure = configure,
	.role = role,
	.drain = drain,
	.query = query,
	.up = up,
	.down = down,
	.message = message,
	.writable = writable);
