// Package mut names the planted bugs. A planted bug switches off a rule of
// client/GUARANTEES.md, to prove that the test for that rule then fails. Without the
// build tag "mut" On is constant false and costs nothing. With the tag, the
// environment variable HOLDFAST_MUT lists the bugs to switch on, separated by commas.
//
// A bug of one line stands in the code that implements the rule. A larger bug is a
// method whose name ends in Planted: planted_mut.go of the package has the bug, and
// planted.go has an empty method.
package mut

// A Bug is one planted bug. Its text is the name to use in HOLDFAST_MUT.
type Bug string
