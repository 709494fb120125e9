// Package cost says how little a message may cost, by what is the same on every
// machine: allocations, writes, syncs and bytes, never time. Its tests are the
// guard; what they measure with is there for benchmarks, too: a [Meter], a
// server that costs nothing ([Swallow]) and a client that costs nothing
// ([Caller]).
package budget
