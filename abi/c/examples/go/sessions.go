// SPDX-License-Identifier: MIT OR Apache-2.0

// Accounting sessions that both nodes know: a plugin in Go, with the library for C.
//
//	sparectl sessions start 17f2 anna    # on the active node; the other one knows it
//
// The greater stamp of a record wins, whatever comes twice, or late. A removed session has no user.
// The library calls on one thread, and only there may it be called: a goroutine passes its results by
// a channel, and calls spared_wake.
//
//	go build -buildmode=c-shared -o sessions.so .
package main

// #cgo CFLAGS: -I../.. -fvisibility=hidden
// #cgo LDFLAGS: -lpthread
// #include <stdlib.h>
// #include "spared_plugin.h"
// static inline struct spared_str str(const char *at, size_t length) { return (struct spared_str){ at, length }; }
// static inline void in_sync(int yes, const char *at, size_t length) { spared_in_sync(yes, str(at, length)); }
// static inline spared_status fail(const char *key, const char *at, size_t length)
// { return spared_fail(key, str(at, length)); }
// static inline void report(uint32_t state, const char *at, size_t length)
// { spared_report("room", 100, state, str(at, length)); }
// static inline void put(uint64_t token, const char *key, const char *at, size_t length)
// { spared_put_text(token, key, str(at, length)); }
// static inline spared_status count(uint64_t token, uint64_t value)
// { return spared_put_u64(token, "sessions", SPARED_ROW_NUMBER, value); }
// static inline spared_status send(const void *at, size_t length)
// { return spared_send((struct spared_bytes){ at, length }); }
import "C"

import (
	"encoding/json"
	"fmt"
	"strconv"
	"syscall"
	"unsafe"
)

type record struct {
	ID, User string
	Clock    uint64
	Node     string
}

var (
	table          = map[string]record{}
	clock          uint64
	limit          = 1000
	node           string
	isActive, isUp bool
	queue          [][]byte // messages that the channel has no room for
	draining       C.uint64_t
)

func main() {}

func text(it C.struct_spared_str) string { return C.GoStringN(it.ptr, C.int(it.len)) }

// with lends a text to C for a call.
func with(it string, call func(*C.char, C.size_t)) {
	at := C.CString(it)
	defer C.free(unsafe.Pointer(at))
	call(at, C.size_t(len(it)))
}

func inSync(yes C.int, why string) {
	with(why, func(at *C.char, length C.size_t) { C.in_sync(yes, at, length) })
}

func refuse(errno syscall.Errno, key, why string) C.spared_status {
	with(key, func(name *C.char, _ C.size_t) {
		with(why, func(at *C.char, length C.size_t) { C.fail(name, at, length) })
	})
	return -C.spared_status(errno)
}

func report() {
	state := C.uint32_t(100)
	if len(table) >= limit {
		state = 0 // a node without room is less fit
	}
	why := fmt.Sprintf("%d of %d sessions", len(table), limit)
	with(why, func(at *C.char, length C.size_t) { C.report(state, at, length) })
}

func flush() {
	for len(queue) > 0 {
		next := queue[0]
		if C.send(unsafe.Pointer(&next[0]), C.size_t(len(next))) == -C.spared_status(syscall.EAGAIN) {
			return // goWritable goes on
		}
		queue = queue[1:]
	}
	if draining != 0 {
		C.spared_done(draining, 0)
	}
	draining = 0
}

// tell queues a record; one without a node is the end of a snapshot.
func tell(it record) {
	bytes, _ := json.Marshal(it)
	queue = append(queue, bytes)
	flush()
}

//export goUp
func goUp(self unsafe.Pointer, wire C.uint32_t) C.spared_status {
	isUp = true
	inSync(0, "receives sessions")
	for _, it := range table {
		tell(it)
	}
	tell(record{})
	return 0
}

//export goDown
func goDown(self unsafe.Pointer) C.spared_status {
	isUp, queue = false, nil
	flush() // nobody is left for a drain
	inSync(1, "")
	return 0
}

