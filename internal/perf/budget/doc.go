// Package budget limits the cost of a message in units that are the same on every
// machine: allocations, writes, syncs and bytes, never time. Its tests check the
// limits. Benchmarks use its tools too: a [Meter], and a server ([Swallow]) and a
// client ([Caller]) of next to no cost.
package budget
