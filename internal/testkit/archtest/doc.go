// Package archtest has no code, only tests of how the module is built: which way
// imports run, where goroutines start, that what decides is pure, how large
// functions and structs are, and that what the pages and doc comments name is
// there.
package archtest