// The bytes come from another machine.
//
//export goMessage
func goMessage(self unsafe.Pointer, bytes C.struct_spared_bytes) C.spared_status {
	var it record
	if err := json.Unmarshal(C.GoBytes(unsafe.Pointer(bytes.ptr), C.int(bytes.len)), &it); err != nil {
		return refuse(syscall.EPROTO, "", err.Error())
	}
	if it.Node == "" {
		inSync(1, "")
		return 0
	}
	if it.Clock > clock {
		clock = it.Clock
	}
	mine, known := table[it.ID]
	if !known && len(table) >= limit {
		return refuse(syscall.ENOSPC, "", "no room for session "+it.ID)
	}
	if it.Clock > mine.Clock || it.Clock == mine.Clock && it.Node > mine.Node {
		table[it.ID] = it
	}
	report()
	return 0
}

//export goWritable
func goWritable(self unsafe.Pointer) C.spared_status {
	flush()
	return 0
}

//export goDrain
func goDrain(self unsafe.Pointer, token, deadline C.uint64_t) C.spared_status {
	if len(queue) == 0 {
		return 0
	}
	draining = token
	return C.SPARED_PENDING
}

func change(id, user string) C.spared_status {
	clock++
	table[id] = record{id, user, clock, node}
	if isUp {
		tell(table[id])
	}
	report()
	return 0
}

//export goQuery
func goQuery(token C.uint64_t, argv *C.struct_spared_str, argc C.size_t) C.spared_status {
	var words []string
	for _, it := range unsafe.Slice(argv, argc) {
		words = append(words, text(it))
	}
	switch {
	case argc == 0 || words[0] == "status":
		count := 0
		for _, it := range table {
			if it.User != "" {
				put(token, "session."+it.ID, it.User)
				count++
			}
		}
		return C.count(token, C.uint64_t(count))
	case !isActive:
		return refuse(syscall.EBUSY, "", "this node is not active")
	case words[0] == "start" && argc == 3:
		if _, known := table[words[1]]; !known && len(table) >= limit {
			return refuse(syscall.ENOSPC, "", fmt.Sprintf("no room: limit is %d", limit))
		}
		return change(words[1], words[2])
	case words[0] == "stop" && argc == 2 && table[words[1]].User != "":
		return change(words[1], "")
	}
	return refuse(syscall.EINVAL, "", "usage: sparectl sessions start ID USER, or stop and an ID of the list")
}

func put(token C.uint64_t, key, value string) {
	with(key, func(name *C.char, _ C.size_t) {
		with(value, func(at *C.char, length C.size_t) { C.put(token, name, at, length) })
	})
}

//export goConfigure
func goConfigure(self unsafe.Pointer, check C.int) C.spared_status {
	var it C.struct_spared_str
	top, key, own := C.CString(""), C.CString("limit"), C.CString("@node")
	for _, text := range []*C.char{top, key, own} {
		defer C.free(unsafe.Pointer(text))
	}
	for i := C.uint32_t(0); C.spared_config_keys(top, i, &it) == 0; i++ {
		if name := text(it); name != "limit" {
			return refuse(syscall.EINVAL, name, "unknown key, allowed: limit")
		}
	}
	found := 1000
	if C.spared_config_get(key, &it) == 0 {
		var err error
		if found, err = strconv.Atoi(text(it)); err != nil || found < 1 || found > 100000 {
			return refuse(syscall.EINVAL, "limit", "found "+text(it)+", allowed 1-100000")
		}
	}
	if check == 0 {
		limit = found
		if C.spared_config_get(own, &it) == 0 {
			node = text(it)
		}
		report() // what room there is depends on this key
	}
	return 0
}

//export goRole
func goRole(role C.uint32_t) C.spared_status {
	isActive = role == C.SPARED_ACTIVE // of its one group: see follow
	return 0
}
