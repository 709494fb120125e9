// Package mut names the planted bugs: places where a rule of
// client/GUARANTEES.md can be switched off to see the test that guards it
// fail. Without the build tag "mut" On is constant false and costs nothing;
// with it the environment variable HOLDFAST_MUT lists the rules to break.
//
// A bug that is one line stands where the rule does. A bug that needs more is a
// method in planted_mut.go of its package, which does nothing in planted.go; its
// name ends in Planted.
package mut

// A Bug is one planted bug. Its text is what HOLDFAST_MUT names.
type Bug string
