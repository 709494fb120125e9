// Package failpoint names the planted bugs. A planted bug switches off a rule of
// client/GUARANTEES.md, to prove that the test for that rule then fails. Without the
// build tag "failpoint" On is constant false and costs nothing. With the tag, the
// environment variable HOLDFAST_FAILPOINT lists the bugs to switch on, separated by commas.
//
// A bug of one line stands in the code that implements the rule. A larger bug is a
// method whose name ends in Planted: failpoints.go of the package has the bug, and
// failpoints_off.go has an empty method.
package failpoint

// A Bug is one planted bug. Its text is the name to use in HOLDFAST_FAILPOINT.
type Bug string
