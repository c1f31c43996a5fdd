// SPDX-License-Identifier: MIT OR Apache-2.0
// The library for C, which cgo compiles with this package.
#include "../../spared_plugin.c"
