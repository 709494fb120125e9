// Package archtest has no code, only tests of the structure of the module: the direction
// of imports, the owners of goroutines, the purity of deciding code, the size of
// functions and structs, and the truth of names in pages and doc comments.
package archtest
