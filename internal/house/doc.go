// Package house has no code, only tests of how the module is built: which way
// imports run, where goroutines start, and that what decides is pure.
package house
